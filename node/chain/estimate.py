"""The least gas with which something succeeds, by search over re-execution."""

from __future__ import annotations

from collections.abc import Callable

from evmc import Gas


def least_gas(succeeds: Callable[[Gas], bool], low: Gas, high: Gas, guess: Gas | None = None) -> Gas:
    """Return the least limit above `low` with which `succeeds` holds, given that it holds with `high`.

    What is kept back at every call (1/64), stipends and refunds make it greater than the gas used. Where a contract
    looks at its gas, so that success comes and goes with the limit, this is a limit that succeeds where one less
    fails. The search begins around the guess.
    """
    step = 1
    while guess is not None and low < guess < high:
        if succeeds(guess):
            high, guess = guess, guess - step
        else:
            low, guess = guess, guess + step
        step *= 2
    while low + 1 < high:
        middle = (low + high) // 2
        if succeeds(middle):
            high = middle
        else:
            low = middle
    return high
