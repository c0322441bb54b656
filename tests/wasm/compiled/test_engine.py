"""The compiled engine's own duties: exceptions across the border, interruption, artefacts, faults that are no verdicts."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ewasm.threads import on_fresh_thread
from gas.metering import meter
from gas.schedule import EWASM, FREE
from tests.helpers import ROOT, wat
from wasm.compiled import Aborted, CompiledEngine, NativeFault, host
from wasm.decode import decode
from wasm.engine import HostFunction, Loaded
from wasm.errors import Trap, TrapKind, Unlinkable
from wasm.types import FuncType
from wasm.validate import validate

CALLS = """(module (import "h" "f" (func $f (param i32 i64) (result i64))) (memory (export "memory") 1)
  (func (export "run") (param i32 i64) (result i64) (call $f (local.get 0) (local.get 1)))
  (func (export "spin") (loop $l (br $l))))"""
TYPE = FuncType(("i32", "i64"), ("i64",))


def load(text: str, engine: CompiledEngine | None = None, schedule: Any = FREE, pages: int | None = None) -> Loaded:
    return (engine or CompiledEngine()).load(meter(validate(decode(wat(text))), schedule, pages))


def with_host(call: Any, engine: CompiledEngine | None = None) -> Any:
    return load(CALLS, engine).instantiate({("h", "f"): HostFunction(TYPE, call)})


def test_values_cross_the_border_unsigned() -> None:
    seen = []

    def f(_: Any, a: int, b: int) -> int:
        seen.append((a, b))
        return (1 << 64) - 2

    assert with_host(f).invoke("run", (1 << 32) - 1, (1 << 64) - 1) == ((1 << 64) - 2,)
    assert seen == [((1 << 32) - 1, (1 << 64) - 1)]


@pytest.mark.parametrize("error", [KeyError("a"), KeyboardInterrupt(), RecursionError(), SystemExit(3), MemoryError()])
def test_an_exception_of_the_host_passes_as_the_same_object(error: BaseException) -> None:
    def f(*_: Any) -> int:
        raise error

    with pytest.raises(type(error)) as caught:
        with_host(f).invoke("run", 1, 2)
    assert caught.value is error


def test_an_exception_passes_through_several_instances() -> None:
    error = ValueError("deep")
    engine = CompiledEngine()

    def f(_: Any, depth: int, value: int) -> int:
        if depth == 0:
            raise error
        return int(with_host(f, engine).invoke("run", depth - 1, value)[0])

    with pytest.raises(ValueError, match="deep") as caught:
        with_host(f, engine).invoke("run", 5, 0)
    assert caught.value is error


def test_what_escapes_a_callback_is_a_fault_and_no_result() -> None:
    """As cffi reports it: noted, and found when the library has returned."""
    instance = with_host(lambda *_: 1)
    host.current.escaped = RecursionError("at the border")
    with pytest.raises(NativeFault, match="left a host function") as caught:
        instance.invoke("run", 1, 2)
    assert isinstance(caught.value.__cause__, RecursionError)
    assert instance.invoke("run", 1, 2) == (1,)


def test_the_host_sees_and_changes_the_gas() -> None:
    def f(instance: Any, *_: int) -> int:
        left = instance.gas
        instance.gas -= 1_000
        return int(left)

    instance = load(CALLS, schedule=EWASM).instantiate({("h", "f"): HostFunction(TYPE, f)}, gas=1_000_000)
    seen = instance.invoke("run", 0, 0)[0]
    assert instance.gas == seen - 1_000


def test_memory_views_see_growth() -> None:
    text = """(module (memory (export "memory") 1 3) (func (export "grow") (drop (memory.grow (i32.const 1)))
      (i32.store (i32.const 65536) (i32.const 0x01020304))))"""
    instance = load(text, pages=128).instantiate({})
    memory = instance.memory
    assert memory.size == 65_536
    with pytest.raises(Trap):
        memory.read(65_536, 1)
    instance.invoke("grow")
    assert memory.read(65_536, 4) == bytes([4, 3, 2, 1])
    assert memory.read(131_072, 0) == b""
    with pytest.raises(Trap):
        memory.write(131_071, b"ab")


def test_a_run_is_interrupted_from_outside() -> None:
    engine = CompiledEngine(interruptible=True)
    instance = with_host(lambda *_: 1, engine)
    timer = threading.Timer(0.2, engine.interrupt)
    timer.start()
    begin = time.monotonic()
    with pytest.raises(Aborted):
        on_fresh_thread(engine, lambda: instance.invoke("spin"))
    assert time.monotonic() - begin < 5
    assert with_host(lambda *_: 7, engine).invoke("run", 1, 2) == (7,)


def test_an_engine_that_cannot_be_interrupted_says_so() -> None:
    with pytest.raises(ValueError, match="interruptible=True"):
        CompiledEngine().interrupt()


def test_an_artefact_runs_as_the_module_it_came_from() -> None:
    engine = CompiledEngine()
    loaded = load(CALLS, engine)
    artefact = loaded.artefact()
    assert artefact is not None
    revived = CompiledEngine().revive(artefact)
    assert revived.instantiate({("h", "f"): HostFunction(TYPE, lambda *_: 9)}).invoke("run", 0, 0) == (9,)


def test_a_long_function_is_not_optimised() -> None:
    body = "(drop (i32.const 1))" * 15_000
    loaded = load(f'(module (func (export "run") {body}))')
    assert loaded.shape.optimisation == "none"
    assert loaded.instantiate({}).invoke("run") == ()


def test_a_missing_import_is_named() -> None:
    with pytest.raises(Unlinkable, match=r"h\.f"):
        load(CALLS).instantiate({})


def test_a_host_function_of_another_type_does_not_link() -> None:
    with pytest.raises(Unlinkable, match="incompatible import type"):
        load(CALLS).instantiate({("h", "f"): HostFunction(FuncType(), lambda _: None)})


def test_no_tracer() -> None:
    with pytest.raises(ValueError, match="use the interpreter"):
        load("(module)").instantiate({}, tracer=lambda *_: None)


def test_traps_tell_their_function() -> None:
    with pytest.raises(Trap) as caught:
        load('(module (func $a (unreachable)) (func (export "run") (call $a)))').instantiate({}).invoke("run")
    assert caught.value.kind is TrapKind.UNREACHABLE
    assert caught.value.function == 0


def test_stores_are_freed_at_once() -> None:
    """Each reserves 4 GiB of addresses: a thousand would not be there if they waited for a collection."""
    loaded = load('(module (memory (export "memory") 1) (func (export "run")))')
    gc.disable()
    try:
        before = _virtual_bytes()
        for _ in range(200):
            loaded.instantiate({}).invoke("run")
        assert _virtual_bytes() - before < 10 << 30
    finally:
        gc.enable()


def _virtual_bytes() -> int:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("the size of the address space is known on Linux only")
    return int(status.read_text().split()[0]) * 4_096


@pytest.mark.parametrize("reservation", [2 << 30])
def test_growth_that_the_host_refuses_is_no_verdict(reservation: int) -> None:
    """With little memory allowed to the process, growing within the limit ends in MemoryError, never in -1."""
    code = f"""
import resource
from tests.wasm.compiled.test_engine import load
text = '(module (memory (export "memory") 1 40000) (func (export "run") (result i32) (memory.grow (i32.const 39000))))'
instance = load(text, pages=65536).instantiate({{}})
resource.setrlimit(resource.RLIMIT_DATA, ({reservation} // 2, {reservation} // 2))
try:
    print("answered", instance.invoke("run"))
except MemoryError:
    print("fault")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "fault", done.stdout + done.stderr


def test_an_engine_that_several_threads_use_first() -> None:
    """Each links the same modules to a host function of its own, over and over."""
    for _ in range(5):
        engine, barrier = CompiledEngine(), threading.Barrier(4)
        loaded: list[Loaded] = []
        right: list[bool] = []

        def use(number: int) -> None:
            imports = {("h", "f"): HostFunction(TYPE, lambda *_: number)}
            barrier.wait()  # noqa: B023  # the threads end within the round
            loaded.append(load(CALLS, engine))  # noqa: B023
            right.extend(each.instantiate(imports).invoke("run", 1, 2) == (number,) for each in loaded * 5)  # noqa: B023

        threads = [threading.Thread(target=on_fresh_thread, args=(engine, partial(use, n))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(right) >= 4 * 5
        assert all(right)
