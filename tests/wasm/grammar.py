"""The code of generated modules: function bodies grown at random over the types on the operand stack.

Values are wanted by type and made by constants, locals, operations, loads, blocks and calls; statements take what is on
the stack or make what they need. Operands stay on the stack across statements, which is what makes the code interesting
for whoever keeps them in registers. Behind an instruction that does not go on, operands may be missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.wasm.generate import ModuleDraft

TYPE_BYTES: Final = {"i": b"\x7f", "I": b"\x7e", "r": b"\x70"}
PAGE: Final = 65_536
FUEL: Final = 0
"""Index of the global that bounds a run."""


def split(signature: str) -> tuple[str, str]:
    """Return parameters and results of a signature."""
    params, _, results = signature.partition(":")
    return params, results


class Writer:
    """Writing integers, some of them padded."""

    def __init__(self, rng: Random, padding: float) -> None:
        self.rng = rng
        self.padding = padding

    def u(self, value: int) -> bytes:
        """Encode an unsigned 32-bit integer."""
        out = bytearray()
        width = self.rng.randint(1, 5) if self.rng.random() < self.padding else 1
        while value > 0x7F or len(out) + 1 < width:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value])

    def s(self, value: int, bits: int) -> bytes:
        """Encode a signed integer, given by its bits or as it is."""
        if value >> bits - 1 == 1:
            value -= 1 << bits
        out = bytearray()
        width = self.rng.randint(1, -(-bits // 7)) if self.rng.random() < self.padding else 1
        while not -0x40 <= value < 0x40 or len(out) + 1 < width:
            out.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*out, value & 0x7F])

    def sized(self, content: bytes) -> bytes:
        """Put the length before some bytes."""
        return self.u(len(content)) + content

    def vector(self, items: Sequence[bytes]) -> bytes:
        """Put the count before some items."""
        return self.u(len(items)) + b"".join(items)

    def section(self, kind: int, content: bytes) -> bytes:
        """Write a section."""
        return bytes([kind]) + self.sized(content)


# Operations on numbers: opcode and operand letters by result.
_UNARY: Final = {
    "i": [(0x45, "i"), (0x50, "I"), (0x67, "i"), (0x68, "i"), (0x69, "i"), (0xA7, "I"), (0xC0, "i"), (0xC1, "i")],
    "I": [(c, "I") for c in (0x79, 0x7A, 0x7B, 0xC2, 0xC3, 0xC4)] + [(0xAC, "i"), (0xAD, "i")],
}
_BINARY: Final = {
    "i": [(code, "i") for code in [*range(0x46, 0x50), *range(0x6A, 0x79)]] + [(c, "I") for c in range(0x51, 0x5B)],
    "I": [(code, "I") for code in range(0x7C, 0x8B)],
}
_DIVISIONS: Final = frozenset({*range(0x6D, 0x71), *range(0x7F, 0x83)})
# Loads by result and stores by operand: opcode, logarithm of the width.
_LOADS: Final = {
    "i": [(0x28, 2), (0x2C, 0), (0x2D, 0), (0x2E, 1), (0x2F, 1)],
    "I": [(0x29, 3), (0x30, 0), (0x31, 0), (0x32, 1), (0x33, 1), (0x34, 2), (0x35, 2)],
}
_STORES: Final = {"i": [(0x36, 2), (0x3A, 0), (0x3B, 1)], "I": [(0x37, 3), (0x3C, 0), (0x3D, 1), (0x3E, 2)]}


class _Frame:
    """An open block: where its operands begin, what a branch to it takes, whether its code is dead by now."""

    __slots__ = ("base", "dead", "label")

    def __init__(self, base: int, label: str) -> None:
        self.base = base
        self.label = label
        self.dead = False


class Body:
    """One function body on its way: the bytes so far, the types on the operand stack, the open frames."""

    def __init__(self, module: ModuleDraft, index: int) -> None:
        self.module = module
        self.rng = module.rng
        self.shape = module.shape
        self.u = module.w.u
        self.params, self.results = split(module.signatures[index])
        self.is_entry = index >= module.callable
        self.declared = module.some_types(module.values, 5)
        self.locals = self.params + self.declared
        self.out = bytearray()
        self.stack: list[str] = []
        self.frames = [_Frame(0, self.results)]
        self.floor = 0
        self.budget = self.rng.randint(self.shape.size, 8 * self.shape.size)
        self.statements = self.weighted_statements()

    def code(self) -> bytes:
        """Write the body."""
        if self.is_entry:
            self.emit(self.module.constant("i", self.shape.fuel), b"\x24", self.u(FUEL))
        else:
            self.burn()
            self.emit(b"\x04\x40")
            if self.rng.random() < 0.7:
                self.emit(*map(self.default, self.results), b"\x0f")
            else:
                self.emit(b"\x00")
            self.emit(b"\x0b")
        self.block_body(self.results)
        runs: list[list[int | str]] = []
        for type_ in self.declared:
            if runs and runs[-1][1] == type_ and self.rng.random() < 0.8:
                runs[-1][0] += 1  # type: ignore[operator]
            else:
                runs.append([1, type_])
        locals_ = self.module.w.vector([self.u(int(count)) + TYPE_BYTES[str(type_)] for count, type_ in runs])
        return self.module.w.sized(locals_ + bytes(self.out))

    # Emission and the operand stack

    def emit(self, *parts: bytes) -> None:
        """Write bytes."""
        for part in parts:
            self.out += part

    @property
    def frame(self) -> _Frame:
        """The innermost frame."""
        return self.frames[-1]

    @property
    def available(self) -> list[str]:
        """The operands of the innermost frame, without those that wait for others beside them."""
        return self.stack[max(self.frame.base, self.floor) :]

    def apply(self, params: str, results: str, *code: bytes) -> None:
        """Write an instruction whose operands are there; in dead code they may be missing."""
        count = min(len(params), len(self.stack) - self.frame.base)
        del self.stack[len(self.stack) - count :]
        self.stack += results
        self.emit(*code)

    def die(self, *code: bytes) -> None:
        """Write an instruction that does not go on."""
        del self.stack[self.frame.base :]
        self.frame.dead = True
        self.emit(*code)

    def matches(self, types: Sequence[str]) -> bool:
        """Tell whether the operands on top are of these types, or may be in dead code."""
        found = self.available[-len(types) :] if types else []
        wanted = list(types)[len(types) - len(found) :]
        missing = self.frame.dead and self.floor <= self.frame.base
        return found == wanted and (len(found) == len(types) or missing)

    def need(self, types: str, maker: Callable[[str], None] | None = None) -> None:
        """See that operands of these types are on top: those that are there, or new ones."""
        if not types or (self.matches(types) and self.rng.random() < 0.6):
            return
        if len(types) > 1 and self.matches(types[:1]) and self.rng.random() < 0.5:
            types = types[1:]
        for type_ in types:
            (maker or self.value)(type_)

    def default(self, type_: str) -> bytes:
        """Return a constant of a type."""
        return b"\xd0\x70" if type_ == "r" else self.module.constant(type_)

    def burn(self) -> None:
        """Take from the fuel and leave on the stack whether it is used up (bytes only)."""
        fuel = self.u(FUEL)
        one = self.module.constant("i", 1)
        self.emit(b"\x23", fuel, one, b"\x6b\x24", fuel, b"\x23", fuel, self.module.constant("i", 0), b"\x48")

    # Values

    def value(self, type_: str, depth: int = 3) -> None:
        """Push a value of a type; operands that are there are left alone."""
        self.budget -= 1
        floor, self.floor = self.floor, len(self.stack)
        if type_ == "r":
            self.reference()
        else:
            self.number(type_, depth)
        self.floor = floor

    def number(self, type_: str, depth: int) -> None:
        """Push a number."""
        pick = self.rng.random()
        if depth == 0 or self.budget < 0 or pick < 0.2:
            self.apply("", type_, self.module.constant(type_))
        elif pick < 0.5:
            self.local_get(type_)
        elif pick < 0.56:
            self.global_get(type_)
        elif pick < 0.8:
            self.compute(type_, depth)
        elif pick < 0.88:
            code, width = self.rng.choice(_LOADS[type_])
            self.need("i", self.address)
            self.apply("i", type_, bytes([code]), self.memarg(width))
        elif pick < 0.91 and type_ == "i":
            self.query()
        elif pick < 0.95:
            self.structured(type_)
        else:
            self.call_for(type_)

    def compute(self, type_: str, depth: int) -> None:
        """Push the result of an operation on numbers."""
        pick = self.rng.random()
        if pick < 0.2:
            code, operand = self.rng.choice(_UNARY[type_])
            self.need(operand, lambda t: self.value(t, depth - 1))
            self.apply(operand, type_, bytes([code]))
        elif pick < 0.85:
            code, operand = self.rng.choice(_BINARY[type_])
            self.need(operand * 2, lambda t: self.value(t, depth - 1))
            if code in _DIVISIONS and self.rng.random() < 0.85:
                self.apply("", operand, self.module.constant(operand, 1))
                self.apply(operand * 2, operand, b"\x72" if operand == "i" else b"\x84")
            self.apply(operand * 2, type_, bytes([code]))
        else:
            self.need(type_ * 2 + "i", lambda t: self.value(t, depth - 1))
            typed = self.shape.references and self.rng.random() < 0.3
            code_ = b"\x1c" + self.u(1) + TYPE_BYTES[type_] if typed else b"\x1b"
            self.apply(type_ * 2 + "i", type_, code_)

    def local_get(self, type_: str) -> None:
        """Push a local of a type, or a constant where there is none."""
        found = [n for n, t in enumerate(self.locals) if t == type_]
        if found:
            self.apply("", type_, b"\x20", self.u(self.rng.choice(found)))
        else:
            self.apply("", type_, self.default(type_))

    def global_get(self, type_: str) -> None:
        """Push a global of a type, or a constant where there is none."""
        found = [n for n, (t, _) in enumerate(self.module.globals) if t == type_ and n != FUEL]
        if found:
            self.apply("", type_, b"\x23", self.u(self.rng.choice(found)))
        else:
            self.apply("", type_, self.default(type_))

    def reference(self) -> None:
        """Push a reference to a function."""
        pick = self.rng.random()
        if pick < 0.3:
            self.local_get("r")
        elif pick < 0.4:
            self.global_get("r")
        elif pick < 0.6:
            table = self.rng.randrange(len(self.module.tables))
            self.slot(table)
            self.apply("i", "r", b"\x25", self.u(table))
        elif pick < 0.7:
            self.apply("", "r", b"\xd0\x70")
        elif pick < 0.75:
            self.need("rri", lambda t: self.value(t, 1))
            self.apply("rri", "r", b"\x1c", self.u(1), b"\x70")
        elif self.module.callable:
            self.apply("", "r", b"\xd2", self.u(self.rng.randrange(self.module.callable)))
        else:
            self.apply("", "r", b"\xd0\x70")

    def masked(self, mask: int) -> None:
        """Push an i32, mostly cut to a mask."""
        self.value("i", 2)
        if self.rng.random() < 0.97:
            self.apply("", "i", self.module.constant("i", mask))
            self.apply("ii", "i", b"\x71")

    def address(self, _: str = "i") -> None:
        """Push an address, mostly inside the first page."""
        self.masked(self.rng.choice((0, 7, 0xFF, 0xFFF, 0xFFFF)))

    def length(self, _: str = "i") -> None:
        """Push a number of bytes, mostly small."""
        self.masked(self.rng.choice((0, 3, 0x3F, 0x3FF)))

    def slot(self, table: int) -> None:
        """Push an index into a table, mostly inside."""
        if self.rng.random() < 0.8:
            self.apply("", "i", self.module.constant("i", self.rng.randrange(self.module.tables[table][0])))
        else:
            self.masked(3)

    def memarg(self, width: int) -> bytes:
        """Write alignment and offset."""
        pick = self.rng.random()
        far = (PAGE - 8, PAGE - 1, PAGE, 2 * PAGE, (1 << 32) - 1)
        offset = 0 if pick < 0.4 else self.rng.randint(0, 255) if pick < 0.99 else self.rng.choice(far)
        return self.u(self.rng.randint(0, width)) + self.u(offset)

    def query(self) -> None:
        """Push the size of memory or a table, or grow one, or ask for null."""
        tables = self.shape.references
        pick = self.rng.randrange(5 if tables else 2)
        table = self.rng.randrange(len(self.module.tables))
        if pick == 0:
            self.apply("", "i", b"\x3f\x00")
        elif pick == 1:
            self.masked(self.rng.choice((0, 1, 3)))
            self.apply("i", "i", b"\x40\x00")
        elif pick == 2:
            self.need("r")
            self.apply("r", "i", b"\xd1")
        elif pick == 3:
            self.apply("", "i", b"\xfc", self.u(0x10), self.u(table))
        else:
            self.value("r")
            self.masked(3)
            self.apply("ri", "i", b"\xfc", self.u(0x0F), self.u(table))

    def call_for(self, type_: str) -> None:
        """Call a function that gives just a type, or push a constant where there is none."""
        found = [n for n in range(self.module.callable) if split(self.module.signatures[n])[1] == type_]
        if found:
            self.call(self.rng.choice(found))
        else:
            self.apply("", type_, self.default(type_))

    # Statements

    def weighted_statements(self) -> list[Callable[[], None]]:
        """Return the statements, each as often as its weight."""
        shape, tables = self.shape, range(len(self.module.tables))
        weights: Iterable[tuple[Callable[[], None], int]] = (
            (lambda: self.local_get(self.module.any_type()), 12),
            (lambda: self.value(self.module.any_type()), 6),
            (lambda: self.compute(self.module.any_type("iI"), 2), 10),
            (self.local_set, 14),
            (self.local_tee, 6),
            (self.global_set, 4),
            (self.drop, 3),
            (lambda: self.emit(b"\x01"), 1),
            (self.store, 8),
            (self.block, 6),
            (self.loop, 6),
            (self.if_, 8),
            (self.br, 2),
            (self.br_if, 8),
            (self.br_table, 2),
            (self.return_, 1),
            (lambda: self.die(b"\x00"), 1 if self.rng.random() < 0.3 else 0),
            (lambda: self.call(self.rng.randrange(self.module.callable)), 6 if self.module.callable else 0),
            (self.call_indirect, 4 if self.module.callable else 0),
            (self.fill_or_copy, 3),
            (self.memory_init, 2 if shape.bulk and self.module.data else 0),
            (self.table_init, 2 if shape.bulk and self.module.elements else 0),
            (lambda: self.table_copy(self.rng.choice(tables), self.rng.choice(tables)), 1 if shape.bulk else 0),
            (lambda: self.table_set(self.rng.choice(tables)), 2 if shape.references else 0),
        )
        return [statement for statement, weight in weights for _ in range(weight)]

    def statement(self) -> None:
        """Write a statement."""
        self.budget -= 1
        self.rng.choice(self.statements)()

    def local_set(self) -> None:
        """Set a local."""
        if self.locals:
            index = self.rng.randrange(len(self.locals))
            self.need(self.locals[index])
            self.apply(self.locals[index], "", b"\x21", self.u(index))

    def local_tee(self) -> None:
        """Set a local and keep the value."""
        if self.locals:
            index = self.rng.randrange(len(self.locals))
            self.need(self.locals[index])
            self.apply(self.locals[index], self.locals[index], b"\x22", self.u(index))

    def global_set(self) -> None:
        """Set a global."""
        found = [n for n, (_, mutable) in enumerate(self.module.globals) if mutable and n != FUEL]
        if found:
            index = self.rng.choice(found)
            type_ = self.module.globals[index][0]
            self.need(type_)
            self.apply(type_, "", b"\x24", self.u(index))

    def drop(self) -> None:
        """Drop an operand, in dead code perhaps one that is not there."""
        if self.available or self.frame.dead:
            self.apply("i", "", b"\x1a")

    def store(self) -> None:
        """Store to memory."""
        type_ = self.module.any_type("iI")
        code, width = self.rng.choice(_STORES[type_])
        if not self.matches("i" + type_) or self.rng.random() < 0.5:
            self.address()
            self.value(type_)
        self.apply("i" + type_, "", bytes([code]), self.memarg(width))

    def fill_or_copy(self) -> None:
        """Fill or copy memory."""
        self.address()
        if self.rng.random() < 0.5:
            self.value("i")
            self.length()
            self.apply("iii", "", b"\xfc", self.u(0x0B), b"\0")
        else:
            self.address()
            self.length()
            self.apply("iii", "", b"\xfc", self.u(0x0A), b"\0\0")

    def memory_init(self) -> None:
        """Copy from a data segment, or drop it."""
        segment = self.rng.randrange(len(self.module.data))
        if self.rng.random() < 0.2:
            self.emit(b"\xfc", self.u(9), self.u(segment))
            return
        self.address()
        self.masked(1)
        self.masked(self.rng.choice((0, 0, 3)))
        self.apply("iii", "", b"\xfc", self.u(8), self.u(segment), b"\0")

    def table_init(self) -> None:
        """Copy from an element segment, or drop it."""
        segment = self.rng.randrange(len(self.module.elements))
        if self.rng.random() < 0.2:
            self.emit(b"\xfc", self.u(13), self.u(segment))
            return
        table = self.rng.randrange(len(self.module.tables))
        self.slot(table)
        self.masked(1)
        self.masked(self.rng.choice((0, 1, 3)))
        self.apply("iii", "", b"\xfc", self.u(12), self.u(segment), self.u(table))

    def table_copy(self, to: int, source: int) -> None:
        """Copy between tables."""
        self.slot(to)
        self.slot(source)
        self.masked(1)
        self.apply("iii", "", b"\xfc", self.u(14), self.u(to), self.u(source))

    def table_set(self, table: int) -> None:
        """Write one entry of a table, or several."""
        self.slot(table)
        self.value("r")
        if self.rng.random() < 0.6:
            self.apply("ir", "", b"\x26", self.u(table))
        else:
            self.masked(1)
            self.apply("iri", "", b"\xfc", self.u(17), self.u(table))

    # Calls

    def call(self, index: int) -> None:
        """Call a function."""
        params, results = split(self.module.signatures[index])
        self.need(params)
        self.apply(params, results, b"\x10", self.u(index))

    def call_indirect(self) -> None:
        """Call through a table, mostly a function that fits."""
        slots = self.module.slots
        if slots and self.rng.random() < 0.93:
            (table, slot), function = self.rng.choice(list(slots.items()))
            index = self.module.constant("i", slot)
        else:
            table, function = self.rng.randrange(len(self.module.tables)), self.rng.randrange(self.module.callable)
            index = b""
        signature = self.module.signatures[function]
        params, results = split(signature)
        self.need(params)
        if index:
            self.apply("", "i", index)
        else:
            self.slot(table)
        type_ = self.u(self.module.type_index(signature))
        self.apply(params + "i", results, b"\x11", type_, self.u(table))

    # Blocks and branches

    def taken(self, below: int) -> str:
        """Draw how many operands a block takes, below so many on top."""
        found = self.available[: len(self.available) - below] if below else self.available
        count = self.rng.randint(0, min(3, len(found))) if self.shape.multi_value and self.rng.random() < 0.5 else 0
        return "".join(found[len(found) - count :])

    def given(self) -> str:
        """Draw what a block gives."""
        return self.module.some_types(self.module.values, 3 if self.shape.multi_value else 1)

    def block_type(self, params: str, results: str) -> bytes:
        """Write a block type."""
        if params or len(results) > 1 or (self.shape.multi_value and self.rng.random() < 0.2):
            return self.module.w.s(self.module.type_index(f"{params}:{results}"), 33)
        return TYPE_BYTES[results] if results else b"\x40"

    def enter(self, params: str, label: str, *code: bytes) -> None:
        """Open a frame; its operands are on top."""
        self.emit(*code)
        self.frames.append(_Frame(len(self.stack) - len(params), label))

    def leave(self, results: str) -> None:
        """Close the innermost frame."""
        del self.stack[self.frame.base :]
        self.frames.pop()
        self.stack += results
        self.emit(b"\x0b")

    def block_body(self, results: str) -> None:
        """Write statements up to the `end` of the innermost frame."""
        for _ in range(self.rng.randint(0, 5) if len(self.frames) > 1 else self.shape.size):
            if self.budget < 0:
                break
            if self.frame.dead and self.rng.random() < 0.5:
                break
            self.statement()
        self.settle(results)
        self.leave(results)

    def settle(self, results: str) -> None:
        """Leave just the results on the stack of the innermost frame."""
        if self.matches(results) and len(self.available) > len(results) and self.rng.random() < 0.7:
            if self.frame.label == results and self.rng.random() < 0.7:
                self.die(b"\x0c", self.u(0))
            else:
                depth = next((n for n, f in enumerate(reversed(self.frames)) if f.label == results), None)
                if depth is not None:
                    self.die(b"\x0c", self.u(depth))
        while self.available and (
            len(self.available) > len(results)
            or (not self.matches(results) and not results.startswith("".join(self.available)))
        ):
            self.consume()
        if self.frame.dead and self.matches(results) and self.rng.random() < 0.6:
            return
        for type_ in results[len(self.available) :] if results.startswith("".join(self.available)) else ():
            self.value(type_, 2)

    def consume(self) -> None:
        """Get rid of the operand on top."""
        type_ = self.available[-1]
        found = [n for n, t in enumerate(self.locals) if t == type_]
        if found and self.rng.random() < 0.7:
            self.apply(type_, "", b"\x21", self.u(self.rng.choice(found)))
        else:
            self.apply(type_, "", b"\x1a")

    def structured(self, type_: str) -> None:
        """Push a value by a block or `if`."""
        if self.rng.random() < 0.5:
            self.enter("", type_, b"\x02", self.block_type("", type_))
            self.block_body(type_)
        else:
            self.value("i", 2)
            self.if_of("", type_)

    def block(self) -> None:
        """Write a block."""
        params, results = self.taken(0), self.given()
        self.enter(params, results, b"\x02", self.block_type(params, results))
        self.block_body(results)

    def if_(self) -> None:
        """Write an `if`, with or without `else`."""
        self.need("i")
        params = self.taken(1) if self.available else ""
        self.if_of(params, params if self.rng.random() < 0.3 and self.shape.multi_value else self.given())

    def if_of(self, params: str, results: str) -> None:
        """Write an `if` of a type; its condition is there."""
        self.apply("i", "")
        self.enter(params, results, b"\x04", self.block_type(params, results))
        if params != results or self.rng.random() < 0.6:
            for _ in range(self.rng.randint(0, 4)):
                if not self.frame.dead:
                    self.statement()
            self.settle(results)
            del self.stack[self.frame.base :]
            self.stack += params
            self.frame.dead = False
            self.emit(b"\x05")
        self.block_body(results)

    def loop(self) -> None:
        """Write a loop inside a block; it leaves when the fuel is used up."""
        params, results = self.taken(0), self.given()
        type_ = self.block_type(params, results)
        self.enter(params, results, b"\x02", type_)
        self.enter(params, params, b"\x03", type_)
        self.burn()
        if not results and self.rng.random() < 0.3:
            self.emit(b"\x0d", self.u(1))
        elif self.rng.random() < 0.9:
            self.emit(b"\x04\x40", *map(self.default, results), b"\x0c", self.u(2), b"\x0b")
        else:
            self.emit(b"\x04\x40\x00\x0b")
        for _ in range(self.rng.randint(1, 5)):
            self.statement()
        if self.rng.random() < 0.8:
            self.need(params + "i")
            self.apply(params + "i", params, b"\x0d", self.u(0))
        self.block_body(results)
        self.leave(results)

    def target(self) -> int:
        """Draw a label."""
        return self.rng.randrange(len(self.frames))

    def br(self) -> None:
        """Branch."""
        depth = self.target()
        self.need(self.frames[-1 - depth].label)
        self.die(b"\x0c", self.u(depth))

    def br_if(self) -> None:
        """Branch on a condition; the operands stay."""
        depth = self.target()
        types = self.frames[-1 - depth].label
        self.need(types)
        self.value("i")
        self.apply(types + "i", types, b"\x0d", self.u(depth))

    def br_table(self) -> None:
        """Branch by an index."""
        types = self.frames[-1 - self.target()].label
        fitting = [n for n, f in enumerate(reversed(self.frames)) if f.label == types]
        self.need(types)
        self.masked(self.rng.choice((1, 3)))
        labels = [self.u(self.rng.choice(fitting)) for _ in range(self.rng.randint(1, 5))]
        self.die(b"\x0e", self.u(len(labels) - 1), *labels)

    def return_(self) -> None:
        """Return from the function."""
        self.need(self.results)
        self.die(b"\x0f")
