"""A ruleset with reference types bounds growing tables as it bounds memories: on every engine alike."""

from __future__ import annotations

from dataclasses import replace

from evmc import Message, MockHost, Status
from ewasm.ruleset import EWASM
from ewasm.vm import EwasmVM
from tests.helpers import wat
from wasm.engine import Engine

GROWING = """(module (import "ethereum" "finish" (func $finish (param i32 i32)))
  (memory (export "memory") 1) (table 1 funcref)
  (func (export "main")
    (i32.store (i32.const 0) (table.grow (ref.null func) (i32.const 10000001)))
    (i32.store (i32.const 4) (table.grow (ref.null func) (i32.const 4095)))
    (i32.store (i32.const 8) (table.grow (ref.null func) (i32.const 1)))
    (call $finish (i32.const 0) (i32.const 12))))"""


def test_a_table_grows_to_the_limit_and_no_further(engine: Engine) -> None:
    prices = {**EWASM.schedule.instructions, "table.grow": 10, "ref.null": 1}
    ruleset = EWASM.replace(
        name="tables",
        features=EWASM.features | {"reference-types"},
        schedule=replace(EWASM.schedule, instructions=prices),
    )
    result = EwasmVM(ruleset, engine).execute(MockHost(), Message(gas=10**6), wat(GROWING))
    assert result.status is Status.SUCCESS
    refused, grown, full = (int.from_bytes(result.output[n : n + 4], "little", signed=True) for n in (0, 4, 8))
    assert (refused, grown, full) == (-1, 1, -1)
