"""Room on the stack: nested messages run on as many threads as they need.

Python counts recursion by thread, and an engine may need native stack of its own for every message. So a message runs
where it is asked for as long as the thread has room, and on a fresh thread from there on. Native engines never run
on threads that were not made here: their stack may be too small, and on the main thread an interrupt could strike
inside of a callback.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from wasm.engine import Engine

T = TypeVar("T")

_PYTHON_STACK: Final = 16 << 20
"""Bytes of native stack for the Python between the messages of one thread."""

_starting: Final = threading.Lock()


class _Room(threading.local):
    """What this thread has: messages that may still nest on it, None if it was not made here; bytes of stack."""

    left: int | None = None
    stack: int = 0


_room: Final = _Room()


def with_room(engine: Engine, run: Callable[[], T]) -> T:
    """Run here if there is room for one more message, else on a fresh thread; exceptions pass through."""
    before = _room.left
    left = engine.nesting if before is None else before
    if left <= 0 or engine.native_stack > _room.stack:
        return on_fresh_thread(engine, lambda: with_room(engine, run))
    _room.left = left - 1
    try:
        return run()
    finally:
        _room.left = before


def on_fresh_thread(engine: Engine, run: Callable[[], T]) -> T:
    """Run on a thread made for an engine, and wait; what is run may execute many messages without another thread."""
    outcome: list[T] = []
    fault: list[BaseException] = []

    def body() -> None:
        _room.left, _room.stack = engine.nesting, engine.native_stack
        try:
            outcome.append(run())
        except BaseException as error:  # noqa: BLE001  # raised again on the thread that waits
            fault.append(error)

    thread = threading.Thread(target=body, name=f"ewasm {engine.name}", daemon=True)
    with _starting:
        size = threading.stack_size(engine.native_stack + _PYTHON_STACK if engine.native_stack else 0)
        try:
            thread.start()
        finally:
            threading.stack_size(size)
    thread.join()
    if fault:
        raise fault[0]
    return outcome[0]
