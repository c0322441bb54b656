"""Counters beside the charges: what they tell is what a tracer sees, on every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from gas.counting import PREFIX, Counted, count
from gas.meter import STACK_BUDGET
from gas.metering import meter
from gas.schedule import EWASM, FREE, Schedule
from tests.gas.bodies import HOST, program, random_schedule
from tests.gas.runs import Finished, Outcome, bind, host, run
from tests.helpers import wat
from wasm.compiled import CompiledEngine
from wasm.decode import decode
from wasm.engine import Engine, HostFunction
from wasm.errors import Trap
from wasm.interpreter import Interpreter
from wasm.module import ValidModule
from wasm.types import FuncType
from wasm.validate import validate

SEEDS = 100
GAS = 50_000_000


def prepared(module: ValidModule, schedule: Schedule) -> Counted:
    return count(module, meter(module, schedule), schedule)


def counters(engine: Engine, given: Any, counted: Counted, arguments: tuple[int, ...]) -> tuple[Any, Any, str]:
    """Run a module that counts; return what it counted, and how it ended."""
    instance = engine.load(counted.module).instantiate(bind(host(Outcome(), given.seed)), gas=GAS, stack=STACK_BUDGET)
    end = "returned"
    try:
        instance.invoke("main", *arguments)
    except Finished:
        end = "finished"
    except Trap as trap:
        end = trap.kind.name
    return (*counted.read(instance), end)


def executed(times: Any) -> Counter[tuple[int, int, str]]:
    """Return how often each instruction ran, as the counters tell."""
    found: Counter[tuple[int, int, str]] = Counter()
    for point, number in times.items():
        for offset, op in point.instructions:
            found[point.function, offset, op.name] += number
    return found


def cases() -> Iterator[tuple[Any, Counted, tuple[int, ...], Schedule]]:
    for seed in range(SEEDS):
        given = program(seed)
        schedule = EWASM
        yield given, prepared(given.module, schedule), given.arguments[seed % 3], schedule


def test_counters_tell_what_a_tracer_sees(engine: Engine) -> None:
    ends: Counter[str] = Counter()
    for given, counted, arguments, schedule in cases():
        times, operands, end = counters(engine, given, counted, arguments)
        ends[end] += 1
        if end not in ("returned", "finished"):
            continue
        seen: Counter[tuple[int, int, str]] = Counter()
        by_operand: Counter[tuple[int, int]] = Counter()

        def trace(
            function: int,
            offset: int,
            name: str,
            values: tuple[Any, ...],
            _gas: int,
            seen: Counter[tuple[int, int, str]] = seen,
            by_operand: Counter[tuple[int, int]] = by_operand,
        ) -> None:
            seen[function, offset, name] += 1
            if name in EWASM.operands:
                unit, shift = EWASM.operands[name]
                by_operand[function, offset] += unit * -(-values[-1] // 2**shift)

        plain = run(Interpreter().load(meter(given.module, schedule)), arguments, GAS, seed=given.seed, tracer=trace)
        assert executed(times) == seen, given
        assert Counter(operands) == +by_operand, given
        locals_ = sum(number * (point.locals or 0) * schedule.local for point, number in times.items())
        priced = sum(EWASM.instructions[name] * number for (_, _, name), number in seen.items())
        assert locals_ + priced + sum(operands.values()) == GAS - plain.gas
    assert ends["returned"] + ends["finished"] > SEEDS / 4


def test_engines_count_alike_however_a_run_ends() -> None:
    ends: Counter[str] = Counter()
    for given, counted, arguments, _ in cases():
        one = counters(Interpreter(), given, counted, arguments)
        other = counters(CompiledEngine(), given, counted, arguments)
        assert one == other, given
        ends[one[2]] += 1
    assert {"OUT_OF_GAS", "UNREACHABLE", "returned"} <= ends.keys()


@pytest.mark.parametrize("free", [False, True])
def test_prices_do_not_change_what_is_counted(engine: Engine, free: bool) -> None:
    for seed in range(30):
        given = program(seed)
        schedule = FREE if free else random_schedule(Random(seed), least=1)
        bounded = Schedule(schedule.instructions, {}, schedule.local, 0)
        one = counters(engine, given, prepared(given.module, EWASM), given.arguments[0])
        if one[2] not in ("returned", "finished"):
            continue
        other = counters(engine, given, prepared(given.module, bounded), given.arguments[0])
        if other[2] == one[2]:
            assert executed(one[0]) == executed(other[0])


def test_a_function_that_begins_is_counted_whatever_it_holds(engine: Engine) -> None:
    module = validate(decode(wat(
        """(module (import "host" "note" (func $note (param i32)))
          (func $empty)
          (func $loop (local i64) (local $n i32) (local.set $n (i32.const 3))
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
          (func $at_once (loop))
          (func (export "main") (call $empty) (call $empty) (call $loop) (call $at_once) (call $at_once) (call $at_once)))"""
    )))  # fmt: skip
    counted = prepared(module, EWASM)
    imports = {("host", "note"): HostFunction(FuncType(("i32",)), lambda *_: None)}
    instance = engine.load(counted.module).instantiate(imports, gas=GAS, stack=STACK_BUDGET)
    instance.invoke("main")
    times, _ = counted.read(instance)
    begun = {point.function: (number, point.locals) for point, number in times.items() if point.locals is not None}
    assert begun == {1: (2, 0), 2: (1, 2), 3: (3, 0), 4: (1, 0)}
    by_name: Counter[tuple[int, str]] = Counter()
    for (function, _, name), number in executed(times).items():
        by_name[function, name] += number
    assert (by_name[2, "br_if"], by_name[2, "loop"], by_name[3, "loop"], by_name[4, "call"]) == (3, 3, 3, 6)


def test_a_module_that_counts_runs_as_it_did(engine: Engine) -> None:
    """The same results, gas and memory at the end, and at every host call, with counters and without."""
    for seed in range(40):
        given = program(seed)
        metered = meter(given.module, EWASM)
        counted = count(given.module, metered, EWASM)
        plain = run(engine.load(metered), given.arguments[0], GAS, seed=seed).as_seen()
        assert run(engine.load(counted.module), given.arguments[0], GAS, seed=seed).as_seen() == plain


def test_counters_stand_behind_the_module_s_own_names() -> None:
    given = program(1)
    counted = prepared(given.module, EWASM)
    added = counted.module.exports[len(given.module.exports) :]
    assert [e.name for e in added] == [f"{PREFIX}{n}" for n in range(len(counted.points) + len(counted.places))]
    assert counted.module.exports[: len(given.module.exports)] == given.module.exports
    assert {f.weight for f in counted.module.functions} == {f.weight for f in meter(given.module, EWASM).functions}
    assert len(HOST) == len(given.module.imported("func"))
