"""Where state and chain are kept: tables of bytes, changed in one piece."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Protocol, TypeAlias


class Table(StrEnum):
    """The tables of a store, with their keys and values."""

    NODES = "nodes"
    """Trie nodes in RLP, by where they stand and their hash: `state.database.node_key`."""
    CODE = "code"
    """The code of contracts, by its hash."""
    PREIMAGES = "preimages"
    """Addresses and slots, by the hash that stands for them in a trie."""
    ROOTS = "roots"
    """State roots, by the number of the block that ends with them: 8 bytes, big-endian."""
    MARKS = "marks"
    """What a pruning that has not ended found in use: keys of the first three tables, after a letter for the table."""
    HEADERS = "headers"
    """Headers of blocks in RLP, by number: 8 bytes, big-endian, as in all tables of the chain."""
    HASHES = "hashes"
    """Numbers of blocks, by the block's hash."""
    BODIES = "bodies"
    """Transactions of blocks and their senders, by number."""
    RECEIPTS = "receipts"
    """What came of the transactions of blocks, by number."""
    TRANSACTIONS = "transactions"
    """Number of the block and index in it, 4 bytes, by the hash of the transaction."""
    OPENINGS = "openings"
    """What else a block did before its transactions, by number, as whoever did it has written it."""
    BLOOMS = "blooms"
    """Blooms of the blocks that have logs, by number."""
    POOL = "pool"
    """Transactions that waited when the chain was closed, in their order: 4 bytes."""
    META = "meta"
    """What the store is and where its users are, by name."""


Changes: TypeAlias = Mapping[Table, Mapping[bytes, bytes | None]]
"""New values by table and key; None removes."""

Draft: TypeAlias = defaultdict[Table, dict[bytes, bytes | None]]
"""Changes that are still being gathered."""


def draft() -> Draft:
    """Return changes to add to."""
    return defaultdict(dict)


class StoreError(Exception):
    """A store that cannot be used: the message names it, what is wrong, and what to do."""


class Store(Protocol):
    """Tables of bytes by bytes. Any number of threads may read while one writes."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if it has none."""

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values with `start` <= key < `stop`, in order; later writes may be seen or not."""

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Return the greatest key and its value, None from an empty table."""

    def write(self, changes: Changes) -> None:
        """Make all changes or, on an exception, none; readers see all or none."""


class MemoryStore:
    """A store in dictionaries."""

    __slots__ = ("_tables",)

    def __init__(self) -> None:
        self._tables: dict[Table, dict[bytes, bytes]] = {table: {} for table in Table}

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if it has none."""
        return self._tables[table].get(key)

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values with `start` <= key < `stop`, in order, as they are when the first is asked for."""
        rows = sorted(self._tables[table].items())
        keys = [key for key, _ in rows]
        yield from rows[bisect_left(keys, start) : None if stop is None else bisect_left(keys, stop)]

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Return the greatest key and its value, None from an empty table."""
        return max(self._tables[table].items(), default=None)

    def write(self, changes: Changes) -> None:
        """Make all changes."""
        for table, rows in changes.items():
            kept = self._tables[table]
            for key, value in rows.items():
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = value
