"""Roots by block number."""

from __future__ import annotations

import pytest

from evmc import U256, Address
from state import EMPTY_ROOT, Change, Database, GenesisAccount, StoreError, Table, WorldState
from state.diff import AccountDiff, Diff
from state.history import UnknownRoot, latest_root, record_root, recorded_roots, world_at
from state.store import draft

A = Address.from_int(0xA)


def chain(*numbers: int) -> Database:
    """Return states in which the balance of A is the number of the block."""
    database = Database()
    world = WorldState.genesis(database, {A: GenesisAccount()})
    balance = U256(0)
    for number in numbers:
        world, changes = world.changed(Diff({A: AccountDiff(balance=Change(balance, U256(number)))}))
        balance = U256(number)
        record_root(changes, number, world.root)
        database.write(changes)
    return database


def test_every_recorded_state_can_be_opened() -> None:
    numbers = (0, 1, 255, 256, 70_000, (1 << 64) - 1)
    database = chain(*numbers)
    assert tuple(number for number, _ in recorded_roots(database.store)) == numbers
    assert [number for number, _ in recorded_roots(database.store, 256)] == [256, 70_000, (1 << 64) - 1]
    for number in numbers:
        account = world_at(database, number).account(A)
        assert account is not None
        assert account.balance == number
    assert latest_root(database.store) == (numbers[-1], world_at(database, numbers[-1]).root)


def test_a_state_that_is_not_kept_is_named() -> None:
    database = chain(7, 9)
    for number in (8, -1, 1 << 64):
        with pytest.raises(UnknownRoot, match=f"after block {number} is not kept; kept are blocks from 7 to 9"):
            world_at(database, number)
    with pytest.raises(UnknownRoot, match="after block 0 is not kept; none is kept"):
        world_at(Database(), 0)
    assert latest_root(Database().store) is None


@pytest.mark.parametrize(("key", "root"), [(b"short", EMPTY_ROOT), (bytes(8), b"short")])
def test_a_damaged_record_is_said_to_be(key: bytes, root: bytes) -> None:
    database = Database()
    changes = draft()
    changes[Table.ROOTS][key] = root
    database.write(changes)
    with pytest.raises(StoreError, match=r"table of roots is damaged: 0x.*restore it from a copy"):
        latest_root(database.store)
