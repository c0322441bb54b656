"""Micro-programs: they are contracts, and they execute what they claim."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from ewasm.contract import check
from ewasm.ruleset import EWASM
from gas.programs import UNMEASURED, UNROLLED, Program, call_data, programs
from wasm.engine import Engine, HostFunction, Loaded
from wasm.instructions import BY_NAME, ROWS
from wasm.interpreter import Interpreter
from wasm.types import FuncType

PROGRAMS = {program.name: program for program in programs(EWASM.features)}
START = 1 << 50


@cache
def metered(name: str, *, reference: bool) -> Any:
    program = PROGRAMS[name]
    verdict = check(program.reference_code if reference else program.code, EWASM)
    assert verdict.module is not None, verdict.findings
    return EWASM.meter(verdict.module)


def run(loaded: Loaded, iterations: int, **more: Any) -> int:
    """Run a program; return the particles used."""
    data = call_data(iterations)

    def copy(instance: Any, to: int, offset: int, length: int) -> None:
        instance.memory.write(to, data[offset : offset + length])

    imports = {("ethereum", "callDataCopy"): HostFunction(FuncType(("i32", "i32", "i32")), copy)}
    instance = loaded.instantiate(imports, gas=START, **more)
    instance.invoke("main")
    return START - instance.gas


def counted(name: str, iterations: int, *, reference: bool) -> Counter[str]:
    """Return the instructions that a tracer sees."""
    seen: Counter[str] = Counter()

    def trace(_function: int, _offset: int, instruction: str, _operands: tuple[Any, ...], _gas: int) -> None:
        seen[instruction] += 1

    run(Interpreter().load(metered(name, reference=reference)), iterations, tracer=trace)
    return seen


def price(program: Program, *, reference: bool) -> int:
    """Return what an iteration should cost."""
    schedule = EWASM.schedule
    total = sum(schedule.instructions[name] * count for name, count in program.counts(reference=reference).items())
    if program.operand and not reference:
        unit, shift = schedule.operands[program.paid[-1]]
        total += UNROLLED * unit * -(-program.operand // 2**shift)
    return total


def test_every_instruction_has_a_program_or_an_excuse() -> None:
    wanted = {op.name for op in ROWS if op.proposal == "mvp" or op.proposal in EWASM.features}
    assert wanted == EWASM.schedule.instructions.keys()
    measured = {program.paid[0] for program in PROGRAMS.values()}
    assert measured.isdisjoint(UNMEASURED)
    assert measured | UNMEASURED.keys() == wanted


def test_instructions_of_features_that_are_off_have_none() -> None:
    assert {program.paid[0] for program in programs(())} == {
        name for name, op in BY_NAME.items() if op.proposal == "mvp" and name not in UNMEASURED
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_executes_what_it_claims(name: str) -> None:
    program = PROGRAMS[name]
    for reference in (False, True):
        more = counted(name, 5, reference=reference) - counted(name, 3, reference=reference)
        assert more == Counter({key: 2 * n for key, n in program.counts(reference=reference).items()})
    difference = program.counts()
    difference.subtract(program.counts(reference=True))
    assert difference[program.paid[0]] == UNROLLED * program.times


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_charged_for_what_it_claims(name: str, engine: Engine) -> None:
    for reference in (False, True):
        loaded = engine.load(metered(name, reference=reference))
        used = run(loaded, 5) - run(loaded, 3)
        assert used == 2 * price(PROGRAMS[name], reference=reference)
