"""The programs and modules that the subjects run, and the peer's engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import wasmtime

from ewasm.ruleset import EWASM, ModuleLimits
from gas.metering import MeteredModule, meter
from wasm.compiled.native import MAX_WASM_STACK, make_engine
from wasm.decode import decode
from wasm.encode import encode
from wasm.module import ValidModule
from wasm.validate import validate

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"

SIZES = {
    "fib": 34,
    "sieve": 40,
    "xorshift": 300_000,
    "indirect": 5_000_000,
    "sha256": 80_000,
    "keccak": 40_000,
    "blake2b": 160_000,
    "mulmod": 300_000,
    "quicksort": 64,
    "token": 600_000,
    "copy": 20_000,
    "machine": 2_400_000,
}
"""The programs, and the argument with which one runs for about 40 ms."""

UNBOUNDED = EWASM.replace(name="unbounded", limits=ModuleLimits(), max_code=None, max_init_code=None)
"""The default ruleset without limits of size, for measuring growth beyond them."""


def program(name: str) -> bytes:
    """Return a program that exports `run(i32) -> i32`."""
    return (HERE / "programs" / f"{name}.wasm").read_bytes()


def fixture(name: str) -> bytes:
    """Return a fixture contract."""
    return (FIXTURES / f"{name}.wasm").read_bytes()


def metered(binary: bytes) -> MeteredModule:
    """Return a module with charges and weights."""
    return meter(validate(decode(binary)), EWASM.schedule, EWASM.limits.memory_pages)


def without_weights(module: MeteredModule) -> MeteredModule:
    """Return a metered module that does not count the stack."""
    functions = tuple(replace(function, weight=0) for function in module.functions)
    return MeteredModule(ValidModule(replace(module, functions=functions)))


def repeated(times: int, base: str = "erc20") -> bytes:
    """Return a valid contract of ordinary code: a real one's functions so many times."""
    module = decode(fixture(base))
    return encode(replace(module, functions=module.functions * times, customs=()))


def code_bytes(binary: bytes) -> int:
    """Return the bytes of all function bodies."""
    return sum(function.size for function in decode(binary).functions)


def plain_engine() -> wasmtime.Engine:
    """Return the engine that ours runs on, without counters."""
    return make_engine("speed", interruptible=False)


def fuel_engine() -> wasmtime.Engine:
    """Return an engine with the library's own counter, set as ours in what touches the code made."""
    config = wasmtime.Config()
    config.cranelift_opt_level = "speed"
    config.max_wasm_stack = MAX_WASM_STACK
    config.consume_fuel = True
    return wasmtime.Engine(config)
