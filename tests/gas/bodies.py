"""Random modules of structured code: every way control can go, dead code included. One seed, one module."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final

from gas.schedule import MAX_PRICE, Schedule
from wasm.instructions import BY_NAME, ROWS
from wasm.module import Data, Element, Export, Expr, Function, Global, Import, Instr, Module, ValidModule
from wasm.types import FuncType, GlobalType, Limits, MemoryType, TableType, ValType
from wasm.validate import validate

I32: Final[ValType] = "i32"
I64: Final[ValType] = "i64"

NOTHING, TAKES, GIVES, MAPS, MAIN, WIDE, TWO = range(7)
TYPES: Final = (
    FuncType(),
    FuncType((I32,)),
    FuncType((), (I32,)),
    FuncType((I32,), (I32,)),
    FuncType((I32, I64), (I32,)),
    FuncType((I64,), (I64,)),
    FuncType((I32,), (I32, I64)),
)
HOST: Final = {"note": TAKES, "ask": GIVES, "finish": NOTHING}
"""Functions from outside and their types, in index order: `finish` ends the run early."""

FINISH: Final = list(HOST).index("finish")
MAX_PAGES: Final = 4
TABLE_SIZE: Final = 6

BINARY: Final = "add sub mul and or xor shl shr_s shr_u rotl rotr".split()  # noqa: SIM905  # one row
COMPARISONS: Final = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split()  # noqa: SIM905  # one row
DIVISIONS: Final = ("div_s", "div_u", "rem_s", "rem_u")
LOADS: Final = {
    I32: ("i32.load", "i32.load8_s", "i32.load16_u"),
    I64: ("i64.load", "i64.load8_u", "i64.load16_s", "i64.load32_u"),
}
STORES: Final = {I32: ("i32.store", "i32.store8"), I64: ("i64.store", "i64.store32")}
UNARY: Final = {
    I32: ("i32.clz", "i32.ctz", "i32.popcnt", "i32.eqz", "i32.extend8_s", "i32.extend16_s"),
    I64: ("i64.clz", "i64.ctz", "i64.popcnt", "i64.extend8_s", "i64.extend32_s"),
}
CONSTANTS: Final = (0, 1, 2, 3, 7, 64, 65, 4096, -1, -2, 1 << 31)


def code(*instructions: str | tuple[str, Any]) -> list[Instr]:
    """Assemble instructions; the offset of each is its index."""
    pairs = [(i, None) if isinstance(i, str) else i for i in instructions]
    return [Instr(BY_NAME[name], imm, n) for n, (name, imm) in enumerate(pairs)]


def text(body: Expr) -> str:
    """Return a body to look at: one instruction a line, indented, with its index."""
    lines = []
    depth = 0
    for n, (op, imm, _) in enumerate(body):
        depth -= op.name in ("else", "end")
        lines.append(f"{n:4} {'  ' * depth}{op.name}{'' if imm is None else f' {imm}'}")
        depth += op.name in ("block", "loop", "if", "else")
    return "\n".join(lines)


@dataclass(frozen=True)
class Program:
    """A random module, the seed that it came from, and arguments for its `main`."""

    seed: int
    module: ValidModule
    arguments: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        first = len(HOST)
        functions = [
            f"function {n}: {TYPES[f.type]}, locals {f.locals}\n{text(f.body)}"
            for n, f in enumerate(self.module.functions, first)
        ]
        return "\n".join([f"seed {self.seed}", *functions])


def program(seed: int, *, size: int = 60) -> Program:
    """Make a module from a seed; `size` is about how many instructions a body has."""
    rng = Random(seed)
    signatures = [MAIN, *rng.choices((NOTHING, TAKES, GIVES, MAPS, MAIN, WIDE, TWO), k=rng.randrange(4))]
    types = [*HOST.values(), *signatures]
    listed = tuple(rng.randrange(len(types)) for _ in range(rng.randrange(1, TABLE_SIZE)))
    functions = tuple(_Body(rng, types, listed, n, size).function() for n in range(len(HOST), len(types)))
    zero = (*code(("i32.const", 0)), *code("end"))
    module = Module(
        types=TYPES,
        imports=tuple(Import("host", name, "func", type_) for name, type_ in HOST.items()),
        functions=functions,
        tables=(TableType("funcref", Limits(TABLE_SIZE)),),
        memories=(MemoryType(Limits(1, MAX_PAGES, 1)),),
        globals=(
            Global(GlobalType(I32, mutable=True), (*code(("i32.const", rng.choice((0, 1, 99)))), *code("end"))),
            Global(GlobalType(I64, mutable=True), (*code(("i64.const", 5)), *code("end"))),
        ),
        exports=(
            Export("main", "func", len(HOST)),
            Export("memory", "memory", 0),
            Export("a", "global", 0),
            Export("b", "global", 1),
        ),
        elements=(Element(0, "funcref", listed, at=zero),),
        data=(Data(0, rng.randbytes(64), at=zero),),
    )
    arguments = tuple((rng.getrandbits(32), rng.getrandbits(64)) for _ in range(3))
    return Program(seed, validate(module), arguments)


def random_schedule(rng: Random, *, least: int = 0) -> Schedule:
    """Make prices out of nothing, so that no two sums are equal by chance; `least` is the lowest of an instruction."""
    kind = rng.randrange(3)

    def price() -> int:
        if kind == 0:
            return rng.randrange(least, MAX_PRICE)
        return rng.choice((least, 1, 3, 120, 10_000, MAX_PRICE - 1)) if kind == 1 else rng.randrange(least, 200)

    prices = {row.name: price() for row in ROWS}
    operands = {
        name: (rng.choice((0, 1, price())), rng.choice((0, 6, 3)))
        for name in ("memory.grow", "memory.fill", "memory.copy")
    }
    return Schedule(instructions=prices | {"else": 0, "end": 0}, operands=operands, local=price(), page=0)


class _Body:
    """One function in the making: what was emitted, and the operand types of the open labels, innermost last."""

    def __init__(self, rng: Random, types: list[int], listed: tuple[int, ...], number: int, size: int) -> None:
        self.rng = rng
        self.types = types
        self.listed = listed
        self.number = number
        self.type = types[number]
        self.budget = rng.randrange(size // 2, size * 2)
        runs = tuple((rng.randrange(4), rng.choice((I32, I64))) for _ in range(rng.randrange(4)))
        self.locals = ((2, I32), (1, I64), *runs)
        self.local_types = [*TYPES[self.type].params, *(t for n, t in self.locals for _ in range(n))]
        self.labels: list[tuple[ValType, ...]] = [TYPES[self.type].results]
        self.out: list[str | tuple[str, Any]] = []

    def function(self) -> Function:
        """Make the function."""
        self.sequence(TYPES[self.type].results)
        return Function(self.type, self.locals, (*code(*self.out, "end"),))

    def emit(self, name: str, imm: Any = None) -> None:
        """Add an instruction."""
        self.budget -= 1
        self.out.append((name, imm))

    # Statements

    def sequence(self, results: tuple[ValType, ...]) -> None:
        """Fill a block: statements, then its results; after a jump, dead code or nothing."""
        rng = self.rng
        dead = False
        for _ in range(rng.choice((0, 1, 1, 2, 3, 4))):
            if self.budget <= 0:
                break
            dead |= self.statement()
            if dead and rng.random() < 0.4:
                break
        if not dead or rng.random() < 0.5:
            for type_ in results:
                self.value(type_)

    def statement(self) -> bool:
        """Add a statement; return whether it never ends."""
        kind = self.rng.choices(_STATEMENTS, _STATEMENT_WEIGHTS)[0]
        return bool(kind(self))

    def nop(self) -> None:
        self.emit("nop")

    def drop(self) -> None:
        self.value(self.rng.choice((I32, I64)))
        self.emit("drop")

    def local_set(self) -> None:
        local = self.rng.randrange(len(self.local_types))
        self.value(self.local_types[local])
        self.emit("local.set", local)

    def global_set(self) -> None:
        index = self.rng.randrange(2)
        self.value((I32, I64)[index])
        self.emit("global.set", index)

    def store(self) -> None:
        type_ = self.rng.choice((I32, I64))
        self.address()
        self.value(type_)
        self.emit(self.rng.choice(STORES[type_]), (0, self.rng.choice((0, 8)), 0))

    def fill(self) -> None:
        self.address()
        self.value(I32)
        self.length()
        self.emit("memory.fill", 0)

    def copy(self) -> None:
        self.address()
        self.address()
        self.length()
        self.emit("memory.copy", (0, 0))

    def plain_block(self) -> None:
        self.block(())

    def empty(self) -> None:
        """Add a construct without anything in it."""
        kind = self.rng.choice(("block", "loop", "if"))
        if kind == "if":
            self.condition()
        self.emit(kind)
        if kind == "if" and self.rng.random() < 0.5:
            self.emit("else")
        self.emit("end")

    def br(self) -> bool:
        depth = self.rng.randrange(len(self.labels))
        for type_ in self.labels[-1 - depth]:
            self.value(type_)
        self.emit("br", depth)
        return True

    def br_if(self) -> None:
        depth = self.rng.randrange(len(self.labels))
        types = self.labels[-1 - depth]
        for type_ in types:
            self.value(type_)
        self.condition()
        self.emit("br_if", depth)
        for _ in types:
            self.emit("drop")

    def br_table(self) -> bool:
        rng = self.rng
        default = rng.randrange(len(self.labels))
        types = self.labels[-1 - default]
        fitting = [depth for depth in range(len(self.labels)) if self.labels[-1 - depth] == types]
        targets = rng.choices(fitting, k=rng.randrange(4))
        for type_ in types:
            self.value(type_)
        self.condition(mask=3)
        self.emit("br_table", (*targets, default))
        return True

    def return_(self) -> bool:
        for type_ in self.labels[0]:
            self.value(type_)
        self.emit("return")
        return True

    def unreachable(self) -> bool:
        self.emit("unreachable")
        return True

    def guarded(self) -> None:
        """Add something that ends the run or the function, behind a condition."""
        self.condition(mask=3)
        self.emit("if")
        self.labels.append(())
        ending = self.rng.choice((self.finish, self.unreachable, self.return_, self.br, self.br_table))
        ending()
        if self.rng.random() < 0.3:
            self.statement()
        self.labels.pop()
        self.emit("end")

    def finish(self) -> None:
        self.emit("call", FINISH)

    def call_statement(self) -> None:
        rng = self.rng
        inner = range(self.number + 1, len(self.types))
        number = rng.choice(inner) if inner and rng.random() < 0.6 else rng.randrange(len(self.types))
        if number == FINISH and rng.random() < 0.8:
            number = 0
        type_ = TYPES[self.types[number]]
        for param in type_.params:
            self.value(param)
        self.emit("call", number)
        for _ in type_.results:
            self.emit("drop")

    def call_indirect(self) -> None:
        """Call through the table, mostly what fits; else a type, an empty entry or an index that does not exist."""
        rng = self.rng
        fitting = [index for index, number in enumerate(self.listed) if number != FINISH]
        index = rng.choice(fitting) if fitting and rng.random() < 0.8 else None
        type_ = rng.choice(self.types) if index is None else self.types[self.listed[index]]
        for param in TYPES[type_].params:
            self.value(param)
        if index is None:
            self.condition(mask=7)
        else:
            self.emit("i32.const", index)
        self.emit("call_indirect", (type_, 0))
        for _ in TYPES[type_].results:
            self.emit("drop")

    # Values

    def value(self, type_: ValType) -> None:
        """Add code that leaves one value."""
        if self.budget <= 0:
            self.leaf(type_)
            return
        self.rng.choices(_VALUES, _VALUE_WEIGHTS)[0](self, type_)

    def leaf(self, type_: ValType) -> None:
        """A constant, local or global."""
        locals_ = [n for n, t in enumerate(self.local_types) if t == type_]
        kind = self.rng.randrange(5)
        if kind < 2:
            self.emit("local.get", self.rng.choice(locals_))
        elif kind < 4:
            bits = 31 if type_ == I32 else 63
            constant = self.rng.choice(CONSTANTS)
            self.emit(f"{type_}.const", -constant if constant >> bits == 1 else constant)
        else:
            self.emit("global.get", 0 if type_ == I32 else 1)

    def binary(self, type_: ValType) -> None:
        self.value(type_)
        self.value(type_)
        self.emit(f"{type_}.{self.rng.choice(BINARY)}")

    def unary(self, type_: ValType) -> None:
        self.value(type_)
        self.emit(self.rng.choice(UNARY[type_]))

    def division(self, type_: ValType) -> None:
        self.value(type_)
        self.value(type_)
        if self.rng.random() < 0.8:
            self.emit(f"{type_}.const", 1)
            self.emit(f"{type_}.or")
        self.emit(f"{type_}.{self.rng.choice(DIVISIONS)}")

    def other(self, type_: ValType) -> None:
        """A conversion or comparison."""
        if type_ == I64:
            self.value(I32)
            self.emit(self.rng.choice(("i64.extend_i32_s", "i64.extend_i32_u")))
        elif self.rng.random() < 0.5:
            self.value(I64)
            self.emit("i32.wrap_i64")
        else:
            operand = self.rng.choice((I32, I64))
            self.value(operand)
            self.value(operand)
            self.emit(f"{operand}.{self.rng.choice(COMPARISONS)}")

    def tee(self, type_: ValType) -> None:
        self.value(type_)
        self.emit("local.tee", self.rng.choice([n for n, t in enumerate(self.local_types) if t == type_]))

    def select(self, type_: ValType) -> None:
        self.value(type_)
        self.value(type_)
        self.condition()
        self.emit("select")

    def load(self, type_: ValType) -> None:
        self.address()
        self.emit(self.rng.choice(LOADS[type_]), (0, self.rng.choice((0, 4)), 0))

    def memory(self, type_: ValType) -> None:
        """Ask or change the size of the memory."""
        if self.rng.random() < 0.3:
            self.emit("memory.size", 0)
        else:
            if self.rng.random() < 0.9:
                self.emit("i32.const", self.rng.choice((0, 1, 1, 2, 5)))
            else:
                self.value(I32)
            self.emit("memory.grow", 0)
        if type_ == I64:
            self.emit("i64.extend_i32_u")

    def block_value(self, type_: ValType) -> None:
        self.block((type_,))

    def call_value(self, type_: ValType) -> None:
        """Call something that gives a value of the type."""
        fitting = [n for n, t in enumerate(self.types) if TYPES[t].results == (type_,)]
        later = [n for n in fitting if n > self.number]
        if not fitting:
            self.leaf(type_)
            return
        number = self.rng.choice(later) if later and self.rng.random() < 0.6 else self.rng.choice(fitting)
        for param in TYPES[self.types[number]].params:
            self.value(param)
        self.emit("call", number)

    # Parts

    def block(self, results: tuple[ValType, ...]) -> None:
        """Add a block, loop or if, now and then with a parameter or a second result."""
        rng = self.rng
        kind = rng.choice(("block", "loop", "loop", "if", "if"))
        immediate: ValType | int | None = results[0] if results else None
        params: tuple[ValType, ...] = ()
        surplus = 0
        if results == (I32,) and rng.random() < 0.15:
            immediate = rng.choice((MAPS, TWO))
            params, results = TYPES[immediate].params, TYPES[immediate].results
            surplus = len(results) - 1
        for param in params:
            self.value(param)
        if kind == "if":
            self.condition()
        self.emit(kind, immediate)
        self.labels.append(params if kind == "loop" else results)
        for last in ("then", "else"):
            for _ in params:
                self.emit("drop")
            self.sequence(results)
            if kind != "if" or last == "else" or not (results or rng.random() < 0.5):
                break
            self.emit("else")
        self.labels.pop()
        self.emit("end")
        for _ in range(surplus):
            self.emit("drop")

    def condition(self, mask: int = 1) -> None:
        """Add an i32 that is hard to foresee, mostly between 0 and `mask`."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.5:
            for name, imm in (
                ("global.get", 0),
                ("i32.const", 1_664_525),
                ("i32.mul", None),
                ("i32.const", 1_013_904_223 + rng.randrange(9)),
                ("i32.add", None),
                ("global.set", 0),
                ("global.get", 0),
                ("i32.const", rng.randrange(12, 28)),
                ("i32.shr_u", None),
            ):
                self.emit(name, imm)
        elif kind < 0.7:
            local = rng.choice([n for n, t in enumerate(self.local_types) if t == I32])
            self.emit("local.get", local)
            self.emit("i32.const", rng.randrange(1, 5))
            self.emit(rng.choice(("i32.shr_u", "i32.sub")))
            self.emit("local.tee", local)
        elif kind < 0.8:
            self.emit("call", 1)
        else:
            self.value(I32)
        if rng.random() < 0.95:
            self.emit("i32.const", mask)
            self.emit("i32.and")

    def address(self) -> None:
        """Add an address, mostly of a place in memory."""
        self.value(I32)
        if self.rng.random() < 0.95:
            self.emit("i32.const", 0x3FFF)
            self.emit("i32.and")

    def length(self) -> None:
        """Add a length, mostly one that fits."""
        if self.rng.random() < 0.7:
            self.emit("i32.const", self.rng.choice((0, 1, 63, 64, 65, 128, 4096, 65536)))
        else:
            self.value(I32)
            self.emit("i32.const", 0xFFF)
            self.emit("i32.and")


_STATEMENTS, _STATEMENT_WEIGHTS = zip(
    *(
        (_Body.nop, 2),
        (_Body.drop, 6),
        (_Body.local_set, 6),
        (_Body.global_set, 3),
        (_Body.store, 3),
        (_Body.fill, 1),
        (_Body.copy, 1),
        (_Body.plain_block, 16),
        (_Body.empty, 2),
        (_Body.br, 2),
        (_Body.br_if, 10),
        (_Body.br_table, 2),
        (_Body.return_, 1),
        (_Body.unreachable, 0.5),
        (_Body.guarded, 4),
        (_Body.call_statement, 4),
        (_Body.call_indirect, 3),
    ),
    strict=True,
)

_VALUES, _VALUE_WEIGHTS = zip(
    *(
        (_Body.leaf, 12),
        (_Body.binary, 5),
        (_Body.unary, 3),
        (_Body.division, 1),
        (_Body.other, 3),
        (_Body.tee, 2),
        (_Body.select, 1),
        (_Body.load, 2),
        (_Body.memory, 0.5),
        (_Body.block_value, 4),
        (_Body.call_value, 1),
    ),
    strict=True,
)
