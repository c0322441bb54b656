"""The interpreter: the executable specification of what a run does.

Functions are prepared on first use (`wasm.lower`) and run by one loop with explicit frames: a WebAssembly call never
recurses in Python, so its depth is bounded by the stack counter alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any, Final, TypeAlias

from wasm.engine import NO_LIMIT, HostFunction, Imports, Instance, Profiler, Tracer, Value
from wasm.errors import Trap, TrapKind, Unlinkable
from wasm.lower import CALL, JUMP, Block, Code, lower
from wasm.module import Expr, Function, Import, Module, ValidModule
from wasm.steps import Registers, Step
from wasm.types import MAX_PAGES, MAX_TABLE, PAGE, FuncType, GlobalType, Limits, MemoryType, TableType

TRACED, PROFILED = 1, 2
"""Listeners that functions are prepared for."""

_GROW_FAILED: Final = 0xFFFF_FFFF


class InterpreterMemory:
    """A linear memory; its bytes keep their identity when it grows."""

    __slots__ = ("data", "maximum")

    def __init__(self, limits: Limits) -> None:
        self.data = bytearray(limits.minimum * PAGE)
        self.maximum = limits.maximum

    @property
    def size(self) -> int:
        """The current size in bytes."""
        return len(self.data)

    @property
    def type(self) -> MemoryType:
        """The type, the current size as its minimum."""
        return MemoryType(Limits(len(self.data) // PAGE, self.maximum))

    def grow(self, pages: int) -> int:
        """Add pages; return the old size in pages, or 2^32 - 1 past the maximum. A MemoryError is the node's fault."""
        old = len(self.data) // PAGE
        if old + pages > (MAX_PAGES if self.maximum is None else self.maximum):
            return _GROW_FAILED
        self.data.extend(bytes(pages * PAGE))
        return old

    def read(self, offset: int, length: int) -> bytes:
        """Copy bytes out."""
        if offset + length > len(self.data):
            raise Trap(TrapKind.MEMORY_BOUNDS)
        return bytes(self.data[offset : offset + length])

    def write(self, offset: int, data: bytes) -> None:
        """Copy bytes in."""
        if offset + len(data) > len(self.data):
            raise Trap(TrapKind.MEMORY_BOUNDS)
        self.data[offset : offset + len(data)] = data


class InterpreterTable:
    """A table of references."""

    __slots__ = ("element", "elements", "maximum")

    def __init__(self, type_: TableType) -> None:
        self.element = type_.element
        self.elements: list[Any] = [None] * type_.limits.minimum
        self.maximum = type_.limits.maximum

    @property
    def type(self) -> TableType:
        """The type, the current size as its minimum."""
        return TableType(self.element, Limits(len(self.elements), self.maximum))

    def grow(self, count: int, value: Value) -> int:
        """Add entries; return the old size, or 2^32 - 1 past the maximum."""
        old = len(self.elements)
        if old + count > min(MAX_ENTRIES, MAX_TABLE if self.maximum is None else self.maximum):
            return _GROW_FAILED
        self.elements.extend([value] * count)
        return old


MAX_ENTRIES: Final = 10_000_000
"""Entries a table can grow to: a limit of this implementation (appendix 7.2), as browsers have it."""


class InterpreterGlobal:
    """A global variable."""

    __slots__ = ("type", "value")

    def __init__(self, type_: GlobalType, value: Value) -> None:
        self.type = type_
        self.value = value


class InterpreterFunction:
    """A function of an instance."""

    __slots__ = ("function", "instance", "number", "type")

    def __init__(self, instance: InterpreterInstance, number: int, function: Function, type_: FuncType) -> None:
        self.instance = instance
        self.number = number
        self.function = function
        self.type = type_

    def code(self) -> Code:
        """Return the prepared function."""
        return self.instance.loaded.code(self.number, self.function, self.instance.listeners)


Callee: TypeAlias = InterpreterFunction | HostFunction


class Interpreter:
    """The engine; it keeps nothing, what it loads can be shared."""

    name = "interpreter"
    traces = True
    native_stack = 0
    nesting = 24
    identity = "interpreter"

    def load(self, module: ValidModule) -> LoadedModule:
        """Take a module; its functions are prepared when first called."""
        return LoadedModule(module)

    def revive(self, artefact: bytes) -> LoadedModule:
        """There is nothing to revive: preparing is cheaper than reading."""
        raise ValueError(f"the interpreter makes no artefacts, {len(artefact)} bytes given")


class LoadedModule:
    """A module and the functions of it that were prepared so far."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self._codes: dict[tuple[int, int], Code] = {}

    def code(self, number: int, function: Function, listeners: int) -> Code:
        """Return a function prepared for the listeners there are: 0, or the sum of `TRACED` and `PROFILED`."""
        code = self._codes.get((number, listeners))
        if code is None:
            code = lower(
                self.module, number, function, traced=bool(listeners & TRACED), profiled=bool(listeners & PROFILED)
            )
            self._codes[number, listeners] = code
        return code

    def artefact(self) -> bytes | None:
        """Return None: preparing is cheaper than reading."""
        return None

    def instantiate(
        self,
        imports: Imports,
        *,
        gas: int = NO_LIMIT,
        stack: int = NO_LIMIT,
        context: Any = None,
        tracer: Tracer | None = None,
        profiler: Profiler | None = None,
        beside: Instance | None = None,
    ) -> InterpreterInstance:
        """Link, initialise, run the start function (specification, section 4.5.4); all stand beside each other."""
        del beside
        instance = InterpreterInstance(
            self, imports, gas=gas, stack=stack, context=context, tracer=tracer, profiler=profiler
        )
        instance.initialise()
        return instance


class InterpreterInstance:
    """A module ready to run."""

    __slots__ = (
        "context",
        "data",
        "data_segments",
        "element_segments",
        "exports",
        "functions",
        "gas",
        "globals",
        "listeners",
        "loaded",
        "memories",
        "profiler",
        "stack",
        "tables",
        "tracer",
    )

    def __init__(
        self,
        loaded: LoadedModule,
        imports: Imports,
        *,
        gas: int,
        stack: int,
        context: Any,
        tracer: Tracer | None,
        profiler: Profiler | None,
    ) -> None:
        module = loaded.module
        self.loaded = loaded
        self.gas = gas
        self.stack = stack
        self.context = context
        self.tracer = tracer
        self.profiler = profiler
        self.listeners = (tracer is not None) * TRACED + (profiler is not None) * PROFILED
        given: dict[str, list[Any]] = {"func": [], "table": [], "memory": [], "global": []}
        for item in module.imports:
            given[item.kind].append(_link(module, item, imports))
        first = len(given["func"])
        types = module.types
        self.functions: list[Callee] = [
            *given["func"],
            *(InterpreterFunction(self, n, f, types[f.type]) for n, f in enumerate(module.functions, first)),
        ]
        self.tables: list[InterpreterTable] = [*given["table"], *map(InterpreterTable, module.tables)]
        self.memories: list[InterpreterMemory] = [
            *given["memory"],
            *(InterpreterMemory(m.limits) for m in module.memories),
        ]
        self.data: bytearray = self.memories[0].data if self.memories else bytearray()
        self.globals: list[InterpreterGlobal] = given["global"]
        for global_ in module.globals:
            self.globals.append(InterpreterGlobal(global_.type, self.constant(global_.init)))
        self.data_segments: list[bytes] = [d.bytes for d in module.data]
        self.element_segments: list[list[Any]] = [
            [self.functions[i] if isinstance(i, int) else self.constant(i) for i in e.items] for e in module.elements
        ]
        spaces: dict[str, Sequence[Any]] = {
            "func": self.functions,
            "table": self.tables,
            "memory": self.memories,
            "global": self.globals,
        }
        self.exports: Mapping[str, Any] = {e.name: spaces[e.kind][e.index] for e in module.exports}

    @property
    def memory(self) -> InterpreterMemory:
        """The first memory."""
        return self.memories[0]

    def initialise(self) -> None:
        """Copy the active segments and run the start function."""
        module = self.loaded.module
        for n, element in enumerate(module.elements):
            if element.at is not None:
                self.table_init(element.table, n, self.constant(element.at), 0, len(element.items))
            if element.at is not None or element.is_declarative:
                self.element_segments[n] = []
        for n, data in enumerate(module.data):
            if data.at is not None:
                self.memory_init(n, self.constant(data.at), 0, len(data.bytes))
                self.data_segments[n] = b""
        if module.start is not None:
            call(self.functions[module.start], (), self)

    def constant(self, expr: Expr) -> Value:
        """Evaluate a constant expression; a float is its bits."""
        op, imm, _ = expr[0]
        if op.name == "global.get":
            return self.globals[imm].value
        if op.name == "ref.func":
            return self.functions[imm]
        if op.name == "ref.null":
            return None
        if isinstance(imm, bytes):
            return int.from_bytes(imm, "little")
        return imm & (0xFFFF_FFFF if op.name == "i32.const" else 0xFFFF_FFFF_FFFF_FFFF)

    def invoke(self, export: str, *args: Value) -> tuple[Value, ...]:
        """Call an exported function."""
        callee = self.exports[export]
        if len(args) != len(callee.type.params):
            raise TypeError(f"{export} takes {len(callee.type.params)} arguments, not {len(args)}")
        return call(callee, args, self)

    def resolve(self, table: int, index: int, type_: FuncType) -> Callee:
        """Return the function that an indirect call means."""
        elements = self.tables[table].elements
        if index >= len(elements):
            raise Trap(TrapKind.UNDEFINED_ELEMENT)
        callee: Callee | None = elements[index]
        if callee is None:
            raise Trap(TrapKind.UNINITIALIZED_ELEMENT)
        if callee.type is not type_ and callee.type != type_:
            raise Trap(TrapKind.INDIRECT_CALL_TYPE)
        return callee

    def memory_init(self, segment: int, to: int, source: int, length: int) -> None:
        """Copy part of a data segment into memory."""
        data = self.data_segments[segment]
        if source + length > len(data) or to + length > len(self.data):
            raise Trap(TrapKind.MEMORY_BOUNDS)
        self.data[to : to + length] = data[source : source + length]

    def table_init(self, table: int, segment: int, to: int, source: int, length: int) -> None:
        """Copy part of an element segment into a table."""
        items, elements = self.element_segments[segment], self.tables[table].elements
        if source + length > len(items) or to + length > len(elements):
            raise Trap(TrapKind.TABLE_BOUNDS)
        elements[to : to + length] = items[source : source + length]


def _link(module: Module, item: Import, imports: Imports) -> Any:
    """Return what is given for an import, if its type fits (section 3.4.9)."""
    given = imports.get((item.module, item.name))
    if given is None:
        raise Unlinkable(f"unknown import {item.module}.{item.name}")
    wanted: Any = module.types[item.type] if isinstance(item.type, int) else item.type
    fits: bool
    if isinstance(wanted, MemoryType):
        fits = isinstance(given, InterpreterMemory) and wanted.limits.admits(given.type.limits)
    elif isinstance(wanted, TableType):
        fits = (
            isinstance(given, InterpreterTable)
            and wanted.element == given.element
            and wanted.limits.admits(given.type.limits)
        )
    elif isinstance(wanted, GlobalType):
        fits = isinstance(given, InterpreterGlobal) and wanted == given.type
    else:
        fits = isinstance(given, InterpreterFunction | HostFunction) and wanted == given.type
    if not fits:
        raise Unlinkable(f"incompatible import type: {item.module}.{item.name} wanted as {wanted}")
    return given


def _call_host(callee: HostFunction, caller: InterpreterInstance, args: Sequence[Value]) -> tuple[Value, ...]:
    """Call a function from outside; return its results as a tuple."""
    result = callee.call(caller, *args)
    if result is None:
        return ()
    return result if isinstance(result, tuple) else (result,)


def _enter(callee: InterpreterFunction) -> Code:
    """Take a frame's weight from the stack counter."""
    code = callee.code()
    m = callee.instance
    m.stack -= code.weight
    if m.stack < 0:
        m.stack += code.weight
        raise Trap(TrapKind.STACK_OVERFLOW)
    return code


def call(callee: Callee, args: Sequence[Value], m: InterpreterInstance) -> tuple[Value, ...]:
    """Run a function to its end."""
    if isinstance(callee, HostFunction):
        return _call_host(callee, m, args)
    m = callee.instance
    code = _enter(callee)
    r: Registers = [*args, *code.tail]
    block: Block = code.entry
    callers: list[tuple[Registers, Block, InterpreterInstance, Code]] = []
    steps: Iterator[Step] | None = None
    try:
        while True:
            steps = iter(block.steps)
            for step in steps:
                step(r, m)
            steps = None
            kind = block.kind
            if kind == JUMP:
                block = block.next(r, m)
                continue
            if kind == CALL:
                target = block.callee(r, m)
                values = block.values(r)
                if isinstance(target, InterpreterFunction):
                    inner = _enter(target)
                    callers.append((r, block, m, code))
                    code = inner
                    m = target.instance
                    r = [*values, *code.tail]
                    block = code.entry
                    continue
                values = _call_host(target, m, values)
            else:
                values = block.values(r)
                m.stack += code.weight
                if not callers:
                    return values
                r, block, m, code = callers.pop()
            if count := block.count:
                if count == 1:
                    r[block.dest] = values[0]
                else:
                    r[block.dest : block.dest + count] = values
            block = block.after
    except BaseException as error:
        m.stack += code.weight
        for _, _, instance, suspended in callers:
            instance.stack += suspended.weight
        if isinstance(error, Trap) and error.offset is None:
            error.function = code.function
            error.offset = block.offsets[-1 if steps is None else len(block.steps) - length_hint(steps) - 1]
        raise
