"""Room on the stack: nested messages run on as many threads as they need.

Python counts recursion by thread, and an engine may need native stack of its own for every message. So a message runs
where it is asked for as long as the thread has room, and on a fresh thread from there on. Native engines never run
on threads that were not made here: their stack may be too small, and on the main thread an interrupt could strike
inside of a callback.

Starting a thread with a large stack takes longer than a short message. So one whose stack is empty again, and was
hardly used, waits a moment for the next message from outside.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeVar

from wasm.engine import Engine

T = TypeVar("T")

_PYTHON_STACK: Final = 16 << 20
"""Bytes of native stack for the Python between the messages of one thread."""

_KEPT_SECONDS: Final = 1.0
"""How long a thread waits for more to run."""

_KEPT_DEPTH: Final = 4
"""Messages in each other up to which a thread is kept: pages that a stack has once used stay with it."""

_starting: Final = threading.Lock()


class _Room(threading.local):
    """What this thread has: messages that may still nest on it, None if it was not made here; bytes of stack.

    `least` is how few there was room for at some moment.
    """

    left: int | None = None
    least: int = 0
    stack: int = 0


_room: Final = _Room()


def with_room(engine: Engine, run: Callable[[], T]) -> T:
    """Run here if there is room for one more message, else on a fresh thread; exceptions pass through."""
    before = _room.left
    left = engine.nesting if before is None else before
    if left <= 0 or engine.native_stack > _room.stack:
        return on_fresh_thread(engine, lambda: with_room(engine, run))
    _room.left = left - 1
    _room.least = min(_room.least, left - 1)
    try:
        return run()
    finally:
        _room.left = before


def on_fresh_thread(engine: Engine, run: Callable[[], T]) -> T:
    """Run on a thread made for an engine, and wait; what is run may execute many messages without another thread."""
    outcome: list[T] = []
    fault: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(run())
        except BaseException as error:  # noqa: BLE001  # raised again on the thread that waits
            fault.append(error)

    stack = engine.native_stack
    thread = _idle.take(stack) if _room.left is None else None
    if thread is None:
        thread = _Thread(engine.name, stack, keep=_room.left is None)
    thread.run(body, engine.nesting)
    if fault:
        raise fault[0]
    return outcome[0]


class _Thread:
    """A thread with so much native stack, on which one thing after the other is run."""

    def __init__(self, name: str, stack: int, *, keep: bool) -> None:
        self.stack = stack
        self._keep = keep
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"ewasm {name}", daemon=True)
        with _starting:
            size = threading.stack_size(stack + _PYTHON_STACK if stack else 0)
            try:
                self._thread.start()
            finally:
                threading.stack_size(size)

    def run(self, body: Callable[[], None], nesting: int) -> None:
        """Run something that raises nothing, and wait; a thread that is not kept has ended then."""
        job = _Job(body, nesting)
        self._jobs.put(job)
        job.done.acquire()
        if not job.keeps:
            self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=_KEPT_SECONDS)
            except queue.Empty:
                if _idle.remove(self):
                    return
                continue
            _room.left = _room.least = job.nesting
            _room.stack = self.stack
            Context().run(job.body)
            job.keeps = self._keep and job.nesting - _room.least <= _KEPT_DEPTH
            if job.keeps:
                _idle.add(self)
            job.done.release()
            if not job.keeps:
                return
            del job  # and with it what the caller had run


class _Job:
    """Something to run, and what becomes of the thread then."""

    def __init__(self, body: Callable[[], None], nesting: int) -> None:
        self.body = body
        self.nesting = nesting
        self.keeps = False
        self.done = threading.Lock()
        self.done.acquire()


class _Idle:
    """Threads that wait for more to run."""

    def __init__(self) -> None:
        self._threads: list[_Thread] = []
        self._lock = threading.Lock()

    def add(self, thread: _Thread) -> None:
        """Take a thread that has nothing to do."""
        with self._lock:
            self._threads.append(thread)

    def take(self, stack: int) -> _Thread | None:
        """Return a thread with so much stack, the one that waited least; None if there is none."""
        with self._lock:
            for index in range(len(self._threads) - 1, -1, -1):
                if self._threads[index].stack == stack:
                    return self._threads.pop(index)
        return None

    def remove(self, thread: _Thread) -> bool:
        """Tell whether the thread was still waiting; it is no longer."""
        with self._lock:
            if thread not in self._threads:
                return False
            self._threads.remove(thread)
            return True

    def forget(self) -> None:
        """Forget all: a process that was forked has none of them."""
        self._threads = []
        self._lock = threading.Lock()


_idle: Final = _Idle()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.forget)
