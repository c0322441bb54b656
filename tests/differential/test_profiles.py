"""Profiles of generated contracts with random hosts: sums are exact, counts are the tracer's, results are unchanged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from evmc import U256, Address, Message, Status
from ewasm.ruleset import EWASM
from ewasm.vm import EwasmVM
from gas.collector import Collector
from gas.meter import PARTICLES
from gas.profile import Profile
from tests.differential.campaign import CONTRACT, CONTRACT_ADDRESS, RandomHost, interface
from tests.gas.profiles import hold
from tests.wasm.generate import build
from wasm.interpreter import Interpreter

MODULES = 45
RUNS = 12


def profile(code: bytes, message: Message, seed: int) -> tuple[Profile, Counter[tuple[int, int]]]:
    """Return the profile of a run, and how often the tracer saw each instruction."""
    seen: Counter[tuple[int, int]] = Counter()
    collector = Collector(EWASM.schedule)
    vm = EwasmVM(
        EWASM,
        Interpreter(),
        profile=collector,
        trace=lambda _: lambda function, offset, *_: seen.update([(function, offset)]),
    )
    result = vm.execute(RandomHost(seed=seed), message, code)
    plain = EwasmVM(EWASM, Interpreter()).execute(RandomHost(seed=seed), message, code)
    assert result == plain
    found = collector.finish(message.gas, result.gas_left)
    hold(found, message.gas - result.gas_left)
    assert bool(found.failures) is (result.status not in (Status.SUCCESS, Status.REVERT))
    return found, seen


@pytest.mark.parametrize("first", range(0, MODULES, 15))
def test_profiles_of_generated_contracts(first: int) -> None:
    ends: Counter[bool] = Counter()
    for seed in range(first, first + 15):
        rng = Random(f"profile {seed}")
        code = build(rng, replace(CONTRACT, imports=interface(rng), size=rng.choice((4, 8, 14, 24)))).binary
        used = 0
        for number in range(RUNS):
            gas = 50_000 if number == 0 else rng.randint(0, used) if number % 3 else used
            message = Message(
                gas=gas,
                recipient=CONTRACT_ADDRESS,
                code_address=CONTRACT_ADDRESS,
                sender=Address.from_int(7),
                input=rng.randbytes(rng.choice((0, 4, 36, 100))),
                value=U256(rng.choice((0, 0, 1))),
                is_static=rng.random() < 0.1,
            )
            found, seen = profile(code, message, rng.randrange(1 << 30))
            counted: Counter[tuple[int, int]] = Counter()
            for place, (_, spent) in found.spent.items():
                counted[place.function, place.offset or 0] += spent.count
            assert not counted - seen
            ran_out = bool(found.failures) and found.failures[-1].out_of_gas
            assert (seen - counted).total() <= ran_out, "a loop that is entered and not paid"
            ends[ran_out] += 1
            if number == 0:
                used = found.particles // PARTICLES if not found.failures else 2_000
    assert ends[True] > 10
    assert ends[False] > 10
