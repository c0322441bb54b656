"""Where nodes, code and preimages are kept.

Everything in a store is found under its own Keccak-256, so one flat space holds trie nodes, contract code and the
preimages of hashed keys, and nothing in it is ever changed: older roots stay readable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from evmc import Bytes32


class MissingEntry(LookupError):
    """A hash that the store should know and does not: the state is incomplete, which is a fault of the node."""

    def __init__(self, wanted: Bytes32) -> None:
        super().__init__(f"{type(self).__name__}: nothing is stored under {wanted}")
        self.wanted = wanted


class MissingNode(MissingEntry):
    """A trie node is missing."""


class MissingCode(MissingEntry):
    """The code of a contract is missing."""


class MissingPreimage(MissingEntry):
    """The address or slot behind a hashed key is missing."""


class Store(Protocol):
    """Bytes by their Keccak-256."""

    def get(self, key: Bytes32) -> bytes | None:
        """Return the bytes whose hash is `key`, None if they were never put."""

    def put_many(self, entries: Mapping[Bytes32, bytes]) -> None:
        """Keep all `entries`, or, on an exception, none; the caller answers for the hashes."""


class MemoryStore:
    """A store in a dictionary."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[Bytes32, bytes] | None = None) -> None:
        self._entries = dict(entries or {})

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Bytes32) -> bytes | None:
        """Return the bytes whose hash is `key`, if any."""
        return self._entries.get(key)

    def put_many(self, entries: Mapping[Bytes32, bytes]) -> None:
        """Keep all entries."""
        self._entries.update(entries)


class Batch:
    """A store that holds back what is put, until `write` passes it on to another store at once."""

    __slots__ = ("_entries", "_store")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[Bytes32, bytes] = {}

    def get(self, key: Bytes32) -> bytes | None:
        """Return the bytes whose hash is `key`, held back or stored."""
        held = self._entries.get(key)
        return self._store.get(key) if held is None else held

    def put_many(self, entries: Mapping[Bytes32, bytes]) -> None:
        """Hold the entries back."""
        self._entries.update(entries)

    def write(self) -> None:
        """Put everything held back into the store below, in one piece."""
        self._store.put_many(self._entries)
        self._entries = {}
