"""How fast code is prepared: decoded, validated, metered; and whether that grows with its length and no faster."""

from __future__ import annotations

import shutil
import subprocess
import time

from benchmarks.code import UNBOUNDED, code_bytes, fixture, repeated
from benchmarks.table import Table, Timed, in_turn, median, timed, verdict
from ewasm.cache import collector_paused
from ewasm.contract import check
from gas.metering import meter
from wasm.compiled.emission import emit
from wasm.decode import decode
from wasm.encode import encode
from wasm.validate import validate

RATE, GROWTH = 0.5, 4.6
REPEATED = (10, 20, 40, 80, 160)
LARGEST = ("every_extra", "caller", "erc20")


@collector_paused()
def prepared(binary: bytes) -> None:
    """Decode, validate, meter: what the bound is about, as the code cache does it."""
    meter(validate(decode(binary)), UNBOUNDED.schedule, UNBOUNDED.limits.memory_pages)


@collector_paused()
def judged(binary: bytes) -> None:
    """Judge by all rules of a ruleset, then meter: what a message does with new code before it is compiled."""
    module = check(binary, UNBOUNDED).module
    assert module is not None
    meter(module, UNBOUNDED.schedule, 128)


def emitted(binary: bytes) -> Timed:
    """Return the rewriting for the compiled engine, and its encoding; nothing is kept that a collector would visit."""

    def run() -> float:
        module = meter(validate(decode(binary)), UNBOUNDED.schedule, 128)
        return timed(lambda: encode(emit(module)))()

    return run


def wabt(tool: str, binary: bytes) -> Timed:
    """Return a run of `wasm-validate`, its process included."""

    def run() -> float:
        start = time.perf_counter()
        subprocess.run([tool, "-"], input=binary, check=True)
        return time.perf_counter() - start

    return run


def title(times: int) -> str:
    """Name a long module."""
    return f"ERC-20's functions, {times} times"


def table(*, quick: bool) -> Table:
    """Measure real contracts and long ones."""
    rounds = 3 if quick else 7
    codes = {name: fixture(name) for name in LARGEST} | {title(times): repeated(times) for times in REPEATED}
    variants: dict[str, Timed] = {}
    for name, code in codes.items():
        variants[name] = timed(lambda c=code: prepared(c), max(1, 20_000 // len(code)))
        variants[f"{name} judged"] = timed(lambda c=code: judged(c), max(1, 20_000 // len(code)))
        variants[f"{name} emitted"] = emitted(code)
    tool = shutil.which("wasm-validate")
    if tool:
        variants |= {f"{name} wabt": wabt(tool, code) for name, code in codes.items()} | {
            "empty wabt": wabt(tool, fixture("wat/empty"))
        }
    found = in_turn(variants, rounds)
    header = ["module", "bytes of code", "decode + validate + meter, MB/s", "all rules + meter, MB/s", "emission, MB/s"]
    result = Table("Preparing code, cold", [*header, "`wasm-validate`, MB/s", "bound", ""])
    for name, code in codes.items():
        size = code_bytes(code)
        rates = [size / median(found, variant) / 1e6 for variant in (name, f"{name} judged", f"{name} emitted")]
        peer = ""
        if tool:
            taken = median(found, f"{name} wabt") - median(found, "empty wabt")
            peer = f"{size / taken / 1e6:.3g}" if taken > 4e-3 else "too fast to tell"
        cells = [f"{rate:.2f}" for rate in rates]
        result.rows.append([name, f"{size:,}", *cells, peer, f"≥ {RATE}", verdict(rates[0], RATE, at_least=True)])
    for small, large in zip(REPEATED, REPEATED[2:], strict=False):
        names = [title(times) for times in (large, small)]
        growths = [
            sorted(a / b for a, b in zip(found[names[0] + form], found[names[1] + form], strict=True))[rounds // 2]
            for form in ("", " judged", " emitted")
        ]
        what = f"time for {large} times / {small} times"
        cells = [f"{growth:.2f}" for growth in growths]
        result.rows.append([what, "", *cells, "", f"≤ {GROWTH}", verdict(growths[0], GROWTH)])
    result.notes.append(
        "Time for 4 n over time for n: medians of the ratios within a round."
        + (" `wasm-validate` is wabt's, without its start." if tool else " `wasm-validate` (wabt) is not installed.")
    )
    return result
