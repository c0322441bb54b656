"""Threads that requests are worked on: none of them keeps the process from ending."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

_END: Final = None


class Pool:
    """So many threads that take what is submitted, in its order.

    The executor of the standard library waits for its threads when the process ends; a call without a time limit could
    take for ever.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=name, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, run: Callable[[], T]) -> Future[T]:
        """Have something run; whoever is given up before it begins is not."""
        future: Future[T] = Future()
        self._jobs.put((future, run))
        return future

    def close(self, seconds: float) -> bool:
        """Wait so long for what is under way and take no more; tell whether all of it ended."""
        for _ in self._threads:
            self._jobs.put(_END)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not _END:
            future, run = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(run())
            except BaseException as error:  # noqa: BLE001  # raised again where the result is waited for
                future.set_exception(error)
            del job, future, run
