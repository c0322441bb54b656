"""Running modules in text format, and the modules that several tests run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.helpers import wat
from wasm.decode import decode
from wasm.engine import Engine, HostFunction, Imports, Instance
from wasm.errors import Trap, TrapKind
from wasm.instructions import CHARGE
from wasm.module import Instr, ValidModule
from wasm.types import FuncType
from wasm.validate import validate

M32 = 2**32 - 1


def load(source: str) -> ValidModule:
    return validate(decode(wat(f"(module {source})")))


def start(engine: Engine, source: str, imports: Imports | None = None, **options: Any) -> Instance:
    return engine.load(load(source)).instantiate(imports or {}, **options)


def run(engine: Engine, source: str, *args: int) -> tuple[Any, ...]:
    """Run the export `f` of a module."""
    return start(engine, source).invoke("f", *args)


def trapped(do: Callable[..., Any], *args: Any) -> Trap:
    with pytest.raises(Trap) as error:
        do(*args)
    return error.value


TRAPS = [
    # (code, kind, number of the instruction)
    ("unreachable", TrapKind.UNREACHABLE, 0),
    ("nop nop unreachable", TrapKind.UNREACHABLE, 2),
    ("i32.const 1 i32.const 0 i32.div_s drop", TrapKind.DIVISION_BY_ZERO, 2),
    ("i32.const 1 i32.const 0 i32.div_u drop", TrapKind.DIVISION_BY_ZERO, 2),
    ("i32.const 1 i32.const 0 i32.rem_s drop", TrapKind.DIVISION_BY_ZERO, 2),
    ("i64.const 1 i64.const 0 i64.rem_u drop", TrapKind.DIVISION_BY_ZERO, 2),
    ("i32.const 0x80000000 i32.const -1 i32.div_s drop", TrapKind.INTEGER_OVERFLOW, 2),
    ("i64.const 0x8000000000000000 i64.const -1 i64.div_s local.set 1", TrapKind.INTEGER_OVERFLOW, 2),
    ("i32.const 65533 i32.load drop", TrapKind.MEMORY_BOUNDS, 1),
    ("i32.const 0 i32.load8_u offset=65536 drop", TrapKind.MEMORY_BOUNDS, 1),
    ("i32.const -1 i64.load offset=4294967295 drop", TrapKind.MEMORY_BOUNDS, 1),
    ("i32.const -4 i32.load offset=4 local.set 0", TrapKind.MEMORY_BOUNDS, 1),
    ("i32.const 65529 i64.const 1 i64.store", TrapKind.MEMORY_BOUNDS, 2),
    ("i32.const 1 local.set 0 i32.const 65535 i32.const 1 i32.store16", TrapKind.MEMORY_BOUNDS, 4),
    ("i32.const 65536 i32.const 0 i32.const 1 memory.fill", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 65537 i32.const 0 i32.const 0 memory.fill", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 0 i32.const 65530 i32.const 7 memory.copy", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 65530 i32.const 0 i32.const 7 memory.copy", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 0 i32.const 0 i32.const -1 memory.copy", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 0 i32.const 1 i32.const 3 memory.init $d", TrapKind.MEMORY_BOUNDS, 3),
    ("data.drop $d i32.const 0 i32.const 0 i32.const 1 memory.init $d", TrapKind.MEMORY_BOUNDS, 4),
    ("i32.const 0 i32.const 0 i32.const 1 memory.init $active", TrapKind.MEMORY_BOUNDS, 3),
    ("i32.const 5 call_indirect (type $v)", TrapKind.UNDEFINED_ELEMENT, 1),
    ("i32.const -1 call_indirect (type $v)", TrapKind.UNDEFINED_ELEMENT, 1),
    ("i32.const 1 call_indirect (type $v)", TrapKind.UNINITIALIZED_ELEMENT, 1),
    ("i32.const 0 call_indirect (type $i) drop", TrapKind.INDIRECT_CALL_TYPE, 1),
    ("i32.const 5 table.get $t drop", TrapKind.TABLE_BOUNDS, 1),
    ("i32.const 5 ref.null func table.set $t", TrapKind.TABLE_BOUNDS, 2),
    ("i32.const 4 ref.null func i32.const 2 table.fill $t", TrapKind.TABLE_BOUNDS, 3),
    ("i32.const 4 i32.const 0 i32.const 2 table.copy $t $t", TrapKind.TABLE_BOUNDS, 3),
    ("i32.const 0 i32.const 4 i32.const 2 table.copy $t $t", TrapKind.TABLE_BOUNDS, 3),
    ("i32.const 0 i32.const 0 i32.const 2 table.init $t $e", TrapKind.TABLE_BOUNDS, 3),
    ("elem.drop $e i32.const 0 i32.const 0 i32.const 1 table.init $t $e", TrapKind.TABLE_BOUNDS, 4),
    ("i32.const 1 if i32.const 1 i32.const 0 i32.rem_u drop end", TrapKind.DIVISION_BY_ZERO, 4),
    ("i32.const 1 block (param i32) i32.const 0 i32.div_u br_if 0 end", TrapKind.DIVISION_BY_ZERO, 3),
    ("i32.const 1 i32.const 0 i32.div_u if end", TrapKind.DIVISION_BY_ZERO, 2),
    ("loop local.get 0 i32.load8_u offset=65533 drop local.get 0 i32.const 1 i32.add local.tee 0 br 0 end",
     TrapKind.MEMORY_BOUNDS, 2),
    ("block i32.const 0 br_table 0 end i32.const 0 drop unreachable", TrapKind.UNREACHABLE, 6),
]  # fmt: skip


CONTEXT = """
    (type $v (func)) (type $i (func (result i32))) (memory (export "memory") 1 1) (data $d "ab") (data $active (i32.const 0) "\\03")
    (table $t 5 5 funcref) (elem (table $t) (i32.const 0) func $v) (elem $e func $v) (func $v)
"""


def trapping(code: str) -> str:
    """Return a module in which `f`, function 2, calls function 1, which has the code."""
    return f'{CONTEXT} (func $g (local i32 i64) {code}) (func (export "f") nop call $g)'


CALLS = """
    (import "h" "none" (func $none (param i32 i64))) (import "h" "one" (func $one (result i64)))
    (import "h" "two" (func $two (param i32) (result i32 i64)))
    (memory (export "memory") 1 2)
    (func (export "none") (call $none (i32.const -1) (i64.const -2)))
    (func (export "one") (result i64) (call $one))
    (func (export "two") (param i32) (result i64 i32) (local i32) (call $two (local.get 0)) (local.set 0 (i32.const 9))
        (i32.wrap_i64) (local.set 1) (i64.extend_i32_u) (local.get 1))
    (func $deep (export "deep") (param i32) (local i64)
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $none (i32.const 1) (i64.const 1)))))
"""


def host(**calls: Callable[..., Any]) -> Imports:
    types = {
        "none": FuncType(("i32", "i64"), ()),
        "one": FuncType((), ("i64",)),
        "two": FuncType(("i32",), ("i32", "i64")),
    }
    return {("h", name): HostFunction(type_, calls.get(name, lambda *_: None)) for name, type_ in types.items()}


class Special(BaseException):
    """Not even an `Exception`."""


EXPORTER = """
    (memory (export "m") 1 3) (table (export "t") 2 5 funcref) (global (export "g") (mut i32) (i32.const 7))
    (global (export "c") i64 (i64.const 8)) (elem (i32.const 0) $f) (table (export "x") 1 externref)
    (func $f (export "f") (param i32) (result i32) (i32.load8_u (local.get 0)))
"""


IMPORTER = """
    (import "e" "m" (memory $m 1 3)) (import "e" "t" (table 2 5 funcref)) (import "e" "g" (global $g (mut i32)))
    (import "e" "c" (global $c i64)) (import "e" "f" (func $f (param i32) (result i32)))
    (export "memory" (memory $m)) (global $copy i64 (global.get $c)) (data (i32.const 3) "Q") (elem (i32.const 1) $mine)
    (func $mine (param i32) (result i32) (i32.const 99))
    (func (export "call") (param i32) (result i32) (call $f (local.get 0)))
    (func (export "indirect") (param i32 i32) (result i32) (call_indirect (param i32) (result i32) (local.get 1) (local.get 0)))
    (func (export "add") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g))
    (func (export "copy") (result i64) (global.get $copy))
    (func (export "grow") (result i32) (memory.grow (i32.const 1)))
"""


def exports(instance: Instance) -> Imports:
    return {("e", name): extern for name, extern in instance.exports.items()}


def with_charges(module: ValidModule, function: int, inserted: dict[int, list[Instr]], weight: int = 0) -> ValidModule:
    """Return a module with instructions inserted before others, by their number."""
    functions: list[Any] = list(module.functions)
    body: list[Instr] = []
    for number, instr in enumerate(functions[function].body):
        body += [*inserted.get(number, []), instr]
    functions[function] = replace(functions[function], body=tuple(body), weight=weight)
    return ValidModule(replace(module, functions=tuple(functions), widths={}, sections=frozenset()))


def charge(amount: int) -> Instr:
    return Instr(CHARGE, amount, 0)


RECURSION = """(memory (export "memory") 1)
    (func $f (export "f") (param i32) (result i32) (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))"""
