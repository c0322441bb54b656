"""The roots that a store keeps: which states can be opened, by the number of the block that ends with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from evmc import Bytes32
from state.database import Database
from state.store import Draft, Store, StoreError, Table
from state.world import WorldState

_NUMBER_BYTES: Final = 8


class UnknownRoot(LookupError):
    """A block whose state is not kept: the message says which are."""

    def __init__(self, number: int, first: int | None, last: int | None) -> None:
        kept = "none is kept" if first is None else f"kept are blocks from {first} to {last}"
        super().__init__(f"the state after block {number} is not kept; {kept}")
        self.number = number


def root_key(number: int) -> bytes:
    """Return the key of a block number in `Table.ROOTS`; raise OverflowError below 0 and from 2^64 on."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def record_root(changes: Draft, number: int, root: Bytes32) -> None:
    """Add to the changes that make a state readable that it is the state after block `number`.

    A state that is not recorded in the write that completes it is not kept when the store is pruned.
    """
    changes[Table.ROOTS][root_key(number)] = root


def recorded_roots(store: Store, start: int = 0) -> Iterator[tuple[int, Bytes32]]:
    """Yield block numbers from `start` on, ascending, and the roots of their states; raise StoreError."""
    for key, root in store.items(Table.ROOTS, root_key(start)):
        yield _parsed(key, root)


def latest_root(store: Store) -> tuple[int, Bytes32] | None:
    """Return the greatest block number and its root, None if no root is recorded; raise StoreError."""
    row = store.last(Table.ROOTS)
    return None if row is None else _parsed(*row)


def world_at(database: Database, number: int) -> WorldState:
    """Return the state after a block; raise UnknownRoot if it is not kept, StoreError if the record is damaged."""
    store = database.store
    root = store.get(Table.ROOTS, root_key(number)) if 0 <= number < 1 << 64 else None
    if root is None:
        first, last = next(recorded_roots(store), None), latest_root(store)
        raise UnknownRoot(number, first and first[0], last and last[0])
    return WorldState(database, _parsed(root_key(number), root)[1])


def _parsed(key: bytes, root: bytes) -> tuple[int, Bytes32]:
    if len(key) != _NUMBER_BYTES or len(root) != Bytes32.length:
        raise StoreError(f"the table of roots is damaged: 0x{key.hex()} has 0x{root.hex()}; restore it from a copy")
    return int.from_bytes(key, "big"), Bytes32(root)
