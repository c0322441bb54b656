"""The account of a frame: whole gas and particles, what is set aside, what may be forwarded, who holds the counter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gas.meter import MAX_COUNTER, PARTICLES, STACK_BUDGET, Meter, OutOfGas, Purse, all_but_one_64th

EVMC_MOST = (1 << 63) - 1
"""What EVMC hosts pass when gas does not matter."""

MOST = MAX_COUNTER // PARTICLES
"""The greatest whole gas that fits the counter."""


def test_units() -> None:
    assert PARTICLES == 10_000
    assert MAX_COUNTER == 4_611_686_018_427_387_904
    assert MOST == 461_168_601_842_738
    assert STACK_BUDGET == 65_536


# In and out


@pytest.mark.parametrize("gas", [0, 1, 21_000, 30_000_000, MOST - 1, MOST])
def test_what_fits_is_all_in_sight(gas: int) -> None:
    meter = Meter(gas)
    assert (meter.counter.gas, meter.left, meter.aside, meter.left_for_caller) == (gas * PARTICLES, gas, 0, gas)


@pytest.mark.parametrize("gas", [MOST + 1, 1 << 62, EVMC_MOST])
def test_more_is_set_aside_and_comes_back(gas: int) -> None:
    meter = Meter(gas)
    assert meter.counter.gas == MOST * PARTICLES <= MAX_COUNTER
    assert (meter.left, meter.aside) == (MOST, gas - MOST)
    assert meter.left_for_caller == gas
    meter.charge(1_000)
    assert (meter.left, meter.left_for_caller) == (MOST - 1_000, gas - 1_000)


def test_what_is_set_aside_pays_for_nothing() -> None:
    meter = Meter(EVMC_MOST)
    meter.charge(MOST)
    assert meter.left == 0
    with pytest.raises(OutOfGas):
        meter.charge(1)


@given(st.integers(0, EVMC_MOST))
def test_nothing_is_lost_between_sight_and_aside(gas: int) -> None:
    meter = Meter(gas)
    assert meter.left + meter.aside == meter.left_for_caller == gas
    assert 0 <= meter.counter.gas <= MAX_COUNTER


# Charges


@given(st.integers(0, EVMC_MOST), st.lists(st.integers(0, 1 << 50), max_size=8))
def test_left_is_rounded_down(gas: int, charges: list[int]) -> None:
    meter = Meter(gas)
    left = meter.counter.gas
    for particles in charges:
        left -= particles
        if left < 0:
            with pytest.raises(OutOfGas):
                meter.charge_particles(particles)
            assert meter.counter.gas < 0
            assert meter.left == 0
            return
        meter.charge_particles(particles)
        assert meter.counter.gas == left
        assert meter.left * PARTICLES <= left < (meter.left + 1) * PARTICLES


def test_the_last_particle_can_be_spent() -> None:
    meter = Meter(1)
    meter.charge_particles(9_999)
    assert (meter.left, meter.counter.gas) == (0, 1)
    meter.charge_particles(1)
    assert (meter.left, meter.counter.gas) == (0, 0)
    meter.charge(0)
    with pytest.raises(OutOfGas):
        meter.charge_particles(1)


def test_a_charge_is_in_whole_gas() -> None:
    meter = Meter(10)
    meter.charge(3)
    assert meter.counter.gas == 70_000
    with pytest.raises(OutOfGas):
        meter.charge(8)


@pytest.mark.parametrize("gas", [1, EVMC_MOST, (1 << 64) - 1])
def test_a_charge_too_great_leaves_a_counter_that_fits_64_bits(gas: int) -> None:
    meter = Meter(0)
    with pytest.raises(OutOfGas):
        meter.charge(gas)
    assert meter.counter.gas == -1


def test_giving_back_is_in_whole_gas() -> None:
    meter = Meter(100)
    meter.charge_particles(15_000)
    meter.give_back(7)
    assert meter.counter.gas == 1_000_000 - 15_000 + 70_000
    assert meter.left == 105


def test_a_fraction_of_the_caller_is_kept_over_a_call() -> None:
    """left = floor(particles / 10,000); the caller keeps its own fraction, the callee's is lost."""
    caller = Meter(1_000)
    caller.charge_particles(2_345_678)
    assert caller.left == 765
    forwarded = min(10**18, all_but_one_64th(caller.left))
    assert forwarded == 765 - 11
    caller.charge(forwarded)
    assert caller.counter.gas == 11 * PARTICLES + 4_322
    callee = Meter(forwarded)
    callee.charge_particles(1)
    caller.give_back(callee.left_for_caller)
    assert caller.counter.gas == (11 + 753) * PARTICLES + 4_322


# Who holds the counter


def test_the_counter_is_handed_over() -> None:
    """A frame pays for its memory from a purse, then from whatever holds the counter of the instance."""
    meter = Meter(5)
    assert isinstance(meter.counter, Purse)
    meter.charge_particles(12_000)
    instance = Purse(meter.counter.gas)
    meter.counter = instance
    meter.charge_particles(8_000)
    assert (instance.gas, meter.left) == (30_000, 3)
    instance.gas -= 15_000
    assert meter.left == 1
    assert meter.left_for_caller == 1
    instance.gas = -5
    assert (meter.left, meter.left_for_caller) == (0, 0)


# Arithmetic


@pytest.mark.parametrize(
    ("gas", "most"), [(0, 0), (1, 1), (63, 63), (64, 63), (65, 64), (127, 126), (128, 126), (6_400, 6_300)]
)
def test_all_but_one_64th(gas: int, most: int) -> None:
    assert all_but_one_64th(gas) == most


@given(st.integers(0, EVMC_MOST))
def test_all_but_one_64th_keeps_a_64th_rounded_down(gas: int) -> None:
    kept = gas - all_but_one_64th(gas)
    assert kept * 64 <= gas < (kept + 1) * 64
