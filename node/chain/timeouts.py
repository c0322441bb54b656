"""Calls that are stopped after their time: by the node, never as a result."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ewasm.cache import CodeCache
from ewasm.vm import EwasmVM
from node.chain.errors import CallAborted
from wasm.compiled import Aborted, CompiledEngine
from wasm.engine import Tracer, Value

_AGAIN: Final = 0.01
"""Seconds until a run that began after the interruption, nested in the one that was meant, is interrupted too."""

_STEPS: Final = 1024
"""Instructions between two looks at the clock."""

_CACHE_BYTES: Final = 8 << 20


class Watchdog:
    """A thread that interrupts engines when their time is over; it starts when it is first needed."""

    def __init__(self) -> None:
        self._watched: dict[object, tuple[float, CompiledEngine]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._next = float("inf")
        self._closed = False

    @contextmanager
    def watching(self, engine: CompiledEngine, deadline: float) -> Iterator[None]:
        """Interrupt the engine's runs from `deadline` on, as `time.monotonic` has it, until the block ends."""
        key = object()
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="call timeout", daemon=True)
                self._thread.start()
            self._watched[key] = deadline, engine
            if deadline < self._next:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._watched[key]

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for key, (deadline, engine) in self._watched.items():
                    if deadline <= now:
                        engine.interrupt()
                        self._watched[key] = now + _AGAIN, engine
                self._next = min((deadline for deadline, _ in self._watched.values()), default=float("inf"))
                self._changed.wait(None if self._next == float("inf") else self._next - now)


class TimedMachines:
    """Machines like a given one whose runs can be stopped.

    Interrupting an engine ends all its runs, so every call that is under way has an engine to itself; engines and the
    code they have compiled are used again.
    """

    def __init__(self, vm: EwasmVM) -> None:
        self._vm = vm
        self._idle: list[EwasmVM] = []
        self._watchdog = Watchdog()

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[EwasmVM]:
        """Lend a machine for so long; the block raises CallAborted when its time is over. None is without a limit."""
        if seconds is None:
            yield self._vm
            return
        deadline = time.monotonic() + seconds
        try:
            if isinstance(self._vm.engine, CompiledEngine):
                with self._lent() as (vm, engine), self._watchdog.watching(engine, deadline):
                    yield vm
            else:
                yield self._vm.listening(trace=lambda _: _alarm(deadline))
        except Aborted as error:
            raise CallAborted(f"aborted by the node: the call took longer than {seconds:g} s") from error

    @contextmanager
    def _lent(self) -> Iterator[tuple[EwasmVM, CompiledEngine]]:
        try:
            vm = self._idle.pop()
        except IndexError:
            engine = CompiledEngine(interruptible=True)
            vm = EwasmVM(self._vm.ruleset, engine, cache=CodeCache(_CACHE_BYTES))
        assert isinstance(vm.engine, CompiledEngine)
        try:
            yield vm, vm.engine
        finally:
            self._idle.append(vm)

    def close(self) -> None:
        """End the thread that watches."""
        self._watchdog.close()


def _alarm(deadline: float) -> Tracer:
    """Return a tracer that stops a run after the deadline."""
    steps = 0

    def trace(function: int, offset: int, name: str, operands: tuple[Value, ...], gas: int) -> None:  # noqa: ARG001
        nonlocal steps
        steps += 1
        if steps % _STEPS == 1 and time.monotonic() > deadline:
            raise Aborted("interrupted: aborted by the node")

    return trace
