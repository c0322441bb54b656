"""What it costs that a run can be stopped from outside, and how soon it stops."""

from __future__ import annotations

import statistics
import threading
import time

from benchmarks.code import SIZES, metered, program
from benchmarks.metering import ours
from benchmarks.table import Table, in_turn, median, micro, ratio, verdict
from ewasm.threads import on_fresh_thread
from wasm.compiled import Aborted, CompiledEngine
from wasm.text import assemble

LATENCY = 0.1
"""Seconds; the requirement says only that a run can be stopped, this is soon enough for a person."""

ENDLESS = assemble('(module (func (export "run") (loop $next (br $next))))')


def cost(name: str, rounds: int) -> dict[str, list[float]]:
    """Measure a program on an engine that can be interrupted and one that cannot."""
    module, n = metered(program(name)), SIZES[name]
    instance = CompiledEngine().load(module).instantiate({})
    (expected,) = instance.invoke("run", n)
    forms = {text: CompiledEngine(interruptible=text == "interruptible") for text in ("usual", "interruptible")}
    return in_turn({text: ours(engine, module, n, expected) for text, engine in forms.items()}, rounds)


def latencies(times: int) -> list[float]:
    """Return the seconds from `interrupt` to the end of an endless run."""
    engine = CompiledEngine(interruptible=True)
    loaded = engine.load(metered(ENDLESS))
    found = []
    for _ in range(times):
        ended: list[float] = []

        def run() -> None:
            try:
                loaded.instantiate({}).invoke("run")
            except Aborted:
                ended.append(time.perf_counter())  # noqa: B023  # the thread ends within the round

        thread = threading.Thread(target=on_fresh_thread, args=(engine, run), daemon=True)
        thread.start()
        time.sleep(0.02)
        start = time.perf_counter()
        engine.interrupt()
        thread.join(10)
        found.append(ended[0] - start if ended else float("inf"))
        if not ended:
            break
    return found


def table(*, quick: bool) -> Table:
    """Measure every program, then the time to stop."""
    rounds = 3 if quick else 11
    result = Table(
        "Interruption: `CompiledEngine(interruptible=True)`", ["program", "metered, ms", "interruptible / metered", ""]
    )
    ratios = []
    for name in SIZES:
        samples = on_fresh_thread(CompiledEngine(), lambda n=name: cost(n, rounds))
        ratios.append(ratio(samples, "interruptible", "usual"))
        result.rows.append([name, f"{median(samples, 'usual') * 1e3:.1f}", f"{ratios[-1]:.2f}", "for information"])
    result.rows.append(["geometric mean", "", f"{statistics.geometric_mean(ratios):.2f}", "for information"])
    found = latencies(5 if quick else 20)
    end = f"≤ {micro(LATENCY)}: {verdict(max(found), LATENCY)}"
    text = f"median {micro(statistics.median(found))}, worst {micro(max(found))}"
    result.rows.append(["from `interrupt()` to the end of an endless loop", "", text, end])
    return result
