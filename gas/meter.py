"""Gas, particles, and the account a frame keeps of them.

A particle is 1/10,000 gas. Instructions are priced in particles, host functions and everything outside a frame in whole
gas. What a contract or a caller sees is rounded down.
"""

from __future__ import annotations

from typing import Final, Protocol

PARTICLES: Final = 10_000
"""Particles in one gas."""

MAX_COUNTER: Final = 1 << 62
"""The greatest start of a run's gas counter, in particles."""

STACK_BUDGET: Final = 65_536
"""Words of stack that the frames of one message may weigh together."""


class OutOfGas(Exception):
    """A charge could not be paid."""


class Counter(Protocol):
    """Whoever holds a gas counter in particles: a running instance."""

    gas: int


class Meter:
    """The gas of one frame.

    The counter belongs to the instance once that runs, so that the charges of instructions and of the host meet in one
    number. Gas beyond 2^62 particles is set aside, out of the contract's sight, and added back at the end.
    """

    __slots__ = ("aside", "counter")

    def __init__(self, gas: int) -> None:
        particles = min(gas, MAX_COUNTER // PARTICLES) * PARTICLES
        self.aside = gas - particles // PARTICLES
        self.counter: Counter = Purse(particles)

    @property
    def left(self) -> int:
        """The whole gas that the contract may still spend."""
        return max(0, self.counter.gas) // PARTICLES

    @property
    def left_for_caller(self) -> int:
        """The whole gas left at the end, what was set aside included."""
        return self.left + self.aside

    def charge(self, gas: int) -> None:
        """Take whole gas; raise `OutOfGas` if the counter gets negative."""
        self.charge_particles(gas * PARTICLES)

    def charge_particles(self, particles: int) -> None:
        """Take particles; raise `OutOfGas` if the counter gets negative."""
        counter = self.counter
        left = counter.gas - particles
        counter.gas = max(left, -1)
        if left < 0:
            raise OutOfGas

    def give_back(self, gas: int) -> None:
        """Add the whole gas that a callee left."""
        self.counter.gas += gas * PARTICLES


class Purse:
    """A counter on its own: a frame's gas before its instance exists."""

    __slots__ = ("gas",)

    def __init__(self, gas: int) -> None:
        self.gas = gas


def all_but_one_64th(gas: int) -> int:
    """Return the most that may be forwarded of the whole gas left (EIP-150)."""
    return gas - gas // 64
