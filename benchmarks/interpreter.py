"""The interpreter against pywasm: WebAssembly instructions a second on a loop of local, i32 and memory instructions.

Ours runs the metered module with tracing off; inserted instructions are not counted. Both run the same module in turn,
so the ratio is of one sitting. `pip install pywasm`, then `python -m benchmarks.interpreter`.
"""

from __future__ import annotations

import importlib.metadata
import io
import platform
import statistics
import time
from collections.abc import Callable

from ewasm.ruleset import EWASM
from gas.metering import meter
from wasm.decode import decode
from wasm.interpreter import Interpreter
from wasm.text import assemble
from wasm.validate import validate

LOOP = """
(module (memory 1)
  (func (export "run") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $next
      (local.set $sum
        (i32.add (local.get $sum) (i32.load (i32.and (local.get $i) (i32.const 0xfffc)))))
      (i32.store (i32.and (local.get $i) (i32.const 0xfffc)) (i32.xor (local.get $sum) (local.get $i)))
      (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $sum)))
"""
SITTINGS = 7


def ours(binary: bytes) -> Callable[[int], int]:
    """Return the loop on our interpreter, metered."""
    module = meter(validate(decode(binary)), EWASM.schedule)
    instance = Interpreter().load(module).instantiate({}, gas=1 << 62, stack=65_536)
    return lambda n: int(instance.invoke("run", n)[0])


def pywasm_loop(binary: bytes) -> Callable[[int], int]:
    """Return the loop on pywasm."""
    import pywasm  # noqa: PLC0415  # a peer, installed for this comparison only

    runtime = pywasm.core.Runtime()
    instance = runtime.instance(pywasm.ModuleDesc.from_reader(io.BytesIO(binary)))
    return lambda n: int(runtime.invocate(instance, "run", [n])[0]) & 0xFFFF_FFFF


def instructions(binary: bytes, n: int) -> int:
    """Return how many instructions a run executes, counted by the tracer."""
    count = 0

    def trace(*_: object) -> None:
        nonlocal count
        count += 1

    Interpreter().load(validate(decode(binary))).instantiate({}, tracer=trace).invoke("run", n)
    return count


def rate(run: Callable[[int], int], n: int, count: int) -> float:
    """Return million instructions a second."""
    start = time.perf_counter()
    run(n)
    return count / (time.perf_counter() - start) / 1e6


def main() -> None:
    """Print the table."""
    binary = assemble(LOOP)
    mine, peer = ours(binary), pywasm_loop(binary)
    sizes = {mine: 100_000, peer: 4_000}
    counts = {run: instructions(binary, n) for run, n in sizes.items()}
    if mine(1_000) != peer(1_000):
        raise SystemExit("the engines disagree")
    rates = [[rate(run, n, counts[run]) for run, n in sizes.items()] for _ in range(SITTINGS)]
    versions = f"pywasm {importlib.metadata.version('pywasm')}, Python {platform.python_version()}"
    print(f"{versions}, median of {SITTINGS} sittings\n")
    print("| engine | million instructions a second | ratio |")
    print("|---|---:|---:|")
    print(f"| interpreter, metered | {statistics.median(r[0] for r in rates):.2f} | ", end="")
    print(f"{statistics.median(r[0] / r[1] for r in rates):.1f} |")
    print(f"| pywasm | {statistics.median(r[1] for r in rates):.2f} | 1 |")


if __name__ == "__main__":
    main()
