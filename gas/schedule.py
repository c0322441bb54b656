"""What instructions cost: prices by the specification's instruction names, in particles.

Source of the default prices: the Ewasm design document *Determining ewasm gas costs* (a cycle table, 45 particles a
cycle) and the default table of the Ewasm metering tool; `docs/gas.md` tells where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from gas.meter import PARTICLES
from wasm.instructions import BY_NAME, INSERTED, ROWS, Op

MAX_PRICE: Final = 1 << 31
"""Static prices and dynamic units stay below this many particles, so that sums of 64 bits cannot wrap."""

COUNTING: Final = tuple(f"{space}.{what}" for space in ("memory", "table") for what in ("grow", "fill", "copy", "init"))
"""Instructions whose operand on top of the stack is an i32 that counts what there is to do."""


class Unpriced(Exception):
    """An instruction has no price in a schedule; nothing is free by accident."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Prices in particles.

    `instructions` has a price for every instruction that may run. `operands` adds to an instruction a price by its
    operand on top of the stack: `unit` particles for every 2^`shift`, rounded up, as (unit, shift). `local` is the
    price of a declared local at function entry, `page` of an initial page of memory beyond the first `free_pages`.
    """

    instructions: Mapping[str, int]
    operands: Mapping[str, tuple[int, int]]
    local: int
    page: int
    free_pages: int = 2

    def __post_init__(self) -> None:
        prices = {**self.instructions, "local": self.local, "page": self.page}
        prices |= {f"{name} by operand": unit for name, (unit, _) in self.operands.items()}
        for name, price in prices.items():
            if not 0 <= price < MAX_PRICE:
                raise ValueError(f"price of {name}: {price} particles are outside 0 … 2^31 - 1")
        for name in (*self.instructions, *self.operands):
            if name not in BY_NAME:
                raise ValueError(f"price of {name}: there is no such instruction")
        for name, (_, shift) in self.operands.items():
            if name not in COUNTING:
                raise ValueError(f"price of {name} by operand: its operand counts nothing")
            if not 0 <= shift < 32:
                raise ValueError(f"price of {name} by operand: a shift of {shift} is outside 0 … 31")

    def price(self, op: Op) -> int:
        """Return the price of an instruction in particles; raise `Unpriced` if it has none."""
        try:
            return 0 if op in INSERTED else self.instructions[op.name]
        except KeyError:
            raise Unpriced(f"{op.name} has no price") from None

    def initial_pages(self, pages: int) -> int:
        """Return what a frame pays for the initial pages of its memory, in particles."""
        return max(0, pages - self.free_pages) * self.page


def _prices(groups: Mapping[str, int]) -> Mapping[str, int]:
    """Expand groups: `i*` in a name stands for `i32` and `i64`."""
    prices = {}
    for names, price in groups.items():
        for name in names.split():
            for expanded in (name.replace("*", "32"), name.replace("*", "64")) if "*" in name else (name,):
                prices[expanded] = price
    return MappingProxyType(prices)


EWASM: Final = Schedule(
    instructions=_prices(
        {
            "i*.const nop block loop unreachable": 1,
            "end else": 0,
            "if br br_if return call": 90,
            "br_table": 120,
            "call_indirect": 10_000,
            "local.get local.set local.tee global.get global.set drop select": 120,
            "i*.load i*.load8_s i*.load8_u i*.load16_s i*.load16_u i64.load32_s i64.load32_u": 120,
            "i*.store i*.store8 i*.store16 i64.store32": 120,
            "i*.add i*.sub i*.mul i*.and i*.or i*.xor": 45,
            "i*.shl i*.shr_s i*.shr_u": 67,
            "i*.rotl i*.rotr": 90,
            "i*.clz i*.ctz i*.popcnt": 45,
            "i*.eqz i*.eq i*.ne i*.lt_s i*.lt_u i*.gt_s i*.gt_u i*.le_s i*.le_u i*.ge_s i*.ge_u": 45,
            "i*.div_s i*.div_u i*.rem_s i*.rem_u": 3_600,
            "i32.wrap_i64 i64.extend_i32_s i64.extend_i32_u": 120,
            "i*.extend8_s i*.extend16_s i64.extend32_s": 120,
            "memory.size": 100,
            "memory.grow": 10_000,
            "memory.fill memory.copy": 1_000,
        }
    ),
    operands=MappingProxyType(
        {
            "memory.grow": (1_000 * PARTICLES, 0),
            "memory.fill": (1_000, 6),
            "memory.copy": (1_000, 6),
        }
    ),
    local=1,
    page=1_000 * PARTICLES,
)
"""The prices of the `ewasm` ruleset."""

FREE: Final = Schedule(
    instructions=MappingProxyType({row.name: 0 for row in ROWS}), operands=MappingProxyType({}), local=0, page=0
)
"""Every instruction written down as free: for published vectors that charge for the interface only."""
