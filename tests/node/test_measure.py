"""Profiles: their sums are the gas used, whatever happened, and their counts are what a tracer sees."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address, Message, Status, TxContext
from ewasm.profiling import watched_precompiles
from ewasm.ruleset import EWASM, HERA, SSVM
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM, make_engine
from fixtures.deploy import init_code
from gas.collector import Collector
from gas.meter import PARTICLES
from gas.profile import Profile
from node.measure import Call, Executed, gas_required, profiled
from node.transaction import intrinsic_gas
from state import Database, GenesisAccount, WorldState
from tests.gas.profiles import hold
from tests.helpers import fixture_code, wat
from tests.node.world import ALICE, ALL_GAS, BOB, CALLER, ONE, RICH, TWO, A, B, C, call, contract, finisher, word
from wasm.engine import Engine
from wasm.interpreter import Interpreter

BLOCK = TxContext(number=1_000, gas_limit=30_000_000, coinbase=Address.from_int(0xC0))
IDENTITY, PAIRING = Address.from_int(4), Address.from_int(8)
SPINS = wat(
    """(module (memory (export "memory") 1)
      (func (export "main") (loop (memory.copy (i32.const 0) (i32.const 0) (i32.const 65536)) (br 0))))"""
)
TURNS = wat('(module (memory (export "memory") 1) (func (export "main") (loop (br 0))))')
TRAPS = wat(
    """(module (memory (export "memory") 3)
      (func $deep (param i32) (result i32) (local i64 i64)
        (if (result i32) (local.get 0)
          (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))
          (else (i32.div_u (i32.const 7) (local.get 0)))))
      (func (export "main") (drop (call $deep (i32.const 5)))))"""
)
GROWS = wat(
    """(module (import "ethereum" "getCallDataSize" (func $size (result i32))) (memory (export "memory") 4)
      (func (export "main")
        (drop (memory.grow (call $size)))
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 1000))
        (memory.copy (i32.const 5) (i32.const 2000) (i32.const 65))))"""
)
SETS = call("set(bytes32,bytes32)", TWO, ONE)
CLEARS = call("set(bytes32,bytes32)", ONE, bytes(32))


def inner(to: Address, data: bytes = b"", *, value: int = 0, gas: int = ALL_GAS) -> bytes:
    return call("call(address,uint256,uint256,bytes)", to, value, gas, data)


def create(code: bytes, value: int = 0) -> bytes:
    return call("create(uint256,bytes)", value, code)


WORLD = WorldState.genesis(
    Database(),
    {
        ALICE: GenesisAccount(balance=RICH),
        A: contract(CALLER, balance=U256(1_000), storage={ONE: ONE}),
        B: contract(CALLER, balance=U256(500), storage={ONE: TWO}),
        C: contract(fixture_code("wat/reenter")),
        Address.from_int(1_001): contract(SPINS),
        Address.from_int(1_002): contract(TRAPS),
        Address.from_int(1_003): contract(GROWS),
        Address.from_int(1_004): contract(b"not code"),
        Address.from_int(1_005): contract(fixture_code("wat/recurse_forever")),
        Address.from_int(1_006): contract(TURNS),
        Address.from_int(1_007): contract(fixture_code("counter")),
    },
)
SPIN, TRAP, GROW, NONSENSE, RECURSE, TURN, COUNTER = (Address.from_int(1_001 + number) for number in range(7))

CALLS: dict[str, tuple[Address | None, bytes, int]] = {
    "a transfer": (BOB, b"", 7),
    "a transfer to a new account": (Address.from_int(77_777), b"\0\1", 7),
    "storage": (A, SETS, 0),
    "a refund": (A, CLEARS, 0),
    "a precompile at the top": (IDENTITY, b"x" * 100, 0),
    "a precompile that refuses": (PAIRING, b"x", 0),
    "a call": (A, inner(B, SETS), 0),
    "a call with value and its stipend": (A, inner(B, SETS, value=5, gas=100_000), 0),
    "only the stipend": (A, inner(B, call("whoami()"), value=5, gas=0), 0),
    "a call that reverts": (A, inner(B, call("setAndRevert(bytes32,bytes32)", TWO, ONE)), 0),
    "a call that fails": (A, inner(B, call("setAndFail(bytes32,bytes32)", TWO, ONE), gas=50_000), 0),
    "a call to a precompile": (A, inner(IDENTITY, b"x" * 100), 0),
    "a call to a precompile that refuses": (A, inner(PAIRING, b"x", gas=200_000), 0),
    "a call to nobody": (A, inner(BOB), 0),
    "a call above the balance": (A, inner(B, value=10**6), 0),
    "a call of a call": (A, inner(B, inner(A, inner(B, SETS))), 0),
    "a call that spins": (A, inner(SPIN, gas=3_000), 0),
    "a call to what is no code": (A, inner(NONSENSE, gas=1_000), 0),
    "a delegated call": (A, call("callDelegate(address,uint256,bytes)", B, ALL_GAS, SETS), 0),
    "a static call that stores": (A, call("callStatic(address,uint256,bytes)", B, 40_000, SETS), 0),
    "re-entrance until the gas is gone": (C, b"", 0),
    "a creation inside": (A, create(init_code(finisher(300))), 0),
    "a creation inside of what is no contract": (A, create(init_code(b"\0asm\1\0\0\0")), 0),
    "a creation inside that traps": (A, create(TRAPS), 0),
    "a creation": (None, init_code(finisher(300)), 3),
    "a creation of nothing": (None, b"", 0),
    "a creation that spins": (None, SPINS, 0),
    "a loop": (TURN, b"", 0),
    "a trap": (TRAP, b"", 0),
    "memory that grows": (GROW, b"", 0),
    "memory that grows by three pages": (GROW, b"abc", 0),
    "endless recursion": (RECURSE, b"", 0),
    "a self-destruction": (A, call("kill(address)", BOB), 0),
    "what is no code": (NONSENSE, b"", 0),
}


def measured(to: Address | None, data: bytes, value: int, gas: int, *, transaction: bool = True) -> Call:
    return Call(
        world=WORLD, block=BLOCK, sender=ALICE, to=to, gas=gas, value=U256(value), data=data, transaction=transaction
    )


def check(profile: Profile, done: Executed) -> None:
    hold(profile, done.gas_used)


@pytest.mark.parametrize("name", CALLS)
def test_a_profile_adds_up_to_the_gas_used(name: str, engine: Engine) -> None:
    """And the run is what it would be on any engine without a profile."""
    to, data, value = CALLS[name]
    for gas in (400_000, 90_000, 60_000) if name != "a loop" else (21_000, 21_100):
        call_ = measured(to, data, value, gas)
        if gas < intrinsic_gas(data, EWASM, create=to is None):
            continue
        profile, done = profiled(call_, EWASM)
        check(profile, done)
        assert done == call_.execute(EwasmVM(EWASM, engine))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(CALLS)), st.integers(0, 60_000))
def test_a_profile_adds_up_wherever_the_gas_runs_out(name: str, gas: int) -> None:
    to, data, value = CALLS[name]
    gas = gas % 100 if name == "a loop" else gas
    call_ = measured(to, data, value, gas + intrinsic_gas(data, EWASM, create=to is None))
    check(*profiled(call_, EWASM))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([name for name in CALLS if CALLS[name][0] is not None]), st.integers(0, 30_000))
def test_a_profile_of_a_message_adds_up(name: str, gas: int) -> None:
    to, data, value = CALLS[name]
    gas = gas % 100 if name == "a loop" else gas
    profile, done = profiled(measured(to, data, value, gas, transaction=False), EWASM)
    check(profile, done)
    assert "intrinsic" not in profile.shares


@pytest.mark.parametrize(
    "name", ["storage", "a trap", "memory that grows", "a call of a call", "a call that spins", "a loop"]
)
@pytest.mark.parametrize("gas", [90_000, 21_000, 27_000, 27_001, 27_002])
def test_counts_are_what_a_tracer_sees(name: str, gas: int) -> None:
    """The tracer sees each instruction by itself, the profile counts runs; a loop that is not paid only the former."""
    seen: Counter[tuple[int, int]] = Counter()
    to, data, value = CALLS[name]
    gas = max(gas, intrinsic_gas(data, EWASM, create=False)) if name != "a loop" else gas % 1_000 + 21_000
    call_ = measured(to, data, value, gas)
    collector = Collector(EWASM.schedule)
    vm = EwasmVM(
        EWASM,
        Interpreter(),
        profile=collector,
        trace=lambda _: lambda function, offset, *_: seen.update([(function, offset)]),
    )
    done = call_.execute(vm, collector)
    profile = collector.finish(gas, done.result.gas_left, intrinsic=done.intrinsic, refund=done.refund, stored=False)
    counted: Counter[tuple[int, int]] = Counter()
    names = {}
    for place, (op, spent) in profile.spent.items():
        assert place.offset is not None
        counted[place.function, place.offset] += spent.count
        names[place.function, place.offset] = op.name
    unpaid = seen - counted
    assert not counted - seen
    assert unpaid.total() <= len([failure for failure in profile.failures if failure.out_of_gas])
    assert {names.get(place, "loop") for place in unpaid} <= {"loop"}
    assert counted or gas < 27_000
    check(profile, done)


def test_a_refund_and_a_stipend_are_negative_parts() -> None:
    profile, done = profiled(measured(*CALLS["a refund"], 400_000), EWASM)
    assert profile.shares["refund"] == -done.refund * PARTICLES < 0
    assert done.refund == (done.gas_used + done.refund) // 2, "half of what was spent, which is below 15,000"
    profile, _ = profiled(measured(*CALLS["only the stipend"], 400_000), EWASM)
    assert profile.shares["stipend"] == -2_300 * PARTICLES
    (host,) = (node for node in profile.nodes if node.kind == "host" and node.name == "call")
    assert host.particles == (700 + 9_000) * PARTICLES


def test_a_creation_pays_for_its_code() -> None:
    profile, done = profiled(measured(None, init_code(finisher(300)), 0, 400_000), EWASM)
    assert done.result.status is Status.SUCCESS
    assert profile.shares["deposit"] == len(done.result.output) * 200 * PARTICLES
    assert profile.shares["intrinsic"] == done.intrinsic * PARTICLES


def test_pages_of_memory_are_memory() -> None:
    profile, _ = profiled(measured(GROW, b"abc", 0, 400_000), EWASM)
    pages = (4 - 2) * 1_000
    grown = 3 * 1_000
    by_operand = 1_000 * (16 + 2)  # particles: 1,000 and 65 bytes, in blocks of 64
    static = 10_000 + 1_000 + 1_000
    assert profile.shares["memory"] == (pages + grown) * PARTICLES + by_operand + static


def test_recursion_counts_once_in_a_total() -> None:
    profile, _ = profiled(measured(TRAP, b"", 0, 90_000, transaction=False), EWASM)
    main, deep = sorted(
        (row for row in profile.summary if profile.nodes[row.node].kind == "function"),
        key=lambda row: -(profile.nodes[row.node].function or 0),
    )
    assert (main.calls, deep.calls) == (1, 6)
    assert main.total.particles == main.self.particles + deep.self.particles
    assert deep.total == deep.self


def test_a_failure_is_explained() -> None:
    profile, _ = profiled(measured(TRAP, b"", 0, 90_000), EWASM)
    (failure,) = profile.failures
    assert (failure.depth, failure.out_of_gas, failure.host) == (0, False, None)
    assert failure.reason.startswith("integer divide by zero")
    assert [place.function for place in failure.path] == [1, 0, 0, 0, 0, 0, 0]
    assert failure.place is not None
    assert TRAPS[failure.place.offset or 0] == 0x6E  # i32.div_u


def test_where_gas_ran_out() -> None:
    profile, _ = profiled(measured(*CALLS["storage"], 30_000), EWASM)
    (failure,) = profile.failures
    assert (failure.reason, failure.out_of_gas, failure.host) == ("out of gas", True, "storageStore")
    assert "lost" in profile.shares
    spinning, _ = profiled(measured(TURN, b"", 0, 50, transaction=False), EWASM)
    (failure,) = spinning.failures
    assert (failure.out_of_gas, failure.host) == (True, None)
    assert failure.place is not None
    assert TURNS[failure.place.offset or 0] == 0x0C  # br: its charge stands just inside the loop


def test_a_machine_profiles_one_message() -> None:
    call_ = measured(*CALLS["a call of a call"], 400_000)
    machine = EwasmVM(EWASM, Interpreter())
    collector = Collector(EWASM.schedule)
    done = call_.execute(machine.listening(profile=collector), collector)
    found = collector.finish(400_000, done.result.gas_left, intrinsic=done.intrinsic, refund=done.refund)
    assert found == profiled(call_, EWASM)[0]
    assert call_.execute(machine) == done, "the machine itself has no collector"
    with pytest.raises(ValueError, match="the engine compiled cannot trace"):
        EwasmVM(EWASM, make_engine("compiled")).listening(profile=collector)


def test_only_an_engine_that_traces_profiles() -> None:
    with pytest.raises(ValueError, match="the engine compiled cannot trace"):
        EwasmVM(EWASM, make_engine("compiled"), profile=Collector(EWASM.schedule))


@pytest.mark.parametrize("ruleset", [HERA, SSVM])
def test_other_rulesets(ruleset: Any) -> None:
    profile, done = profiled(measured(COUNTER, call("increment()"), 0, 400_000), ruleset)
    assert profile.particles == done.gas_used * PARTICLES == sum(profile.shares.values())
    assert "instructions" not in profile.shares
    assert profile.instructions > 100


def test_profiles_are_the_same_each_time() -> None:
    first, second = (profiled(measured(*CALLS["a call of a call"], 400_000), EWASM)[0] for _ in range(2))
    assert first == second
    assert first.spent == second.spent


# Gas required

REQUIRING = [
    name for name in CALLS if not name.endswith(("is no code", "spins", "recursion", "a trap", "refuses", "a loop"))
]


@pytest.mark.parametrize("name", [*REQUIRING, "a call that spins"])
def test_the_gas_required_suffices_and_less_does_not(name: str, engine: Engine) -> None:
    call_ = measured(*CALLS[name], 400_000)
    required = gas_required(call_, EWASM, most=400_000, engine=engine)
    assert required is not None
    vm = EwasmVM(EWASM, engine)
    assert replace(call_, gas=required).execute(vm).succeeded
    least = intrinsic_gas(call_.data, EWASM, create=call_.to is None)
    assert required >= least
    if required > least:
        assert not replace(call_, gas=required - 1).execute(vm).succeeded


def test_a_refund_is_no_part_of_what_is_required(engine: Engine) -> None:
    call_ = measured(*CALLS["a refund"], 400_000)
    done = call_.execute(EwasmVM(EWASM, engine))
    assert gas_required(call_, EWASM, most=400_000, engine=engine) == done.gas_used + done.refund


def test_no_amount_suffices(engine: Engine) -> None:
    assert gas_required(measured(TRAP, b"", 0, 400_000), EWASM, most=400_000, engine=engine) is None


def test_a_message_of_its_own(engine: Engine) -> None:
    vm = EwasmVM(EWASM, engine)
    call_ = measured(*CALLS["storage"], 400_000, transaction=False)
    whole = measured(*CALLS["storage"], 400_000)
    used = call_.execute(vm).gas_used
    assert used == whole.execute(vm).gas_used - intrinsic_gas(whole.data, EWASM, create=False)


def test_watching_precompiles_changes_nothing() -> None:
    collector = Collector(EWASM.schedule)
    plain = system_contracts(EWASM)
    watched = watched_precompiles(plain, collector)
    assert watched.keys() == plain.keys()
    assert watched[IDENTITY](b"abc", 100) == plain[IDENTITY](b"abc", 100)
    message = Message(gas=1)
    assert message.gas == 1
    assert word(1) == ONE
