"""What the subjects share: measuring in turn, ratios within a round, bounds, tables."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Timed = Callable[[], float]
"""Runs something and returns how many seconds it took, or how many a unit of it."""

Samples = Mapping[str, Sequence[float]]


@dataclass
class Table:
    """A subject's result; a cell is text."""

    title: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        marks = ["---", *("---:" for _ in self.header[1:])]
        lines = [f"## {self.title}", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in (self.header, marks, *self.rows)]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes), ""])


def timed(run: Callable[[], object], times: int = 1, clock: Callable[[], float] = time.thread_time) -> Timed:
    """Return what runs something so many times and tells the seconds of one.

    The usual clock is the thread's processor time, which leaves out when somebody else had the processor; what
    uses several threads takes `time.perf_counter`.
    """

    def measure() -> float:
        start = clock()
        for _ in range(times):
            run()
        return (clock() - start) / times

    return measure


def in_turn(variants: Mapping[str, Timed], rounds: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Measure every variant once a round, every other round in reverse order; `warm` adds one before, not counted."""
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for measure in variants.values() if warm else ():
        measure()
    gc.collect()
    for number in range(rounds):
        for name in list(variants)[:: -1 if number % 2 else 1]:
            samples[name].append(variants[name]())
    return samples


def median(samples: Samples, name: str) -> float:
    """Return the median of a variant, in seconds."""
    return statistics.median(samples[name])


def ratio(samples: Samples, name: str, base: str) -> float:
    """Return the median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(samples[name], samples[base], strict=True))


def least(samples: Samples, name: str, base: str) -> float:
    """Return the ratio of the fastest rounds, which is the steadier figure on a busy machine."""
    return min(samples[name]) / min(samples[base])


def spread(samples: Samples, name: str) -> str:
    """Return how far a variant's rounds lie apart: the quartiles over the median."""
    values = sorted(samples[name])
    quartile = len(values) // 4
    return f"{(values[-1 - quartile] - values[quartile]) / statistics.median(values):.0%}"


def verdict(value: float, bound: float, *, at_least: bool = False) -> str:
    """Tell whether a bound is met; `at_least` makes it the smallest value allowed."""
    return "met" if (value >= bound if at_least else value <= bound) else "**missed**"


def micro(seconds: float) -> str:
    """Write microseconds."""
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"
