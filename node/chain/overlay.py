"""A store as it would be after changes that are not written."""

from __future__ import annotations

from collections.abc import Iterator

from state import Store, StoreError, Table
from state.store import Changes


class Overlay:
    """Changes over a store: for reading a state that exists for a moment only."""

    def __init__(self, store: Store, changes: Changes) -> None:
        self._store = store
        self._changes = changes

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value of a key, None if it has none."""
        rows = self._changes.get(table, {})
        return rows[key] if key in rows else self._store.get(table, key)

    def items(self, table: Table, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values with `start` <= key < `stop`, in order."""
        rows = dict(self._store.items(table, start, stop))
        for key, value in self._changes.get(table, {}).items():
            if key >= start and (stop is None or key < stop):
                rows.pop(key, None)
                if value is not None:
                    rows[key] = value
        yield from sorted(rows.items())

    def last(self, table: Table) -> tuple[bytes, bytes] | None:
        """Return the greatest key and its value, None from an empty table."""
        return max(self.items(table), default=None)

    def write(self, changes: Changes) -> None:  # noqa: ARG002  # the protocol's
        """Raise StoreError: what is over a store is only read."""
        raise StoreError("a state that is not written yet is only read")
