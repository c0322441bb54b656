"""Quick profiles: what they tell is what the interpreter's profiles tell, the paths of calls apart."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from evmc import U256, Address, Host, Message, MockAccount, Status, TxContext
from ewasm.cache import CodeCache
from ewasm.ruleset import EWASM, HERA
from ewasm.vm import EwasmVM
from gas.collector import Collector
from gas.meter import PARTICLES
from gas.profile import Profile
from gas.quick import QuickCollector
from node.measure import profiled
from tests.differential.campaign import CONTRACT_ADDRESS, RandomHost, interface
from tests.differential.scenarios import CALLS as SCENARIOS
from tests.differential.scenarios import ledger, steps
from tests.helpers import fixture_code
from tests.node.test_measure import CALLS, COUNTER, TRAP, TURN, check, measured
from tests.node.world import call as abi_call
from tests.wasm.generate import CONTRACT, build
from wasm.engine import Engine
from wasm.interpreter import Interpreter

KEPT = {Status.SUCCESS, Status.REVERT}


def rows(profile: Profile) -> dict[Any, Any]:
    """Return calls, gas and instructions by what was called, whatever the path."""
    return {profile.key(row.node): (row.calls, row.self) for row in profile.summary}


def alike(quick: Profile, full: Profile) -> None:
    """Hold everything that a quick profile tells against a full one."""
    assert rows(quick) == rows(full)
    assert quick.spent == full.spent
    assert quick.entries == full.entries
    assert quick.shares == full.shares
    assert quick.classes == full.classes
    assert quick.contracts == full.contracts
    assert (quick.particles, quick.instructions) == (full.particles, full.instructions)


@pytest.mark.parametrize("name", CALLS)
def test_quick_profiles_of_transactions(name: str, engine: Engine) -> None:
    to, data, value = CALLS[name]
    for gas in (400_000, 90_000) if name != "a loop" else (21_000, 21_100):
        call = measured(to, data, value, gas)
        quick, done = profiled(call, EWASM, quick=engine)
        full, same = profiled(call, EWASM)
        assert done == same
        check(quick, done)
        if not full.failures:
            alike(quick, full)
        else:
            assert [(f.depth, f.reason.partition(" (")[0].partition(" at ")[0], f.gas) for f in quick.failures] == [
                (f.depth, f.reason.partition(" (")[0].partition(" at ")[0], f.gas) for f in full.failures
            ]


def message_profile(
    engine: Engine | None, code: bytes, host: Host, message: Message, cache: CodeCache, *, debug: bool = False
) -> tuple[Profile, Any]:
    """Profile a message alone: on an engine quickly, or in full without one."""
    collector = Collector(EWASM.schedule) if engine is None else QuickCollector(EWASM.schedule)
    debug_ = (lambda _: None) if debug else None
    vm = EwasmVM(EWASM, engine or Interpreter(), cache=cache, profile=collector, debug=debug_)
    result = vm.execute(host, message, code)
    return collector.finish(message.gas, result.gas_left), result


@pytest.mark.parametrize("contract", sorted(SCENARIOS))
def test_quick_profiles_of_fixtures(contract: str, engine: Engine) -> None:
    """Every call of every fixture; nested messages are answered by a host that does not run them here."""
    run = ledger(contract, engine)
    cache = CodeCache()
    for call, state in steps(contract, run):
        profiles = []
        for wanted in (engine, None):
            host = RandomHost(accounts=deepcopy(state), seed=7)
            code = fixture_code(contract)
            profiles.append(message_profile(wanted, code, host, call.message(), cache, debug=contract == "debug"))
        (quick, result), (full, other) = profiles
        assert result == other, call.title
        assert sum(quick.shares.values()) == quick.particles == full.particles
        if result.status in KEPT:
            alike(quick, full)


@pytest.mark.parametrize("first", range(0, 80, 40))
def test_quick_profiles_of_generated_contracts(first: int, engine: Engine) -> None:
    ends: Counter[str] = Counter()
    for seed in range(first, first + 40):
        rng = Random(f"quick {seed}")
        code = build(rng, replace(CONTRACT, imports=interface(rng), size=rng.choice((8, 24)))).binary
        message = Message(
            gas=rng.choice((3_000_000, 2_000)),
            recipient=CONTRACT_ADDRESS,
            code_address=CONTRACT_ADDRESS,
            sender=Address.from_int(7),
            input=rng.randbytes(36),
        )
        profiles = []
        for wanted in (engine, None):
            host = RandomHost(
                accounts={CONTRACT_ADDRESS: MockAccount()}, tx_context=TxContext(gas_price=U256(7), number=9), seed=seed
            )
            profiles.append(message_profile(wanted, code, host, message, CodeCache()))
        (quick, result), (full, other) = profiles
        assert result == other
        ends[result.status.name] += 1
        assert (
            sum(quick.shares.values())
            == quick.particles
            == full.particles
            == (message.gas - result.gas_left) * PARTICLES
        )
        if result.status in KEPT:
            alike(quick, full)
    assert ends["SUCCESS"]
    assert len(ends) > 1


def test_functions_stand_below_their_contract(engine: Engine) -> None:
    profile, _ = profiled(measured(COUNTER, abi_call("increment()"), 0, 400_000), EWASM, quick=engine)
    kinds = [(node.kind, profile.nodes[node.parent].kind) for node in profile.nodes[1:]]
    assert set(kinds) == {("contract", "root"), ("function", "contract"), ("host", "contract")}


def test_a_machine_may_be_lent_to_a_quick_collector(engine: Engine) -> None:
    vm = EwasmVM(EWASM, engine)
    call = measured(COUNTER, abi_call("increment()"), 0, 400_000)
    collector = QuickCollector(EWASM.schedule)
    done = call.execute(vm.listening(profile=collector), collector)
    quick = collector.finish(call.gas, done.result.gas_left, intrinsic=done.intrinsic, refund=done.refund)
    assert done == call.execute(vm)
    alike(quick, profiled(call, EWASM)[0])


def test_a_trap_is_placed_as_far_as_the_engine_tells(engine: Engine) -> None:
    quick, _ = profiled(measured(TRAP, b"", 0, 90_000), EWASM, quick=engine)
    (failure,) = quick.failures
    assert failure.place is not None
    assert failure.place.function == 0
    assert (failure.place.offset is None) is not engine.traces


def test_what_was_charged_ahead_of_a_failure_is_taken_for_executed(engine: Engine) -> None:
    quick, done = profiled(measured(TURN, b"", 0, 50, transaction=False), EWASM, quick=engine)
    check(quick, done)
    turns = {op.name: spent.count for op, spent in quick.spent.values()}
    # `loop` and `br` are 91 particles; 50 gas pay for them 5,494 times.
    assert turns == {"loop": 5_494, "br": 5_494}
    assert quick.shares == {"instructions": 5_494 * 91, "lost": 500_000 - 5_494 * 91}


def test_free_instructions_are_counted_too(engine: Engine) -> None:
    call = measured(COUNTER, abi_call("increment()"), 0, 400_000)
    quick, _ = profiled(call, HERA, quick=engine)
    full, _ = profiled(call, HERA)
    alike(quick, full)
    assert quick.instructions > 100


def test_a_machine_that_counts_keeps_the_other_code_apart(engine: Engine) -> None:
    """The same cache serves both, and neither is given what the other needs."""
    vm = EwasmVM(EWASM, engine)
    plain = vm.cache.get(fixture_code("counter"), EWASM, engine)
    counting = vm.cache.get(fixture_code("counter"), EWASM, engine, counting=True)
    assert plain.counted is None
    assert counting.counted is not None
    assert vm.cache.get(fixture_code("counter"), EWASM, engine) is plain
