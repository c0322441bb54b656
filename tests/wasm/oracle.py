"""Wasmtime as the second opinion: its verdict on modules, and what it sees when it runs a generated one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final, Protocol, TypeAlias

import wasmtime

from tests.wasm.generate import HOST, Generated, split
from wasm.decode import decode
from wasm.engine import Engine, HostFunction, Tracer
from wasm.errors import Trap, TrapKind
from wasm.types import FuncType, ValType
from wasm.validate import validate

NAMES: Final[dict[str, ValType]] = {"i": "i32", "I": "i64", "r": "funcref", "f": "f32", "F": "f64"}
_MASKS: Final = {"i": 0xFFFF_FFFF, "I": 0xFFFF_FFFF_FFFF_FFFF}
_OFF: Final = (
    "simd",
    "relaxed_simd",
    "threads",
    "tail_call",
    "multi_memory",
    "memory64",
    "gc",
    "function_references",
    "exceptions",
    "stack_switching",
    "custom_page_sizes",
    "component_model",
)


def make_oracle(*on: str) -> wasmtime.Engine:
    """Return Wasmtime with just the features that the machine type-checks, and these; extended constants stay on."""
    config = wasmtime.Config()
    for feature in (*_OFF, "wide_arithmetic"):
        setattr(config, f"wasm_{feature}", feature in on)
    config.parallel_compilation = False
    config.cranelift_opt_level = "none"
    return wasmtime.Engine(config)


ORACLE: Final = make_oracle()


def objection(binary: bytes, engine: wasmtime.Engine = ORACLE) -> str | None:
    """Return what Wasmtime has against a module, None if it is valid."""
    try:
        wasmtime.Module.validate(engine, binary)
    except wasmtime.WasmtimeError as error:
        return str(error)
    return None


def func_type(signature: str) -> FuncType:
    """Return the type that a signature says."""
    params, results = split(signature)
    return FuncType(tuple(NAMES[t] for t in params), tuple(NAMES[t] for t in results))


# The functions that generated modules import: each is given the memory, then its arguments.


class Stop(Exception):  # not an error
    """Raised by `host.stop`."""


class Bytes(Protocol):
    """A memory as host functions see it."""

    def read(self, offset: int, length: int) -> bytes:
        """Copy bytes out."""

    def write(self, offset: int, data: bytes) -> None:
        """Copy bytes in."""


def _touch(memory: Bytes, offset: int, length: int) -> int:
    """Read some bytes, write one, return a sum."""
    offset &= 0xFFFF
    data = memory.read(offset, min(length & 0xFF, 0x1_0000 - offset))
    memory.write(offset, bytes([sum(data) & 0xFF]))
    return sum(data)


def _stop(_: Bytes, value: int) -> None:
    """Raise for some values."""
    if value % 5 == 1:
        raise Stop(value)


_HOST: Final[dict[str, Callable[..., Any]]] = {
    "note": lambda _m, _a, _b: None,
    "mix": lambda _, a, b: (a * 0x9E37_79B9_7F4A_7C15 + b) & _MASKS["I"],
    "half": lambda _, a: (a >> 32) ^ (a & _MASKS["i"]),
    "pair": lambda _, a: (a & 0xFF, a ^ _MASKS["I"]),
    "touch": _touch,
    "stop": _stop,
}

Log: TypeAlias = list[tuple[Any, ...]]


def host(log: Log) -> dict[tuple[str, str], HostFunction]:
    """Return the functions of `HOST` for an engine under test; calls are logged."""

    def called(name: str, instance: Any, *args: int) -> Any:
        log.append((name, *args))
        return _HOST[name](instance.memory, *args)

    return {(m, n): HostFunction(func_type(signature), partial(called, n)) for m, n, signature in HOST}


# Runs


class Run(Protocol):
    """A module instantiated on some machine."""

    def call(self, name: str, args: Sequence[int]) -> tuple[int, ...]:
        """Call an export; raise `Trap`."""

    def memory(self) -> bytes:
        """Return the whole memory."""


class EngineRun:
    """A module on an engine under test."""

    def __init__(self, engine: Engine, generated: Generated, log: Log, tracer: Tracer | None = None) -> None:
        loaded = engine.load(validate(decode(generated.binary)))
        self.instance = loaded.instantiate(host(log), tracer=tracer)

    def call(self, name: str, args: Sequence[int]) -> tuple[int, ...]:
        return self.instance.invoke(name, *args)

    def memory(self) -> bytes:
        return self.instance.memory.read(0, self.instance.memory.size)


_KINDS: Final[dict[wasmtime.TrapCode | None, TrapKind]] = {
    wasmtime.TrapCode.UNREACHABLE: TrapKind.UNREACHABLE,
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: TrapKind.DIVISION_BY_ZERO,
    wasmtime.TrapCode.INTEGER_OVERFLOW: TrapKind.INTEGER_OVERFLOW,
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: TrapKind.MEMORY_BOUNDS,
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: TrapKind.TABLE_BOUNDS,
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: TrapKind.UNINITIALIZED_ELEMENT,
    wasmtime.TrapCode.BAD_SIGNATURE: TrapKind.INDIRECT_CALL_TYPE,
    wasmtime.TrapCode.STACK_OVERFLOW: TrapKind.STACK_OVERFLOW,
}
_TYPES: Final = {"i": wasmtime.ValType.i32(), "I": wasmtime.ValType.i64(), "r": wasmtime.ValType.funcref()}


class WasmtimeRun:
    """A module on Wasmtime, by the package's own doors; one trap code stands for two kinds of ours."""

    def __init__(self, generated: Generated, log: Log) -> None:
        self.store = wasmtime.Store(ORACLE)
        module = wasmtime.Module(ORACLE, generated.binary)
        imports = [self.function(log, name, signature) for _, name, signature in generated.imports]
        self.signatures = {name: split(signature) for name, signature in (*generated.exports, *generated.observers)}
        # A module without imports may leave out those that its shape allows.
        self.exports = self.trapping(wasmtime.Instance, self.store, module, imports[: len(module.imports)]).exports(
            self.store
        )

    def function(self, log: Log, name: str, signature: str) -> wasmtime.Func:
        """Return a function of `HOST`; its arguments and results are made unsigned and logged."""
        params, results = split(signature)

        def called(caller: wasmtime.Caller, *args: int) -> Any:
            values = [a & _MASKS[t] for t, a in zip(params, args, strict=True)]
            log.append((name, *values))
            memory = caller["memory"]
            assert isinstance(memory, wasmtime.Memory)
            result = _HOST[name](_CallerMemory(memory, caller), *values)
            return list(result) if isinstance(result, tuple) else result

        type_ = wasmtime.FuncType([_TYPES[t] for t in params], [_TYPES[t] for t in results])
        return wasmtime.Func(self.store, type_, called, access_caller=True)

    @staticmethod
    def trapping(do: Callable[..., Any], *args: Any) -> Any:
        """Call, and turn a trap into ours."""
        try:
            return do(*args)
        except wasmtime.Trap as trap:
            raise Trap(_KINDS[trap.trap_code]) from None

    def call(self, name: str, args: Sequence[int]) -> tuple[int, ...]:
        params, results = self.signatures[name]
        function = self.exports[name]
        signed = [
            a - (1 << bits) if a >> (bits := 32 if t == "i" else 64) - 1 else a
            for t, a in zip(params, args, strict=True)
        ]
        found = self.trapping(function, self.store, *signed)
        values = [found] if len(results) == 1 else found or []
        return tuple(v & _MASKS[t] for t, v in zip(results, values, strict=True))

    def memory(self) -> bytes:
        memory = self.exports["memory"]
        return bytes(memory.read(self.store, 0, memory.data_len(self.store)))


class _CallerMemory:
    """The memory of a calling instance."""

    def __init__(self, memory: wasmtime.Memory, caller: wasmtime.Caller) -> None:
        self._memory = memory
        self._caller = caller

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._memory.read(self._caller, offset, offset + length))

    def write(self, offset: int, data: bytes) -> None:
        self._memory.write(self._caller, data, offset)


@dataclass(frozen=True, slots=True)
class Observation:
    """All that can be seen of a run: how each call ended, the host calls, memory and globals at the end."""

    outcomes: tuple[Any, ...]
    log: tuple[tuple[Any, ...], ...]
    memory: bytes
    globals: tuple[Any, ...]


Calls: TypeAlias = Sequence[tuple[str, tuple[int, ...]]]


def some_calls(rng: Random, generated: Generated) -> Calls:
    """Draw calls of exported functions with arguments."""
    calls = []
    for _ in range(2):
        for name, signature in generated.exports:
            params, _ = split(signature)
            args = [rng.choice((rng.getrandbits(64), rng.randint(0, 9), -1, 1 << 31, 1 << 63)) for _ in params]
            calls.append((name, tuple(a & _MASKS[t] for t, a in zip(params, args, strict=True))))
    return calls


def _ended(do: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    """Return what a step gave, and how it is recorded."""
    try:
        result = do(*args)
    except Trap as trap:
        kind = TrapKind.TABLE_BOUNDS if trap.kind is TrapKind.UNDEFINED_ELEMENT else trap.kind
        return None, kind.name
    except Stop as stop:
        return None, ("Stop", *stop.args)
    return result, result


def observe(make: Callable[[Generated, Log], Run], generated: Generated, calls: Calls) -> Observation:
    """Instantiate, call, look."""
    log: Log = []
    run, outcome = _ended(make, generated, log)
    if run is None:
        return Observation((outcome,), tuple(log), b"", ())
    outcomes = [_ended(run.call, name, args)[1] for name, args in calls]
    globals_ = [run.call(name, ()) for name, _ in generated.observers]
    return Observation(tuple(outcomes), tuple(log), run.memory(), tuple(globals_))
