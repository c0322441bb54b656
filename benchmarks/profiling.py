"""What a profile costs: on the interpreter, and in quick mode on the compiled engine."""

from __future__ import annotations

import statistics
from collections.abc import Callable

from benchmarks.code import SIZES, metered, program
from benchmarks.table import Table, Timed, in_turn, median, ratio, timed, verdict
from ewasm.ruleset import EWASM
from ewasm.threads import on_fresh_thread
from gas.collector import Collector
from gas.counting import count
from gas.meter import STACK_BUDGET
from gas.metering import meter
from gas.profile import Contract
from wasm.compiled import CompiledEngine
from wasm.decode import decode
from wasm.engine import NO_LIMIT, Profiler
from wasm.interpreter import Interpreter
from wasm.text import assemble
from wasm.validate import validate

BOUND = 3.0
PLAIN, PROFILED, COMPILED, QUICK = "interpreter", "profiled", "compiled", "quick"

INTERPRETED = {
    "fib": 19,
    "sieve": 1,
    "xorshift": 1_000,
    "indirect": 20_000,
    "sha256": 64,
    "keccak": 24,
    "blake2b": 128,
    "mulmod": 400,
    "quicksort": 1,
    "token": 800,
    "copy": 16,
    "machine": 4_000,
}
"""The programs, and the argument with which one runs on the interpreter for at least some 30 ms."""

CALLS = assemble(f"""
(module
  (func $nothing)
  (func (export "run") (param $n i32) (result i32)
    (loop $next
      {"(call $nothing)" * 50}
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.const 0)))
""")
"""Calls of a function that does nothing: the most that a profile has to listen to."""


def interpreted(binary: bytes, n: int, *, profile: bool) -> Timed:
    """Return a run on the interpreter."""
    code = Interpreter().load(metered(binary))

    def run() -> None:
        collector = Collector(EWASM.schedule)
        profiler: Profiler | None = collector.begin(Contract("", binary, False), 0) if profile else None
        code.instantiate({}, gas=NO_LIMIT, stack=STACK_BUDGET, profiler=profiler).invoke("run", n)

    return timed(run)


def compiled(binary: bytes, n: int, *, quick: bool) -> Timed:
    """Return a run on the compiled engine, with counters beside the charges if it is `quick`."""
    module = validate(decode(binary))
    code = metered(binary)
    if quick:
        code = count(module, meter(module, EWASM.schedule), EWASM.schedule).module
    instance = CompiledEngine().load(code).instantiate({})

    def run() -> None:
        instance.gas, instance.stack = NO_LIMIT, STACK_BUDGET
        instance.invoke("run", n)

    return timed(run)


def measure(name: str, binary: bytes, small: int, large: int, rounds: int) -> list[str]:
    """Return a program's row."""
    forms: dict[str, Callable[[], Timed]] = {
        PLAIN: lambda: interpreted(binary, small, profile=False),
        PROFILED: lambda: interpreted(binary, small, profile=True),
        COMPILED: lambda: compiled(binary, large, quick=False),
        QUICK: lambda: compiled(binary, large, quick=True),
    }
    samples = in_turn({form: make() for form, make in forms.items()}, rounds)
    over = ratio(samples, PROFILED, PLAIN)
    return [
        name,
        f"{median(samples, PLAIN) * 1e3:.0f}",
        f"{over:.2f}",
        f"{median(samples, COMPILED) * 1e3:.1f}",
        f"{ratio(samples, QUICK, COMPILED):.2f}",
        f"≤ {BOUND:.0f}",
        verdict(over, BOUND),
    ]


def table(*, quick: bool) -> Table:
    """Measure every program, and functions that only call."""
    result = Table(
        "Profiling: time over that without a profile",
        ["program", "interpreter, ms", "profiled", "compiled, ms", "quick", "bound of profiled", ""],
        notes=["Making the report is not in it. The interpreter runs fewer rounds of a program."],
    )
    programs = {name: (program(name), INTERPRETED[name], SIZES[name]) for name in SIZES}
    for name, (binary, small, large) in (programs | {"nothing but calls": (CALLS, 1_000, 500_000)}).items():
        result.rows.append(
            on_fresh_thread(Interpreter(), lambda a=(name, binary, small, large): measure(*a, 3 if quick else 11))
        )
    for column in (2, 4):
        mean = statistics.geometric_mean(float(row[column]) for row in result.rows[: len(programs)])
        result.notes.append(f"Geometric mean of the programs, {result.header[column]}: {mean:.2f}.")
    return result
