"""All accounts and their storage at one root (Yellow Paper section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self, TypeVar

from evmc import U256, ZERO_BYTES32, Address, Bytes32
from state.account import NO_ACCOUNT, Account
from state.codec import CodecError, decode_string, encode_string
from state.database import Database
from state.diff import AccountDiff, Change, Diff
from state.hash import hash_of_key, keccak256
from state.recent import UNKNOWN, RecentAccounts
from state.store import Draft, Table, draft
from state.trie import EMPTY_ROOT, Trie

T = TypeVar("T")


class StaleDiff(ValueError):
    """A diff that begins from another state than the one it is applied to."""


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account as a genesis gives it; the balance is in the smallest unit, storage has 32-byte keys and values."""

    nonce: int = 0
    balance: U256 = U256(0)
    code: bytes = b""
    storage: Mapping[Bytes32, Bytes32] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorldState:
    """A state that is only read; changes give another, and both stay readable from the one database.

    Tries are secure, that is, keyed by the Keccak-256 of address and slot; the store keeps those preimages. All
    methods raise MissingNode where the store lacks a node, and CorruptEntry where it has another than it should.
    """

    database: Database
    root: Bytes32 = EMPTY_ROOT
    _recent: RecentAccounts = field(default_factory=RecentAccounts, repr=False, compare=False)

    @classmethod
    def genesis(cls, database: Database, accounts: Mapping[Address, GenesisAccount]) -> Self:
        """Return the state with just these accounts, empty ones included, written to the database."""
        return cls(database).apply(genesis_diff(accounts))

    def account(self, address: Address) -> Account | None:
        """Return the account, None if there is none."""
        recent = self._recent
        account = recent.get(address)
        if account is UNKNOWN:
            leaf = self._accounts().get(hash_of_key(address))
            account = None if leaf is None else Account.decode(leaf)
            recent.put(address, account)
        return account

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""
        account = self.account(address)
        if account is None or account.storage_root == EMPTY_ROOT:
            return ZERO_BYTES32
        leaf = Trie(self.database, account.storage_root, storage_prefix(hash_of_key(address))).get(hash_of_key(key))
        return ZERO_BYTES32 if leaf is None else slot_value(leaf)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return the code with this hash; raise MissingCode if it is unknown."""
        return self.database.code(code_hash)

    def accounts(self, start: Bytes32 = ZERO_BYTES32) -> Iterator[tuple[Address, Account]]:
        """Yield accounts by ascending hash of the address, from the hash `start` on.

        Raise MissingPreimage if an address is unknown.
        """
        for key, leaf in self._accounts().items(start):
            yield Address(self.database.preimage(Bytes32(key))), Account.decode(leaf)

    def slots(self, address: Address, start: Bytes32 = ZERO_BYTES32) -> Iterator[tuple[Bytes32, Bytes32]]:
        """Yield the account's non-zero slots by ascending hash of the key, from the hash `start` on.

        Raise MissingPreimage if a key is unknown.
        """
        account = self.account(address) or NO_ACCOUNT
        trie = Trie(self.database, account.storage_root, storage_prefix(hash_of_key(address)))
        for key, leaf in trie.items(start):
            yield Bytes32(self.database.preimage(Bytes32(key))), slot_value(leaf)

    def apply(self, diff: Diff) -> Self:
        """Return the state after `diff`, all of it written in one piece; raise StaleDiff like `changed`."""
        after, changes = self.changed(diff)
        self.database.write(changes)
        return after

    def changed(self, diff: Diff) -> tuple[Self, Draft]:
        """Return the state after `diff`, and the changes with which `Database.write` makes it readable.

        Whoever has more to write in the same piece adds it to the changes. Raise StaleDiff if a nonce, a balance or an
        account's existence is not what the diff says it was before.
        """
        changes = draft()
        accounts = self._accounts()
        after: dict[Address, Account | None] = {}
        for address, change in diff.accounts.items():
            key = hash_of_key(address)
            before = self.account(address)
            if change.created is not (before is None):
                raise StaleDiff(f"account {address} is {'missing' if before is None else 'there already'}")
            account = self._changed_account(changes, address, key, before or NO_ACCOUNT, change)
            after[address] = account
            if account is None:
                accounts.delete(key)
                continue
            accounts.set(key, account.encode())
            if change.created:
                changes[Table.PREIMAGES][key] = address
        root = accounts.commit_to(changes)
        return type(self)(self.database, root, self._recent.handed_on(after)), changes

    def _accounts(self) -> Trie:
        return Trie(self.database, self.root)

    def _changed_account(
        self, changes: Draft, address: Address, key: Bytes32, before: Account, change: AccountDiff
    ) -> Account | None:
        """Return an account after its change, None if it is deleted; what it needs is added to `changes`."""
        nonce = _changed(f"nonce of {address}", before.nonce, change.nonce)
        balance = _changed(f"balance of {address}", before.balance, change.balance)
        if change.deleted:
            return None
        code_hash = before.code_hash
        if change.code is not None:
            code_hash = keccak256(change.code.after)
            if change.code.after:
                changes[Table.CODE][code_hash] = change.code.after
        storage_root = EMPTY_ROOT if change.storage_cleared else before.storage_root
        if change.slots:
            storage_root = self._storage_root(changes, key, storage_root, change.slots)
        return Account(nonce, balance, storage_root, code_hash)

    def _storage_root(
        self, changes: Draft, key: Bytes32, root: Bytes32, slots: Mapping[Bytes32, Change[Bytes32]]
    ) -> Bytes32:
        """Return the storage root after the changes; new nodes and preimages are added to `changes`."""
        trie = Trie(self.database, root, storage_prefix(key))
        for slot, change in slots.items():
            hashed, value = hash_of_key(slot), change.after.lstrip(b"\0")
            trie.set(hashed, encode_string(value) if value else b"")
            if value:
                changes[Table.PREIMAGES][hashed] = slot
        return trie.commit_to(changes)


def genesis_diff(accounts: Mapping[Address, GenesisAccount]) -> Diff:
    """Return what makes these accounts out of none."""
    return Diff(
        {
            address: AccountDiff(
                created=True,
                nonce=Change(0, account.nonce),
                balance=Change(U256(0), account.balance),
                code=Change(b"", account.code) if account.code else None,
                slots={key: Change(ZERO_BYTES32, value) for key, value in account.storage.items()},
            )
            for address, account in accounts.items()
        }
    )


def storage_prefix(hashed_address: bytes) -> bytes:
    """Return the prefix under which the nodes of an account's storage trie are stored."""
    return b"s" + hashed_address[:8]


def slot_value(leaf: bytes) -> Bytes32:
    """Return the slot whose trie value is `leaf`; raise CodecError if it is none."""
    value = decode_string(leaf)
    if len(value) > Bytes32.length:
        raise CodecError("not the value of a slot")
    return Bytes32(value.rjust(Bytes32.length, b"\0"))


def _changed(what: str, before: T, change: Change[T] | None) -> T:
    """Return the value after the change, if there is one; raise StaleDiff if it begins elsewhere."""
    if change is None:
        return before
    if change.before != before:
        raise StaleDiff(f"{what} is {before}, not {change.before}")
    return change.after
