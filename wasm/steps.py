"""The interpreter's steps: what one prepared instruction does to registers and instance.

A step is a function of a frame's registers and the running instance. Each factory below makes the step of one kind of
instruction; register numbers are fixed when a function is prepared (see `wasm.lower`). The first argument of a factory
is the register that the step writes.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wasm.engine import Run, Value
from wasm.errors import Trap, TrapKind, Unsupported
from wasm.instructions import ROWS
from wasm.numeric import Binary, Unary
from wasm.proposals import PROPOSALS
from wasm.types import PAGE

if TYPE_CHECKING:
    from wasm.interpreter import InterpreterInstance

Registers: TypeAlias = list[Value]
Step: TypeAlias = "Callable[[Registers, InterpreterInstance], None]"

_FORMATS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}


def binary(d: int, op: Binary, a: int, b: int) -> Step:
    """Return a step for an operation on two operands."""

    def step(r: Registers, _: InterpreterInstance) -> None:
        r[d] = op(r[a], r[b])

    return step


def unary(d: int, op: Unary, a: int) -> Step:
    """Return a step for an operation on one operand."""

    def step(r: Registers, _: InterpreterInstance) -> None:
        r[d] = op(r[a])

    return step


def move(d: int, a: int) -> Step:
    """Return a step that copies a register."""

    def step(r: Registers, _: InterpreterInstance) -> None:
        r[d] = r[a]

    return step


def select(d: int, a: int, b: int, condition: int) -> Step:
    """`select`."""

    def step(r: Registers, _: InterpreterInstance) -> None:
        r[d] = r[a] if r[condition] else r[b]

    return step


# Counters


def charge(_: None, amount: int) -> Step:
    """Return a step that takes from the gas counter."""

    def step(_: Registers, m: InterpreterInstance) -> None:
        m.gas -= amount
        if m.gas < 0:
            raise Trap(TrapKind.OUT_OF_GAS)

    return step


def charge_operand(_: None, unit: int, shift: int, operand: int) -> Step:
    """Return a step that takes `unit` for every 2^`shift` of an operand, rounded up."""
    round_up = (1 << shift) - 1

    def step(r: Registers, m: InterpreterInstance) -> None:
        m.gas -= (r[operand] + round_up >> shift) * unit
        if m.gas < 0:
            raise Trap(TrapKind.OUT_OF_GAS)

    return step


def trap(_: None, kind: TrapKind) -> Step:
    """Return a step that traps."""

    def step(_: Registers, _m: InterpreterInstance) -> None:
        raise Trap(kind)

    return step


def unsupported(_: int | None, name: str, proposal: str) -> Step:
    """Return a step for an instruction that is type-checked but has no semantics here."""

    def step(_: Registers, _m: InterpreterInstance) -> None:
        raise Unsupported(proposal, f"{PROPOSALS[proposal].title}: {name} cannot run")

    return step


def trace(_: None, function: int, offset: int, name: str, operands: tuple[int, ...]) -> Step:
    """Return a step that shows the instruction that follows to the tracer."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        assert m.tracer is not None
        m.tracer(function, offset, name, tuple([r[x] for x in operands]), m.gas)

    return step


# What a profiler is told


def enter(_: None, function: int) -> Step:
    """Return a step that tells the profiler that a function begins."""

    def step(_: Registers, m: InterpreterInstance) -> None:
        assert m.profiler is not None
        m.profiler.enter(function, m.gas)

    return step


def leave(_: None) -> Step:
    """Return a step that tells the profiler that the function returns."""

    def step(_: Registers, m: InterpreterInstance) -> None:
        assert m.profiler is not None
        m.profiler.leave(m.gas)

    return step


def count(_: None, run: Run) -> Step:
    """Return a step that counts a run for the profiler."""
    length = len(run.instructions)

    def step(_: Registers, m: InterpreterInstance) -> None:
        profiler = m.profiler
        assert profiler is not None
        profiler.runs[run] += 1
        profiler.executed += length
        profiler.last = run

    return step


def counted_charge_operand(_: None, unit: int, shift: int, operand: int, place: tuple[int, int]) -> Step:
    """Return a `charge_operand` that tells the profiler what it took."""
    charge_ = charge_operand(None, unit, shift, operand)

    def step(r: Registers, m: InterpreterInstance) -> None:
        before = m.gas
        charge_(r, m)
        assert m.profiler is not None
        m.profiler.operands[place] += before - m.gas

    return step


# Globals and memory


def global_get(d: int, index: int) -> Step:
    """`global.get`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = m.globals[index].value

    return step


def global_set(_: None, index: int, a: int) -> Step:
    """`global.set`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        m.globals[index].value = r[a]

    return step


def load(d: int, code: Struct, mask: int, offset: int, a: int) -> Step:
    """Return a step for a load; signed ones are cut to the mask of their type."""
    unpack = code.unpack_from

    def step(r: Registers, m: InterpreterInstance) -> None:
        try:
            r[d] = unpack(m.data, r[a] + offset)[0]
        except error:
            raise Trap(TrapKind.MEMORY_BOUNDS) from None

    def signed_step(r: Registers, m: InterpreterInstance) -> None:
        try:
            r[d] = unpack(m.data, r[a] + offset)[0] & mask
        except error:
            raise Trap(TrapKind.MEMORY_BOUNDS) from None

    return step if code.format.isupper() else signed_step


def store(_: None, code: Struct, mask: int, offset: int, a: int, value: int) -> Step:
    """Return a step for a store of the low bits of a value."""
    pack = code.pack_into

    def step(r: Registers, m: InterpreterInstance) -> None:
        try:
            pack(m.data, r[a] + offset, r[value] & mask)
        except error:
            raise Trap(TrapKind.MEMORY_BOUNDS) from None

    return step


def _access(name: str, width: int) -> tuple[Callable[..., Step], Struct, int]:
    """Return factory, format and mask of a load or store."""
    if "store" in name:
        return store, Struct("<" + _FORMATS[width]), (1 << 8 * width) - 1
    letter = _FORMATS[width]
    return load, Struct("<" + (letter.lower() if name.endswith("_s") else letter)), (1 << int(name[1:3])) - 1


ACCESS: Final = {
    row.name: _access(row.name, row.width) for row in ROWS if row.immediate == "memarg" and row.proposal == "mvp"
}


def memory_size(d: int) -> Step:
    """`memory.size`, in pages."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = len(m.data) // PAGE

    return step


def memory_grow(d: int, pages: int) -> Step:
    """`memory.grow`: the old size in pages, or 2^32 - 1 past the maximum."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = m.memory.grow(r[pages])

    return step


def _inside(size: int, start: int, length: int, kind: TrapKind) -> None:
    """Trap unless a range is inside."""
    if start + length > size:
        raise Trap(kind)


def memory_fill(_: None, at: int, value: int, length: int) -> Step:
    """`memory.fill`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        start, count = r[at], r[length]
        _inside(len(m.data), start, count, TrapKind.MEMORY_BOUNDS)
        m.data[start : start + count] = bytes((r[value] & 0xFF,)) * count

    return step


def memory_copy(_: None, to: int, source: int, length: int) -> Step:
    """`memory.copy`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        start, origin, count = r[to], r[source], r[length]
        _inside(len(m.data), max(start, origin), count, TrapKind.MEMORY_BOUNDS)
        m.data[start : start + count] = m.data[origin : origin + count]

    return step


def memory_init(_: None, segment: int, to: int, source: int, length: int) -> Step:
    """`memory.init`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        m.memory_init(segment, r[to], r[source], r[length])

    return step


def data_drop(_: None, segment: int) -> Step:
    """`data.drop`."""

    def step(_: Registers, m: InterpreterInstance) -> None:
        m.data_segments[segment] = b""

    return step


# Tables and references


def table_get(d: int, table: int, index: int) -> Step:
    """`table.get`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        elements = m.tables[table].elements
        _inside(len(elements), r[index], 1, TrapKind.TABLE_BOUNDS)
        r[d] = elements[r[index]]

    return step


def table_set(_: None, table: int, index: int, value: int) -> Step:
    """`table.set`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        elements = m.tables[table].elements
        _inside(len(elements), r[index], 1, TrapKind.TABLE_BOUNDS)
        elements[r[index]] = r[value]

    return step


def table_size(d: int, table: int) -> Step:
    """`table.size`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = len(m.tables[table].elements)

    return step


def table_grow(d: int, table: int, value: int, count: int) -> Step:
    """`table.grow`: the old size, or 2^32 - 1 past the maximum."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = m.tables[table].grow(r[count], r[value])

    return step


def table_fill(_: None, table: int, at: int, value: int, length: int) -> Step:
    """`table.fill`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        elements = m.tables[table].elements
        start, count = r[at], r[length]
        _inside(len(elements), start, count, TrapKind.TABLE_BOUNDS)
        elements[start : start + count] = [r[value]] * count

    return step


def table_copy(_: None, tables: tuple[int, int], to: int, source: int, length: int) -> Step:
    """`table.copy`."""
    target, origin = tables

    def step(r: Registers, m: InterpreterInstance) -> None:
        into, out = m.tables[target].elements, m.tables[origin].elements
        start, first, count = r[to], r[source], r[length]
        _inside(len(into), start, count, TrapKind.TABLE_BOUNDS)
        _inside(len(out), first, count, TrapKind.TABLE_BOUNDS)
        into[start : start + count] = out[first : first + count]

    return step


def table_init(_: None, segment_table: tuple[int, int], to: int, source: int, length: int) -> Step:
    """`table.init`."""
    segment, table = segment_table

    def step(r: Registers, m: InterpreterInstance) -> None:
        m.table_init(table, segment, r[to], r[source], r[length])

    return step


def elem_drop(_: None, segment: int) -> Step:
    """`elem.drop`."""

    def step(_: Registers, m: InterpreterInstance) -> None:
        m.element_segments[segment] = []

    return step


def ref_func(d: int, function: int) -> Step:
    """`ref.func`."""

    def step(r: Registers, m: InterpreterInstance) -> None:
        r[d] = m.functions[function]

    return step


def is_null(reference: Any) -> int:
    """`ref.is_null`, an operation on one operand."""
    return int(reference is None)
