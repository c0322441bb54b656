"""Blocks by the clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class IntervalMining:
    """Mines every so many seconds on a thread of its own, or not at all."""

    def __init__(self, mine: Callable[[], Any], on_fault: Callable[[Exception], None]) -> None:
        """Have `mine` make the blocks; `on_fault` is told where that raises, and the next is tried in its time."""
        self._mine = mine
        self._on_fault = on_fault
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._seconds: float | None = None

    @property
    def seconds(self) -> float | None:
        """Seconds between blocks, None if none are made by the clock."""
        return self._seconds

    def set(self, seconds: float | None) -> None:
        """Change the interval; None ends it. A block under way is still made."""
        with self._lock:
            if self._stop is not None:
                self._stop.set()
            self._stop, self._seconds = None, seconds
            if seconds is not None:
                self._stop = threading.Event()
                threading.Thread(
                    target=self._run, args=(self._stop, seconds), name="ewasm interval mining", daemon=True
                ).start()

    def _run(self, stop: threading.Event, seconds: float) -> None:
        while not stop.wait(min(seconds, threading.TIMEOUT_MAX)):
            try:
                self._mine()
            except Exception as error:  # noqa: BLE001  # whatever it was, the clock goes on
                self._on_fault(error)
