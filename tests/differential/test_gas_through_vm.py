"""Gas of the fixture contracts through the machine: what is used, what is left, and what happens just below it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmc import U256, Message, MockAccount, MockHost, Result, Status
from ewasm.ruleset import EWASM
from tests.differential.scenarios import CALLS, MOST, Accounts, Call, contracts, execute, ledger, steps
from tests.differential.world import ALICE, OTHER, SELF, Frame, Ledger, World, particles
from tests.helpers import KEEPS_GAS, Run, fixture_code, wat
from wasm.decode import decode
from wasm.engine import Engine
from wasm.interpreter import Interpreter

OBSERVES = frozenset("getGasLeft call callCode callDelegate callStatic create create2".split())  # noqa: SIM905  # one row
"""Host functions through which a contract learns of its gas, or gives a share of it away."""


def test_every_fixture_is_called() -> None:
    assert sorted(CALLS) == contracts()


def hold(frames: list[Frame]) -> int:
    """Hold what every message left against what the ledger has added up; return how many could be."""
    held = 0
    for frame in frames:
        result = frame.result
        if result is not None and result.status in KEEPS_GAS and frame.code:
            left = (10_000 * frame.message.gas - particles(frame, EWASM.schedule)) // 10_000
            assert result.gas_left == left
            held += 1
    return held


def traced(engine: Engine, contract: str) -> Ledger:
    if not engine.traces:
        pytest.skip(f"{engine.name} does not trace")
    return ledger(contract, engine, traced=True)


@pytest.mark.parametrize("contract", CALLS)
def test_used_gas_is_what_the_ledger_adds_up(contract: str, engine: Engine) -> None:
    """Every message, the nested ones too: its pages, the instructions of its trace, its host functions."""
    run = traced(engine, contract)
    for call, state in steps(contract, run):
        result, _ = execute(run, contract, call, state)
        held = hold(run.frames)
        assert held or result.status not in KEEPS_GAS, call.title


def outcome(run: Ledger, contract: str, call: Call, state: Accounts, gas: int) -> tuple[Result, Any]:
    """Run with other gas; return the result, and all else that can be seen."""
    result, world = execute(run, contract, call, state, gas)
    return result, (world.accounts, world.logs, world.destroyed, list(run.calls))


def least(run: Ledger, contract: str, call: Call, state: Accounts) -> int:
    """Find the least gas with which a run is not out of gas."""
    below, enough = -1, call.gas
    while enough - below > 1:
        middle = (below + enough) // 2
        if execute(run, contract, call, state, middle)[0].status is Status.OUT_OF_GAS:
            below = middle
        else:
            enough = middle
    return enough


@pytest.mark.parametrize("contract", CALLS)
def test_limits(contract: str, engine: Engine) -> None:
    """With less gas than is used a run is out of gas, with more there is more left; nothing else changes."""
    run = ledger(contract, engine)
    for call, state in steps(contract, run):
        base, seen = outcome(run, contract, call, state, call.gas)
        if OBSERVES & run.counted.keys():
            continue
        if base.status is Status.OUT_OF_GAS:
            for gas in (0, 1, call.gas // 2, call.gas - 1):
                assert execute(run, contract, call, state, gas)[0].status is Status.OUT_OF_GAS
            continue
        used = call.gas - base.gas_left if base.status in KEEPS_GAS else least(run, contract, call, state)
        for gas in {g for g in (0, used // 2, used - 2, used - 1) if 0 <= g < used}:
            assert execute(run, contract, call, state, gas)[0] == Result(Status.OUT_OF_GAS), (call.title, gas)
        for gas in (used, used + 1, used + 123_456, (1 << 62) // 10_000 + 5, MOST):
            left = gas - used if base.status in KEEPS_GAS else 0
            expected = replace(base, gas_left=left), seen
            assert outcome(run, contract, call, state, gas) == expected, (call.title, gas)


OBSERVING = [c for c in CALLS if any(i.name in OBSERVES for i in decode(fixture_code(c)).imports)]


@pytest.mark.parametrize("contract", OBSERVING)
def test_limits_of_contracts_that_observe_gas(contract: str, engine: Engine) -> None:
    """What they do depends on their gas, so with each limit the ledger is asked again, or the other engine."""
    run = ledger(contract, engine, traced=engine.traces)
    reference = ledger(contract, Interpreter())
    for call, state in steps(contract, run):
        base, _ = execute(run, contract, call, state)
        used = call.gas - base.gas_left
        for gas in (used // 3, used - 1, used, used + 1, used + used // 63 + 1, 2 * used + 7):
            result = outcome(run, contract, call, state, gas)
            if engine.traces:
                hold(run.frames)
            else:
                assert result == outcome(reference, contract, call, state, gas), (call.title, gas)


# By hand


def contract(body: str, pages: str = "1", more: str = "") -> bytes:
    return wat(
        f"""(module
          (import "ethereum" "useGas" (func $useGas (param i64)))
          (import "ethereum" "getGasLeft" (func $getGasLeft (result i64)))
          (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
          (import "ethereum" "finish" (func $finish (param i32 i32)))
          (memory (export "memory") {pages}) {more} (func (export "main") {body}))"""
    )


def message(gas: int, **fields: Any) -> Message:
    return Message(gas=gas, recipient=SELF, code_address=SELF, sender=ALICE, **fields)


@pytest.mark.parametrize(
    ("body", "price"),
    [
        ("", 0),
        ("nop", 1),
        ("(local i32)", 1),
        ("(local i64 i64) nop", 3),
        # 3 constants, 2 operations, a drop
        ("(drop (i32.add (i32.const 1) (i32.mul (i32.const 2) (i32.const 3))))", 3 + 2 * 45 + 120),
        # a constant, a call, and what is used
        ("(call $useGas (i64.const 7))", 91 + 70_000),
        ("(drop (call $getGasLeft))", 90 + 20_000 + 120),
        ("(call $finish (i32.const 0) (i32.const 0)) nop nop nop", 92),
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const 64))", 3 + 1_000 + 1_000),
        ("(memory.copy (i32.const 0) (i32.const 1) (i32.const 65))", 3 + 1_000 + 2_000),
        ("(drop (memory.grow (i32.const 2)))", 1 + 10_000 + 20_000_000 + 120),
        # a loop of ten: at each turn loop, get, const, sub, tee, br_if
        (
            "(local i32) (local.set 0 (i32.const 10)) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))",
            1 + 121 + 10 * (1 + 120 + 1 + 45 + 120 + 90),
        ),
    ],
)
def test_price_of_a_run_by_hand(engine: Engine, body: str, price: int) -> None:
    """The counter is exact to a particle; what is left is rounded down."""
    run = Run(engine)
    used = -(-price // 10_000)
    assert run(MockHost(), message(used), contract(body)) == Result(Status.SUCCESS, 0)
    assert run(MockHost(), message(used + 9), contract(body)) == Result(Status.SUCCESS, 9)
    assert run(MockHost(), message(MOST), contract(body)) == Result(Status.SUCCESS, MOST - used)
    if used:
        assert run(MockHost(), message(used - 1), contract(body)) == Result(Status.OUT_OF_GAS)


@pytest.mark.parametrize(("pages", "gas"), [(0, 0), (1, 0), (2, 0), (3, 1_000), (17, 15_000), (128, 126_000)])
def test_initial_pages_are_paid_before_anything_runs(engine: Engine, pages: int, gas: int) -> None:
    run = Run(engine)
    code = contract("(call $finish (i32.const 0) (i32.const 0))", str(pages))
    assert run(MockHost(), message(gas + 1), code) == Result(Status.SUCCESS, 0)
    assert run(MockHost(), message(gas), code).status is Status.OUT_OF_GAS
    assert run.calls == []
    assert run(MockHost(), message(gas + 5), code) == Result(Status.SUCCESS, 4)


def left_of(result: Result) -> int:
    return int.from_bytes(result.output, "little")


ASK = "(i64.store (i32.const 0) (call $getGasLeft)) (call $finish (i32.const 0) (i32.const 8))"


@pytest.mark.parametrize("gas", [3, 100, 30_000_000, (1 << 62) // 10_000])
def test_gas_left_is_whole_gas_after_its_own_price(engine: Engine, gas: int) -> None:
    """A constant and a call are paid (91 particles) and 2 gas: the started gas is not seen."""
    result = Run(engine)(MockHost(), message(gas), contract(ASK))
    assert left_of(result) == gas - 3


@pytest.mark.parametrize("gas", [(1 << 62) // 10_000 + 1, MOST])
def test_gas_beyond_2_62_particles_is_out_of_sight_and_comes_back(engine: Engine, gas: int) -> None:
    result = Run(engine)(MockHost(), message(gas), contract(ASK))
    assert left_of(result) == (1 << 62) // 10_000 - 3
    assert result.gas_left == gas - 3


@pytest.mark.parametrize(
    ("requested", "gas", "value", "forwarded"),
    [
        # 6 operands and a call are 96 particles, 700 the call: of 999 whole gas left, 15 are kept
        (MOST, 1_700, 0, 984),
        (500, 1_700, 0, 500),
        (984, 1_700, 0, 984),
        (985, 1_700, 0, 984),
        (0, 1_700, 0, 0),
        (MOST, 701, 0, 0),
        (MOST, 764, 0, 63),
        (MOST, 765, 0, 63),
        (MOST, 9_701, 1, 2_300),
        (MOST, 10_700, 1, 984 + 2_300),
        (100, 10_700, 1, 100 + 2_300),
        # what is set aside cannot be forwarded
        (MOST, MOST, 0, 461_168_601_842_037 - 461_168_601_842_037 // 64),
    ],
)
def test_what_is_forwarded(engine: Engine, requested: int, gas: int, value: int, forwarded: int) -> None:
    host = MockHost(accounts={SELF: MockAccount(U256(5)), OTHER: MockAccount()})
    body = f"(drop (call $call (i64.const {requested}) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0)))"
    digits = "".join(f"\\{byte:02x}" for byte in OTHER)
    data = f'(data (i32.const 0) "{digits}") (data (i32.const 32) "\\{value:02x}")'
    result = Run(engine)(host, message(gas), contract(body, more=data))
    assert [m.gas for m in host.calls] == [forwarded]
    # The callee took nothing: its gas comes back, stipend included. What was paid is rounded up as a whole.
    paid = 700 + (9_000 if value else 0) + 1
    assert result == Result(Status.SUCCESS, gas - paid + (2_300 if value else 0))


def test_a_call_that_cannot_be_paid(engine: Engine) -> None:
    body = "(drop (call $call (i64.const 0) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0)))"
    run = Run(engine)
    for gas in (0, 699, 700):
        host = MockHost()
        assert run(host, message(gas), contract(body)).status is Status.OUT_OF_GAS
        assert host.calls == []
    assert run(MockHost(), message(701), contract(body)).status is Status.SUCCESS


def test_the_fraction_of_the_callee_is_lost_and_that_of_the_caller_kept(engine: Engine) -> None:
    """Each of three callees uses 1 particle and so a whole gas; the caller's own particles add up."""
    body = "(drop (call $call (i64.const 50) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0)))"
    digits = "".join(f"\\{byte:02x}" for byte in OTHER)
    code = contract(3 * body, more=f'(data (i32.const 0) "{digits}")')
    run = Ledger(engine, traced=engine.traces)
    world = World(run, {SELF: MockAccount(code=code), OTHER: MockAccount(code=contract("nop"))})
    result = run.top(world, message(10_000), code)
    assert [frame.result for frame in run.frames[1:]] == [Result(Status.SUCCESS, 49)] * 3
    # 3 times: 5 constants, a call, a drop, 700 gas, and one gas for the callee
    assert result == Result(Status.SUCCESS, 10_000 - 3 * 701 - 1)
    if engine.traces:
        assert hold(run.frames) == 4


def test_a_callee_that_fails_takes_what_it_was_given(engine: Engine) -> None:
    body = "(drop (call $call (i64.const 50) (i32.const 0) (i32.const 32) (i32.const 0) (i32.const 0)))"
    digits = "".join(f"\\{byte:02x}" for byte in OTHER)
    code = contract(body, more=f'(data (i32.const 0) "{digits}")')
    run = Ledger(engine)
    for failing in ("unreachable", "(loop (br 0))"):
        world = World(run, {SELF: MockAccount(code=code), OTHER: MockAccount(code=contract(failing))})
        assert run.top(world, message(10_000), code) == Result(Status.SUCCESS, 10_000 - 751)


def test_the_least_gas_of_everything(engine: Engine) -> None:
    """Without gas an empty contract succeeds, and nothing else does."""
    run = Run(engine)
    assert run(MockHost(), message(0), contract("")) == Result(Status.SUCCESS, 0)
    assert run(MockHost(), message(0), contract("nop")) == Result(Status.OUT_OF_GAS)
    assert run(MockHost(), message(0), b"") == Result(Status.SUCCESS, 0)
