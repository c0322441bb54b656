from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evmc import U256, ZERO_BYTES32, Address, Bytes32, Log, StorageStatus
from state import (
    EMPTY_CODE_HASH,
    AccountDiff,
    Change,
    Database,
    Diff,
    ExcessBalance,
    GenesisAccount,
    InsufficientBalance,
    Journal,
    WorldState,
    keccak256,
)

A, B, C, EMPTY, RICH = (Address.from_int(number) for number in range(0xA, 0xF))
ZERO, ONE, TWO, THREE = (Bytes32.from_int(number) for number in range(4))

GENESIS = {
    A: GenesisAccount(nonce=1, balance=U256(10), code=b"contract", storage={ONE: ONE, TWO: TWO}),
    EMPTY: GenesisAccount(storage={ONE: THREE}),
    RICH: GenesisAccount(balance=U256(100)),
}


@pytest.fixture
def world() -> WorldState:
    return WorldState.genesis(Database(), GENESIS)


@pytest.fixture
def journal(world: WorldState) -> Journal:
    return Journal(world)


def test_reading(journal: Journal) -> None:
    assert (journal.nonce(A), journal.balance(A), journal.code(A)) == (1, 10, b"contract")
    assert journal.code_hash(A) == keccak256(b"contract")
    assert journal.get_storage(A, ONE) == ONE
    assert (journal.nonce(B), journal.balance(B), journal.code(B)) == (0, 0, b"")
    assert journal.code_hash(B) == ZERO_BYTES32
    assert journal.code_hash(RICH) == EMPTY_CODE_HASH
    assert journal.get_storage(B, ONE) == ZERO
    assert journal.finish() == Diff()


@pytest.mark.parametrize(
    ("address", "exists", "is_empty", "is_dead"),
    [(A, True, False, False), (B, False, False, True), (EMPTY, True, True, True), (RICH, True, False, False)],
)
def test_existence(journal: Journal, address: Address, exists: bool, is_empty: bool, is_dead: bool) -> None:
    assert (journal.exists(address), journal.is_empty(address), journal.is_dead(address)) == (exists, is_empty, is_dead)


def test_a_transfer(world: WorldState, journal: Journal) -> None:
    journal.sub_balance(RICH, 30)
    journal.add_balance(B, 30)
    diff = journal.finish()
    assert diff == Diff(
        {
            B: AccountDiff(created=True, balance=Change(U256(0), U256(30))),
            RICH: AccountDiff(balance=Change(U256(100), U256(70))),
        }
    )
    assert list(diff.accounts) == [B, RICH]
    after = world.apply(diff)
    assert {address: account.balance for address, account in after.accounts()} == {A: 10, B: 30, EMPTY: 0, RICH: 70}


def test_balances_stay_in_range(journal: Journal) -> None:
    with pytest.raises(InsufficientBalance, match=f"cannot take 11 from {A}, which has 10"):
        journal.sub_balance(A, 11)
    with pytest.raises(ExcessBalance, match=f"{A} has 10 and cannot be given"):
        journal.add_balance(A, 2**256 - 10)
    assert journal.balance(A) == 10
    assert journal.finish() == Diff()


def test_what_an_account_cannot_hold_is_lost(journal: Journal) -> None:
    journal.give(A, 2**256 - 5)
    assert journal.balance(A) == 2**256 - 1
    journal.selfdestruct(RICH, A)
    assert (journal.balance(RICH), journal.balance(A)) == (0, 2**256 - 1)


def test_storage_status(journal: Journal) -> None:
    assert journal.set_storage(A, ONE, ONE) is StorageStatus.UNCHANGED
    assert journal.set_storage(A, ONE, TWO) is StorageStatus.MODIFIED
    assert journal.set_storage(A, ONE, ZERO) is StorageStatus.DELETED
    assert journal.set_storage(A, ONE, THREE) is StorageStatus.ADDED
    assert journal.original_storage(A, ONE) == ONE
    assert journal.finish().accounts[A].slots == {ONE: Change(ONE, THREE)}
    assert journal.original_storage(A, ONE) == THREE


def test_a_contract_is_created(world: WorldState, journal: Journal) -> None:
    journal.create_account(B)
    assert journal.is_empty(B)
    journal.increment_nonce(B)
    journal.set_storage(B, ONE, TWO)
    journal.set_code(B, b"new")
    assert journal.code(B) == b"new"
    diff = journal.finish()
    assert diff.accounts[B] == AccountDiff(
        created=True, nonce=Change(0, 1), code=Change(b"", b"new"), slots={ONE: Change(ZERO, TWO)}
    )
    after = world.apply(diff)
    assert after.code(keccak256(b"new")) == b"new"
    assert dict(after.slots(B)) == {ONE: TWO}
    assert journal.code(B) == b"new"


def test_a_creation_clears_storage_and_keeps_the_balance(world: WorldState, journal: Journal) -> None:
    journal.create_account(A)
    assert (journal.nonce(A), journal.balance(A), journal.code(A)) == (0, 10, b"")
    assert journal.get_storage(A, ONE) == journal.get_storage(A, TWO) == ZERO
    assert journal.original_storage(A, ONE) == ONE
    journal.set_storage(A, TWO, TWO)
    diff = journal.finish()
    assert diff.accounts[A] == AccountDiff(
        storage_cleared=True,
        nonce=Change(1, 0),
        code=Change(b"contract", b""),
        slots={TWO: Change(TWO, TWO)},
    )
    assert dict(world.apply(diff).slots(A)) == {TWO: TWO}


def test_touched_empty_accounts_are_removed(world: WorldState, journal: Journal) -> None:
    journal.touch(EMPTY)
    journal.touch(B)
    journal.add_balance(C, 0)
    journal.set_storage(B, ONE, ONE)
    assert journal.exists(EMPTY)
    assert not journal.exists(C)
    diff = journal.finish()
    assert diff == Diff({EMPTY: AccountDiff(deleted=True)})
    assert not journal.exists(EMPTY)
    assert journal.get_storage(B, ONE) == journal.get_storage(EMPTY, ONE) == ZERO
    assert world.apply(diff).account(EMPTY) is None


def test_untouched_empty_accounts_stay(journal: Journal) -> None:
    checkpoint = journal.checkpoint()
    journal.touch(EMPTY)
    journal.add_balance(RICH, 0)
    journal.revert(checkpoint)
    assert journal.finish() == Diff()
    assert journal.exists(EMPTY)


def test_an_emptied_account_is_removed(journal: Journal) -> None:
    journal.sub_balance(RICH, 100)
    assert journal.finish() == Diff({RICH: AccountDiff(deleted=True, balance=Change(U256(100), U256(0)))})


def test_selfdestruct(world: WorldState, journal: Journal) -> None:
    assert journal.selfdestruct(A, B)
    assert (journal.balance(A), journal.balance(B)) == (0, 10)
    assert journal.code(A) == b"contract"
    assert journal.get_storage(A, ONE) == ONE
    journal.add_balance(A, 7)
    assert not journal.selfdestruct(A, RICH)
    assert journal.balance(RICH) == 107
    journal.add_balance(A, 3)
    diff = journal.finish()
    assert diff.accounts[A] == AccountDiff(
        deleted=True, nonce=Change(1, 0), balance=Change(U256(10), U256(0)), code=Change(b"contract", b"")
    )
    assert world.apply(diff).account(A) is None
    assert not journal.exists(A)
    assert journal.get_storage(A, ONE) == ZERO


def test_selfdestruct_to_itself_burns(journal: Journal) -> None:
    assert journal.selfdestruct(A, A)
    assert journal.balance(A) == 0
    assert journal.finish().accounts.keys() == {A}


def test_selfdestruct_touches_an_empty_beneficiary(journal: Journal) -> None:
    journal.selfdestruct(B, EMPTY)
    assert journal.finish().accounts.keys() == {EMPTY}


def test_an_undone_selfdestruct_can_be_the_first_again(journal: Journal) -> None:
    checkpoint = journal.checkpoint()
    assert journal.selfdestruct(A, B)
    journal.revert(checkpoint)
    assert journal.balance(A) == 10
    assert journal.selfdestruct(A, A)


def test_logs_and_refunds(journal: Journal) -> None:
    first, second = Log(A, (), b"1"), Log(A, (ONE,), b"2")
    journal.emit_log(first)
    journal.add_refund(15_000)
    checkpoint = journal.checkpoint()
    journal.emit_log(second)
    journal.add_refund(24_000)
    assert (journal.logs, journal.refund) == ((first, second), 39_000)
    journal.revert(checkpoint)
    assert (journal.logs, journal.refund) == ((first,), 15_000)
    journal.finish()
    assert (journal.logs, journal.refund) == ((), 0)


def test_an_outer_revert_undoes_inner_commits(journal: Journal) -> None:
    outer = journal.checkpoint()
    journal.set_storage(A, ONE, TWO)
    inner = journal.checkpoint()
    journal.set_storage(A, ONE, THREE)
    journal.create_account(A)
    journal.commit(inner)
    assert journal.get_storage(A, ONE) == ZERO
    journal.revert(outer)
    assert journal.get_storage(A, ONE) == ONE
    assert journal.code(A) == b"contract"


def test_a_revert_gives_back_earlier_writes(journal: Journal) -> None:
    journal.set_storage(A, ONE, TWO)
    checkpoint = journal.checkpoint()
    journal.set_storage(A, ONE, THREE)
    journal.set_storage(A, TWO, THREE)
    journal.revert(checkpoint)
    assert (journal.get_storage(A, ONE), journal.get_storage(A, TWO)) == (TWO, TWO)
    checkpoint = journal.checkpoint()
    journal.create_account(A)
    journal.set_storage(A, TWO, THREE)
    journal.revert(checkpoint)
    assert (journal.get_storage(A, ONE), journal.get_storage(A, TWO)) == (TWO, TWO)


def test_checkpoints_end_once(journal: Journal) -> None:
    outer = journal.checkpoint()
    inner = journal.checkpoint()
    journal.revert(outer)
    for ended in (inner, outer, -1):
        with pytest.raises(ValueError, match="not open"):
            journal.revert(ended)
        with pytest.raises(ValueError, match="not open"):
            journal.commit(ended)
    journal.checkpoint()
    with pytest.raises(ValueError, match="1 checkpoints are open"):
        journal.finish()


def test_checkpoints_cost_what_changed(journal: Journal) -> None:
    outer = journal.checkpoint()
    for number in range(1000):
        journal.add_balance(Address.from_int(1000 + number), 1)
    size = len(journal._undo)
    for _ in range(1000):
        journal.checkpoint()
    assert len(journal._undo) == size
    inner = journal.checkpoint()
    journal.set_storage(A, ONE, TWO)
    assert len(journal._undo) - size <= 3
    journal.revert(inner)
    assert len(journal._undo) == size
    journal.commit(outer)
    assert not journal._undo


def test_several_transactions(world: WorldState, journal: Journal) -> None:
    one_by_one = world
    journal.selfdestruct(A, B)
    one_by_one = one_by_one.apply(journal.finish())
    journal.create_account(A)
    journal.increment_nonce(A)
    journal.set_storage(A, ONE, THREE)
    assert journal.original_storage(A, ONE) == ZERO
    second = journal.finish()
    assert second.accounts[A] == AccountDiff(created=True, nonce=Change(0, 1), slots={ONE: Change(ZERO, THREE)})
    one_by_one = one_by_one.apply(second)
    together = journal.finished()
    assert together.accounts[A] == AccountDiff(
        storage_cleared=True,
        balance=Change(U256(10), U256(0)),
        code=Change(b"contract", b""),
        slots={ONE: Change(ONE, THREE)},
    )
    assert world.apply(together).root == one_by_one.root


def test_the_view_is_asked_once(world: WorldState) -> None:
    asked: list[Any] = []

    class Asked:
        code = world.code

        def account(self, address: Address) -> Any:
            asked.append(address)
            return world.account(address)

        def storage(self, address: Address, key: Bytes32) -> Bytes32:
            asked.append((address, key))
            return world.storage(address, key)

    journal = Journal(Asked())
    for _ in range(3):
        journal.balance(A)
        journal.get_storage(A, ONE)
        journal.original_storage(A, ONE)
        journal.add_balance(A, 1)
        journal.set_storage(A, ONE, TWO)
        journal.finish()
    assert asked == [A, (A, ONE)]


# Against dictionaries that are copied at each checkpoint


@dataclass
class ModelAccount:
    nonce: int = 0
    balance: int = 0
    code: bytes = b""

    @property
    def empty(self) -> bool:
        return (self.nonce, self.balance, self.code) == (0, 0, b"")


@dataclass
class Model:
    accounts: dict[Address, ModelAccount]
    storage: dict[Address, dict[Bytes32, Bytes32]]
    touched: set[Address] = field(default_factory=set)
    destroyed: set[Address] = field(default_factory=set)
    logs: list[Log] = field(default_factory=list)
    refund: int = 0

    def write(self, address: Address) -> ModelAccount:
        self.touched.add(address)
        return self.accounts.setdefault(address, ModelAccount())

    def read(self, address: Address) -> ModelAccount:
        return self.accounts.get(address, ModelAccount())

    def slot(self, address: Address, key: Bytes32) -> Bytes32:
        return self.storage.get(address, {}).get(key, ZERO)

    def finished(self) -> "Model":
        removed = {a for a in self.touched if a in self.destroyed or self.read(a).empty}
        return Model(
            {a: account for a, account in self.accounts.items() if a not in removed},
            {a: slots for a, slots in self.storage.items() if a not in removed},
        )

    def root(self) -> Bytes32:
        return WorldState.genesis(
            Database(),
            {
                address: GenesisAccount(
                    account.nonce, U256(account.balance), account.code, self.storage.get(address, {})
                )
                for address, account in self.accounts.items()
            },
        ).root


ADDRESSES = st.sampled_from([A, B, C, EMPTY, RICH])
SLOTS = st.sampled_from([ONE, TWO])
AMOUNTS = st.integers(0, 12)


class JournalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.first = self.world = WorldState.genesis(Database(), GENESIS)
        self.journal = Journal(self.world)
        self.model = Model(
            {address: ModelAccount(each.nonce, each.balance, each.code) for address, each in GENESIS.items()},
            {address: dict(each.storage) for address, each in GENESIS.items()},
        )
        self.began = deepcopy(self.model)
        self.checkpoints: list[tuple[int, Model]] = []

    @rule()
    def checkpoint(self) -> None:
        self.checkpoints.append((self.journal.checkpoint(), deepcopy(self.model)))

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def revert(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.checkpoints) - 1))
        handle, self.model = self.checkpoints[index]
        del self.checkpoints[index:]
        self.journal.revert(handle)

    @precondition(lambda self: self.checkpoints)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.checkpoints) - 1))
        self.journal.commit(self.checkpoints[index][0])
        del self.checkpoints[index:]

    @rule(address=ADDRESSES, amount=AMOUNTS)
    def add_balance(self, address: Address, amount: int) -> None:
        self.journal.add_balance(address, amount)
        self.model.touched.add(address)
        if amount:
            self.model.write(address).balance += amount

    @rule(address=ADDRESSES, amount=AMOUNTS)
    def sub_balance(self, address: Address, amount: int) -> None:
        if amount > self.model.read(address).balance:
            with pytest.raises(InsufficientBalance):
                self.journal.sub_balance(address, amount)
            return
        self.journal.sub_balance(address, amount)
        self.model.touched.add(address)
        if amount:
            self.model.write(address).balance -= amount

    @rule(address=ADDRESSES)
    def increment_nonce(self, address: Address) -> None:
        self.journal.increment_nonce(address)
        self.model.write(address).nonce += 1

    @rule(address=ADDRESSES, code=st.sampled_from([b"", b"x", b"contract"]))
    def set_code(self, address: Address, code: bytes) -> None:
        self.journal.set_code(address, code)
        self.model.write(address).code = code

    @rule(address=ADDRESSES, key=SLOTS, value=st.sampled_from([ZERO, ONE, TWO]))
    def set_storage(self, address: Address, key: Bytes32, value: Bytes32) -> None:
        assert self.journal.set_storage(address, key, value) is StorageStatus.of(self.model.slot(address, key), value)
        self.model.touched.add(address)
        self.model.storage.setdefault(address, {})[key] = value

    @rule(address=ADDRESSES)
    def create_account(self, address: Address) -> None:
        self.journal.create_account(address)
        account = self.model.write(address)
        account.nonce, account.code = 0, b""
        self.model.storage[address] = {}

    @rule(address=ADDRESSES, beneficiary=ADDRESSES)
    def selfdestruct(self, address: Address, beneficiary: Address) -> None:
        assert self.journal.selfdestruct(address, beneficiary) is (address not in self.model.destroyed)
        amount = self.model.read(address).balance
        self.model.touched |= {address, beneficiary}
        self.model.destroyed.add(address)
        if amount:
            self.model.write(address).balance = 0
        if amount and beneficiary != address:
            self.model.write(beneficiary).balance += amount

    @rule(address=ADDRESSES)
    def touch(self, address: Address) -> None:
        self.journal.touch(address)
        self.model.touched.add(address)

    @rule(address=ADDRESSES, amount=AMOUNTS)
    def note(self, address: Address, amount: int) -> None:
        log = Log(address, (), bytes(amount))
        self.journal.emit_log(log)
        self.journal.add_refund(amount)
        self.model.logs.append(log)
        self.model.refund += amount

    @precondition(lambda self: not self.checkpoints)
    @rule()
    def finish(self) -> None:
        self.model = self.model.finished()
        self.began = deepcopy(self.model)
        self.world = self.world.apply(self.journal.finish())
        assert self.world.root == self.model.root()
        assert self.first.apply(self.journal.finished()).root == self.world.root

    @invariant()
    def agree(self) -> None:
        journal, model = self.journal, self.model
        assert (journal.logs, journal.refund) == (tuple(model.logs), model.refund)
        for address in (A, B, C, EMPTY, RICH):
            expected = model.read(address)
            assert journal.exists(address) is (address in model.accounts)
            assert journal.is_dead(address) is expected.empty
            assert journal.nonce(address) == expected.nonce
            assert journal.balance(address) == expected.balance
            assert journal.code(address) == expected.code
            for key in (ONE, TWO):
                assert journal.get_storage(address, key) == model.slot(address, key)
                assert journal.original_storage(address, key) == self.began.slot(address, key)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
