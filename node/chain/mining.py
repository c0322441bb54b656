"""A chain that takes transactions and makes blocks of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from evmc import U256, Address, Bytes32
from ewasm.cache import CodeCache
from ewasm.contract import Finding, has_preamble
from ewasm.ruleset import EWASM, Ruleset
from node.chain.admission import check_account, check_fee, check_form, check_size
from node.chain.archive import Outcome, put_block, put_head, receipts_of
from node.chain.block import Block, BlockReceipt, Header, MinedTransaction
from node.chain.building import Built, Opening, build
from node.chain.calls import Call
from node.chain.errors import ContractRefused, NotAuthorised, TransactionRefused, UnusableChain, WrongChainId
from node.chain.events import Events
from node.chain.fees import MAX_FEE, SUGGESTED_TIP
from node.chain.genesis import Genesis
from node.chain.identity import Identity
from node.chain.overlay import Overlay
from node.chain.pool import Pool, PoolContent, PoolLimits
from node.chain.reader import Head, Reader, Tag
from node.chain.settings import SETTINGS, Settings
from node.chain.signed import ACCESS_LIST, DYNAMIC_FEE, LEGACY, Payload, SignedTransaction
from node.chain.snapshot import Snapshot
from node.chain.waiting import WaitingLog, put_waiting, rows_waiting, take_up
from node.chain.wallet import Wallet
from node.defaults import BALANCE
from state import Database, GenesisAccount, MemoryStore, Store, Table, WorldState
from state.account import NO_ACCOUNT
from state.store import Draft, draft
from state.world import genesis_diff

_BATCH: Final = 256
"""How many empty blocks are written together."""


class MiningChain(Reader):
    """A chain over a store, and the pool in front of it.

    Methods that change something may be called from any thread and wait for each other; readers wait for nobody and
    see the chain as it was after some change. With automine, which is on unless switched off, a transaction's receipt
    is there when `send` returns.
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
        limits: PoolLimits | None = None,
        automine: bool = True,
        waiting: WaitingLog | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the chain that is in the store, or begin one there; None is a store in memory.

        `genesis` is what a new chain begins with, None for the wallet's accounts with 10,000 coins each, and `wallet`
        the node's accounts, None for those of the usual mnemonic. What waits is written when the chain is closed, and
        to the log `waiting` when it comes. `clock` tells the time in Unix seconds.

        Raise UnusableChain if the store has a chain of another genesis (where one is given) or ruleset, or if
        instructions are free in the ruleset.
        """
        if not ruleset.metered:
            raise UnusableChain(
                f"the ruleset {ruleset.name} has free instructions, with which code can loop for ever; choose another"
            )
        store = MemoryStore() if store is None else store
        self.wallet = Wallet.from_mnemonic() if wallet is None else wallet
        self.events = Events()
        self._clock = clock
        self._lock = threading.RLock()
        found = Identity.find(store)
        if found is None:
            self._begin(store, genesis or self._usual_genesis(), ruleset)
        elif genesis is not None and found.genesis != genesis.digest:
            raise UnusableChain(
                f"the store has a chain that began otherwise (chain id {found.chain_id}); give the genesis and the "
                "accounts that it was made with, or another store"
            )
        super().__init__(store, ruleset=ruleset, engine=engine, cache=cache)
        self._settings = Settings.of(store, self.head)
        self._automine = automine
        self._impersonated: frozenset[Address] = frozenset()
        self._auto_impersonate = False
        self._snapshots: dict[int, Snapshot] = {}
        self._next_snapshot = 0
        self._pending: tuple[object, Built] | None = None
        self._opening: Opening | None = None
        self._pool = Pool(limits or PoolLimits())
        self._waiting = WaitingLog() if waiting is None else waiting
        rows = rows_waiting(store)
        take_up(self._pool, [*rows, *self._waiting.read()], self.nonce)
        self._level_waiting()
        if rows and waiting is not None:
            put_waiting(store, [])

    def _level_waiting(self) -> None:
        self._waiting.level(self._pool.transactions())

    def _usual_genesis(self) -> Genesis:
        return Genesis(accounts={address: GenesisAccount(balance=BALANCE) for address in self.wallet.addresses})

    def _begin(self, store: Store, genesis: Genesis, ruleset: Ruleset, changes: Draft | None = None) -> None:
        """Write the first block and what the chain is, after other changes."""
        changes = draft() if changes is None else changes
        world, made = WorldState(Database(store)).changed(genesis_diff(genesis.accounts))
        _merge(changes, made)
        block = Block(genesis.header(world.root, int(self._clock())))
        put_block(changes, block, ())
        put_head(changes, 0, world.root)
        changes[Table.META].update(Identity(genesis.chain_id, genesis.digest, ruleset.name, ruleset.hash).rows())
        store.write(changes)

    # What waits

    def pool(self) -> PoolContent:
        """Return what waits."""
        return self._pool.content(self._nonces(self._head.world))

    def transaction(self, transaction_hash: Bytes32) -> MinedTransaction | None:
        """Return a transaction, mined or waiting; None if it is unknown."""
        waiting = self._pool.get(transaction_hash)
        return super().transaction(transaction_hash) or (None if waiting is None else MinedTransaction(waiting))

    def nonce(self, address: Address, tag: Tag = "latest") -> int:
        """Return the nonce after a block; `pending` counts what waits in the pool without a gap."""
        if tag == "pending":
            return self._pool.next_nonce(address, super().nonce(address))
        return super().nonce(address, tag)

    def header(self, tag: Tag = "latest") -> Header:
        """Return a header; the pending one is that of the block that mining would make now."""
        return self._built_pending().block.header if tag == "pending" else super().header(tag)

    def block(self, tag: Tag = "latest") -> Block:
        """Return a block with its transactions; the pending one is what mining would make now."""
        return self._built_pending().block if tag == "pending" else super().block(tag)

    def receipts(self, tag: Tag = "latest") -> tuple[BlockReceipt, ...]:
        """Return the receipts of a block, in order."""
        if tag == "pending":
            built = self._built_pending()
            return receipts_of(built.block, built.outcomes)
        return super().receipts(tag)

    def state(self, tag: Tag = "latest") -> WorldState:
        """Return the state after a block."""
        if tag == "pending":
            built = self._built_pending()
            return WorldState(Database(Overlay(self.database.store, built.changes)), built.after.root)
        return super().state(tag)

    def next_base_fee(self) -> int:
        """Return the base fee of the next block (EIP-1559)."""
        fee = self._settings.next_base_fee
        return super().next_base_fee() if fee is None else fee

    def _built_pending(self) -> Built:
        """Return the block that mining would make now, not written."""
        head, settings, pool = self._head, self._settings, self._pool
        key = (head, settings, pool, pool.version)
        kept = self._pending
        if kept is None or kept[0] != key:
            # A state of its own: the head's would hand its accounts on.
            world = WorldState(self.database, head.world.root)
            kept = self._pending = key, self._build(Head(head.header, world), settings, pool, None)
        return kept[1]

    def _build(self, head: Head, settings: Settings, pool: Pool, opening: Opening | None) -> Built:
        template = settings.template(head.header, self._clock())
        candidates = pool.candidates(self._nonces(head.world), template.base_fee)
        return build(self._machine, template, head.world, candidates, self.block_hash, opening)

    @staticmethod
    def _nonces(world: WorldState) -> Callable[[Address], int]:
        return lambda address: (world.account(address) or NO_ACCOUNT).nonce

    # Sending

    def send(self, raw: bytes) -> Bytes32:
        """Take a raw signed transaction and return its hash; raise TransactionRefused."""
        check_size(raw)
        return self.submit(SignedTransaction.decode(raw))

    def submit(self, transaction: SignedTransaction) -> Bytes32:
        """Take a transaction, signed or impersonated, and return its hash; raise TransactionRefused."""
        tx = transaction
        if tx.is_impersonated and not self.is_impersonated(tx.sender):
            raise NotAuthorised(f"invalid sender: nobody has signed, and {tx.sender} is not impersonated")
        check_form(tx, self.chain_id, self._settings.gas_limit, self.ruleset)
        self._check_contract(tx)
        with self._lock:
            check_account(tx, self._head.world.account(tx.sender) or NO_ACCOUNT)
            if self._automine:
                check_fee(tx, tx.sender, self.next_base_fee())
            before = self._pool.add(tx)
            try:
                if not self._automine:
                    self._waiting.add(tx)
                self.events.pending(tx)
                if self._automine:
                    self._mine_waiting(tx)
                    if tx.hash in self._pool:
                        self._waiting.add(tx)
            except BaseException:
                self._take_back(tx, before)
                raise
        return tx.hash

    def _take_back(self, tx: SignedTransaction, before: SignedTransaction | None) -> None:
        """Have a transaction wait no more that was not taken, and the one wait again whose place it took."""
        if self._pool.remove(tx.hash) is not None and before is not None:
            self._pool.add(before)

    def _check_contract(self, tx: SignedTransaction) -> None:
        """Raise ContractRefused for a creation whose init code could only fail."""
        if tx.to is not None or not tx.data:
            return
        findings: tuple[Finding, ...] = (Finding("preamble", "not WebAssembly: no preamble"),)
        if has_preamble(tx.data):
            findings = self.vm.cache.get(tx.data, self.ruleset, self.vm.engine).findings
        if findings:
            raise ContractRefused(f"contract refused: {findings[0].message}")

    def fill(self, call: Call, *, timeout: float | None = None) -> Payload:
        """Return the transaction that a client asks for, with nonce, gas and fees chosen where it names none.

        Raise ExecutionFailed where gas is to be estimated and the call fails, WrongChainId for another chain's.
        """
        if call.chain_id is not None and call.chain_id != self.chain_id:
            raise WrongChainId(f"invalid chain id for signer: have {call.chain_id} want {self.chain_id}")
        type_ = call.type
        if type_ is None:
            legacy = ACCESS_LIST if call.access_list else LEGACY
            type_ = DYNAMIC_FEE if call.gas_price is None else legacy
        gas = call.gas
        if gas is None:
            unpriced = replace(call, gas_price=None, max_fee=None, max_tip=None)
            gas = self.estimate_gas(unpriced, "pending", timeout=timeout)
        base_fee = self.next_base_fee()
        if type_ == DYNAMIC_FEE and call.gas_price is None:
            tip = min(SUGGESTED_TIP, call.max_fee or SUGGESTED_TIP) if call.max_tip is None else call.max_tip
            fee = min(2 * base_fee + tip, MAX_FEE) if call.max_fee is None else call.max_fee
        else:
            fee = tip = min(base_fee + SUGGESTED_TIP, MAX_FEE) if call.gas_price is None else call.gas_price
        return Payload(
            type=type_,
            chain_id=self.chain_id,
            nonce=self.nonce(call.origin, "pending") if call.nonce is None else call.nonce,
            max_fee=U256(fee),
            max_tip=U256(tip),
            gas_limit=gas,
            to=call.to,
            value=call.value,
            data=call.data,
            access_list=call.access_list or (),
        )

    def send_from(self, call: Call, *, timeout: float | None = None) -> Bytes32:
        """Fill a transaction, sign it with the node's key or for an impersonated sender, and take it.

        Raise NotAuthorised where there is neither, ExecutionFailed like `fill`, or TransactionRefused.
        """
        sender = call.origin
        if sender not in self.wallet and not self.is_impersonated(sender):
            raise NotAuthorised(f"unknown account: no key for {sender}, and it is not impersonated")
        with self._lock:
            payload = self.fill(call, timeout=timeout)
            if sender in self.wallet:
                return self.submit(self.wallet.sign(payload, sender))
            return self.submit(SignedTransaction.impersonated(payload, sender))

    def drop(self, transaction_hash: Bytes32) -> bool:
        """Remove a waiting transaction; tell whether there was one."""
        with self._lock:
            found = self._pool.remove(transaction_hash)
            if found is not None:
                self._level_waiting()
            return found is not None

    def drop_all(self) -> None:
        """Remove all waiting transactions."""
        with self._lock:
            self._pool.clear()
            self._level_waiting()

    # Mining

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all other threads from changing the chain."""
        with self._lock:
            yield

    def open_blocks_with(self, opening: Opening | None) -> None:
        """Have every block begin with this, the pending one excepted; what it keeps is `Reader.opening`.

        It is called with the chain locked, maybe for a block that is not kept, and must not write to the chain.
        """
        with self._lock:
            self._opening = opening

    @property
    def automine(self) -> bool:
        """Whether every transaction gets a block at once."""
        return self._automine

    def set_automine(self, on: bool) -> None:  # noqa: FBT001  # the switch is the argument
        """Switch automine; switched on, what waits is mined."""
        with self._lock:
            self._automine = on
            if on:
                self._mine_waiting(None)

    def mine(self, count: int = 1, interval: int | None = None) -> Block:
        """Make blocks of what waits, `interval` seconds apart if given, and return the last."""
        with self._lock:
            head, settings, blocks = self._head, self._settings, draft()
            told: list[tuple[Block, tuple[Outcome, ...]]] = []
            built = None
            for index in range(count):
                if index and interval is not None:
                    settings = replace(settings, next_timestamp=head.header.timestamp + interval)
                built = self._build(head, settings, self._pool, self._opening)
                settings = settings.after(built.block.header, self._clock())
                head = Head(built.block.header, built.after)
                self._add(blocks, built)
                told.append((built.block, built.outcomes))
                if len(self._pool) or built.opened or len(told) == _BATCH or index == count - 1:
                    self._write(blocks, head, settings, built)
                    self._tell(told)
                    blocks, told = draft(), []
            return self.block() if built is None else built.block

    def _mine_waiting(self, wanted: SignedTransaction | None) -> None:
        """Make blocks until nothing that waits can be in one; raise TransactionRefused if the wanted one cannot."""
        while len(self._pool):
            built = self._build(self._head, self._settings, self._pool, self._opening)
            if built.block.transactions or built.opened:
                blocks = draft()
                self._add(blocks, built)
                settings = self._settings.after(built.block.header, self._clock())
                self._write(blocks, Head(built.block.header, built.after), settings, built)
                self._tell([(built.block, built.outcomes)])
            else:
                # The state was not changed, but has handed its accounts on.
                self._head = Head(self._head.header, built.after)
                self._forget_refused(built)
            for tx, why in built.refused:
                if wanted is not None and tx.hash == wanted.hash:
                    raise TransactionRefused(why)
            if not built.block.transactions and not built.refused and not built.opened:
                return

    @staticmethod
    def _add(changes: Draft, built: Built) -> None:
        _merge(changes, built.changes)
        put_block(changes, built.block, built.outcomes)
        put_head(changes, built.block.number, built.after.root)

    def _write(self, changes: Draft, head: Head, settings: Settings, built: Built) -> None:
        """Write blocks in one piece; from then on they are the chain."""
        if settings != self._settings:
            changes[Table.META][SETTINGS] = settings.encode()
        self.database.write(changes)
        self._head, self._settings = head, settings
        for tx in built.block.transactions:
            self._pool.remove_below(tx.sender, tx.nonce + 1)
        self._forget_refused(built)
        self._waiting.shorten(self._pool)

    def _forget_refused(self, built: Built) -> None:
        for tx, _ in built.refused:
            self._pool.remove(tx.hash)
        if built.refused:
            self._level_waiting()

    def _forget_used(self) -> None:
        """Have nothing wait whose nonce is used up in the state as it is now."""
        for sender in self._pool.senders():
            self._pool.remove_below(sender, self.nonce(sender))

    def _tell(self, blocks: list[tuple[Block, tuple[Outcome, ...]]]) -> None:
        if self.events.wants_blocks:
            for block, outcomes in blocks:
                self.events.block(block, receipts_of(block, outcomes))

    def is_impersonated(self, address: Address) -> bool:
        """Tell whether this sender needs no signature."""
        return self._auto_impersonate or address in self._impersonated

    def close(self) -> None:
        """Keep what waits in the store and end the helper threads; the store stays open."""
        with self._lock:
            put_waiting(self.database.store, self._pool.transactions())
            self._waiting.level([])
        super().close()


def _merge(changes: Draft, more: Draft) -> None:
    for table, rows in more.items():
        changes[table].update(rows)
