"""The first witness of what is charged: prices added up from a trace, without a look at the metered module.

It knows the rules only: a price for every instruction when it runs, a price by operand where there is one, a price for
each declared local when a function is entered, nothing for `else` and `end`.
"""

from __future__ import annotations

from typing import Any, Final

from gas.schedule import Schedule
from wasm.module import Module

CALLS: Final = ("call", "call_indirect")


class Enough(Exception):
    """The trace is long enough."""


class Witness:
    """A tracer that adds up prices and, if `start` is given, holds the gas counter against the sum at every step."""

    def __init__(
        self, module: Module, schedule: Schedule, entry: int, start: int | None = None, limit: int | None = None
    ) -> None:
        self.prices = schedule.instructions
        self.operands = schedule.operands
        self.start = start
        self.limit = limit
        self.steps = 0
        self.imported = len(module.imported("func"))
        self.entries = [0] * self.imported + [f.local_count * schedule.local for f in module.functions]
        self.at = {(n, instr.offset): instr for n, f in enumerate(module.functions, self.imported) for instr in f.body}
        self.table: dict[int, int] = {}
        for element in module.elements:
            first = element.at[0].imm if element.at else 0
            self.table.update({first + n: item for n, item in enumerate(element.items) if isinstance(item, int)})
        self.sum = self.entries[entry]

    def __call__(self, function: int, offset: int, name: str, operands: tuple[Any, ...], gas: int) -> None:
        """Add an instruction that is about to run."""
        self.steps += 1
        if self.limit is not None and self.steps > self.limit:
            raise Enough
        before = self.sum
        self.sum += self.prices[name]
        if name in self.operands:
            unit, shift = self.operands[name]
            self.sum += -(-operands[-1] // (1 << shift)) * unit
        if self.start is not None:
            charged = self.start - gas
            if name in CALLS:
                assert charged == self.sum, f"{charged - self.sum} too much at {name} {offset} of function {function}"
            else:
                # A loop's own price is charged just inside it, where a branch back leads to.
                due = before if name == "loop" else self.sum
                assert due <= charged, f"{due - charged} unpaid before {name} {offset} of function {function}"
        if name == "call":
            self.sum += self.entries[self.at[function, offset].imm]
        elif name == "call_indirect" and operands[-1] in self.table:
            self.sum += self.entries[self.table[operands[-1]]]
