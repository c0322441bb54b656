"""What an execution reads of a state, gathered; and a state that holds no more than that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from evmc import Bytes32
from state.database import Database
from state.hash import keccak256
from state.store import Changes, Store, StoreError, Table
from state.world import WorldState

_STORAGE: Final = b"s"
_PREFIX_BYTES: Final = 9
"""Bytes of the prefix of a storage trie: the letter, and the beginning of the account's hash."""


class BadEntry(Exception):
    """A node or code of a witness that is not what its hash promises: the message names it and where it was wanted."""


class Recorder:
    """A store that notes the nodes and codes which are read from the one below, by their hashes."""

    __slots__ = ("_store", "codes", "nodes")

    def __init__(self, store: Store) -> None:
        self._store = store
        self.nodes: dict[Bytes32, bytes] = {}
        self.codes: dict[Bytes32, bytes] = {}

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if it has none."""
        value = self._store.get(table, key)
        if value is not None and table in (Table.NODES, Table.CODE):
            noted = self.nodes if table is Table.NODES else self.codes
            noted[Bytes32(key[-Bytes32.length :])] = value
        return value

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield what the store below has; that is not noted."""
        return self._store.items(table, start, stop)

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Return what the store below has; that is not noted."""
        return self._store.last(table)

    def write(self, changes: Changes) -> None:
        """Raise StoreError: what is written and read again would be noted as part of the state before."""
        raise StoreError(f"a state that is recorded is only read, and {sum(map(len, changes.values()))} rows came")


class WitnessStore:
    """A store of just these nodes and codes, by their hashes; `unread` tells which of them were not asked for."""

    __slots__ = ("_codes", "_nodes", "_read")

    def __init__(self, nodes: Mapping[Bytes32, bytes], codes: Mapping[Bytes32, bytes]) -> None:
        self._nodes = nodes
        self._codes = codes
        self._read: set[tuple[Table, Bytes32]] = set()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return a node or code, None if it is missing; raise BadEntry if it has another hash."""
        if table not in (Table.NODES, Table.CODE):
            return None
        digest = Bytes32(key[-Bytes32.length :])
        value = (self._nodes if table is Table.NODES else self._codes).get(digest)
        if value is None:
            return None
        if keccak256(value) != digest:
            what = f"node {digest} ({_place(key)})" if table is Table.NODES else f"code {digest}"
            raise BadEntry(f"{what} was altered: what the witness has for it has hash {keccak256(value)}")
        self._read.add((table, digest))
        return value

    def unread(self, table: Table) -> list[Bytes32]:
        """Return the hashes of the nodes or codes that were not asked for."""
        rows = self._nodes if table is Table.NODES else self._codes
        return [digest for digest in rows if (table, digest) not in self._read]

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Raise StoreError: a witness does not know what else there is."""
        raise StoreError(f"a witness cannot tell what {table} there are from {start!r} to {stop!r}")

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Raise StoreError: a witness does not know what else there is."""
        raise StoreError(f"a witness cannot tell which of {table} is the last")

    def write(self, changes: Changes) -> None:
        """Raise StoreError: a witness is what it is."""
        raise StoreError(f"a witness is only read, and {sum(map(len, changes.values()))} rows came")


def recorded(world: WorldState) -> tuple[WorldState, Recorder]:
    """Return the same state with nothing of it read yet, and what will note all that is read of it.

    What computes the root after an execution is read too, so `changed` belongs to what is recorded.
    """
    recorder = Recorder(world.database.store)
    return WorldState(Database(recorder), world.root), recorder


def _place(key: bytes) -> str:
    """Return where in the state the key of a node is (`state.database.node_key`)."""
    place = key[: -Bytes32.length - 1]
    if place.startswith(_STORAGE):
        account, path = place[1:_PREFIX_BYTES], place[_PREFIX_BYTES:]
        return f"storage trie of the account hashed 0x{account.hex()}…, path {path.decode() or 'root'}"
    return f"account trie, path {place.decode() or 'root'}"
