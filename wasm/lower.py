"""Preparing a function once, so that running it is a loop over steps.

A function becomes a graph of `Block`s: straight runs of steps, each ended by a jump, a call or a return. Operands have
fixed registers: parameters and locals come first, then one register for each operand height, then the constants. So
`local.get` and constants cost no step: whoever pops them reads the local's or constant's own register. Three rules keep
that right:

- before a local is written, operands on the stack that still stand for it are copied to their own registers;
- before a block, loop or if begins, and on the way to a branch target, operands are copied to their own registers;
- a step that has just computed what `local.set` or a branch consumes writes the local, or becomes the branch, itself.

Unreachable code is not prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wasm import steps
from wasm.engine import Run, Value
from wasm.errors import TrapKind
from wasm.instructions import CHARGE, CHARGE_OPERAND, ROWS, Op
from wasm.module import Function, Module
from wasm.numeric import BINARY, TRAPPING, UNARY
from wasm.steps import Registers, Step
from wasm.types import FuncType

if TYPE_CHECKING:
    from wasm.interpreter import Callee, InterpreterInstance

JUMP, CALL, RETURN = range(3)

Jump: TypeAlias = "Callable[[Registers, InterpreterInstance], Block]"
Getter: TypeAlias = Callable[[Registers], tuple[Value, ...]]


class Block:
    """A run of steps and what ends it: `kind` says which of the other fields count.

    `JUMP`: `next` gives the block that follows. `CALL`: `callee` gives the function, `values` its arguments, its
    `count` results go to the registers from `dest`, and `after` follows. `RETURN`: `values` gives the results.
    `offsets` are the places of the steps in the module, and of the end.
    """

    __slots__ = ("after", "callee", "count", "dest", "kind", "next", "offsets", "steps", "values")

    steps: tuple[Step, ...]
    kind: int
    next: Jump
    callee: Callable[[Registers, InterpreterInstance], Callee]
    values: Getter
    after: Block
    dest: int
    count: int
    offsets: tuple[int, ...]


class Code:
    """A prepared function: its first block, the registers behind the arguments, its weight on the stack counter."""

    __slots__ = ("entry", "function", "tail", "weight")

    def __init__(self, function: int, entry: Block, tail: list[Value], weight: int) -> None:
        self.function = function
        self.entry = entry
        self.tail = tail
        self.weight = weight


def getter(registers: list[int]) -> Getter:
    """Return a function that reads some registers as a tuple."""
    if len(registers) == 1:
        only = registers[0]
        return lambda r: (r[only],)
    return itemgetter(*registers) if registers else lambda _: ()


class _Frame:
    """An open block, loop, if or function."""

    __slots__ = ("arity", "height", "kind", "label", "otherwise", "type")

    def __init__(self, kind: str, type_: FuncType, height: int, label: Block | None = None) -> None:
        self.kind = kind
        self.type = type_
        self.height = height
        self.arity = len(type_.params if kind == "loop" else type_.results)
        self.label = label
        self.otherwise: Block | None = None


def lower(module: Module, number: int, function: Function, *, traced: bool, profiled: bool = False) -> Code:
    """Prepare function `number` of a valid module.

    If `traced`, its tracer sees every instruction; if `profiled`, its profiler sees calls and has runs counted.
    """
    return _Lowering(module, number, function, traced=traced, profiled=profiled).code()


class _Lowering:
    """One function on its way: the block that is being filled, the operand stack as registers, the open frames."""

    def __init__(self, module: Module, number: int, function: Function, *, traced: bool, profiled: bool) -> None:
        self.module = module
        self.func_types = module.func_types
        self.number = number
        self.function = function
        self.type = module.types[function.type]
        self.traced = traced
        self.profiled = profiled
        self.run: list[tuple[int, Op]] = []
        self.locals = len(self.type.params) + function.local_count
        self.first_constant = self.locals + function.height
        self.constants: dict[Value, int] = {}
        self.stack: list[int] = []
        self.aliases: dict[int, list[int]] = {}
        self.settled = 0
        self.frames = [_Frame("func", self.type, 0)]
        self.block = self.entry = Block()
        # Steps of the open block, not yet made: [factory, register written, arguments], and their offsets.
        self.pending: list[tuple[Callable[..., Step], int | None, tuple[Any, ...]]] = []
        self.offsets: list[int] = []
        self.at = function.offset

    def code(self) -> Code:
        """Prepare the whole function."""
        body = iter(self.function.body)
        for op, imm, at in body:
            self.at = at
            if op.code >= 0 and op.name not in ("else", "end"):
                if self.profiled:
                    self.run.append((at, op))
                if self.traced:
                    self.trace(op, imm)
            if not _LOWER[op.name](self, op, imm):
                self.skip(body)
        zero = [None if t in ("funcref", "externref") else 0 for n, t in self.function.locals for _ in range(n)]
        tail = [*zero, *[0] * self.function.height, *self.constants]
        return Code(self.number, self.entry, tail, self.function.weight)

    def skip(self, body: Any) -> None:
        """Skip unreachable code up to the `else` or `end` from which code can be reached again."""
        depth = 0
        for op, _, at in body:
            self.at = at
            if op.name in ("block", "loop", "if"):
                depth += 1
            elif depth:
                depth -= op.name == "end"
            elif op.name == "else":
                self.otherwise()
                return
            elif op.name == "end" and self.close(reached=False):
                return

    # Steps

    def emit(self, factory: Callable[..., Step], dest: int | None, *args: Any) -> None:
        """Add a step to the open block."""
        self.pending.append((factory, dest, args))
        self.offsets.append(self.at)

    def seal(self, kind: int) -> Block:
        """End the open block, make its steps, and return it."""
        block = self.block
        if self.profiled:
            self.count(kind, entry=block is self.entry)
        block.kind = kind
        block.steps = tuple([factory(dest, *args) for factory, dest, args in self.pending])
        block.offsets = (*self.offsets, self.at)
        self.pending = []
        self.offsets = []
        return block

    def count(self, kind: int, *, entry: bool) -> None:
        """Put before and behind the steps of the open block what its profiler wants to know."""
        first: list[tuple[Callable[..., Step], int | None, tuple[Any, ...]]] = []
        if entry:
            first.append((steps.enter, None, (self.number,)))
        if self.run or self.pending or entry:
            first.append(
                (steps.count, None, (Run(self.number, tuple(self.run), self.function.local_count if entry else None),))
            )
        at = self.offsets[0] if self.offsets else self.at
        self.pending = [*first, *self.pending]
        self.offsets = [*[at] * len(first), *self.offsets]
        self.run = []
        if kind == RETURN:
            self.emit(steps.leave, None)

    def start(self, block: Block) -> None:
        """Begin to fill a block."""
        self.block = block

    def goto(self, target: Block) -> None:
        """End the open block with a jump."""
        self.seal(JUMP).next = lambda _r, _m: target

    def trace(self, op: Op, imm: Any) -> None:
        """Show the next instruction to the tracer."""
        if op.params is not None:
            count = len(op.params)
        elif op.name in ("call", "call_indirect"):
            index = self.func_types[imm] if op.name == "call" else imm[0]
            count = len(self.module.types[index].params) + (op.name != "call")
        else:
            count = _OPERANDS.get(op.name, 0)
        operands = tuple(self.stack[len(self.stack) - count :])
        self.emit(steps.trace, None, self.number, self.at, op.name, operands)

    # Operands

    def push(self) -> int:
        """Push an operand into its own register; return the register."""
        register = self.locals + len(self.stack)
        self.stack.append(register)
        return register

    def push_alias(self, register: int) -> None:
        """Push an operand that stands for a local or constant."""
        if register < self.locals:
            self.aliases.setdefault(register, []).append(len(self.stack))
        self.stack.append(register)

    def pop(self) -> int:
        """Pop an operand; return the register to read it from."""
        register = self.stack.pop()
        if register < self.locals:
            self.aliases[register].pop()
        self.settled = min(self.settled, len(self.stack))
        return register

    def pops(self, count: int) -> list[int]:
        """Pop operands; return their registers, in order."""
        return [self.pop() for _ in range(count)][::-1]

    def constant(self, value: Value) -> int:
        """Return the register of a constant."""
        return self.constants.setdefault(value, self.first_constant + len(self.constants))

    def settle(self) -> None:
        """Copy every operand to its own register."""
        for position in range(self.settled, len(self.stack)):
            register = self.stack[position]
            own = self.locals + position
            if register != own:
                self.emit(steps.move, own, register)
                self.stack[position] = own
        self.aliases.clear()
        self.settled = len(self.stack)

    def just_computed(self, register: int) -> bool:
        """Tell whether the last step wrote a popped operand's own register, which nobody else reads."""
        return register >= self.locals and bool(self.pending) and self.pending[-1][1] == register

    def write_local(self, local: int) -> None:
        """Pop an operand into a local."""
        source = self.pop()
        for position in self.aliases.pop(local, ()):
            own = self.locals + position
            self.emit(steps.move, own, local)
            self.stack[position] = own
        if self.just_computed(source):
            factory, _, args = self.pending[-1]
            self.pending[-1] = (factory, local, args)
        elif source != local:
            self.emit(steps.move, local, source)

    # Blocks and branches

    def block_type(self, imm: Any) -> FuncType:
        """Return the type of a block."""
        if isinstance(imm, int):
            return self.module.types[imm]
        return FuncType((), () if imm is None else (imm,))

    def open(self, kind: str, imm: Any, label: Block | None = None) -> _Frame:
        """Open a frame; the operands are settled."""
        type_ = self.block_type(imm)
        self.frames.append(_Frame(kind, type_, len(self.stack) - len(type_.params), label))
        return self.frames[-1]

    def reset(self, height: int) -> None:
        """Make the stack `height` settled operands."""
        self.stack = list(range(self.locals, self.locals + height))
        self.aliases.clear()
        self.settled = height

    def otherwise(self) -> None:
        """Begin the `else` of an `if` whose `then` has ended."""
        frame = self.frames[-1]
        assert frame.otherwise is not None
        self.start(frame.otherwise)
        frame.otherwise = None
        self.reset(frame.height + len(frame.type.params))

    def close(self, *, reached: bool) -> bool:
        """End a frame; return whether the code behind it can be reached."""
        frame = self.frames.pop()
        if frame.kind == "func":
            if reached:
                self.seal(RETURN).values = getter(self.pops(frame.arity))
            return True
        target = None if frame.kind == "loop" else frame.label
        if frame.otherwise is not None:  # an `if` without `else`
            if target is None:
                target = frame.otherwise
            else:
                frame.otherwise.kind = JUMP
                frame.otherwise.steps = ()
                frame.otherwise.offsets = (self.at,)
                frame.otherwise.next = lambda _r, _m: target
        if target is not None:
            if reached:
                self.settle()
                self.goto(target)
            self.start(target)
            self.reset(frame.height + len(frame.type.results))
        return reached or target is not None

    def target(self, depth: int) -> Block:
        """Return the block to jump to for a branch, with the moves that its operands need on the way."""
        frame = self.frames[-1 - depth]
        sources = self.stack[len(self.stack) - frame.arity :] if frame.arity else []
        if frame.kind == "func":
            block = Block()
            block.kind = RETURN
            block.steps = (steps.leave(None),) if self.profiled else ()
            block.offsets = (self.at,) * (len(block.steps) + 1)
            block.values = getter(sources)
            return block
        if frame.label is None:
            frame.label = Block()
        label = frame.label
        first = self.locals + frame.height
        moves = [(first + i, source) for i, source in enumerate(sources) if first + i != source]
        if not moves:
            return label
        block = Block()
        block.kind = JUMP
        block.steps = tuple([steps.move(to, source) for to, source in moves])
        block.offsets = (self.at,) * (len(moves) + 1)
        block.next = lambda _r, _m: label
        return block

    def test(self, condition: int) -> Callable[[Block, Block], Jump]:
        """Return what makes the jump for a condition; a comparison that has just been made becomes part of it."""
        if self.just_computed(condition):
            factory, _, args = self.pending[-1]
            if factory is steps.binary:
                op, a, b = args
                if op not in _TRAPPING:
                    self.pending.pop()
                    self.offsets.pop()
                    return lambda yes, no: lambda r, _: yes if op(r[a], r[b]) else no
            elif factory is steps.unary and args[0] in _EQZ:
                a = args[1]
                self.pending.pop()
                self.offsets.pop()
                return lambda yes, no: lambda r, _: no if r[a] else yes
        return lambda yes, no: lambda r, _: yes if r[condition] else no

    # Instructions: each returns whether what follows can be reached

    def plain(self, op: Op, _: Any) -> bool:
        """Lower an operation without immediate whose row has its type."""
        assert op.params is not None
        operands = self.pops(len(op.params))
        dest = self.push() if op.results else None
        if op.name in BINARY:
            self.emit(steps.binary, dest, BINARY[op.name], *operands)
        elif op.name in UNARY:
            self.emit(steps.unary, dest, UNARY[op.name], *operands)
        elif op.name != "nop":
            self.emit(steps.unsupported, dest, op.name, op.proposal)
        return True

    def access(self, op: Op, imm: tuple[int, int, int]) -> bool:
        """Lower a load or store."""
        assert op.params is not None
        operands = self.pops(len(op.params))
        dest = self.push() if op.results else None
        if op.name in steps.ACCESS:
            factory, code, mask = steps.ACCESS[op.name]
            self.emit(factory, dest, code, mask, imm[1], *operands)
        else:
            self.emit(steps.unsupported, dest, op.name, op.proposal)
        return True

    def const(self, op: Op, imm: Any) -> bool:
        """Lower a constant."""
        if op.name == "i32.const":
            self.push_alias(self.constant(imm & 0xFFFF_FFFF))
        elif op.name == "i64.const":
            self.push_alias(self.constant(imm & 0xFFFF_FFFF_FFFF_FFFF))
        elif op.name == "ref.null":
            self.push_alias(self.constant(None))
        else:
            self.emit(steps.unsupported, self.push(), op.name, op.proposal)
        return True

    def local_get(self, _: Op, local: int) -> bool:
        """Lower `local.get`."""
        self.push_alias(local)
        return True

    def local_set(self, _: Op, local: int) -> bool:
        """Lower `local.set`."""
        self.write_local(local)
        return True

    def local_tee(self, _: Op, local: int) -> bool:
        """Lower `local.tee`."""
        self.write_local(local)
        self.push_alias(local)
        return True

    def drop(self, _: Op, _imm: Any) -> bool:
        """Lower `drop`."""
        self.pop()
        return True

    def select(self, _: Op, _imm: Any) -> bool:
        """Lower `select`."""
        operands = self.pops(3)
        self.emit(steps.select, self.push(), *operands)
        return True

    def simple(self, op: Op, imm: Any) -> bool:
        """Lower an instruction that is one step: its immediate, if its row here says so, then its operands."""
        factory, takes_imm, params, results = _SIMPLE[op.name]
        operands = self.pops(params)
        dest = self.push() if results else None
        self.emit(factory, dest, *((imm,) if takes_imm else ()), *operands)
        return True

    def memory_init(self, _: Op, imm: tuple[int, int]) -> bool:
        """Lower `memory.init`."""
        self.emit(steps.memory_init, None, imm[0], *self.pops(3))
        return True

    def ref_is_null(self, _: Op, _imm: Any) -> bool:
        """Lower `ref.is_null`."""
        operand = self.pop()
        self.emit(steps.unary, self.push(), steps.is_null, operand)
        return True

    def charge(self, _: Op, amount: int) -> bool:
        """Lower an inserted charge."""
        self.emit(steps.charge, None, amount)
        return True

    def charge_operand(self, _: Op, imm: tuple[int, int]) -> bool:
        """Lower an inserted charge by the operand on top of the stack."""
        if self.profiled:
            self.emit(steps.counted_charge_operand, None, *imm, self.stack[-1], (self.number, self.at))
        else:
            self.emit(steps.charge_operand, None, *imm, self.stack[-1])
        return True

    def block_(self, _: Op, imm: Any) -> bool:
        """Lower `block`."""
        self.settle()
        self.open("block", imm)
        return True

    def loop(self, op: Op, imm: Any) -> bool:
        """Lower `loop`: its body is a block of its own."""
        traced = self.pending.pop() if self.traced else None
        if traced:
            self.offsets.pop()
        counted = self.run.pop() if self.profiled else None
        self.settle()
        header = Block()
        self.open("loop", imm, header)
        self.goto(header)
        self.start(header)
        if counted:
            self.run.append(counted)
        if traced:
            self.trace(op, imm)
        return True

    def if_(self, _: Op, imm: Any) -> bool:
        """Lower `if`."""
        test = self.test(self.pop())
        self.settle()
        then, otherwise = Block(), Block()
        self.open("if", imm).otherwise = otherwise
        self.seal(JUMP).next = test(then, otherwise)
        self.start(then)
        return True

    def else_(self, _: Op, _imm: Any) -> bool:
        """Lower an `else` whose `then` reaches its end."""
        frame = self.frames[-1]
        if frame.label is None:
            frame.label = Block()
        self.settle()
        self.goto(frame.label)
        self.otherwise()
        return True

    def end(self, _: Op, _imm: Any) -> bool:
        """Lower an `end` that is reached."""
        return self.close(reached=True)

    def br(self, _: Op, depth: int) -> bool:
        """Lower `br`."""
        self.goto(self.target(depth))
        return False

    def br_if(self, _: Op, depth: int) -> bool:
        """Lower `br_if`."""
        test = self.test(self.pop())
        after = Block()
        self.seal(JUMP).next = test(self.target(depth), after)
        self.start(after)
        return True

    def br_table(self, _: Op, labels: tuple[int, ...]) -> bool:
        """Lower `br_table`."""
        index = self.pop()
        blocks = {depth: self.target(depth) for depth in dict.fromkeys(labels)}
        targets = [blocks[depth] for depth in labels]
        last = len(targets) - 1
        self.seal(JUMP).next = lambda r, _: targets[min(r[index], last)]
        return False

    def return_(self, _: Op, _imm: Any) -> bool:
        """Lower `return`."""
        self.goto(self.target(len(self.frames) - 1))
        return False

    def unreachable(self, _: Op, _imm: Any) -> bool:
        """Lower `unreachable`."""
        self.emit(steps.trap, None, TrapKind.UNREACHABLE)
        self.goto(self.block)
        return False

    def call(self, _: Op, function: int) -> bool:
        """Lower `call`."""
        self.end_in_call(self.module.types[self.func_types[function]], lambda _r, m: m.functions[function])
        return True

    def call_indirect(self, _: Op, imm: tuple[int, int]) -> bool:
        """Lower `call_indirect`."""
        type_, table = self.module.types[imm[0]], imm[1]
        index = self.pop()
        self.end_in_call(type_, lambda r, m: m.resolve(table, r[index], type_))
        return True

    def end_in_call(self, type_: FuncType, callee: Callable[[Registers, InterpreterInstance], Callee]) -> None:
        """End the open block with a call."""
        arguments = self.pops(len(type_.params))
        block = self.seal(CALL)
        block.callee = callee
        block.values = getter(arguments)
        block.dest = self.locals + len(self.stack)
        block.count = len(type_.results)
        block.after = Block()
        for _ in type_.results:
            self.push()
        self.start(block.after)


_TRAPPING: Final = frozenset(BINARY[name] for name in TRAPPING)
_EQZ: Final = (UNARY["i32.eqz"], UNARY["i64.eqz"])

# Operands of instructions whose row has no type, as the tracer shows them.
_OPERANDS: Final = {
    "if": 1,
    "br_if": 1,
    "br_table": 1,
    "drop": 1,
    "select": 3,
    "select_t": 3,
    "local.set": 1,
    "local.tee": 1,
    "global.set": 1,
    "table.get": 1,
    "table.set": 2,
    "table.grow": 2,
    "table.fill": 3,
    "table.copy": 3,
    "table.init": 3,
    "ref.is_null": 1,
}

# Instructions that are one step: factory, whether it takes the immediate, operands, results.
_SIMPLE: Final[dict[str, tuple[Callable[..., Step], bool, int, int]]] = {
    "global.get": (steps.global_get, True, 0, 1),
    "global.set": (steps.global_set, True, 1, 0),
    "memory.size": (steps.memory_size, False, 0, 1),
    "memory.grow": (steps.memory_grow, False, 1, 1),
    "memory.fill": (steps.memory_fill, False, 3, 0),
    "memory.copy": (steps.memory_copy, False, 3, 0),
    "data.drop": (steps.data_drop, True, 0, 0),
    "table.get": (steps.table_get, True, 1, 1),
    "table.set": (steps.table_set, True, 2, 0),
    "table.size": (steps.table_size, True, 0, 1),
    "table.grow": (steps.table_grow, True, 2, 1),
    "table.fill": (steps.table_fill, True, 3, 0),
    "table.copy": (steps.table_copy, True, 3, 0),
    "table.init": (steps.table_init, True, 3, 0),
    "elem.drop": (steps.elem_drop, True, 0, 0),
    "ref.func": (steps.ref_func, True, 0, 1),
}

_LOWER: Final[dict[str, Callable[[_Lowering, Op, Any], bool]]] = {
    **{row.name: _Lowering.plain for row in ROWS if row.immediate == "-" and row.params is not None},
    **{row.name: _Lowering.access for row in ROWS if row.immediate == "memarg" and row.params is not None},
    **dict.fromkeys(_SIMPLE, _Lowering.simple),
    **dict.fromkeys(("i32.const", "i64.const", "f32.const", "f64.const", "ref.null"), _Lowering.const),
    CHARGE.name: _Lowering.charge,
    CHARGE_OPERAND.name: _Lowering.charge_operand,
    "local.get": _Lowering.local_get,
    "local.set": _Lowering.local_set,
    "local.tee": _Lowering.local_tee,
    "drop": _Lowering.drop,
    "select": _Lowering.select,
    "select_t": _Lowering.select,
    "memory.init": _Lowering.memory_init,
    "ref.is_null": _Lowering.ref_is_null,
    "block": _Lowering.block_,
    "loop": _Lowering.loop,
    "if": _Lowering.if_,
    "else": _Lowering.else_,
    "end": _Lowering.end,
    "br": _Lowering.br,
    "br_if": _Lowering.br_if,
    "br_table": _Lowering.br_table,
    "return": _Lowering.return_,
    "unreachable": _Lowering.unreachable,
    "call": _Lowering.call,
    "call_indirect": _Lowering.call_indirect,
}
