"""Generated modules on every engine and on Wasmtime: results, traps, host calls, memory and globals are the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from tests.helpers import wat
from tests.wasm.generate import CONTRACT, HOST, MACHINE, Generated, Shape, build, generate
from tests.wasm.oracle import Calls, EngineRun, Log, Observation, WasmtimeRun, func_type, objection, observe, some_calls
from wasm.decode import decode
from wasm.engine import Engine
from wasm.instructions import ROWS
from wasm.interpreter import Interpreter
from wasm.proposals import MACHINE as FEATURES
from wasm.types import FuncType
from wasm.validate import validate

SHAPES = (
    MACHINE,
    MACHINE,
    replace(MACHINE, size=30, fuel=200),
    replace(MACHINE, references=False),
    replace(CONTRACT, imports=HOST),
)


def drawn(seed: int) -> tuple[Generated, Calls]:
    """Return a module of some shape and calls of its functions."""
    rng = Random(seed)
    generated = build(rng, rng.choice(SHAPES))
    return generated, some_calls(rng, generated)


def compare(engine: Engine, seed: int) -> Observation:
    """Run a module on an engine and on Wasmtime."""
    generated, calls = drawn(seed)
    ours = observe(partial(EngineRun, engine), generated, calls)
    theirs = observe(WasmtimeRun, generated, calls)
    assert ours.outcomes == theirs.outcomes, seed
    assert ours.log == theirs.log, seed
    assert ours.globals == theirs.globals, seed
    assert ours.memory == theirs.memory, seed
    return ours


@pytest.mark.parametrize("block", range(8))
def test_engines_agree_with_wasmtime(block: int, engine: Engine) -> None:
    """A fixed sample; 20,000 and more were run by hand, on every engine."""
    ends: Counter[str] = Counter()
    for seed in range(40 * block, 40 * block + 40):
        observation = compare(engine, seed)
        ends.update(outcome if isinstance(outcome, str) else "result" for outcome in observation.outcomes)
    assert ends["result"] > sum(ends.values()) / 3
    assert len(ends) > 3


def traced(generated: Generated, calls: Calls) -> tuple[Observation, set[tuple[int, int, str]]]:
    """Run on the interpreter with a tracer; return also the places and names it saw."""
    seen: set[tuple[int, int, str]] = set()

    def note(function: int, offset: int, name: str, *_: object) -> None:
        seen.add((function, offset, name))

    def start(generated: Generated, log: Log) -> EngineRun:
        return EngineRun(Interpreter(), generated, log, tracer=note)

    return observe(start, generated, calls), seen


@pytest.mark.parametrize("block", range(4))
def test_traced_runs_are_the_same(block: int) -> None:
    """The tracer sees instructions of the module, where they are, and changes nothing."""
    for seed in range(1000 + 25 * block, 1025 + 25 * block):
        generated, calls = drawn(seed)
        module = decode(generated.binary)
        places = {
            (function, at, op.name)
            for function, code in enumerate(module.functions, len(module.imports))
            for op, _, at in code.body
            if op.name not in ("else", "end")
        }
        observation, seen = traced(generated, calls)
        assert observation == observe(partial(EngineRun, Interpreter()), generated, calls), seed
        assert seen <= places


# Counterexamples found by comparing, with what was wrong


def test_a_start_function_of_a_module_that_is_not_metered(engine: Engine) -> None:
    """On the compiled engine: the start section was noted as present, had no content any more, and could not be written."""
    source = """(memory (export "memory") 1) (global $g (mut i32) (i32.const 1)) (func $s (global.set $g (i32.const 5)))
        (start $s) (func (export "f0") (result i32) (global.get $g))"""
    generated = Generated(wat(f"(module {source})"), (), (("f0", ":i"),), ())
    assert observe(partial(EngineRun, engine), generated, [("f0", ())]).outcomes == ((5,),)


# The generator


@pytest.mark.parametrize(
    "shape", [*dict.fromkeys(SHAPES), CONTRACT], ids=["machine", "large", "numbers", "host", "contract"]
)
def test_generated_modules_are_valid(shape: Shape) -> None:
    for seed in range(150):
        binary = generate(Random(seed), shape)
        assert objection(binary) is None
        validate(decode(binary))


def test_generation_is_repeatable() -> None:
    assert generate(Random(5)) == generate(Random(5)) != generate(Random(6))


def test_every_instruction_of_the_machine_is_generated_and_run() -> None:
    """And every frequent kind of trap."""
    machine = {row.name for row in ROWS if row.proposal in FEATURES | {"mvp"}}
    written: set[str] = set()
    executed: set[str] = set()
    ends: set[str] = set()
    for seed in range(200):
        generated, calls = drawn(seed)
        written |= {op.name for function in decode(generated.binary).functions for op, _, _ in function.body}
        observation, seen = traced(generated, calls)
        executed |= {name for _, _, name in seen}
        ends |= {outcome for outcome in observation.outcomes if isinstance(outcome, str)}
    assert written == machine
    assert executed == machine - {"else", "end"}
    assert ends >= {"UNREACHABLE", "MEMORY_BOUNDS", "TABLE_BOUNDS", "UNINITIALIZED_ELEMENT", "DIVISION_BY_ZERO"}


def test_contracts_have_the_form_of_contracts() -> None:
    imports = (("ethereum", "useGas", "I:"), ("ethereum", "getCallDataSize", ":i"))
    for seed in range(100):
        generated = build(Random(seed), replace(CONTRACT, imports=imports))
        module = validate(decode(generated.binary))
        assert {(e.name, e.kind) for e in module.exports} == {("memory", "memory"), ("main", "func")}
        assert generated.exports == (("main", ":"),)
        assert {use.feature for use in module.uses} <= {"sign-extension", "memory-copy-fill"}
        assert module.start is None
        assert [(i.module, i.name) for i in module.imports] in (
            [],
            [("ethereum", "useGas"), ("ethereum", "getCallDataSize")],
        )
        assert all(len(type_.results) <= 1 for type_ in module.types)


def test_the_interface_is_what_was_built() -> None:
    for seed in range(50):
        generated = build(Random(seed))
        module = decode(generated.binary)
        functions = {e.name: module.types[module.func_types[e.index]] for e in module.exports if e.kind == "func"}
        assert functions == {
            name: func_type(signature) for name, signature in (*generated.exports, *generated.observers)
        }
        assert [i.name for i in module.imports] == [name for _, name, _ in generated.imports]
    wanted = replace(MACHINE, exports=(("a", "iI:Ii"), ("b", ":")))
    module = decode(generate(Random(1), wanted))
    assert module.types[module.func_types[next(e.index for e in module.exports if e.name == "a")]] == FuncType(
        ("i32", "i64"), ("i64", "i32")
    )
