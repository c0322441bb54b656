from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, ZERO_BYTES32, Address, Bytes32
from state import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    Account,
    AccountDiff,
    Change,
    Database,
    Diff,
    GenesisAccount,
    Journal,
    MissingCode,
    MissingPreimage,
    StaleDiff,
    Table,
    WorldState,
    encode,
    keccak256,
    root_of,
)
from tests.state.conformance_data import ROOT, load, unhex

A, B, C = (Address.from_int(number) for number in (0xA, 0xB, 0xC))
ONE, TWO = Bytes32.from_int(1), Bytes32.from_int(2)

ACCOUNTS = st.builds(
    GenesisAccount,
    nonce=st.integers(0, 3),
    balance=st.integers(0, 2**256 - 1).map(U256),
    code=st.binary(max_size=3),
    storage=st.dictionaries(
        st.integers(0, 5).map(Bytes32.from_int), st.integers(0, 2**256 - 1).map(Bytes32.from_int), max_size=4
    ),
)
GENESES = st.dictionaries(st.integers(0, 9).map(Address.from_int), ACCOUNTS, max_size=6)


def test_no_accounts(new_database: Callable[[], Database]) -> None:
    world = WorldState(new_database())
    assert world.root == WorldState.genesis(new_database(), {}).root == EMPTY_ROOT
    assert world.account(A) is None
    assert world.storage(A, ONE) == ZERO_BYTES32
    assert list(world.accounts()) == list(world.slots(A)) == []


def test_a_root_by_hand(new_database: Callable[[], Database]) -> None:
    value = Bytes32.from_int(0x1234)
    world = WorldState.genesis(
        new_database(), {A: GenesisAccount(1, U256(5), b"code", {ONE: value, TWO: ZERO_BYTES32})}
    )
    storage = root_of({keccak256(ONE): encode(b"\x12\x34")})
    assert world.root == root_of({keccak256(A): encode([b"\x01", b"\x05", storage, keccak256(b"code")])})


@settings(deadline=None)
@given(GENESES)
def test_genesis_reads_back(new_database: Callable[[], Database], accounts: dict[Address, GenesisAccount]) -> None:
    world = WorldState.genesis(new_database(), accounts)
    assert {address for address, _ in world.accounts()} == accounts.keys()
    for address, given_account in accounts.items():
        account = world.account(address)
        assert account is not None
        assert (account.nonce, account.balance) == (given_account.nonce, given_account.balance)
        assert world.code(account.code_hash) == given_account.code
        assert all(world.storage(address, key) == value for key, value in given_account.storage.items())
        assert dict(world.slots(address)) == {key: value for key, value in given_account.storage.items() if any(value)}


def test_code(new_database: Callable[[], Database]) -> None:
    world = WorldState.genesis(new_database(), {A: GenesisAccount(code=b"code")})
    assert world.code(keccak256(b"code")) == b"code"
    assert world.code(EMPTY_CODE_HASH) == b""
    with pytest.raises(MissingCode, match=str(keccak256(b"other"))):
        world.code(keccak256(b"other"))


def test_both_states_stay_readable(new_database: Callable[[], Database]) -> None:
    before = WorldState.genesis(new_database(), {A: GenesisAccount(storage={ONE: ONE})})
    after = before.apply(
        Diff(
            {A: AccountDiff(nonce=Change(0, 1), slots={ONE: Change(ONE, ZERO_BYTES32), TWO: Change(ZERO_BYTES32, TWO)})}
        )
    )
    assert dict(before.slots(A)) == {ONE: ONE}
    assert dict(after.slots(A)) == {TWO: TWO}
    assert before.account(A) != after.account(A)
    assert WorldState(before.database, after.root).storage(A, TWO) == TWO


def test_deleted_accounts_lose_storage(new_database: Callable[[], Database]) -> None:
    world = WorldState.genesis(new_database(), {A: GenesisAccount(storage={ONE: ONE}), B: GenesisAccount(nonce=1)})
    gone = world.apply(Diff({A: AccountDiff(deleted=True)}))
    assert gone.root == WorldState.genesis(new_database(), {B: GenesisAccount(nonce=1)}).root
    again = gone.apply(Diff({A: AccountDiff(created=True)}))
    assert again.account(A) == Account()
    cleared = world.apply(Diff({A: AccountDiff(storage_cleared=True, slots={TWO: Change(ZERO_BYTES32, TWO)})}))
    assert dict(cleared.slots(A)) == {TWO: TWO}


@pytest.mark.parametrize(
    "change",
    [
        {A: AccountDiff(created=True)},
        {B: AccountDiff()},
        {B: AccountDiff(deleted=True)},
        {A: AccountDiff(nonce=Change(5, 6))},
        {A: AccountDiff(balance=Change(U256(5), U256(6)))},
        {A: AccountDiff(deleted=True, balance=Change(U256(5), U256(0)))},
    ],
)
def test_a_diff_of_another_state_is_refused(
    new_database: Callable[[], Database], change: dict[Address, AccountDiff]
) -> None:
    database = new_database()
    world = WorldState.genesis(database, {A: GenesisAccount(nonce=1, balance=U256(2))})
    before = [list(database.store.items(table)) for table in Table]
    with pytest.raises(StaleDiff, match="0x0000"):
        world.apply(Diff({C: AccountDiff(created=True, nonce=Change(0, 1)), **change}))
    assert [list(database.store.items(table)) for table in Table] == before


def test_an_unknown_address_is_named(new_database: Callable[[], Database]) -> None:
    database = new_database()
    world = WorldState.genesis(database, {A: GenesisAccount(nonce=1)})
    database.write({Table.PREIMAGES: {keccak256(A): None}})
    with pytest.raises(MissingPreimage, match=str(keccak256(A))):
        list(world.accounts())


# The published state tests whose top-level frame fails: all gas is lost and nothing else happens.

STATE_TESTS = sorted((ROOT / "ewasm-state-tests").glob("*.json"))
SENDER = Address.from_hex("0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b")


def pre_state(case: dict[str, Any]) -> WorldState:
    def number(text: str) -> int:
        return int(text, 16)

    return WorldState.genesis(
        Database(),
        {
            Address.from_hex(address): GenesisAccount(
                number(account["nonce"]),
                U256(number(account["balance"])),
                unhex(account["code"]),
                {
                    Bytes32.from_int(number(key)): Bytes32.from_int(number(value))
                    for key, value in account["storage"].items()
                },
            )
            for address, account in case["pre"].items()
        },
    )


@pytest.mark.skipif(not STATE_TESTS, reason=f"no {ROOT / 'ewasm-state-tests'}")
def test_published_roots_of_failed_transactions() -> None:
    matched = 0
    for file in STATE_TESTS:
        (case,) = load(f"ewasm-state-tests/{file.name}").values()
        transaction = case["transaction"]
        price = int(transaction["gasPrice"], 16) * int(transaction["gasLimit"][0], 16)
        world = pre_state(case)
        journal = Journal(world)
        journal.increment_nonce(SENDER)
        journal.sub_balance(SENDER, price)
        journal.add_balance(Address.from_hex(case["env"]["currentCoinbase"]), price)
        matched += world.apply(journal.finish()).root.hex() == case["post"]["Byzantium"][0]["hash"].removeprefix("0x")
    assert matched == 88
