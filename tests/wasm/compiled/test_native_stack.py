"""The stack counter strikes long before the native stack ends: the patterns that keep most values alive a word.

Each function calls itself without end; what it keeps alive across the call is chosen against the frame formula.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ewasm.threads import on_fresh_thread
from gas.meter import STACK_BUDGET
from gas.metering import meter
from gas.schedule import FREE
from tests.helpers import wat
from wasm.compiled import CompiledEngine
from wasm.compiled.emission import emit
from wasm.compiled.engine import CompiledModule, Shape
from wasm.decode import decode
from wasm.encode import encode
from wasm.errors import Trap, TrapKind
from wasm.validate import validate


def recursive(params: str, results: str, locals_: str, body: str) -> str:
    zeros = "(i64.const 1)" * params.count("i64")
    drop = "(drop)" * results.count("i64")
    return f"""(module
      (memory 1) (table 1 funcref) (elem (i32.const 0) $f) (type $t (func (param {params}) (result {results})))
      (func $leaf (param i64) (result i64) (i64.load (i32.const 8)))
      (func $f (type $t) (param {params}) (result {results}) (local {locals_}) {body})
      (func (export "run") {zeros} (call $f) {drop}))"""


def empty() -> str:
    return recursive("", "", "", "(call $f)")


def indirect() -> str:
    return recursive("", "", "", "(call_indirect (type $t) (i32.const 0))")


def parameters() -> str:
    gets = "".join(f"(local.get {n})" for n in range(64))
    adds = "".join(f"(local.get {n})(i64.add)" for n in range(64))
    return recursive("i64 " * 64, "i64", "", f"{gets} (call $f) {adds}")


def locals_alive() -> str:
    sets = "".join(f"(local.set {n + 1} (i64.load (i32.const {n * 8})))" for n in range(1_000))
    adds = "".join(f"(local.get {n + 1})(i64.add)" for n in range(1_000))
    return recursive("i64", "i64", "i64 " * 1_000, f"{sets} (call $f (local.get 0)) {adds}")


def products(count: int = 1_000) -> str:
    """Common subexpressions before and after the call: the optimiser keeps each alive across it."""
    each = [f"(i64.mul (local.get 0) (i64.const {n * 2 + 3}))" for n in range(count)]
    before = "(i64.const 0)" + "".join(f"{e}(i64.xor)" for e in each) + "(local.set 1)"
    after = "".join(f"{e}(i64.add)" for e in each)
    return recursive("i64", "i64", "i64", f"{before} (call $f (local.get 1)) {after}")


def leaf_results(count: int = 4_000) -> str:
    """Results of calls, combined in a local that is used after the recursion: the combining moves behind it."""
    each = "(local.set 1 (i64.xor (local.get 1) (call $leaf (local.get 0))))" * count
    return recursive("i64", "i64", "i64", f"{each} (call $f (local.get 0)) (local.get 1) (i64.add)")


def selects(count: int = 3_000) -> str:
    each = "(local.set 1 (select (call $leaf (local.get 0)) (local.get 1) (i64.eqz (i64.load (i32.const 16)))))" * count
    return recursive("i64", "i64", "i64", f"{each} (call $f (local.get 0)) (local.get 1) (i64.add)")


def invariants(count: int = 3_000) -> str:
    """Products that do not change in a loop with the call: all are computed before it and live through it."""
    each = "".join(f"(i64.mul (local.get 0) (i64.const {n * 2 + 3}))(i64.xor)" for n in range(count))
    return recursive(
        "i64",
        "i64",
        "i64",
        f"(loop $l (call $f (local.get 0)) {each} (local.tee 1) (br_if $l (i64.eqz))) (local.get 1)",
    )


@pytest.mark.parametrize("optimisation", ["speed", "none"])
@pytest.mark.parametrize(
    "program", [empty, indirect, parameters, locals_alive, products, leaf_results, selects, invariants]
)
def test_the_counter_strikes_first(program: Callable[[], str], optimisation: str) -> None:
    import wasmtime

    module = meter(validate(decode(wat(program()))), FREE)
    engine = CompiledEngine()
    code = wasmtime.Module(engine.engine(optimisation), encode(emit(module)))
    loaded = CompiledModule(engine, code, Shape.of(module, optimisation))
    instance = loaded.instantiate({}, stack=STACK_BUDGET)
    with pytest.raises(Trap) as caught:
        on_fresh_thread(engine, lambda: instance.invoke("run"))
    assert caught.value.kind is TrapKind.STACK_OVERFLOW
