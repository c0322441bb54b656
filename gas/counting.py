"""Counting how often each charge is paid, on any engine: for profiles of long runs.

Beside every charge a counter of its own is raised: an i64 global, exported under a name that no contract can use. The
instructions are ordinary ones, so every engine runs them. At a call and at a normal end everything charged has been
executed, so the counters tell how often each instruction ran; behind a trap they tell what was charged, which may be
a block too much for every function that was running.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gas.metering import MeteredModule, charge_points
from gas.schedule import Schedule
from wasm.engine import Instance, Run
from wasm.inserting import assembled, operand_price
from wasm.instructions import CHARGE, CHARGE_OPERAND
from wasm.module import Export, Function, Global, Instr, ValidModule
from wasm.types import GlobalType

PREFIX: Final = "ewasm:count:"
"""What the names of the exported counters begin with; their number follows."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A module that counts, and what its counters mean, in their order: points, then places charged by operand.

    A point is the instructions that are paid together; they are not always neighbours. A place is a function's index
    and an offset.
    """

    module: MeteredModule
    points: tuple[Run, ...]
    places: tuple[tuple[int, int], ...]

    def read(self, instance: Instance) -> tuple[dict[Run, int], dict[tuple[int, int], int]]:
        """Return how often each point was paid, and the particles charged by operand at each place."""
        exports = instance.exports
        values = [exports[f"{PREFIX}{n}"].value for n in range(len(self.points) + len(self.places))]
        times = {point: value for point, value in zip(self.points, values, strict=False) if value}
        rest = zip(self.places, values[len(self.points) :], strict=True)
        return times, {place: value for place, value in rest if value}


def count(module: ValidModule, metered: MeteredModule, schedule: Schedule) -> Counted:
    """Return a metered module with counters; `module` is what it was made of, `schedule` the prices."""
    return _Counting(module, metered, schedule).counted()


_HEIGHT: Final = 4
"""Operands that raising a counter puts on top of a stack; the interpreter keeps room for them."""


class _Counting:
    """What is known of the counters so far. Those by operand are numbered from the other end, until all are known."""

    def __init__(self, module: ValidModule, metered: MeteredModule, schedule: Schedule) -> None:
        self.module = module
        self.metered = metered
        self.schedule = schedule
        self.first = len(module.imported("global")) + len(module.globals)
        self.points: list[Run] = []
        self.places: list[tuple[int, int]] = []

    def counted(self) -> Counted:
        """Rewrite everything."""
        imported = len(self.module.imported("func"))
        paid = [self.paid(function) for function in self.module.functions]
        total = sum(map(len, paid))
        functions = tuple(
            self.function(number, source, target, members, total)
            for number, (source, target, members) in enumerate(
                zip(self.module.functions, self.metered.functions, paid, strict=True), imported
            )
        )
        names = range(len(self.points) + len(self.places))
        zero = Global(GlobalType("i64", mutable=True), tuple(assembled(("i64.const", 0), "end")))
        counting = replace(
            self.metered,
            functions=functions,
            globals=(*self.metered.globals, *[zero] * len(names)),
            exports=(*self.metered.exports, *(Export(f"{PREFIX}{n}", "global", self.first + n) for n in names)),
        )
        return Counted(MeteredModule(ValidModule(counting)), tuple(self.points), tuple(self.places))

    def paid(self, function: Function) -> dict[int, list[int]]:
        """Return the points of a function: its beginning always, the others if something is paid there."""
        paid: dict[int, list[int]] = {0: []}
        charge_points(function.body, function.local_count, self.schedule, paid)
        return paid

    def function(
        self, number: int, source: Function, target: Function, paid: dict[int, list[int]], total: int
    ) -> Function:
        """Put the counters of a function behind its charges."""
        scratch = len(self.module.types[source.type].params) + source.local_count
        by_operand = any(op is CHARGE_OPERAND for op, _, _ in target.body)
        out: list[Instr] = []
        charged = iter(target.body)
        for position, instr in enumerate(source.body):
            found = next(charged)
            if found.op is CHARGE:
                out.append(found)
                found = next(charged)
            if position in paid:
                members = tuple((source.body[n].offset, source.body[n].op) for n in paid[position])
                out += self.raise_(self.first + len(self.points), assembled(("i64.const", 1)))
                self.points.append(Run(number, members, None if position else source.local_count))
            if found.op is CHARGE_OPERAND:
                out += [found, *self.by_operand(found.imm, scratch, self.first + total + len(self.places))]
                self.places.append((number, instr.offset))
                found = next(charged)
            assert found.op is instr.op
            out.append(instr)
        locals_ = (*target.locals, (1, "i32")) if by_operand else target.locals
        return replace(target, body=tuple(out), locals=locals_, height=target.height + _HEIGHT)

    def by_operand(self, price: tuple[int, int], scratch: int, counter: int) -> list[Instr]:
        """Add what a charge by the operand on top of the stack took; the operand stays there."""
        particles = [*assembled(("local.get", scratch)), *operand_price(*price)]
        return [*assembled(("local.tee", scratch)), *self.raise_(counter, particles)]

    def raise_(self, counter: int, amount: list[Instr]) -> list[Instr]:
        """Raise a counter."""
        return [*assembled(("global.get", counter)), *amount, *assembled("i64.add", ("global.set", counter))]
