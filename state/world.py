"""All accounts and their storage at one root (Yellow Paper section 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self, TypeVar

from evmc import U256, ZERO_BYTES32, Address, Bytes32
from state.account import NO_ACCOUNT, Account
from state.codec import CodecError, decode, encode
from state.diff import AccountDiff, Change, Diff
from state.hash import EMPTY_CODE_HASH, keccak256
from state.store import Batch, MissingCode, MissingPreimage, Store
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
    """A state that is only read; changes give another, and both stay readable from the one store.

    Tries are secure, that is, keyed by the Keccak-256 of address and slot; the store keeps those preimages. All
    methods raise MissingNode where the store lacks a node.
    """

    store: Store
    root: Bytes32 = EMPTY_ROOT

    @classmethod
    def genesis(cls, store: Store, accounts: Mapping[Address, GenesisAccount]) -> Self:
        """Return the state with just these accounts, empty ones included."""
        created = {
            address: AccountDiff(
                created=True,
                nonce=Change(0, account.nonce),
                balance=Change(U256(0), account.balance),
                code=Change(b"", account.code) if account.code else None,
                slots={key: Change(ZERO_BYTES32, value) for key, value in account.storage.items()},
            )
            for address, account in accounts.items()
        }
        return cls(store).apply(Diff(created))

    def account(self, address: Address) -> Account | None:
        """Return the account, None if there is none."""
        leaf = Trie(self.store, self.root).get(keccak256(address))
        return None if leaf is None else Account.decode(leaf)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""
        account = self.account(address) or NO_ACCOUNT
        leaf = Trie(self.store, account.storage_root).get(keccak256(key))
        return ZERO_BYTES32 if leaf is None else _slot_value(leaf)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return the code with this hash; raise MissingCode if it is unknown."""
        if code_hash == EMPTY_CODE_HASH:
            return b""
        code = self.store.get(code_hash)
        if code is None:
            raise MissingCode(code_hash)
        return code

    def accounts(self) -> Iterator[tuple[Address, Account]]:
        """Yield all accounts, by ascending hash of the address; raise MissingPreimage if an address is unknown."""
        for key, leaf in Trie(self.store, self.root).items():
            yield Address(self._preimage(Bytes32(key))), Account.decode(leaf)

    def slots(self, address: Address) -> Iterator[tuple[Bytes32, Bytes32]]:
        """Yield the account's non-zero slots, by ascending hash of the key; raise MissingPreimage like `accounts`."""
        account = self.account(address) or NO_ACCOUNT
        for key, leaf in Trie(self.store, account.storage_root).items():
            yield Bytes32(self._preimage(Bytes32(key))), _slot_value(leaf)

    def apply(self, diff: Diff) -> Self:
        """Return the state after `diff`, all of it put into the store in one piece.

        Raise StaleDiff, and put nothing, if a nonce, a balance or an account's existence is not what the diff
        says it was before.
        """
        batch = Batch(self.store)
        accounts = Trie(batch, self.root)
        for address, change in diff.accounts.items():
            key = keccak256(address)
            leaf = accounts.get(key)
            if change.created is not (leaf is None):
                raise StaleDiff(f"account {address} is {'missing' if leaf is None else 'there already'}")
            before = NO_ACCOUNT if leaf is None else Account.decode(leaf)
            storage_root = EMPTY_ROOT if change.storage_cleared else before.storage_root
            account = Account(
                nonce=_changed(f"nonce of {address}", before.nonce, change.nonce),
                balance=_changed(f"balance of {address}", before.balance, change.balance),
                storage_root=_storage_root(batch, storage_root, change.slots),
                code_hash=before.code_hash if change.code is None else keccak256(change.code.after),
            )
            if change.deleted:
                accounts.delete(key)
                continue
            accounts.set(key, account.encode())
            batch.put_many({key: address})
            if change.code is not None:
                batch.put_many({account.code_hash: change.code.after})
        root = accounts.commit()
        batch.write()
        return type(self)(self.store, root)

    def _preimage(self, key: Bytes32) -> bytes:
        preimage = self.store.get(key)
        if preimage is None:
            raise MissingPreimage(key)
        return preimage


def _changed(what: str, before: T, change: Change[T] | None) -> T:
    """Return the value after the change, if there is one; raise StaleDiff if it begins elsewhere."""
    if change is None:
        return before
    if change.before != before:
        raise StaleDiff(f"{what} is {before}, not {change.before}")
    return change.after


def _storage_root(batch: Batch, root: Bytes32, slots: Mapping[Bytes32, Change[Bytes32]]) -> Bytes32:
    """Return the storage root after the changes, new nodes and preimages put into `batch`."""
    trie = Trie(batch, root)
    for key, slot in slots.items():
        hashed, value = keccak256(key), slot.after.lstrip(b"\0")
        trie.set(hashed, encode(value) if value else b"")
        if value:
            batch.put_many({hashed: key})
    return trie.commit()


def _slot_value(leaf: bytes) -> Bytes32:
    """Return the slot whose trie value is `leaf`; raise CodecError if it is none."""
    value = decode(leaf)
    if not isinstance(value, bytes) or len(value) > Bytes32.length:
        raise CodecError("not the value of a slot")
    return Bytes32(value.rjust(Bytes32.length, b"\0"))
