"""Extrinsics that wait for a block, and who wants to know what becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from node.substrate import validity
from node.substrate.extrinsic import Extrinsic, Signed, Surroundings
from node.substrate.validity import ExtrinsicRefused

Status: TypeAlias = str | dict[str, Any]
Watcher: TypeAlias = Callable[[Status], None]
"""Told every status of an extrinsic, on whatever thread it comes about."""

LIMIT: Final = 8_192
AHEAD: Final = 1_024
"""How far a nonce may be ahead of its account."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An extrinsic that waits, and the surroundings for which its signature holds."""

    extrinsic: Extrinsic
    signed: Signed
    hash: bytes
    around: Surroundings | None


class Pool:
    """What waits, by account and nonce, and watchers by hash. Safe from any thread."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: dict[tuple[bytes, int], Entry] = {}
        self._watchers: dict[bytes, list[Watcher]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, next_nonce: int) -> None:
        """Let an extrinsic wait; raise `ExtrinsicRefused` if it does already, or there is no room."""
        key = entry.signed.account, entry.signed.nonce
        with self._lock:
            there = self._entries.get(key)
            if there is not None and there.hash == entry.hash:
                raise ExtrinsicRefused(
                    validity.ALREADY_IMPORTED, "Transaction Already Imported", "0x" + entry.hash.hex()
                )
            if there is not None and there.signed.tip >= entry.signed.tip:
                detail = f"the one that waits has tip {there.signed.tip}"
                raise ExtrinsicRefused(validity.TOO_LOW_PRIORITY, "Priority is too low", detail)
            if entry.signed.nonce > next_nonce + AHEAD:
                raise validity.invalid(validity.FUTURE)
            if there is None and len(self._entries) >= self._limit:
                raise ExtrinsicRefused(validity.IMMEDIATELY_DROPPED, "Immediately Dropped", "the pool is full")
            self._entries[key] = entry
        if there is not None:
            self.tell(there.hash, {"usurped": "0x" + entry.hash.hex()})

    def waiting(self) -> list[Entry]:
        """Return what waits, nonces of an account in order."""
        with self._lock:
            entries = list(self._entries.values())
        order = {entry.signed.account: index for index, entry in reversed(list(enumerate(entries)))}
        return sorted(entries, key=lambda entry: (order[entry.signed.account], entry.signed.nonce))

    def next_nonce(self, account: bytes, nonce: int) -> int:
        """Return the nonce behind what waits of an account without a gap."""
        with self._lock:
            while (account, nonce) in self._entries:
                nonce += 1
        return nonce

    def remove(self, entry: Entry) -> None:
        """Let an extrinsic wait no longer."""
        with self._lock:
            key = entry.signed.account, entry.signed.nonce
            if self._entries.get(key) is entry:
                del self._entries[key]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.waiting())

    # Watching

    def watch(self, extrinsic_hash: bytes, watcher: Watcher) -> Callable[[], None]:
        """Have a watcher told of an extrinsic; return what ends that."""
        with self._lock:
            self._watchers.setdefault(extrinsic_hash, []).append(watcher)

        def end() -> None:
            with self._lock:
                watchers = self._watchers.get(extrinsic_hash, [])
                if watcher in watchers:
                    watchers.remove(watcher)
                if not watchers:
                    self._watchers.pop(extrinsic_hash, None)

        return end

    def tell(self, extrinsic_hash: bytes, status: Status) -> None:
        """Tell an extrinsic's watchers its status."""
        with self._lock:
            watchers = list(self._watchers.get(extrinsic_hash, ()))
        for watcher in watchers:
            watcher(status)
