"""Everything that only reads a chain; whoever has its store can, also another process than the one that writes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeAlias, TypeVar

from evmc import Address, Bytes32, Gas, TxContext
from ewasm.cache import CodeCache
from ewasm.ruleset import EWASM, Ruleset
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM, make_engine
from node.chain.archive import Archive
from node.chain.block import Block, BlockLog, BlockReceipt, Header, LogFilter, MinedTransaction, may_match
from node.chain.building import Machine
from node.chain.calls import AccessListResult, BlockOverride, Call, CallResult, CallSite, Overridden, Override
from node.chain.errors import ChainError, UnknownBlock, UnusableChain
from node.chain.fees import SUGGESTED_TIP, base_fee_after
from node.chain.identity import Identity
from node.chain.timeouts import TimedMachines
from state import Database, StateView, Store, WorldState
from state.account import NO_ACCOUNT

T = TypeVar("T")

Tag: TypeAlias = int | Bytes32 | Literal["earliest", "latest", "pending", "safe", "finalized"]
"""A block: by number, by hash, or by name; `safe` and `finalized` are the latest."""

MAX_FEE_HISTORY = 1024
"""The most blocks that `fee_history` looks at."""


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """What `eth_feeHistory` answers: base fees have one entry more, the next block's; rewards are by percentile."""

    oldest: int
    base_fees: tuple[int, ...]
    gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[int, ...], ...] | None


@dataclass(frozen=True, slots=True)
class Head:
    """The last block and the state after it, as they were at one moment."""

    header: Header
    world: WorldState


class Reader:
    """A chain that is only read. Any thread may ask; nobody waits.

    Block tags raise UnknownBlock where there is no such block. `pending` is the latest block here: only the `Chain`
    itself knows what waits.
    """

    def __init__(
        self,
        store: Store,
        *,
        ruleset: Ruleset = EWASM,
        engine: str = "compiled",
        cache: CodeCache | None = None,
    ) -> None:
        """Open the chain in a store; raise UnusableChain if it has none, or one of another ruleset."""
        self.ruleset = ruleset
        self.database = Database(store)
        self._archive = Archive(store)
        self._identity = Identity.of(store, ruleset)
        vm = EwasmVM(ruleset, make_engine(engine), cache=cache)
        self._machine = Machine(vm, ruleset, system_contracts(ruleset), self._identity.chain_id)
        self._timed = TimedMachines(vm)
        self._head = self._found_head()

    def _found_head(self) -> Head:
        found = self._archive.head()
        header = None if found is None else self._archive.header(found[0])
        if found is None or header is None:
            raise UnusableChain("the store has no chain")
        return Head(header, WorldState(self.database, found[1]))

    def refresh(self) -> None:
        """Look up the last block: another process may have written since."""
        found = self._archive.head()
        if found != (self._head.header.number, self._head.world.root):
            self._head = self._found_head()

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self._machine.chain_id

    @property
    def vm(self) -> EwasmVM:
        """The machine that executes blocks and calls without a time limit."""
        return self._machine.vm

    @property
    def machine(self) -> Machine:
        """What executes transactions."""
        return self._machine

    @property
    def head(self) -> Header:
        """The header of the last block."""
        return self._head.header

    # Blocks

    def opening(self, number: int) -> bytes | None:
        """Return what was kept of a block's opening, None if it did nothing before its transactions."""
        return self._archive.opening(number)

    def number_of(self, tag: Tag) -> int:
        """Return a block's number; the pending block's is the next."""
        last = self._head.header.number
        if isinstance(tag, Bytes32):
            found = self._archive.number_of(tag)
            if found is None or found > last:
                raise UnknownBlock(f"unknown block: {tag}")
            return found
        if isinstance(tag, int):
            if not 0 <= tag <= last:
                raise UnknownBlock(f"unknown block: {tag}, the last is {last}")
            return tag
        return 0 if tag == "earliest" else last

    def header(self, tag: Tag = "latest") -> Header:
        """Return a header."""
        head = self._head.header
        number = self.number_of(tag)
        return head if number == head.number else self._known(self._archive.header(number), number)

    def block(self, tag: Tag = "latest") -> Block:
        """Return a block with its transactions; the pending one is what mining would make now."""
        number = self.number_of(tag)
        return self._known(self._archive.block(number), number)

    def block_hash(self, number: int) -> Bytes32 | None:
        """Return the hash of a block by number, None if there is none."""
        if not 0 <= number <= self._head.header.number:
            return None
        header = self._archive.header(number)
        return None if header is None else header.hash

    def state(self, tag: Tag = "latest") -> WorldState:
        """Return the state after a block."""
        head = self._head
        number = self.number_of(tag)
        if number == head.header.number:
            return head.world
        root = self._archive.root(number)
        if root is None:
            raise UnknownBlock(f"missing trie node: the state of block {number} was pruned")
        return WorldState(self.database, root)

    def context(self, tag: Tag = "latest") -> TxContext:
        """Return what contracts see of a block; `pending` is the next one."""
        return self._machine.context(self._at(tag)[0])

    def _known(self, found: T | None, number: int) -> T:
        if found is None:
            raise UnknownBlock(f"unknown block: {number} was taken out")
        return found

    def _at(self, tag: Tag) -> tuple[Header, WorldState]:
        """Return what calls at a block see."""
        head = self._head
        if tag in ("latest", "safe", "finalized"):
            return head.header, head.world
        return self.header(tag), self.state(tag)

    # Transactions, receipts, logs

    def transaction(self, transaction_hash: Bytes32) -> MinedTransaction | None:
        """Return a transaction, mined or waiting; None if it is unknown."""
        place = self._archive.place(transaction_hash)
        if place is None:
            return None
        header, tx = self._archive.header(place[0]), self._archive.transaction(*place)
        if header is None or tx is None or tx.hash != transaction_hash:
            return None
        return MinedTransaction(tx, header.hash, header.number, place[1], header.base_fee)

    def receipt(self, transaction_hash: Bytes32) -> BlockReceipt | None:
        """Return the receipt of a mined transaction, None if there is none."""
        place = self._archive.place(transaction_hash)
        receipt = None if place is None else self._archive.receipt(*place)
        return receipt if receipt is not None and receipt.transaction.hash == transaction_hash else None

    def receipts(self, tag: Tag = "latest") -> tuple[BlockReceipt, ...]:
        """Return the receipts of a block, in order."""
        return self._archive.receipts(self.block(tag))

    def logs(
        self, wanted: LogFilter, first: Tag = "earliest", last: Tag = "latest", *, most: int | None = None
    ) -> list[BlockLog]:
        """Return the logs of a range of blocks, in order; an empty list where `first` is after `last`.

        Blocks are not looked through any more once there are more than `most`.
        """
        begin, end = (
            tag if isinstance(tag, int) and tag > self._head.header.number else self.number_of(tag)
            for tag in (first, last)
        )
        masks = wanted.masks
        found: list[BlockLog] = []
        for number, bloom in self._archive.blooms(begin, end) if begin <= end else ():
            if may_match(bloom, masks):
                found += self._archive.logs(number, wanted)
                if most is not None and len(found) > most:
                    break
        return found

    # Fees

    def next_base_fee(self) -> int:
        """Return the base fee of the next block (EIP-1559)."""
        head = self._head.header
        return base_fee_after(head.base_fee, head.gas_used, head.gas_limit)

    def suggested_tip(self) -> int:
        """Return a priority fee that will do: `eth_maxPriorityFeePerGas`."""
        return SUGGESTED_TIP

    def fee_history(self, count: int, newest: Tag = "latest", percentiles: Sequence[float] = ()) -> FeeHistory:
        """Return fees of up to `count` blocks, the newest last; percentiles ascend from 0 to 100."""
        if any(not 0 <= each <= 100 for each in percentiles) or list(percentiles) != sorted(percentiles):
            raise ChainError("invalid reward percentile: they ascend from 0 to 100")
        last = self.number_of(newest)
        count = min(count, MAX_FEE_HISTORY, last + 1)
        if count <= 0:
            return FeeHistory(0, (), (), None)
        headers = [self.header(number) for number in range(last - count + 1, last + 1)]
        end = headers[-1]
        after = self.next_base_fee() if end.number == self._head.header.number else self.header(end.number + 1).base_fee
        rewards = tuple(self._rewards(header, percentiles) for header in headers) if percentiles else None
        return FeeHistory(
            headers[0].number,
            (*(header.base_fee for header in headers), after),
            tuple(header.gas_used / header.gas_limit if header.gas_limit else 0.0 for header in headers),
            rewards,
        )

    def _rewards(self, header: Header, percentiles: Sequence[float]) -> tuple[int, ...]:
        """Return the tips at which so many percent of a block's gas had been paid for, cheapest first."""
        receipts = self.receipts(header.number) if header.gas_used else ()
        tips = sorted((each.transaction.effective_tip(header.base_fee), each.gas_used) for each in receipts)
        if not tips:
            return (0,) * len(percentiles)
        paid = list(accumulate(gas for _, gas in tips))
        places = (bisect_left(paid, header.gas_used * percentile / 100) for percentile in percentiles)
        return tuple(tips[min(place, len(tips) - 1)][0] for place in places)

    # Accounts

    def nonce(self, address: Address, tag: Tag = "latest") -> int:
        """Return the nonce after a block; `pending` counts what waits in the pool without a gap."""
        return (self._at(tag)[1].account(address) or NO_ACCOUNT).nonce

    # Calls

    def call(
        self,
        call: Call,
        tag: Tag = "latest",
        overrides: Mapping[Address, Override] | None = None,
        block: BlockOverride | None = None,
        *,
        timeout: float | None = None,
    ) -> CallResult:
        """Run a call on the state after a block and forget it.

        Fees are only asked of the sender where the call names them. Raise CallAborted after `timeout` seconds, and
        TransactionRefused where it could not begin.
        """
        return self._timely(timeout, self.site(tag, overrides, block), lambda site: site.run(call))

    def estimate_gas(
        self,
        call: Call,
        tag: Tag = "latest",
        overrides: Mapping[Address, Override] | None = None,
        *,
        timeout: float | None = None,
    ) -> Gas:
        """Return the least gas limit with which a transaction succeeds; raise ExecutionFailed if none does."""
        return self._timely(timeout, self.site(tag, overrides), lambda site: site.estimate(call))

    def access_list(self, call: Call, tag: Tag = "latest", *, timeout: float | None = None) -> AccessListResult:
        """Return what a call touches; sender, recipient and precompiled contracts for their slots only."""
        return self._timely(timeout, self.site(tag), lambda site: site.access_list(call))

    def site(
        self,
        tag: Tag = "latest",
        overrides: Mapping[Address, Override] | None = None,
        block: BlockOverride | None = None,
    ) -> CallSite:
        """Return a place to run calls at: the state after a block, with that block around them."""
        header, world = self._at(tag)
        view: StateView = Overridden(world, overrides) if overrides else world
        return CallSite(self._machine, view, header if block is None else block.apply(header), self.block_hash)

    def lent(self, timeout: float | None) -> AbstractContextManager[EwasmVM]:
        """Lend a machine for so many seconds, None for as long as wanted; after that the block raises CallAborted."""
        return self._timed.within(timeout)

    def _timely(self, timeout: float | None, site: CallSite, run: Callable[[CallSite], T]) -> T:
        with self.lent(timeout) as vm:
            return run(site if vm is self.vm else site.on(vm))

    def close(self) -> None:
        """End the helper threads; the store stays open."""
        self._timed.close()
