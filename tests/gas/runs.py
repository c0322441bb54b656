"""Running one metered module on machines that share nothing: an engine of ours, and Wasmtime on what was written out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from operator import attrgetter
from random import Random
from typing import Any, Final

import wasmtime

from gas.emission import GAS_EXPORT, STACK_EXPORT, write_out
from gas.meter import STACK_BUDGET
from gas.metering import MeteredModule
from tests.gas.bodies import HOST, TYPES
from wasm.decode import decode
from wasm.encode import encode
from wasm.engine import HostFunction, Loaded, Tracer
from wasm.errors import Trap, TrapKind
from wasm.interpreter import Interpreter
from wasm.validate import validate

ANSWERS: Final = (0, 1, 2, 3, 64, 0xFFFF_FFFF)
"""What `ask` may answer."""

_CODES: Final = {
    wasmtime.TrapCode.UNREACHABLE: TrapKind.UNREACHABLE,
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: TrapKind.DIVISION_BY_ZERO,
    wasmtime.TrapCode.INTEGER_OVERFLOW: TrapKind.INTEGER_OVERFLOW,
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: TrapKind.MEMORY_BOUNDS,
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: TrapKind.UNDEFINED_ELEMENT,
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: TrapKind.UNINITIALIZED_ELEMENT,
    wasmtime.TrapCode.BAD_SIGNATURE: TrapKind.INDIRECT_CALL_TYPE,
}


class Finished(Exception):
    """A host function ended the run."""


@dataclass
class Outcome:
    """How a run ended, the gas counter at every host call and at the end, and a hash of the memory."""

    end: TrapKind | str = "returned"
    values: tuple[int, ...] = ()
    gas: int = 0
    calls: list[tuple[str, tuple[int, ...], int]] = field(default_factory=list)
    memory: str = ""

    def as_seen(self) -> Outcome:
        """Leave out what nobody can see: after a trap the counter, after one of the counters' the memory too."""
        seen = replace(self)
        if isinstance(self.end, TrapKind):
            seen.gas = 0
            if self.end in (TrapKind.OUT_OF_GAS, TrapKind.STACK_OVERFLOW):
                seen.memory = ""
        return seen


def host(outcome: Outcome, seed: int) -> dict[str, Callable[..., Any]]:
    """Make the functions of `bodies.HOST`: each is given the gas counter, then its arguments."""
    rng = Random(seed)

    def note(gas: int, value: int) -> None:
        outcome.calls.append(("note", (value & 0xFFFF_FFFF,), gas))

    def ask(gas: int) -> int:
        outcome.calls.append(("ask", (), gas))
        return rng.choice(ANSWERS)

    def finish(gas: int) -> None:
        outcome.calls.append(("finish", (), gas))
        raise Finished

    return {"note": note, "ask": ask, "finish": finish}


def bind(
    functions: dict[str, Callable[..., Any]], gas: Callable[[Any], int] = attrgetter("gas")
) -> dict[tuple[str, str], HostFunction]:
    """Give host functions to an engine of ours; `gas` tells the counter of an instance."""

    def bound(name: str) -> HostFunction:
        return HostFunction(TYPES[HOST[name]], lambda instance, *args: functions[name](gas(instance), *args))

    return {("host", name): bound(name) for name in HOST}


def run(
    loaded: Loaded,
    arguments: tuple[int, ...],
    gas: int,
    *,
    seed: int = 0,
    stack: int = STACK_BUDGET,
    tracer: Tracer | None = None,
) -> Outcome:
    """Run on an engine of ours."""
    outcome = Outcome()
    instance = loaded.instantiate(bind(host(outcome, seed)), gas=gas, stack=stack, tracer=tracer)
    try:
        outcome.values = instance.invoke("main", *arguments)
    except Finished:
        outcome.end = "finished"
    except Trap as trap:
        outcome.end = trap.kind
    else:
        assert instance.stack == stack, "what frames weigh is given back"
    outcome.gas = instance.gas
    outcome.memory = _digest(instance.memory.read(0, instance.memory.size))
    return outcome


@cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    config.max_wasm_stack = 2 << 20
    config.cranelift_opt_level = "none"
    config.parallel_compilation = False
    return wasmtime.Engine(config)


class WrittenOut:
    """A metered module, written out, in the hands of machines that know nothing of gas."""

    def __init__(self, module: MeteredModule) -> None:
        self.imports = [i.name for i in module.imports]
        main = next(e.index for e in module.exports if e.name == "main")
        self.main = module.types[module.func_types[main]]
        self.binary = encode(write_out(module))
        self.validated = validate(decode(self.binary))
        self.module = wasmtime.Module(_engine(), self.binary)

    def on_wasmtime(self, arguments: tuple[int, ...], gas: int, *, seed: int = 0, stack: int = STACK_BUDGET) -> Outcome:
        """Run on Wasmtime."""
        store = wasmtime.Store(_engine())
        try:
            return self._run_in(store, arguments, gas, seed, stack)
        finally:
            # Its host functions hold the store, and the library holds them.
            store.close()

    def _run_in(self, store: wasmtime.Store, arguments: tuple[int, ...], gas: int, seed: int, stack: int) -> Outcome:
        outcome = Outcome()
        functions = host(outcome, seed)
        kinds = {"i32": wasmtime.ValType.i32(), "i64": wasmtime.ValType.i64()}

        def bound(name: str) -> wasmtime.Func:
            type_ = TYPES[HOST[name]]
            wanted = wasmtime.FuncType([kinds[t] for t in type_.params], [kinds[t] for t in type_.results])
            return wasmtime.Func(store, wanted, lambda *args: functions[name](counter.value(store), *args))

        instance = wasmtime.Instance(store, self.module, [bound(name) for name in self.imports])
        exports = instance.exports(store)
        counter, words = exports[GAS_EXPORT], exports[STACK_EXPORT]
        counter.set_value(store, wasmtime.Val.i64(gas))
        words.set_value(store, wasmtime.Val.i32(stack))
        widths = [32 if t == "i32" else 64 for t in self.main.params]
        given = [_signed(a, width) for a, width in zip(arguments, widths, strict=True)]
        try:
            result = exports["main"](store, *given)
            outcome.values = tuple(result & 0xFFFF_FFFF for _ in self.main.results)
        except Finished:
            outcome.end = "finished"
        except wasmtime.Trap as trap:
            outcome.end = _verdict(_CODES[trap.trap_code], counter.value(store), words.value(store))
        else:
            assert words.value(store) == stack, "what frames weigh is given back"
        outcome.gas = counter.value(store)
        outcome.memory = _digest(exports["memory"].read(store))
        return outcome

    def on_interpreter(
        self, arguments: tuple[int, ...], gas: int, *, seed: int = 0, stack: int = STACK_BUDGET
    ) -> Outcome:
        """Run what was written out, decoded again, on the interpreter, whose own counters stay untouched."""
        outcome = Outcome()
        functions = host(outcome, seed)

        def signed_gas(instance: Any) -> int:
            return _signed(instance.exports[GAS_EXPORT].value, 64)

        instance = Interpreter().load(self.validated).instantiate(bind(functions, signed_gas))
        counter, words = instance.exports[GAS_EXPORT], instance.exports[STACK_EXPORT]
        counter.value, words.value = gas, stack
        try:
            outcome.values = instance.invoke("main", *arguments)
        except Finished:
            outcome.end = "finished"
        except Trap as trap:
            outcome.end = _verdict(trap.kind, signed_gas(instance), _signed(words.value, 32))
        outcome.gas = signed_gas(instance)
        outcome.memory = _digest(bytes(instance.memory.data))
        return outcome


def _verdict(kind: TrapKind, gas: int, stack: int) -> TrapKind:
    """Tell from the signs of the counters what a trap means, the stack first."""
    if stack < 0:
        return TrapKind.STACK_OVERFLOW
    return TrapKind.OUT_OF_GAS if gas < 0 else kind


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value
