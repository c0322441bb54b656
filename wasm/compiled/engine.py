"""Loading, instantiating and running modules on Wasmtime."""

from __future__ import annotations

import ctypes
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import wasmtime

from wasm.compiled import emission, native
from wasm.compiled.emission import emit
from wasm.compiled.host import callback, current, masks, native_type
from wasm.encode import encode
from wasm.engine import NO_LIMIT, HostFunction, Imports, Instance, Profiler, Tracer, Value
from wasm.errors import Trap, TrapKind, Unlinkable
from wasm.module import Module, ValidModule
from wasm.types import MAX_PAGES, PAGE, FuncType

NESTING: Final = 48
"""Nested messages on one thread; its native stack is address space, touched only as far as it is used."""

SQUARES_FOR_SPEED: Final = 400_000_000
"""Above this sum of squared function lengths a module is not optimised, as the time for that grows as the square."""


class NativeFault(RuntimeError):
    """The engine below did what it never may: a fault of the node, no verdict."""


class Aborted(Exception):
    """The run was interrupted from outside: aborted by the node, no verdict."""


class CompiledEngine:
    """The engine. One can be shared between threads.

    An `interruptible` one can be stopped from another thread by `interrupt`, at the price of a test in every loop; see
    `docs/benchmarks.md`. All its runs under way end with `Aborted`.
    """

    name = "compiled"
    traces = False
    native_stack = (NESTING + 8) * native.MAX_WASM_STACK
    nesting = NESTING

    def __init__(self, *, interruptible: bool = False) -> None:
        self.interruptible = interruptible
        self._engines: dict[str, wasmtime.Engine] = {}
        self._linkers: OrderedDict[tuple[str, int], Linker] = OrderedDict()
        self._making = threading.Lock()

    @cached_property
    def identity(self) -> str:
        """What compiled code depends on beside the module."""
        return f"{native.identity()} emission {emission.VERSION} interruptible {self.interruptible}"

    def engine(self, optimisation: str) -> wasmtime.Engine:
        """Return the library's engine of an optimisation level."""
        with self._making:
            if optimisation not in self._engines:
                self._engines[optimisation] = native.make_engine(optimisation, interruptible=self.interruptible)
            return self._engines[optimisation]

    def interrupt(self) -> None:
        """End every run that is under way on this engine; those that begin later are not touched."""
        if not self.interruptible:
            raise ValueError("this engine was made without interruptible=True")
        for engine in list(self._engines.values()):
            native.increment_epoch(native.address(engine.ptr()))

    def load(self, module: ValidModule) -> CompiledModule:
        """Compile a module."""
        squares = sum(len(function.body) ** 2 for function in module.functions)
        optimisation = "none" if squares > SQUARES_FOR_SPEED else "speed"
        engine = self.engine(optimisation)
        binary = encode(emit(module))
        try:
            return CompiledModule(self, wasmtime.Module(engine, binary), Shape.of(module, optimisation))
        except wasmtime.WasmtimeError as error:
            raise NativeFault(f"a valid module was not compiled: {error}") from error

    def revive(self, artefact: bytes) -> CompiledModule:
        """Load an artefact; the library runs even an altered one, so the caller vouches for it."""
        size = int.from_bytes(artefact[:4], "big")
        shape = Shape.parse(artefact[4 : 4 + size])
        try:
            code = wasmtime.Module.deserialize(self.engine(shape.optimisation), artefact[4 + size :])
        except wasmtime.WasmtimeError as error:
            raise NativeFault(f"an artefact of this engine was not loaded: {error}") from error
        return CompiledModule(self, code, shape)

    def linker(self, optimisation: str, imports: Imports) -> Linker:
        """Return a linker with the host functions of a mapping; the last few mappings are remembered."""
        key, engine = (optimisation, id(imports)), self.engine(optimisation)
        with self._making:
            linker = self._linkers.get(key)
            if linker is None or linker.imports is not imports:
                linker = self._linkers[key] = Linker(engine, imports)
                if len(self._linkers) > 8:
                    self._linkers.popitem(last=False)
            return linker


class Linker:
    """Host functions defined once for an engine."""

    def __init__(self, engine: wasmtime.Engine, imports: Imports) -> None:
        self.imports = imports
        self.engine = engine
        self.pointer = native.linker_new(native.address(engine.ptr()))
        self.callbacks = []
        for (module, name), function in imports.items():
            if not isinstance(function, HostFunction):
                continue
            called = callback(function)
            self.callbacks.append(called)
            type_ = native_type(function.type)
            code = int(native.ffi.cast("uintptr_t", called))
            m, n = module.encode(), name.encode()
            error = native.linker_define(
                self.pointer, m, len(m), n, len(n), native.address(type_.ptr()), code, None, None
            )
            if error:
                raise NativeFault(native.error_text(error))

    def __del__(self) -> None:
        native.linker_delete(self.pointer)


class Store:
    """What instances live in; every message has one of its own."""

    __slots__ = ("context", "keep", "pointer")

    def __init__(self, engine: CompiledEngine, optimisation: str) -> None:
        self.pointer = native.store_new(native.address(engine.engine(optimisation).ptr()), None, None)
        self.context = native.store_context(self.pointer)
        self.keep: list[Any] = []
        if engine.interruptible:
            native.set_epoch_deadline(self.context, 1)

    def __del__(self) -> None:
        native.store_delete(self.pointer)


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a module must be known to run its compiled form; `max_bytes` is the greatest size of its memory."""

    optimisation: str
    functions: dict[str, FuncType]
    exports: tuple[str, ...]
    wanted: tuple[tuple[str, str], ...]
    starts: bool
    accesses_tables: bool
    max_bytes: int
    memory: str | None

    @classmethod
    def of(cls, module: Module, optimisation: str) -> Shape:
        """Return the shape of a module."""
        memories = [*module.imported("memory"), *module.memories]
        maximum = memories[0].limits.maximum if memories else 0
        return cls(
            optimisation=optimisation,
            functions={e.name: module.types[module.func_types[e.index]] for e in module.exports if e.kind == "func"},
            exports=tuple(e.name for e in module.exports),
            wanted=tuple((i.module, i.name) for i in module.imports),
            starts=module.start is not None,
            accesses_tables=emission.accesses_tables(module),
            max_bytes=(MAX_PAGES if maximum is None else maximum) * PAGE,
            memory=next((e.name for e in module.exports if e.kind == "memory" and e.index == 0), None),
        )

    def encode(self) -> bytes:
        """Return the shape as JSON."""
        functions = {name: [type_.params, type_.results] for name, type_ in self.functions.items()}
        rest = (self.exports, self.wanted, self.starts, self.accesses_tables, self.max_bytes, self.memory)
        return json.dumps([self.optimisation, functions, *rest]).encode()

    @classmethod
    def parse(cls, data: bytes) -> Shape:
        """Return the shape that `encode` wrote."""
        optimisation, functions, exports, wanted, starts, accesses_tables, max_bytes, memory = json.loads(data)
        return cls(
            optimisation=optimisation,
            functions={name: FuncType(tuple(params), tuple(results)) for name, (params, results) in functions.items()},
            exports=tuple(exports),
            wanted=tuple((module, name) for module, name in wanted),
            starts=starts,
            accesses_tables=accesses_tables,
            max_bytes=max_bytes,
            memory=memory,
        )


class Linked:
    """A module linked to host functions: whoever instantiates it holds it, whatever other threads link meanwhile."""

    __slots__ = ("linker", "pointer")

    def __init__(self, linker: Linker, module: CompiledModule) -> None:
        self.linker = linker
        self.pointer = 0
        pointer = ctypes.c_void_p()
        error = native.instantiate_pre(linker.pointer, module.pointer, ctypes.addressof(pointer))
        if error:
            raise Unlinkable(native.error_text(error))
        self.pointer = pointer.value or 0

    def __del__(self) -> None:
        if self.pointer:
            native.instance_pre_delete(self.pointer)


class CompiledModule:
    """A compiled module."""

    def __init__(self, engine: CompiledEngine, code: wasmtime.Module, shape: Shape) -> None:
        self.engine = engine
        self.code = code
        self.pointer = native.address(code.ptr())
        self.shape = shape
        self._pre: Linked | None = None

    def artefact(self) -> bytes:
        """Return the compiled code behind its shape."""
        shape = self.shape.encode()
        return len(shape).to_bytes(4, "big") + shape + bytes(self.code.serialize())

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
    ) -> CompiledInstance:
        """Link, initialise, run the start function."""
        if tracer is not None or profiler is not None:
            raise ValueError("the compiled engine cannot trace or profile; use the interpreter")
        given = [imports.get(name) for name in self.shape.wanted]
        for name, value in zip(self.shape.wanted, given, strict=True):
            if value is None:
                raise Unlinkable(f"unknown import {'.'.join(name)}")
        store = beside.store if isinstance(beside, CompiledInstance) else None
        shared = store is not None
        linked = None if shared else self._linked(imports)
        instance = CompiledInstance(self, store or Store(self.engine, self.shape.optimisation), gas, stack, context)
        trap = ctypes.c_void_p()
        previous, current.instance = current.instance, instance
        try:
            if linked is None:
                externs = self._externs(instance.store, given)
                error = native.instance_new(
                    instance.store.context, self.pointer, externs, len(given), instance.address, ctypes.addressof(trap)
                )
            else:
                error = native.pre_instantiate(
                    linked.pointer, instance.store.context, instance.address, ctypes.addressof(trap)
                )
        finally:
            current.instance = previous
        if error:
            # What is linked beforehand cannot fail to link here: the system refused something.
            raise (Unlinkable if shared else NativeFault)(native.error_text(error))
        if trap.value:
            raise instance.trap_of(trap.value)
        if self.shape.starts:
            instance.run(emission.START, FuncType(), ())
        return instance

    def _linked(self, imports: Imports) -> Linked:
        """Return the module linked to a mapping of host functions; the last one is kept."""
        linked = self._pre
        if linked is None or linked.linker.imports is not imports:
            linked = self._pre = Linked(self.engine.linker(self.shape.optimisation, imports), self)
        return linked

    def _externs(self, store: Store, given: Sequence[Any]) -> Any:
        """Return imports as the library takes them, host functions made in the store."""
        externs = (_Extern * max(1, len(given)))()
        for n, value in enumerate(given):
            if isinstance(value, CompiledExtern):
                ctypes.memmove(ctypes.addressof(externs[n]), value.raw, ctypes.sizeof(_Extern))
            elif isinstance(value, HostFunction):
                called = callback(value)
                type_ = native_type(value.type)
                store.keep.append(called)
                externs[n].kind = native.EXTERN_FUNC
                code = int(native.ffi.cast("uintptr_t", called))
                at = ctypes.addressof(externs[n]) + 8
                native.func_new(store.context, native.address(type_.ptr()), code, None, None, at)
            else:
                raise Unlinkable(f"incompatible import type: {'.'.join(self.shape.wanted[n])}")
        store.keep.append(externs)
        return ctypes.addressof(externs)


class _Extern(ctypes.Structure):
    """`wasmtime_extern_t`."""

    _fields_ = (("kind", ctypes.c_uint8), ("of", ctypes.c_uint64 * 3))


class CompiledExtern:
    """An export, to be imported by another module or, if it is a global, read."""

    __slots__ = ("name", "raw", "store", "type")

    def __init__(self, instance: CompiledInstance, name: str) -> None:
        self.store = instance.store
        self.name = name
        self.type = instance.loaded.shape.functions.get(name)
        self.raw = bytes(instance.extern(name))

    @property
    def value(self) -> Value:
        """The value of a global, a float as its bits."""
        out = (ctypes.c_uint64 * 4)()
        raw = ctypes.create_string_buffer(self.raw)
        native.global_get(self.store.context, ctypes.addressof(raw) + 8, ctypes.addressof(out))
        kind = out[0] & 0xFF
        return out[1] & (0xFFFF_FFFF if kind in (0, 2) else 0xFFFF_FFFF_FFFF_FFFF)


_BYTES: Final = native.ffi.typeof("char *")


class CompiledMemory:
    """A view of a linear memory, without copies; it never moves, and only grows. It keeps its store alive."""

    __slots__ = ("_buffer", "_context", "_extern", "_size", "_store")

    def __init__(self, instance: CompiledInstance, name: str) -> None:
        self._store = instance.store
        self._extern = instance.extern(name)
        self._context = instance.store.context
        base = native.memory_data(self._context, ctypes.addressof(self._extern) + 8)
        pointer = native.ffi.cast(_BYTES, base)
        self._buffer = native.ffi.buffer(pointer, instance.loaded.shape.max_bytes)
        self._size = 0

    @property
    def size(self) -> int:
        """The current size in bytes."""
        self._size = native.memory_size(self._context, ctypes.addressof(self._extern) + 8)
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Copy bytes out."""
        end = offset + length
        if end > self._size and end > self.size:
            raise Trap(TrapKind.MEMORY_BOUNDS)
        data: bytes = self._buffer[offset:end]
        return data

    def write(self, offset: int, data: bytes) -> None:
        """Copy bytes in."""
        end = offset + len(data)
        if end > self._size and end > self.size:
            raise Trap(TrapKind.MEMORY_BOUNDS)
        self._buffer[offset:end] = data


class CompiledInstance:
    """A module ready to run."""

    def __init__(self, loaded: CompiledModule, store: Store, gas: int, stack: int, context: Any) -> None:
        self.loaded = loaded
        self.store = store
        self.gas = gas
        self.stack = stack
        self.context = context
        self.pending: BaseException | None = None
        self.running = False
        self._instance = (ctypes.c_uint64 * 2)()
        self.address = ctypes.addressof(self._instance)

    def extern(self, name: str) -> Any:
        """Look an export up."""
        extern = _Extern()
        raw = name.encode()
        if not native.export_get(self.store.context, self.address, raw, len(raw), ctypes.addressof(extern)):
            raise NativeFault(f"the export {name} is missing")
        return extern

    @cached_property
    def memory(self) -> CompiledMemory:
        """The first memory, which must be exported."""
        if self.loaded.shape.memory is None:
            raise NativeFault("the module exports no memory")
        return CompiledMemory(self, self.loaded.shape.memory)

    @cached_property
    def exports(self) -> Mapping[str, CompiledExtern]:
        """What the module exports."""
        return {name: CompiledExtern(self, name) for name in self.loaded.shape.exports}

    def invoke(self, export: str, *args: Value) -> tuple[Value, ...]:
        """Call an exported function."""
        type_ = self.loaded.shape.functions[export]
        if len(args) != len(type_.params):
            raise TypeError(f"{export} takes {len(type_.params)} arguments, not {len(args)}")
        return self.run(export, type_, args)

    def run(self, export: str, type_: FuncType, args: Sequence[Value]) -> tuple[Value, ...]:
        """Call a function with the counters; raise whatever ended it."""
        parameters, results = masks(type_.params), masks(type_.results)
        count = max(len(parameters) + 2, len(results) + 1)
        values = (ctypes.c_uint64 * (2 * count))()
        for n, (value, mask) in enumerate(zip(args, parameters, strict=True)):
            values[2 * n] = value & mask
        values[2 * len(parameters)] = self.gas
        values[2 * len(parameters) + 2] = self.stack
        extern = self.extern(export)
        trap = ctypes.c_void_p()
        self.running = True
        previous, current.instance = current.instance, self
        try:
            error = native.func_call(
                self.store.context,
                ctypes.addressof(extern) + 8,
                ctypes.addressof(values),
                count,
                ctypes.addressof(trap),
            )
        finally:
            current.instance = previous
        self.check(error, trap.value)
        self.gas = values[2 * len(results)]
        return tuple(values[2 * n] & mask for n, mask in enumerate(results))

    def check(self, error: int | None, trap: int | None) -> None:
        """Raise what ended a run: first what escaped a callback, then what a host function raised, then the trap."""
        if current.escaped is not None:
            escaped, current.escaped = current.escaped, None
            raise NativeFault("an exception left a host function") from escaped
        if self.pending is not None:
            pending, self.pending = self.pending, None
            if trap:
                native.trap_delete(trap)
            if error:
                native.error_text(error)
            try:
                raise pending
            finally:
                del pending  # no cycle of frame and exception, which would keep the whole message
        if error:
            raise NativeFault(native.error_text(error))
        if trap:
            raise self.trap_of(trap)

    def trap_of(self, pointer: int) -> BaseException:
        """Return the exception for a trap, and free it."""
        code = ctypes.c_uint8(0xFF)
        known = native.trap_code(pointer, ctypes.addressof(code))
        function = None
        frame = native.trap_origin(pointer)
        if frame:
            function = int(native.frame_index(frame))
            native.frame_delete(frame)
        native.trap_delete(pointer)
        kind = native.TRAPS.get(code.value) if known else None
        if kind is TrapKind.TABLE_BOUNDS and self.running and not self.loaded.shape.accesses_tables:
            kind = TrapKind.UNDEFINED_ELEMENT
        if code.value == native.INTERRUPTED:
            return Aborted("interrupted: aborted by the node")
        if kind is None:
            return NativeFault(f"the engine trapped with code {code.value}")
        if kind is TrapKind.UNREACHABLE:
            status = self._status()
            if status == emission.GROW_FAILED:
                return MemoryError("memory cannot grow within its limit: a fault of this machine")
            kind = _ENDS.get(status, kind)
        found = Trap(kind)
        found.function = function
        return found

    def _status(self) -> int:
        """Read why an exit of ours was taken."""
        out = (ctypes.c_uint64 * 4)()
        extern = self.extern(emission.STATUS)
        native.global_get(self.store.context, ctypes.addressof(extern) + 8, ctypes.addressof(out))
        return int(out[1] & 0xFFFF_FFFF)


_ENDS: Final = {
    emission.OUT_OF_GAS: TrapKind.OUT_OF_GAS,
    emission.STACK_OVERFLOW: TrapKind.STACK_OVERFLOW,
    emission.UNDEFINED_ELEMENT: TrapKind.UNDEFINED_ELEMENT,
}
