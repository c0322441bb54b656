"""Keeping what was read, within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LeastRecentlyUsed(Generic[K, V]):
    """Values by key within a bound in bytes; whatever was not used for longest goes first. Threads may share it."""

    __slots__ = ("_entries", "_lock", "bound", "size")

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.size = 0
        """Bytes in use, as given to `put`."""
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return a value that is still there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keep a value of `size` bytes, unless it alone is above the bound."""
        self.put_all([(key, value, size)])

    def put_all(self, values: Iterable[tuple[K, V, int]]) -> None:
        """Keep values: keys, values and bytes; none that alone is above the bound."""
        entries, bound = self._entries, self.bound
        with self._lock:
            for key, value, size in values:
                if key in entries:
                    self.size -= entries.pop(key)[1]
                if size > bound:
                    continue
                entries[key] = value, size
                self.size += size
                while self.size > bound:
                    self.size -= entries.popitem(last=False)[1][1]

    def drop(self, key: K) -> None:
        """Forget a value, if it is there."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self.size -= entry[1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self.size = 0
