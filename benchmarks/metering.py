"""What the counters cost: programs without counters, with ours, with Wasmtime's fuel."""

from __future__ import annotations

import statistics
import time

import wasmtime

from benchmarks.code import SIZES, fuel_engine, metered, plain_engine, program, without_weights
from benchmarks.table import Table, Timed, in_turn, least, median, ratio, spread, verdict
from ewasm.threads import on_fresh_thread
from gas.emission import write_out
from gas.meter import STACK_BUDGET
from gas.metering import MeteredModule
from wasm.compiled import CompiledEngine
from wasm.encode import encode
from wasm.engine import NO_LIMIT

MEAN, WORST, FUEL_GAS, FUEL_BOTH = 1.20, 1.5, 1.0, 1.15
PLAIN, GAS, BOTH, FUEL, GLOBALS = "unmetered", "gas", "gas and stack", "fuel", "both in globals"


def ours(engine: CompiledEngine, module: MeteredModule, n: int, expected: int) -> Timed:
    """Return a run on our engine."""
    instance = engine.load(module).instantiate({})

    def run() -> float:
        instance.gas, instance.stack = NO_LIMIT, STACK_BUDGET
        start = time.thread_time()
        (result,) = instance.invoke("run", n)
        taken = time.thread_time() - start
        if result != expected:
            raise SystemExit(f"the engines disagree: {result}, not {expected}")
        return taken

    return run


def peer(engine: wasmtime.Engine, binary: bytes, n: int, *, fuel: bool) -> tuple[Timed, int]:
    """Return a run on Wasmtime, and its result."""
    store = wasmtime.Store(engine)
    limit = (1 << 63) - 1
    if fuel:
        store.set_fuel(limit)
    function = wasmtime.Instance(store, wasmtime.Module(engine, binary), []).exports(store)["run"]
    assert isinstance(function, wasmtime.Func)

    def run() -> float:
        if fuel:
            store.set_fuel(limit)
        start = time.thread_time()
        function(store, n)
        return time.thread_time() - start

    return run, function(store, n) & 0xFFFF_FFFF


def measure(name: str, rounds: int) -> dict[str, list[float]]:
    """Measure one program in all forms."""
    binary, n = program(name), SIZES[name]
    module = metered(binary)
    plain, expected = peer(plain_engine(), binary, n, fuel=False)
    fuel, same = peer(fuel_engine(), binary, n, fuel=True)
    if same != expected:
        raise SystemExit(f"{name}: the engines disagree")
    globals_, _ = peer(plain_engine(), encode(write_out(module, gas=NO_LIMIT)), n, fuel=False)
    engine = CompiledEngine()
    gas = ours(engine, without_weights(module), n, expected)
    both = ours(engine, module, n, expected)
    return in_turn({PLAIN: plain, GAS: gas, BOTH: both, FUEL: fuel, GLOBALS: globals_}, rounds)


def table(*, quick: bool) -> Table:
    """Measure every program."""
    found = {name: on_fresh_thread(CompiledEngine(), lambda n=name: measure(n, 5 if quick else 21)) for name in SIZES}
    header = ["program", "unmetered, ms", "spread", GAS, BOTH, FUEL, GLOBALS, "gas / fuel", "both / fuel", "bounds"]
    result = Table("Metering: time over that of the unmetered program", header)
    ratios: dict[str, list[float]] = {GAS: [], BOTH: [], FUEL: [], GLOBALS: []}
    fastest = {form: [least(samples, form, PLAIN) for samples in found.values()] for form in ratios}
    for name, samples in found.items():
        over = {form: ratio(samples, form, PLAIN) for form in ratios}
        for form, value in over.items():
            ratios[form].append(value)
        gas_fuel, both_fuel = ratio(samples, GAS, FUEL), ratio(samples, BOTH, FUEL)
        missed = [
            text
            for text, value, bound in (
                (f"both ≤ {WORST}", over[BOTH], WORST),
                (f"gas / fuel ≤ {FUEL_GAS}", gas_fuel, FUEL_GAS),
                (f"both / fuel ≤ {FUEL_BOTH}", both_fuel, FUEL_BOTH),
            )
            if round(value, 2) > bound
        ]
        cells = [f"{value:.2f}" for value in (*over.values(), gas_fuel, both_fuel)]
        end = f"**missed**: {', '.join(missed)}" if missed else "met"
        result.rows.append([name, f"{median(samples, PLAIN) * 1e3:.1f}", spread(samples, PLAIN), *cells, end])
    minima = {form: statistics.geometric_mean(values) for form, values in fastest.items()}
    means = {form: statistics.geometric_mean(values) for form, values in ratios.items()}
    cells = [f"{value:.2f}" for value in (*means.values(), means[GAS] / means[FUEL], means[BOTH] / means[FUEL])]
    end = f"both ≤ {MEAN:.2f}: {verdict(means[BOTH], MEAN)}"
    result.rows.append(["geometric mean", "", "", *cells, end])
    cells = [f"{value:.2f}" for value in (*minima.values(), minima[GAS] / minima[FUEL], minima[BOTH] / minima[FUEL])]
    result.rows.append(["the same of the fastest rounds", "", "", *cells, "for information"])
    result.notes.append(
        f"A program: both ≤ {WORST} times unmetered, gas alone ≤ {FUEL_GAS} times fuel, both ≤ {FUEL_BOTH} times fuel,"
        " which counts no stack. Judged as printed, to two digits; differences of 0.03 are noise."
    )
    return result
