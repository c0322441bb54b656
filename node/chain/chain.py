"""The development chain: one door for whoever sends, mines, asks and rewinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from evmc import U256, ZERO_ADDRESS, Address, Bytes32, Gas, TxContext
from ewasm.cache import CodeCache
from ewasm.ruleset import EWASM, Ruleset
from ewasm.vm import EwasmVM
from node.chain.block import Block, BlockLog, BlockReceipt, Header, LogFilter, MinedTransaction
from node.chain.calls import AccessListResult, BlockOverride, Call, CallResult, Override
from node.chain.events import Events
from node.chain.genesis import Genesis
from node.chain.pool import PoolContent, PoolLimits
from node.chain.signed import Payload, SignedTransaction
from node.chain.wallet import Wallet
from state import Store, WorldState

Tag: TypeAlias = int | Bytes32 | Literal["earliest", "latest", "pending", "safe", "finalized"]
"""A block: by number, by hash, or by name; `safe` and `finalized` are the latest."""


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """What `eth_feeHistory` answers: base fees have one entry more, the next block's; rewards are by percentile."""

    oldest: int
    base_fees: tuple[int, ...]
    gas_used_ratios: tuple[float, ...]
    rewards: tuple[tuple[int, ...], ...] | None


class Chain:
    """A chain over a store, and the pool in front of it.

    Methods that change something may be called from any thread and wait for each other; readers wait for nobody and
    see the chain as it was after some change. Block tags raise UnknownBlock where there is no such block. With
    automine, which is on unless switched off, a transaction's receipt is there when `send` returns.
    """

    def __init__(
        self,
        store: Store | None = None,
        genesis: Genesis | None = None,
        *,
        wallet: Wallet | None = None,
        ruleset: Ruleset = EWASM,
        engine: str = "compiled",
        cache: CodeCache | None = None,
        limits: PoolLimits = PoolLimits(),
        automine: bool = True,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Open the chain that is in the store, or begin one there; None is a store in memory.

        `genesis` is what a new chain begins with, None for the wallet's accounts with 10,000 coins each, and `wallet`
        the node's accounts, None for those of the usual mnemonic. Raise UnusableChain if the store has a chain of
        another genesis (where one is given) or ruleset, or the ruleset has free instructions.
        """
        raise NotImplementedError

    # What is fixed

    ruleset: Ruleset
    events: Events
    wallet: Wallet

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        raise NotImplementedError

    @property
    def vm(self) -> EwasmVM:
        """The machine that executes blocks and calls without a time limit."""
        raise NotImplementedError

    # Reading

    @property
    def head(self) -> Header:
        """The header of the last block."""
        raise NotImplementedError

    def header(self, tag: Tag = "latest") -> Header:
        """Return a header."""
        raise NotImplementedError

    def block(self, tag: Tag = "latest") -> Block:
        """Return a block with its transactions; the pending one is what mining would make now."""
        raise NotImplementedError

    def block_hash(self, number: int) -> Bytes32 | None:
        """Return the hash of a block by number, None if there is none."""
        raise NotImplementedError

    def state(self, tag: Tag = "latest") -> WorldState:
        """Return the state after a block."""
        raise NotImplementedError

    def transaction(self, transaction_hash: Bytes32) -> MinedTransaction | None:
        """Return a transaction, mined or waiting; None if it is unknown."""
        raise NotImplementedError

    def receipt(self, transaction_hash: Bytes32) -> BlockReceipt | None:
        """Return the receipt of a mined transaction, None if there is none."""
        raise NotImplementedError

    def receipts(self, tag: Tag = "latest") -> tuple[BlockReceipt, ...]:
        """Return the receipts of a block, in order."""
        raise NotImplementedError

    def logs(self, wanted: LogFilter, first: Tag = "earliest", last: Tag = "latest") -> list[BlockLog]:
        """Return the logs of a range of blocks, in order; an empty list where `first` is after `last`."""
        raise NotImplementedError

    def fee_history(self, count: int, newest: Tag = "latest", percentiles: Sequence[float] = ()) -> FeeHistory:
        """Return fees of up to `count` blocks, the newest last; percentiles ascend from 0 to 100."""
        raise NotImplementedError

    def next_base_fee(self) -> int:
        """Return the base fee of the next block (EIP-1559)."""
        raise NotImplementedError

    def suggested_tip(self) -> int:
        """Return a priority fee that will do: `eth_maxPriorityFeePerGas`."""
        raise NotImplementedError

    def nonce(self, address: Address, tag: Tag = "latest") -> int:
        """Return the nonce after a block; `pending` counts what waits in the pool without a gap."""
        raise NotImplementedError

    def pool(self) -> PoolContent:
        """Return what waits."""
        raise NotImplementedError

    def context(self, tag: Tag = "latest") -> TxContext:
        """Return what contracts see of a block; `pending` is the next one."""
        raise NotImplementedError

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
        raise NotImplementedError

    def estimate_gas(
        self,
        call: Call,
        tag: Tag = "latest",
        overrides: Mapping[Address, Override] | None = None,
        *,
        timeout: float | None = None,
    ) -> Gas:
        """Return the least gas limit with which a transaction succeeds; raise ExecutionFailed if none does."""
        raise NotImplementedError

    def access_list(self, call: Call, tag: Tag = "latest", *, timeout: float | None = None) -> AccessListResult:
        """Return the accounts and slots that a call touches, precompiled contracts, sender and recipient left out."""
        raise NotImplementedError

    # Sending

    def send(self, raw: bytes) -> Bytes32:
        """Take a raw signed transaction and return its hash; raise TransactionRefused."""
        raise NotImplementedError

    def submit(self, transaction: SignedTransaction) -> Bytes32:
        """Take a transaction, signed or impersonated, and return its hash; raise TransactionRefused."""
        raise NotImplementedError

    def fill(self, call: Call, *, timeout: float | None = None) -> Payload:
        """Return the transaction that a client asks for, with nonce, gas and fees chosen where it names none.

        Raise ExecutionFailed where gas is to be estimated and the call fails.
        """
        raise NotImplementedError

    def send_from(self, call: Call, *, timeout: float | None = None) -> Bytes32:
        """Fill a transaction, sign it with the node's key or for an impersonated sender, and take it.

        Raise NotAuthorised where there is neither, or TransactionRefused.
        """
        raise NotImplementedError

    def drop(self, transaction_hash: Bytes32) -> bool:
        """Remove a waiting transaction; tell whether there was one."""
        raise NotImplementedError

    def drop_all(self) -> None:
        """Remove all waiting transactions."""
        raise NotImplementedError

    # Mining

    @property
    def automine(self) -> bool:
        """Whether every transaction gets a block at once."""
        raise NotImplementedError

    def set_automine(self, on: bool) -> None:  # noqa: FBT001  # the switch is the argument
        """Switch automine; switched on, what waits is mined."""
        raise NotImplementedError

    def mine(self, count: int = 1, interval: int | None = None) -> Block:
        """Make blocks of what waits, `interval` seconds apart if given, and return the last."""
        raise NotImplementedError

    # Time, fees and block fields

    def increase_time(self, seconds: int) -> int:
        """Move the clock ahead and return by how many seconds it is ahead in all."""
        raise NotImplementedError

    def set_time(self, timestamp: int) -> int:
        """Set the clock, Unix seconds, and return the difference to the machine's."""
        raise NotImplementedError

    def set_next_timestamp(self, timestamp: int) -> None:
        """Set the next block's time; raise ChainError if it is not above the last block's."""
        raise NotImplementedError

    def set_block_interval(self, seconds: int | None) -> None:
        """Have every block so many seconds after the one before; None lets the clock decide again."""
        raise NotImplementedError

    def set_next_base_fee(self, fee: int) -> None:
        """Set the next block's base fee."""
        raise NotImplementedError

    def set_gas_limit(self, gas: Gas) -> None:
        """Set the gas limit of the blocks to come."""
        raise NotImplementedError

    def set_coinbase(self, address: Address) -> None:
        """Set who gets the priority fees of the blocks to come."""
        raise NotImplementedError

    def set_next_mix_hash(self, value: Bytes32) -> None:
        """Set the next block's mix hash, which clients know as prevRandao."""
        raise NotImplementedError

    # Impersonation

    def impersonate(self, address: Address) -> None:
        """Let transactions of this sender in without a signature."""
        raise NotImplementedError

    def stop_impersonating(self, address: Address) -> None:
        """Ask for the signatures of this sender again."""
        raise NotImplementedError

    def set_auto_impersonate(self, on: bool) -> None:  # noqa: FBT001  # the switch is the argument
        """Let transactions of all senders in without a signature, or no longer."""
        raise NotImplementedError

    def is_impersonated(self, address: Address) -> bool:
        """Tell whether this sender needs no signature."""
        raise NotImplementedError

    # The state of the last block

    def set_balance(self, address: Address, balance: U256) -> None:
        """Give an account a balance, from now on and in the state of the last block."""
        raise NotImplementedError

    def set_nonce(self, address: Address, nonce: int) -> None:
        """Give an account a nonce; raise ChainError below its present one."""
        raise NotImplementedError

    def set_code(self, address: Address, code: bytes) -> None:
        """Give an account code."""
        raise NotImplementedError

    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> None:
        """Write a slot."""
        raise NotImplementedError

    # Rewinding

    def snapshot(self) -> int:
        """Remember the chain, its pool and its settings, and return a handle."""
        raise NotImplementedError

    def revert(self, snapshot: int) -> bool:
        """Go back; handles from this one on are used up. Tell whether there was such a handle."""
        raise NotImplementedError

    def reset(self, genesis: Genesis | None = None) -> None:
        """Begin anew, with the same genesis or another."""
        raise NotImplementedError

    def rollback(self, depth: int = 1) -> Header:
        """Remove the last blocks and return the header that is the last now; raise ChainError beyond the first."""
        raise NotImplementedError

    # Dumps

    def dump(self) -> bytes:
        """Return the state of the last block, and which block that is, as gzipped JSON."""
        raise NotImplementedError

    def load(self, dumped: bytes) -> None:
        """Add the accounts of a dump to the state of the last block; raise ChainError if it is none."""
        raise NotImplementedError

    def close(self) -> None:
        """End the helper threads; the store stays open."""
        raise NotImplementedError


NO_SENDER = ZERO_ADDRESS
"""Who sends a call that names nobody."""
