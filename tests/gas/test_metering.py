"""Metering as a whole: over random bodies the charges against a trace's prices, the weight of frames, the limits."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from itertools import pairwise
from random import Random
from time import process_time
from typing import Any

import pytest

from gas.metering import MAX_BLOCK, charge_points, inject, meter
from gas.schedule import EWASM, FREE, Schedule, Unpriced
from tests.gas.bodies import HOST, MAX_PAGES, Program, code, program, random_schedule
from tests.gas.runs import ANSWERS, Finished, WrittenOut, bind, run
from tests.gas.witness import Enough, Witness
from tests.helpers import wat
from wasm.decode import decode
from wasm.engine import Engine, Instance
from wasm.errors import Trap, TrapKind
from wasm.instructions import CHARGE, CHARGE_OPERAND, INSERTED
from wasm.module import Function, Module, ValidModule
from wasm.types import Limits
from wasm.validate import validate

MODULES = int(os.environ.get("GAS_MODULES", "3200"))
"""Random modules whose charges are held against the witness; the variable is for longer runs by hand."""

FIRST = int(os.environ.get("GAS_FIRST_SEED", "0"))
GROUPS = 8
START = 1 << 62
STEPS = 400


def wasm(text: str) -> ValidModule:
    return validate(decode(wat(text)))


# The charged sum and the priced sum


def hold(engine: Engine, given: Program, seed: int, ends: Counter[str]) -> None:
    """Run a module under prices of its own, the counter held against the witness at every step, call and end."""
    rng = Random(seed)
    schedule = EWASM if seed % 9 == 0 else random_schedule(rng)
    loaded = engine.load(meter(given.module, schedule))
    witness: Witness

    def note(gas: int, *_: int) -> None:
        assert gas == START - witness.sum
        ends["host calls"] += 1

    def ask(gas: int) -> int:
        note(gas)
        return rng.choice(ANSWERS)

    def finish(gas: int) -> None:
        note(gas)
        raise Finished

    imports = bind({"note": note, "ask": ask, "finish": finish})
    for arguments in given.arguments:
        witness = Witness(given.module, schedule, len(HOST), START, STEPS)
        instance = loaded.instantiate(imports, gas=START, tracer=witness)
        ends[_end(instance, arguments, witness)] += 1
        ends["steps"] += witness.steps


def _end(instance: Instance, arguments: tuple[int, ...], witness: Witness) -> str:
    try:
        instance.invoke("main", *arguments)
    except Finished:
        return "finish"
    except Enough:
        return "enough"
    except Trap as trap:
        return trap.kind.name
    assert instance.gas == START - witness.sum
    return "return"


@pytest.mark.parametrize("group", range(GROUPS))
def test_charges_cover_what_runs_and_are_equal_at_calls_and_ends(group: int, engine: Engine) -> None:
    if not engine.traces:
        pytest.skip(f"{engine.name} does not trace")
    ends: Counter[str] = Counter()
    for seed in range(FIRST + group, FIRST + MODULES, GROUPS):
        given = program(seed)
        try:
            hold(engine, given, seed, ends)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{given}") from error
    # What the sample must hold, so that the test means something.
    runs = MODULES // GROUPS
    assert ends["return"] > 2 * runs
    assert ends["host calls"] > runs / 2
    assert ends["steps"] > 60 * runs
    for kind in ("finish", "enough", "UNREACHABLE", "DIVISION_BY_ZERO", "UNDEFINED_ELEMENT", "UNINITIALIZED_ELEMENT"):
        assert ends[kind], kind


def test_inserted_instructions_are_not_traced(engine: Engine) -> None:
    """A module shows the same trace before and after metering, but for the gas."""
    if not engine.traces:
        pytest.skip(f"{engine.name} does not trace")
    for seed in range(60):
        given = program(seed)
        traces = []
        for module in (given.module, meter(given.module, EWASM)):
            trace: list[tuple[Any, ...]] = []

            def tracer(*event: Any, trace: list[tuple[Any, ...]] = trace) -> None:
                trace.append(event[:4])
                if len(trace) == STEPS:
                    raise Enough

            with suppress(Enough):
                run(engine.load(module), given.arguments[0], START, tracer=tracer)
            traces.append(trace)
        assert traces[0] == traces[1]


def test_the_witness_alone_against_sums_by_hand(engine: Engine) -> None:
    """The witness of the property test is right where one can count."""
    if not engine.traces:
        pytest.skip(f"{engine.name} does not trace")
    module = wasm(
        """(module (memory 1 2)
          (func $main (export "main") (local i32 i64)                  ;; 2 locals, 1 each
            (local.set 0 (i32.const 3))                                ;; 1 + 120
            (loop $again                                               ;; 1, three times
              (local.set 0 (i32.sub (local.get 0) (i32.const 1)))      ;; (120 + 1 + 45 + 120), three times
              (br_if $again (local.get 0)))                            ;; (120 + 90), three times
            (call $inner)                                              ;; 90
            (if (local.get 0) (then nop nop) (else nop))               ;; 120 + 90 + 1
            (drop (memory.grow (i32.const 2)))                         ;; 1 + 10,000 + 2 pages + 120
            (memory.fill (i32.const 0) (i32.const 0) (i32.const 129))) ;; 3 + 1,000 + 3 words
          (func $inner (local i64)))                                   ;; 1 local"""
    )
    price = 2 + 121 + 3 * (1 + 286 + 210) + 90 + 1 + 211 + (10_121 + 20_000_000) + (1_003 + 3_000)
    witness = Witness(module, EWASM, 0, START)
    instance = engine.load(meter(module, EWASM)).instantiate({}, gas=START, tracer=witness)
    instance.invoke("main")
    assert witness.sum == START - instance.gas == price


# Frames


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        # 4 + locals with parameters + greatest operand height + half the instructions, `end` included, rounded up
        ("(func)", 4 + 0 + 0 + 1),
        ("(func nop)", 4 + 0 + 0 + 1),
        ("(func nop nop)", 4 + 0 + 0 + 2),
        ("(func (param i32 i64) (local i64 i32 i32))", 4 + 5 + 0 + 1),
        ("(func (drop (i64.add (i64.const 1) (i64.const 2))))", 4 + 0 + 2 + 3),
        ("(func (result i32) i32.const 1 i32.const 2 i32.const 3 drop drop)", 4 + 0 + 3 + 3),
        ("(func (block (loop (if (i32.const 1) (then) (else)))))", 4 + 0 + 1 + 5),
        ("(func i32.const 1 (block (result i32) i32.const 2 i32.const 3 br 0) drop drop)", 4 + 0 + 3 + 5),
    ],
)
def test_weight_of_a_frame(text: str, weight: int) -> None:
    source = wasm(f"(module {text})")
    for schedule in (EWASM, FREE):
        assert meter(source, schedule).functions[0].weight == weight


def test_weight_takes_runs_of_locals_unexpanded() -> None:
    function = Function(0, ((40_000, "i32"), (9_000, "i64")), (*code("end"),))
    module = validate(Module(types=wasm("(module (func))").types, functions=(function,)))
    assert meter(module, EWASM).functions[0].weight == 4 + 49_000 + 1


@pytest.mark.parametrize(
    ("stack", "gas", "end"),
    [
        # main weighs 5 and pays 90 for the call when it is entered; what it calls weighs 7 and pays 2 for its locals
        (12, 92, None),
        (12, 91, TrapKind.OUT_OF_GAS),
        (11, 92, TrapKind.STACK_OVERFLOW),
        (11, 91, TrapKind.STACK_OVERFLOW),
        (11, 90, TrapKind.STACK_OVERFLOW),
        (11, 89, TrapKind.OUT_OF_GAS),
        (5, 90, TrapKind.STACK_OVERFLOW),
        (5, 89, TrapKind.OUT_OF_GAS),
        (4, 92, TrapKind.STACK_OVERFLOW),
        (4, 0, TrapKind.STACK_OVERFLOW),
        (0, 0, TrapKind.STACK_OVERFLOW),
    ],
)
def test_at_entry_the_stack_is_taken_first(engine: Engine, stack: int, gas: int, end: TrapKind | None) -> None:
    module = wasm('(module (memory (export "memory") 1) (func (export "main") (call 1)) (func (local i32 i32)))')
    metered = meter(module, EWASM)
    assert [f.weight for f in metered.functions] == [5, 7]
    ours = run(engine.load(metered), (), gas, stack=stack)
    theirs = WrittenOut(metered).on_wasmtime((), gas, stack=stack)
    assert ours.end == theirs.end == (end or "returned")


# What else metering does to a module


def test_maximum_of_memories_is_cut() -> None:
    for given, bound, expected in (
        ("1", 128, Limits(1, 128, 1)),
        ("1 64", 128, Limits(1, 64, 1)),
        ("1 128", 128, Limits(1, 128, 1)),
        ("1 65536", 128, Limits(1, 128, 1)),
        ("2 2", 2, Limits(2, 2, 1)),
        ("1", None, Limits(1)),
        ("1 65536", None, Limits(1, 65536, 1)),
    ):
        assert meter(wasm(f"(module (memory {given}))"), EWASM, bound).memories[0].limits == expected


def test_custom_sections_and_padded_integers_are_dropped() -> None:
    custom = b"\0\x05\x04name"
    padded = wat("(module (func))") + custom
    module = validate(decode(padded, keep_customs=True))
    assert module.customs
    metered = meter(module, EWASM)
    assert (metered.customs, dict(metered.widths), metered.sections) == ((), {}, frozenset())


def test_the_source_is_not_changed() -> None:
    given = program(1)
    before = repr(given.module)
    meter(given.module, EWASM)
    assert repr(given.module) == before


def test_without_charges_the_source_comes_back() -> None:
    for seed in range(100):
        given = program(seed)
        metered = meter(given.module, random_schedule(Random(seed)), MAX_PAGES)
        for before, after in zip(given.module.functions, metered.functions, strict=True):
            assert tuple(i for i in after.body if i.op not in INSERTED) == before.body
            assert (after.type, after.locals, after.height) == (before.type, before.locals, before.height)


def test_a_charge_has_the_place_of_what_it_stands_before() -> None:
    body = meter(program(3).module, EWASM).functions[0].body
    for charge, following in pairwise(body):
        if charge.op in INSERTED:
            assert charge.offset == following.offset


def test_free_instructions_need_no_charge() -> None:
    for seed in range(50):
        metered = meter(program(seed).module, FREE)
        assert not any(i.op in (CHARGE, CHARGE_OPERAND) for f in metered.functions for i in f.body)


@pytest.mark.parametrize("body", ["nop", "unreachable nop", "return nop", "block nop end", "unreachable block nop end"])
def test_what_has_no_price_is_refused_dead_or_not(body: str) -> None:
    module = wasm(f"(module (func {body}))")
    prices = {name: price for name, price in EWASM.instructions.items() if name != "nop"}
    meter(module, EWASM)
    with pytest.raises(Unpriced, match="nop has no price"):
        meter(module, Schedule(prices, {}, local=1, page=0))


def test_a_block_of_2_62_particles_is_refused() -> None:
    body = (*code("nop", "end"),)
    assert inject(body, {0: MAX_BLOCK - 1}, {})[0].imm == MAX_BLOCK - 1
    with pytest.raises(OverflowError, match="2\\^62"):
        inject(body, {0: MAX_BLOCK}, {})


def test_algorithm_is_linear() -> None:
    """A body nested deeply is metered at once: nothing looks at all frames for every instruction."""
    depth = 10_000
    body = (*code(*["block"] * depth, *["nop", "block", "end"] * depth, *["end"] * depth, "end"),)
    start = process_time()
    costs, _ = charge_points(body, 0, EWASM)
    assert costs == {0: 3 * depth}
    assert process_time() - start < 2
