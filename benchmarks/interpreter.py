"""The interpreter against pywasm: WebAssembly instructions a second on a loop of local, i32 and memory instructions.

Ours runs the metered module with tracing off; inserted instructions are not counted.
"""

from __future__ import annotations

import importlib.metadata
import io
from collections.abc import Callable
from importlib.util import find_spec

from benchmarks.table import Table, in_turn, median, ratio, timed, verdict
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
BOUND = 10.0


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


def table(*, quick: bool) -> Table:
    """Measure both on the same loop."""
    result = Table("Interpreter", ["engine", "million instructions a second", "ratio", "bound", ""])
    if find_spec("pywasm") is None:
        result.notes.append("The peer is not installed: `pip install pywasm`.")
        return result
    binary = assemble(LOOP)
    mine, peer = ours(binary), pywasm_loop(binary)
    if mine(1_000) != peer(1_000):
        raise SystemExit("the engines disagree")
    sizes = {"ours": 100_000, "pywasm": 4_000}
    counts = {name: instructions(binary, n) for name, n in sizes.items()}
    variants = {"ours": timed(lambda: mine(sizes["ours"])), "pywasm": timed(lambda: peer(sizes["pywasm"]))}
    found = in_turn(variants, 3 if quick else 11)
    rates = {name: [counts[name] / seconds / 1e6 for seconds in values] for name, values in found.items()}
    faster = ratio(rates, "ours", "pywasm")
    end = [f"≥ {BOUND:.0f}", verdict(faster, BOUND, at_least=True)]
    result.rows.append(["interpreter, metered", f"{median(rates, 'ours'):.2f}", f"{faster:.1f}", *end])
    peer_name = f"pywasm {importlib.metadata.version('pywasm')}"
    result.rows.append([peer_name, f"{median(rates, 'pywasm'):.2f}", "1", "", ""])
    result.notes.append("A loop of local, i32 and memory instructions; inserted instructions are not counted.")
    return result
