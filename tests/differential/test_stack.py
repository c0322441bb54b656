"""The stack budget through the machine: counted to the word, a budget for every message, the same on every engine."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from evmc import Address, Message, MockAccount, MockHost, Result, Status
from gas.meter import STACK_BUDGET
from tests.differential.world import ALICE, OTHER, SELF, Ledger, World
from tests.helpers import Run, fixture_code, wat
from wasm.decode import decode
from wasm.engine import Engine
from wasm.validate import validate

GAS = 100_000_000


def digger(depth: int, callee: Address = SELF) -> bytes:
    """Make a contract that recurses to a depth, calls another one from there, and finishes with its answer."""
    digits = "".join(f"\\{byte:02x}" for byte in callee)
    return wat(
        f"""(module
          (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
          (import "ethereum" "finish" (func $finish (param i32 i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "{digits}")
          (func $deeper (param i32)
            (if (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (then (call $deeper (local.get 0))) (else (call $bottom))))
          (func $bottom
            (i32.store8 (i32.const 64)
              (call $call (i64.const 50000000) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0))))
          (func (export "main")
            (call $deeper (i32.const {depth}))
            (call $finish (i32.const 64) (i32.const 1))))"""
    )


def message(gas: int = GAS, **fields: Any) -> Message:
    return Message(gas=gas, recipient=SELF, code_address=SELF, sender=ALICE, **fields)


@pytest.mark.parametrize("contract", ["recurse_forever", "recurse_indirect"])
def test_endless_recursion(contract: str, engine: Engine) -> None:
    run = Run(engine)
    assert run(MockHost(), message(), fixture_code(f"wat/{contract}")) == Result(Status.STACK_OVERFLOW)
    assert run(MockHost(), message(100), fixture_code(f"wat/{contract}")) == Result(Status.OUT_OF_GAS)


def weights(code: bytes) -> list[int]:
    """Weigh the functions of a contract by the rule: frame, parameters and locals, height, half the instructions."""
    module = validate(decode(code))
    return [
        4 + len(module.types[f.type].params) + f.local_count + f.height + -(-len(f.body) // 2) for f in module.functions
    ]


def deepest(code: bytes) -> int:
    """Return how deep a digger can go."""
    deeper, bottom, main = weights(code)
    return (STACK_BUDGET - main - bottom) // deeper


def test_the_budget_is_exact(engine: Engine) -> None:
    depth = deepest(digger(1_000))
    assert 4_000 < depth < 6_000
    for extra, status in ((0, Status.SUCCESS), (1, Status.STACK_OVERFLOW)):
        run = Ledger(engine)
        code = digger(depth + extra, ALICE)
        assert run.top(World(run, {SELF: MockAccount(code=code)}), message(), code).status is status


def test_every_message_has_a_budget_of_its_own(engine: Engine) -> None:
    """Ten contracts, each as deep as can be, each called from the bottom of the one before."""
    depth = deepest(digger(1_000))
    addresses = [Address.from_int(100 + n) for n in range(11)]
    accounts = {address: MockAccount(code=digger(depth, callee)) for address, callee in pairwise(addresses)}
    accounts[addresses[0]].code, first = b"", accounts[addresses[0]].code
    run = Ledger(engine)
    result = run.top(World(run, accounts), message(), first)
    assert (result.status, result.output) == (Status.SUCCESS, b"\0")
    assert len(run.frames) == 11
    assert all(frame.result is not None and frame.result.status is Status.SUCCESS for frame in run.frames)


def test_a_callee_that_overflows_fails_alone(engine: Engine) -> None:
    depth = deepest(digger(1_000))
    code = digger(depth, OTHER)
    run = Ledger(engine)
    world = World(run, {SELF: MockAccount(code=code), OTHER: MockAccount(code=digger(depth + 1, ALICE))})
    result = run.top(world, message(), code)
    assert [frame.result.status for frame in run.frames if frame.result] == [Status.SUCCESS, Status.STACK_OVERFLOW]
    assert (result.status, result.output) == (Status.SUCCESS, b"\1")
    # The callee took all of what it was given.
    assert GAS - result.gas_left > 50_000_000


def test_what_is_called_deep_down_can_be_called_again(engine: Engine) -> None:
    """The budget of a message is there again after a callee overflowed its own."""
    depth = deepest(digger(1_000))
    code = digger(depth, OTHER)
    run = Ledger(engine)
    accounts = {SELF: MockAccount(code=code), OTHER: MockAccount(code=fixture_code("wat/recurse_forever"))}
    for _ in range(3):
        result = run.top(World(run, accounts), message(), code)
        assert (result.status, result.output) == (Status.SUCCESS, b"\1")


def test_stack_goes_before_gas_at_the_entry_of_a_function(engine: Engine) -> None:
    """The callee that fits neither the stack nor the gas overflows the stack."""
    locals_ = "(local i64)" * 157
    code = wat(f'(module (memory (export "memory") 1) (func {locals_} (call 0)) (func (export "main") (call 0)))')
    assert weights(code) == [162, 5]
    fitting = (STACK_BUDGET - 5) // 162
    paid = 90 + fitting * (157 + 90)
    assert (fitting, paid) == (404, 99_878)
    assert paid <= 10 * 10_000 < paid + 157 + 90
    run = Run(engine)
    assert run(MockHost(), message(9), code) == Result(Status.OUT_OF_GAS)
    assert run(MockHost(), message(10), code) == Result(Status.STACK_OVERFLOW)
    assert run(MockHost(), message(11), code) == Result(Status.STACK_OVERFLOW)
