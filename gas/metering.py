"""Metering: rewriting a module so that every instruction is paid for.

The rewritten module defines what is charged. Charges are merged as far as nobody can see it: a trap takes all gas, so a
charge may run ahead of a trap, but not of a call, which may observe gas or end the run. `docs/gas.md` explains the
algorithm with an example.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NewType

from gas.schedule import Schedule
from wasm.instructions import CHARGE, CHARGE_OPERAND, Op
from wasm.module import Expr, Function, Instr, ValidModule
from wasm.types import Limits, MemoryType

VERSION: Final = 1
"""Version of the rules in this file; part of the key of everything cached."""

FRAME_WORDS: Final = 4
MAX_BLOCK: Final = 1 << 62

MeteredModule = NewType("MeteredModule", ValidModule)
"""A valid module with charges inserted and frames weighed."""


def meter(
    module: ValidModule, schedule: Schedule, max_pages: int | None = None, max_entries: int | None = None
) -> MeteredModule:
    """Insert the charges of a schedule and weigh every frame.

    `max_pages` is the greatest size a memory may grow to: a greater or missing maximum is cut to it. So is that of a
    table to `max_entries`, where something grows tables. Custom sections are dropped. Raise `Unpriced` if an
    instruction has no price, unreachable ones included.
    """
    types = module.types
    functions = tuple(
        replace(
            function,
            body=inject(function.body, *charge_points(function.body, function.local_count, schedule)),
            weight=frame_words(function, len(types[function.type].params)),
        )
        for function in module.functions
    )
    memories = module.memories
    if max_pages is not None:
        memories = tuple(MemoryType(_cut(memory.limits, max_pages)) for memory in memories)
    tables = module.tables
    if max_entries is not None and any(op.name == "table.grow" for f in module.functions for op, _, _ in f.body):
        tables = tuple(replace(table, limits=_cut(table.limits, max_entries)) for table in tables)
    return MeteredModule(
        ValidModule(
            replace(
                module,
                functions=functions,
                tables=tables,
                memories=memories,
                customs=(),
                widths={},
                sections=frozenset(),
            )
        )
    )


def _cut(limits: Limits, bound: int) -> Limits:
    """Return limits whose maximum is at most `bound`."""
    return replace(limits, maximum=bound if limits.maximum is None else min(limits.maximum, bound), flags=1)


def frame_words(function: Function, params: int) -> int:
    """Return what a frame takes from the stack counter, in words.

    Half the instructions are counted because a compiler may keep a value alive for every instruction or so.
    """
    return FRAME_WORDS + params + function.local_count + function.height + (len(function.body) + 1) // 2


class _Frame:
    """An open block, loop, if or function.

    `low` is the lowest frame that something inside may leave to, -1 for a call; `outer` the charge point before;
    `hit` whether a branch leads to its end; `live` whether it can be reached; `fall` whether its `then` reaches its
    end.
    """

    __slots__ = ("fall", "has_else", "hit", "index", "kind", "live", "low", "outer")

    def __init__(self, kind: str, index: int, outer: int, *, live: bool) -> None:
        self.kind = kind
        self.index = self.low = index
        self.outer = outer
        self.live = live
        self.hit = self.fall = self.has_else = False


def charge_points(
    body: Expr, local_count: int, schedule: Schedule, paid: dict[int, list[int]] | None = None
) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
    """Return what is charged where: from the index of the instruction that a charge stands before to particles.

    The second mapping is of charges by operand: to (unit, shift). One pass, linear in the size of the body. `paid`, if
    given, is filled with the indices of the instructions that are paid at each point, free ones included.
    """
    prices: dict[Op, int] = {}
    dynamic = {name: price for name, price in schedule.operands.items() if price[0]}
    by_operand: dict[int, tuple[int, int]] = {}
    costs = {0: local_count * schedule.local}
    current = 0
    reach = True
    frames = [_Frame("func", 0, 0, live=True)]
    for position, (op, imm, _) in enumerate(body):
        cost = prices.get(op)
        if cost is None:
            cost = prices[op] = schedule.price(op)
        name = op.name
        if name not in _STRUCTURAL:
            if reach:
                costs[current] += cost
                if paid is not None:
                    paid.setdefault(current, []).append(position)
                if name in dynamic:
                    by_operand[position] = dynamic[name]
            continue
        if reach and name not in ("loop", "else", "end"):
            costs[current] += cost
            if paid is not None:
                paid.setdefault(current, []).append(position)
        following = position + 1
        if name in ("block", "loop", "if"):
            frames.append(_Frame(name, len(frames), current, live=reach))
            if reach and name != "block":
                current = following
                costs[current] = cost if name == "loop" else 0
                if paid is not None and name == "loop":
                    paid[current] = [position]
        elif name == "else":
            frame = frames[-1]
            frame.has_else = True
            frame.fall = reach
            reach = frame.live
            current = following
            costs[current] = 0
        elif name == "end":
            frame = frames.pop()
            if not frames:
                break
            frames[-1].low = min(frames[-1].low, frame.low)
            without_else = frame.kind == "if" and not frame.has_else
            reach = frame.live and (reach or frame.hit or frame.fall or without_else)
            if reach:
                if frame.low < frame.index:
                    current = following
                    costs[current] = 0
                else:
                    current = frame.outer
        elif reach:
            top = frames[-1]
            if name in ("call", "call_indirect"):
                top.low = -1
            elif name != "unreachable":
                if name == "return":
                    targets = [frames[0]]
                else:
                    targets = [frames[-1 - depth] for depth in (imm if name == "br_table" else (imm,))]
                for target in targets:
                    top.low = min(top.low, target.index)
                    target.hit |= target.kind != "loop"
            reach = name in ("br_if", "call", "call_indirect")
            current = following
            costs[current] = 0
    return {position: cost for position, cost in costs.items() if cost}, by_operand


_STRUCTURAL: Final = frozenset(
    "block loop if else end br br_if br_table return call call_indirect unreachable".split()  # noqa: SIM905  # one row
)


def inject(body: Expr, charges: dict[int, int], by_operand: dict[int, tuple[int, int]]) -> Expr:
    """Return the body with its charges before the instructions that they stand before."""
    out: list[Instr] = []
    for position, instr in enumerate(body):
        cost = charges.get(position)
        if cost:
            if cost >= MAX_BLOCK:
                raise OverflowError(f"a block costs {cost} particles, 2^62 or more")
            out.append(Instr(CHARGE, cost, instr.offset))
        price = by_operand.get(position)
        if price:
            out.append(Instr(CHARGE_OPERAND, price, instr.offset))
        out.append(instr)
    return tuple(out)
