"""Chains of states for the tests of pruning: what each state holds, and what a store must keep for it."""

from __future__ import annotations

import random
from collections.abc import Mapping

from evmc import U256, ZERO_BYTES32, Address, Bytes32
from state import (
    AccountDiff,
    Change,
    Database,
    Diff,
    GenesisAccount,
    MemoryStore,
    Store,
    Table,
    WorldState,
)
from state.history import record_root
from state.prune import SWEPT

Accounts = dict[Address, GenesisAccount]
Rows = dict[Table, dict[bytes, bytes]]


def change(before: Mapping[Address, GenesisAccount], chance: random.Random) -> Accounts:
    """Return other accounts: some are made, some deleted, some have other slots, code or balances."""
    after = dict(before)
    for _ in range(chance.randrange(1, 5)):
        address = Address.from_int(chance.randrange(24))
        account = after.get(address, GenesisAccount())
        match chance.randrange(6):
            case 0:
                after.pop(address, None)
                continue
            case 1:
                account = GenesisAccount(account.nonce, U256(chance.randrange(4)), account.code, account.storage)
            case 2:
                code = bytes([chance.randrange(6)]) * chance.randrange(3)
                account = GenesisAccount(account.nonce + 1, account.balance, code, account.storage)
            case _:
                slots = {
                    Bytes32.from_int(chance.randrange(30)): Bytes32.from_int(chance.randrange(3))
                    for _ in range(chance.randrange(12))
                }
                storage = {key: value for key, value in {**account.storage, **slots}.items() if any(value)}
                account = GenesisAccount(account.nonce, account.balance, account.code, storage)
        after[address] = account
    return after


def diff_of(before: Mapping[Address, GenesisAccount], after: Mapping[Address, GenesisAccount]) -> Diff:
    """Return what makes one state of another."""
    accounts = {address: AccountDiff(deleted=True) for address in before.keys() - after.keys()}
    for address, new in after.items():
        old = before.get(address, GenesisAccount())
        if address in before and old == new:
            continue
        accounts[address] = AccountDiff(
            created=address not in before,
            nonce=Change(old.nonce, new.nonce),
            balance=Change(old.balance, new.balance),
            code=Change(old.code, new.code) if old.code != new.code else None,
            slots={
                key: Change(old.storage.get(key, ZERO_BYTES32), new.storage.get(key, ZERO_BYTES32))
                for key in old.storage.keys() | new.storage.keys()
                if old.storage.get(key) != new.storage.get(key)
            },
        )
    return Diff(dict(sorted(accounts.items())))


class Chain:
    """States one after another in a store, recorded by number, and what each of them holds."""

    def __init__(self, store: Store, seed: int) -> None:
        self.database = Database(store)
        self.chance = random.Random(seed)
        self.states: dict[int, Accounts] = {}
        self.roots: dict[int, Bytes32] = {}
        self.rows: dict[int, Rows] = {}

    def commit(self, parent: int | None = None, after: Accounts | None = None) -> None:
        """Commit a state on top of the last, or of another that is kept."""
        parent = max(self.states, default=0) if parent is None else parent
        before = self.states.get(parent, {})
        after = change(before, self.chance) if after is None else after
        number = parent + 1
        world = WorldState(self.database, self.roots[parent]) if parent in self.roots else WorldState(self.database)
        made, changes = world.changed(diff_of(before, after))
        record_root(changes, number, made.root)
        self.database.write(changes)
        self.states[number], self.roots[number], self.rows[number] = after, made.root, needed(after)

    def keep_last(self, count: int) -> None:
        """Know no longer what was before the last states."""
        for number in sorted(self.states)[:-count]:
            del self.states[number], self.roots[number], self.rows[number]

    def check(self, *, exact: bool) -> None:
        """See that all that the states need is in the store, and with `exact` nothing else."""
        for table in SWEPT:
            wanted = {key: value for rows in self.rows.values() for key, value in rows[table].items()}
            stored = dict(self.database.store.items(table))
            assert wanted.items() <= stored.items(), table
            assert not exact or wanted == stored, table
        if exact:
            assert not list(self.database.store.items(Table.MARKS))
            assert dict(self.database.store.items(Table.ROOTS)) == {
                number.to_bytes(8, "big"): root for number, root in self.roots.items()
            }

    def read(self) -> None:
        """Read all of all states through a database that has nothing in memory."""
        database = Database(self.database.store)
        for number, accounts in self.states.items():
            world = WorldState(database, self.roots[number])
            assert {address for address, _ in world.accounts()} == accounts.keys()
            for address, account in accounts.items():
                found = world.account(address)
                assert found is not None
                assert (found.nonce, found.balance) == (account.nonce, account.balance)
                assert world.code(found.code_hash) == account.code
                assert dict(world.slots(address)) == account.storage


def needed(accounts: Accounts) -> Rows:
    """Return what is stored for a state that is made at once, in a store of its own."""
    store = MemoryStore()
    WorldState.genesis(Database(store), accounts)
    return {table: dict(store.items(table)) for table in SWEPT}
