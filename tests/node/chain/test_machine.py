"""A chain under any sequence of what its users can do, held against what must be true of every chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from evmc import U256, Address, Bytes32
from ewasm.cache import CodeCache
from node.chain import Chain, ChainError, Genesis, Header, TransactionRefused, Wallet
from node.chain.block import encode_logs, encode_receipt, index_root
from node.chain.signed import ACCESS_LIST, DYNAMIC_FEE, LEGACY
from node.chain.waiting import WaitingLog
from state import GenesisAccount, MemoryStore, Store
from state.lmdb import LmdbStore
from tests.helpers import fixture_code
from tests.node.chain.world import (
    ALICE,
    BOB,
    CALLER,
    CAROL,
    COINBASE,
    COUNTER_INIT,
    GWEI,
    NOBODY,
    WALLET,
    Clock,
    contract,
    payload,
)
from tests.node.world import ONE, TWO, call, finisher, word
from wasm.engine import Engine

REVERTER = Address.from_int(0xBAD)
DOOMED = Address.from_int(0xD00)
ACCOUNTS = {
    **{address: GenesisAccount(balance=U256(10**18)) for address in (ALICE, BOB, CAROL)},
    CALLER: contract(fixture_code("caller")),
    DOOMED: contract(fixture_code("caller"), balance=U256(7)),
    REVERTER: contract(finisher(4, b"boo!", end="revert")),
}
_CACHE = CodeCache()

SENDERS = st.sampled_from((ALICE, BOB, CAROL))
ADDRESSES = st.sampled_from((ALICE, BOB, NOBODY, COINBASE, CALLER, DOOMED))
TARGETS = st.sampled_from(
    (
        (NOBODY, b""),
        (BOB, b""),
        (COINBASE, b""),
        (REVERTER, b""),
        (CALLER, call("set(bytes32,bytes32)", ONE, TWO)),
        (CALLER, call("setAndFail(bytes32,bytes32)", ONE, TWO)),
        (CALLER, call("note(bytes32,bytes)", ONE, b"x")),
        (DOOMED, call("kill(address)", f"0x{NOBODY.hex()}")),
        (None, COUNTER_INIT),
        (None, b""),
        (None, b"no contract"),
    )
)
VALUES = st.sampled_from((0, 0, 1, 10**17, 10**18, 2**256 - 1))
BALANCES = st.sampled_from((0, 1, 10**18, 10**30))


class ChainMachine(RuleBasedStateMachine):
    """Everything is done by the door that the node uses; `supply` is what all balances must sum up to."""

    snapshots = Bundle("snapshots")
    dumps = Bundle("dumps")

    def __init__(self, engine: str, open_store: Callable[[], tuple[Store, WaitingLog | None]]) -> None:
        super().__init__()
        self._engine = engine
        self._open_store = open_store
        self.clock = Clock()

    @initialize()
    def begin(self) -> None:
        self.store, self.waiting = self._open_store()
        self.chain = self._opened()
        self.supply = sum(account.balance for account in ACCOUNTS.values())
        self.headers: list[Header] = [self.chain.head]
        self.nonces: dict[Address, int] = {}
        self.kept: dict[int, tuple[Any, ...]] = {}
        self.went_back = False
        """Whether a dump has lowered nonces, so that a mined transaction may be sent once more."""

    def _opened(self) -> Chain:
        return Chain(
            self.store,
            Genesis(accounts=ACCOUNTS),
            wallet=Wallet(WALLET),
            engine=self._engine,
            cache=_CACHE,
            waiting=self.waiting,
            clock=self.clock,
        )

    def teardown(self) -> None:
        if hasattr(self, "chain"):
            self.chain.close()

    # Sending and mining

    @rule(
        sender=SENDERS,
        message=TARGETS,
        value=VALUES,
        type_=st.sampled_from((LEGACY, ACCESS_LIST, DYNAMIC_FEE)),
        gap=st.sampled_from((0, 0, 0, 0, 1, -1)),
        gas=st.sampled_from((20_000, 100_000, 400_000)),
        fee=st.sampled_from((1, 2 * GWEI, 100 * GWEI)),
    )
    def send(
        self,
        sender: Address,
        message: tuple[Address | None, bytes],
        value: int,
        type_: int,
        gap: int,
        gas: int,
        fee: int,
    ) -> None:
        to, data = message
        nonce = max(self.chain.nonce(sender, "pending") + gap, 0)
        tip = min(GWEI, fee) if type_ == DYNAMIC_FEE else fee
        before = self._seen()
        tx = self.chain.wallet.sign(
            payload(
                type=type_, nonce=nonce, to=to, data=data, value=U256(value), gas_limit=gas, max_fee=fee, max_tip=tip
            ),
            sender,
        )
        try:
            assert self.chain.send(tx.raw) == tx.hash
        except TransactionRefused:
            assert self._seen() == before
            assert self.chain.receipt(tx.hash) is None or nonce < self.chain.nonce(sender)
        else:
            mined = self.chain.receipt(tx.hash)
            assert (mined is None) == (tx.hash in self._waiting()) or self.went_back

    @rule(count=st.integers(0, 3), interval=st.sampled_from((None, 0, 1, 100)))
    def mine(self, count: int, interval: int | None) -> None:
        number = self.chain.head.number
        self.chain.mine(count, interval)
        assert self.chain.head.number == number + count

    @rule(on=st.booleans())
    def automine(self, on: bool) -> None:
        self.chain.set_automine(on)

    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        waiting = self.chain._pool.transactions()
        if waiting:
            tx = data.draw(st.sampled_from(waiting))
            assert self.chain.drop(tx.hash)
            assert self.chain.transaction(tx.hash) is None

    # Time and fields

    @rule(seconds=st.integers(0, 10**6))
    def pass_time(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule(fee=st.sampled_from((0, 1, 3 * GWEI)))
    def base_fee(self, fee: int) -> None:
        self.chain.set_next_base_fee(fee)

    @rule(gas=st.sampled_from((21_000, 450_000, 30_000_000)))
    def gas_limit(self, gas: int) -> None:
        self.chain.set_gas_limit(gas)

    @rule(address=st.sampled_from((ALICE, NOBODY, COINBASE, CALLER)))
    def coinbase(self, address: Address) -> None:
        self.chain.set_coinbase(address)

    # The state by hand

    @rule(address=ADDRESSES, amount=BALANCES)
    def set_balance(self, address: Address, amount: int) -> None:
        account = self.chain.state().account(address)
        self.supply += amount - (account.balance if account else 0)
        self.chain.set_balance(address, U256(amount))

    @rule(address=ADDRESSES, more=st.integers(-1, 2))
    def set_nonce(self, address: Address, more: int) -> None:
        nonce = self.chain.nonce(address) + more
        try:
            self.chain.set_nonce(address, nonce)
            assert self.chain.nonce(address) == nonce
        except (ChainError, ValueError):
            assert more < 0

    @rule(address=ADDRESSES, code=st.sampled_from((b"", b"no contract", fixture_code("caller"))))
    def set_code(self, address: Address, code: bytes) -> None:
        self.chain.set_code(address, code)
        account = self.chain.state().account(address)
        assert account is not None
        assert self.chain.state().code(account.code_hash) == code

    @rule(address=ADDRESSES, key=st.integers(0, 2), value=st.integers(0, 2))
    def set_storage(self, address: Address, key: int, value: int) -> None:
        self.chain.set_storage(address, word(key), word(value))
        assert self.chain.state().storage(address, word(key)) == word(value)

    # Back and forth

    @rule(target=snapshots)
    def snapshot(self) -> int:
        handle = self.chain.snapshot()
        self.kept[handle] = (*self._seen(), self.chain.settings, self.chain.automine, self.supply, dict(self.nonces))
        return handle

    @rule(handle=consumes(snapshots))
    def revert(self, handle: int) -> None:
        kept = self.kept.pop(handle, None)
        assert self.chain.revert(handle) == (kept is not None)
        if kept is None:
            return
        self.kept = {each: what for each, what in self.kept.items() if each < handle}
        *seen, chain_settings, automine, self.supply, self.nonces = kept
        assert self._seen() == tuple(seen)
        assert (self.chain.settings, self.chain.automine) == (chain_settings, automine)
        del self.headers[self.chain.head.number + 1 :]

    @rule(depth=st.integers(0, 2))
    def rollback(self, depth: int) -> None:
        number = self.chain.head.number
        try:
            self.chain.rollback(depth)
        except ChainError:
            assert depth > number
            return
        assert self.chain.head.number == number - depth
        del self.headers[self.chain.head.number + 1 :]
        self.supply, self.nonces = self._balances(), {}
        self.kept = {each: kept for each, kept in self.kept.items() if kept[0] in self.headers}

    @rule(target=dumps)
    def dump(self) -> tuple[bytes, dict[Address, tuple[int, int]]]:
        return self.chain.dump(), {
            address: (account.nonce, account.balance) for address, account in self.chain.state().accounts()
        }

    @rule(dumped=dumps)
    def load(self, dumped: tuple[bytes, dict[Address, tuple[int, int]]]) -> None:
        data, accounts = dumped
        self.chain.load(data)
        state = self.chain.state()
        for address, expected in accounts.items():
            found = state.account(address)
            assert found is not None
            assert (found.nonce, found.balance) == expected
        self.went_back = True
        self.supply, self.nonces = self._balances(), {}

    @rule()
    def dump_and_load(self) -> None:
        root = self.chain.state().root
        self.chain.load(self.chain.dump())
        assert self.chain.state().root == root

    @rule()
    def reopen(self) -> None:
        before, chain_settings = self._seen(), self.chain.settings
        self.chain.close()
        if isinstance(self.store, LmdbStore):
            self.store.close()
            self.store = LmdbStore(self.store.folder)
        self.chain = self._opened()
        assert self._seen() == before
        assert self.chain.settings == chain_settings
        self.kept = {}

    @precondition(lambda self: self.waiting is not None)
    @rule()
    def die(self) -> None:
        """Leave the chain as a killed node does."""
        before = self._seen()
        self.chain._timed.close()
        assert isinstance(self.store, LmdbStore)
        self.store.close()
        self.store = LmdbStore(self.store.folder)
        self.chain = self._opened()
        assert self._seen() == before
        self.kept = {}

    # What must be true

    def _waiting(self) -> set[Bytes32]:
        return {tx.hash for tx in self.chain._pool.transactions()}

    def _seen(self) -> tuple[Any, ...]:
        return self.chain.head, self.chain.state().root, self._waiting()

    def _balances(self) -> int:
        return sum(account.balance for _, account in self.chain.state().accounts())

    @invariant()
    def blocks_are_linked(self) -> None:
        head = self.chain.head
        for number in range(len(self.headers), head.number + 1):
            self._check(number)
        assert self.headers[-1] == head == self.chain.header(head.number)

    def _check(self, number: int) -> None:
        block, before = self.chain.block(number), self.headers[-1]
        header, receipts = block.header, self.chain.receipts(number)
        assert header.parent_hash == before.hash
        assert header.number == before.number + 1 == number
        assert header.timestamp > before.timestamp
        assert self.chain.number_of(header.hash) == number
        assert self.chain.state(number).root == header.state_root
        total, encoded = 0, []
        for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
            total += receipt.gas_used
            assert receipt.cumulative_gas_used == total
            assert receipt.gas_used <= tx.gas_limit
            assert self.chain.receipt(tx.hash) == receipt
            found = self.chain.transaction(tx.hash)
            assert found is not None
            assert (found.block_hash, found.index) == (header.hash, index)
            encoded.append(
                encode_receipt(tx.type, total, receipt.bloom, encode_logs(receipt.logs), succeeded=receipt.succeeded)
            )
        assert total == header.gas_used <= header.gas_limit
        assert header.transactions_root == index_root(tx.raw for tx in block.transactions)
        assert header.receipts_root == index_root(encoded)
        self.supply -= total * header.base_fee
        self.headers.append(header)

    @invariant()
    def coins_are_conserved(self) -> None:
        assert self._balances() == self.supply

    @invariant()
    def nonces_only_grow(self) -> None:
        state = self.chain.state()
        for address in (ALICE, BOB, CAROL, NOBODY, CALLER):
            account = state.account(address)
            nonce = account.nonce if account else 0
            assert nonce >= self.nonces.get(address, 0)
            self.nonces[address] = nonce

    @invariant()
    def nothing_mined_waits(self) -> None:
        for tx in self.chain._pool.transactions():
            assert self.chain.receipt(tx.hash) is None or self.went_back
            assert tx.nonce >= self.chain.nonce(tx.sender)

    @invariant()
    def the_pending_block_can_be_made(self) -> None:
        assert self.chain.header("pending").parent_hash == self.chain.head.hash


@pytest.mark.parametrize("kind", ["memory", "lmdb"])
def test_a_chain_keeps_its_promises(engine: Engine, kind: str, tmp_path: Path) -> None:
    count = 0

    def open_store() -> tuple[Store, WaitingLog | None]:
        nonlocal count
        if kind == "memory":
            return MemoryStore(), None
        count += 1
        folder = tmp_path / str(count)
        return LmdbStore(folder, create=True), WaitingLog(folder)

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: ChainMachine(engine.name, open_store),
        settings=settings(
            max_examples=12,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
