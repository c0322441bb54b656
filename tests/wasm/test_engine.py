"""What every engine does: traps, host functions, memories and tables, linking, counters."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from tests.wasm.running import (
    CALLS,
    CONTEXT,
    EXPORTER,
    IMPORTER,
    M32,
    RECURSION,
    TRAPS,
    Special,
    charge,
    exports,
    host,
    load,
    run,
    start,
    trapped,
    trapping,
    with_charges,
)
from wasm.engine import NO_LIMIT, Engine, Instance
from wasm.errors import Trap, TrapKind, Unlinkable
from wasm.instructions import BY_NAME, CHARGE_OPERAND
from wasm.module import Instr
from wasm.types import PAGE

# Traps


@pytest.mark.parametrize(("code", "kind", "number"), TRAPS)
def test_traps(code: str, kind: TrapKind, number: int, engine: Engine) -> None:
    module = load(trapping(code))
    instance = engine.load(module).instantiate({}, stack=1000)
    trap = trapped(instance.invoke, "f")
    assert trap.kind is kind
    assert trap.function in (1, None)
    place = module.functions[1].body[number].offset
    assert trap.offset in (place, None)
    assert instance.stack == 1000
    if engine.traces:
        assert (trap.function, trap.offset) == (1, place)
        assert str(trap) == f"{kind.value} in function 1 at offset {place:#x}"


def test_a_trap_changes_nothing_of_its_own(engine: Engine) -> None:
    """What ran before stays; the instruction that traps does nothing, not even in part."""
    source = f"""{CONTEXT} (global $g (mut i32) (i32.const 0)) (func (export "read") (result i32) (global.get $g))
        (func (export "store") (i32.store8 (i32.const 9) (i32.const 7)) (global.set $g (i32.const 5))
            (i64.store (i32.const 65532) (i64.const -1)))
        (func (export "copy") (memory.copy (i32.const 65535) (i32.const 9) (i32.const 2)))
        (func (export "init") (memory.init $d (i32.const 65535) (i32.const 0) (i32.const 2)))"""
    instance = start(engine, source)
    for name in ("store", "copy", "init"):
        assert trapped(instance.invoke, name).kind is TrapKind.MEMORY_BOUNDS
    assert instance.memory.read(65528, 8) == bytes(8)
    assert instance.memory.read(9, 1) == b"\7"
    assert instance.invoke("read") == (5,)


# Values and host functions


def test_values_are_unsigned(engine: Engine) -> None:
    source = '(func (export "f") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))'
    assert run(engine, source, M32, 2**64 - 1) == (2**64 - 1, M32)
    assert run(engine, '(func (export "f") (result i32 i64) (i32.const -1) (i64.const -2))') == (M32, 2**64 - 2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_many_results(count: int, engine: Engine) -> None:
    values = " ".join(f"i32.const {n}" for n in range(count))
    results = "(result" + " i32" * count + ")"
    source = f'(func $g {results} {values}) (func (export "f") {results} call $g)'
    assert run(engine, source) == tuple(range(count))


def test_a_wrong_number_of_arguments(engine: Engine) -> None:
    instance = start(engine, '(func (export "f") (param i32))')
    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="f takes 1 arguments, not"):
            instance.invoke("f", *args)


def test_host_functions_are_given_the_instance_and_unsigned_values(engine: Engine) -> None:
    seen: list[Any] = []
    context = object()
    instance = start(engine, CALLS, host(none=lambda *args: seen.append(args)), context=context)
    assert instance.invoke("none") == ()
    ((caller, *values),) = seen
    assert caller is instance
    assert caller.context is context
    assert values == [M32, 2**64 - 2]


def test_host_functions_give_results(engine: Engine) -> None:
    imports = host(one=lambda _: 2**64 - 1, two=lambda _, a: (a + 1, a + 2))
    instance = start(engine, CALLS, imports)
    assert instance.invoke("one") == (2**64 - 1,)
    assert instance.invoke("two", 10) == (11, 12)


@pytest.mark.parametrize(
    "error", [ValueError("x"), Special(), Trap(TrapKind.OUT_OF_GAS), StopIteration(), IndexError()]
)
@pytest.mark.parametrize("depth", [0, 1, 30])
def test_an_exception_of_a_host_function_passes_through_as_it_is(
    error: BaseException, depth: int, engine: Engine
) -> None:
    def fail(*_: Any) -> None:
        raise error

    instance = start(engine, CALLS, host(none=fail), stack=10_000)
    with pytest.raises(type(error)) as caught:
        instance.invoke("deep", depth)
    assert caught.value is error
    assert instance.stack == 10_000
    ok = host(none=lambda *_: None)
    assert start(engine, CALLS, ok).invoke("deep", depth) == ()


def test_a_host_function_can_call_back(engine: Engine) -> None:
    depth = []

    def again(instance: Instance, a: int, _: int) -> None:
        depth.append(a)
        if len(depth) < 5:
            instance.invoke("none")

    instance = start(engine, CALLS, host(none=again), stack=10_000)
    instance.invoke("none")
    assert depth == [M32] * 5
    assert instance.stack == 10_000


def test_a_host_function_sees_memory_as_it_is_now(engine: Engine) -> None:
    seen = []

    def look(instance: Instance, *_: int) -> None:
        seen.append((instance.memory.size // PAGE, instance.memory.read(5, 2)))
        instance.memory.write(6, b"\x09")

    source = """(import "h" "none" (func $none (param i32 i64))) (memory (export "memory") 1 3)
        (func (export "f") (result i32) (i32.store16 (i32.const 5) (i32.const 0x0201))
            (call $none (i32.const 0) (i64.const 0)) (drop (memory.grow (i32.const 1)))
            (call $none (i32.const 0) (i64.const 0)) (i32.load16_u (i32.const 5)))"""
    assert start(engine, source, host(none=look)).invoke("f") == (0x0901,)
    assert seen == [(1, b"\1\2"), (2, b"\1\x09")]


def test_a_host_function_can_be_exported_and_called(engine: Engine) -> None:
    source = '(import "h" "one" (func $one (result i64))) (table 1 funcref) (elem (i32.const 0) $one)'
    source += '(memory (export "memory") 1) (func (export "f") (result i64) (call_indirect (result i64) (i32.const 0)))'
    source += ' (export "one" (func $one))'
    instance = start(engine, source, host(one=lambda _: 7))
    assert instance.invoke("f") == (7,)
    assert instance.invoke("one") == (7,)


# Memory and tables


def test_memory_grows_up_to_its_maximum(engine: Engine) -> None:
    source = """(memory (export "memory") 1 3) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size)) (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))"""
    instance = start(engine, source)
    memory = instance.memory
    assert (memory.size, memory.read(PAGE, 0)) == (PAGE, b"")
    assert trapped(instance.invoke, "load", PAGE).kind is TrapKind.MEMORY_BOUNDS
    expected = [(0, 1, 1), (1, 1, 2), (2, M32, 2), (M32, M32, 2), (2**31, M32, 2), (1, 2, 3), (1, M32, 3), (0, 3, 3)]
    for pages, answer, after in expected:
        assert instance.invoke("f", pages) == (answer,)
        assert instance.invoke("size") == (after,)
        assert memory.size == instance.memory.size == after * PAGE
    assert instance.invoke("load", 3 * PAGE - 1) == (0,)


def test_memory_without_a_maximum_ends_at_4_gib(engine: Engine) -> None:
    source = '(memory (export "memory") 0) (func (export "f") (param i32) (result i32) (memory.grow (local.get 0)))'
    instance = start(engine, source)
    assert instance.invoke("f", 65_537) == (M32,)
    assert instance.invoke("f", M32) == (M32,)
    assert instance.invoke("f", 1) == (0,)
    assert instance.invoke("f", 65_536) == (M32,)


def test_memory_is_read_and_written_within_its_bounds(engine: Engine) -> None:
    memory = start(engine, '(memory (export "memory") 1) (data (i32.const 0) "abc")').memory
    assert memory.read(0, 4) == b"abc\0"
    memory.write(PAGE - 2, b"xy")
    assert memory.read(PAGE - 3, 3) == b"\0xy"
    assert memory.read(PAGE, 0) == b""
    memory.write(PAGE, b"")
    for read in ((PAGE, 1), (PAGE + 1, 0), (PAGE - 1, 2), (M32, M32), (0, PAGE + 1)):
        assert trapped(memory.read, *read).kind is TrapKind.MEMORY_BOUNDS
    for offset, data in ((PAGE, b"a"), (PAGE + 1, b""), (PAGE - 1, b"ab"), (M32, b"a")):
        assert trapped(memory.write, offset, data).kind is TrapKind.MEMORY_BOUNDS
    assert memory.read(PAGE - 1, 1) == b"y"


def test_a_memory_outlives_its_instance(engine: Engine) -> None:
    """Found by running these tests: the compiled engine's view read from a store that was gone."""
    memories = [start(engine, f'(memory (export "memory") 1) (data (i32.const 0) "{n}")').memory for n in range(20)]
    gc.collect()
    assert [memory.read(0, 1) for memory in memories] == [str(n).encode()[:1] for n in range(20)]
    assert {memory.size for memory in memories} == {PAGE}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("(memory.copy (i32.const 2) (i32.const 0) (i32.const 5))", b"ababcdeh"),
        ("(memory.copy (i32.const 0) (i32.const 2) (i32.const 5))", b"cdefgfgh"),
        ("(memory.copy (i32.const 3) (i32.const 3) (i32.const 5))", b"abcdefgh"),
        ("(memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))", b"abcdefgh"),
        ("(memory.fill (i32.const 1) (i32.const 0x17a) (i32.const 3))", b"azzzefgh"),
        ("(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0))", b"abcdefgh"),
        ("(memory.init $d (i32.const 4) (i32.const 1) (i32.const 2))", b"abcdYZgh"),
        ("(memory.init $d (i32.const 65536) (i32.const 3) (i32.const 0))", b"abcdefgh"),
    ],
)
def test_bulk_memory(operation: str, expected: bytes, engine: Engine) -> None:
    source = (
        f'(memory (export "memory") 1) (data (i32.const 0) "abcdefgh") (data $d "XYZ") (func (export "f") {operation})'
    )
    instance = start(engine, source)
    instance.invoke("f")
    assert instance.memory.read(0, 8) == expected


def test_loads_and_stores_of_every_width(engine: Engine) -> None:
    """In the bytes' order and with the sign that the name tells."""
    data = bytes([0x81, 0x92, 0xA3, 0xB4, 0xC5, 0xD6, 0xE7, 0xF8])
    loads = [(name, row) for name, row in BY_NAME.items() if row.proposal == "mvp" and ".load" in name]
    stores = [(name, row) for name, row in BY_NAME.items() if row.proposal == "mvp" and ".store" in name]
    assert len(loads) + len(stores) == 12 + 7
    text = '(memory (export "memory") 1) (data (i32.const 100) "' + "".join(f"\\{b:02x}" for b in data) + '")'
    for name, _ in loads:
        text += f'(func (export "{name}") (result {name[:3]}) ({name} offset=90 (i32.const 10)))'
    for name, row in stores:
        text += (
            f'(func (export "{name}") (param {name[:3]}) ({name} offset=1 (i32.const {200 + row.code}) (local.get 0)))'
        )
    instance = start(engine, text)
    for name, row in loads:
        width, bits = row.width, int(name[1:3])
        value = int.from_bytes(data[:width], "little", signed=name.endswith("_s")) % 2**bits
        assert instance.invoke(name) == (value,)
    for name, row in stores:
        value = int.from_bytes(data[: int(name[1:3]) // 8], "big")
        instance.invoke(name, value)
        place = 201 + row.code
        assert (
            instance.memory.read(place - 1, 10)[: row.width + 2]
            == b"\0" + (value % 256**row.width).to_bytes(row.width, "little") + b"\0"
        )
        instance.memory.write(place, bytes(8))


TABLES = """
    (table $t 2 4 funcref) (table $x 1 externref) (elem $e func $one $two) (memory (export "memory") 1)
    (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
    (func (export "call") (param i32) (result i32) (call_indirect $t (result i32) (local.get 0)))
    (func (export "init") (param i32 i32 i32) (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
    (func (export "size") (result i32) (table.size $t))
    (func (export "grow") (param i32) (result i32) (table.grow $t (ref.func $two) (local.get 0)))
    (func (export "set") (param i32) (table.set $t (local.get 0) (ref.func $one)))
    (func (export "clear") (param i32 i32) (table.fill $t (local.get 0) (ref.null func) (local.get 1)))
    (func (export "copy") (param i32 i32 i32) (table.copy $t $t (local.get 0) (local.get 1) (local.get 2)))
    (func (export "null") (param i32) (result i32) (ref.is_null (table.get $t (local.get 0))))
    (func (export "drop") (elem.drop $e))
"""


def test_tables(engine: Engine) -> None:
    instance = start(engine, TABLES)
    call = instance.invoke
    assert (call("size"), call("null", 0)) == ((2,), (1,))
    call("init", 0, 0, 2)
    assert (call("call", 0), call("call", 1), call("null", 1)) == ((1,), (2,), (0,))
    assert (call("grow", 1), call("size"), call("call", 2)) == ((2,), (3,), (2,))
    assert (call("grow", 2), call("grow", M32), call("size"), call("grow", 0)) == ((M32,), (M32,), (3,), (3,))
    call("copy", 0, 1, 2)
    assert (call("call", 0), call("call", 1)) == ((2,), (2,))
    call("set", 1)
    call("copy", 1, 0, 2)
    assert [call("call", n) for n in range(3)] == [(2,), (2,), (1,)]
    call("clear", 1, 1)
    assert trapped(call, "call", 1).kind is TrapKind.UNINITIALIZED_ELEMENT
    assert trapped(call, "call", 3).kind is TrapKind.UNDEFINED_ELEMENT
    call("drop")
    call("init", 0, 0, 0)
    assert trapped(call, "init", 0, 0, 1).kind is TrapKind.TABLE_BOUNDS


# Instantiation and linking


def test_segments_are_copied_in_order(engine: Engine) -> None:
    source = (
        '(memory (export "memory") 1) (data (i32.const 0) "abc") (data (i32.const 1) "X") (data (i32.const 65536) "")'
    )
    assert start(engine, source).memory.read(0, 4) == b"aXc\0"


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ('(data (i32.const 65535) "ab")', TrapKind.MEMORY_BOUNDS),
        ('(data (i32.const -1) "a")', TrapKind.MEMORY_BOUNDS),
        ('(data (i32.const 65537) "")', TrapKind.MEMORY_BOUNDS),
        ("(table 2 funcref) (elem (i32.const 1) $f $f) (func $f)", TrapKind.TABLE_BOUNDS),
        ("(table 2 funcref) (elem (i32.const 3) func)", TrapKind.TABLE_BOUNDS),
        ("(func $f unreachable) (start $f)", TrapKind.UNREACHABLE),
    ],
)
def test_instantiation_can_trap(source: str, kind: TrapKind, engine: Engine) -> None:
    loaded = engine.load(load(f'(memory (export "memory") 1) {source}'))
    assert trapped(loaded.instantiate, {}).kind is kind


def test_the_start_function_runs_once_segments_are_there(engine: Engine) -> None:
    source = """(import "h" "none" (func $none (param i32 i64))) (memory (export "memory") 1) (data (i32.const 0) "a")
        (func $s (call $none (i32.load8_u (i32.const 0)) (i64.const 0)) (i32.store8 (i32.const 1) (i32.const 98))) (start $s)"""
    seen = []
    instance = start(engine, source, host(none=lambda _, a, b: seen.append((a, b))), stack=500, context=5)
    assert seen == [(97, 0)]
    assert instance.memory.read(0, 2) == b"ab"
    assert (instance.stack, instance.context) == (500, 5)


def test_instances_share_nothing_but_the_code(engine: Engine) -> None:
    loaded = engine.load(
        load('(memory (export "memory") 1) (func (export "f") (i32.store8 (i32.const 0) (i32.const 1)))')
    )
    one, two = loaded.instantiate({}), loaded.instantiate({})
    one.invoke("f")
    assert (one.memory.read(0, 1), two.memory.read(0, 1)) == (b"\1", b"\0")


def test_instances_share_what_one_exports_and_another_imports(engine: Engine) -> None:
    exporter = start(engine, EXPORTER)
    importer = start(engine, IMPORTER, exports(exporter), beside=exporter)
    third = start(engine, IMPORTER, exports(exporter), beside=exporter)
    assert importer.invoke("call", 3) == (ord("Q"),)
    assert exporter.invoke("f", 3) == (ord("Q"),)
    importer.memory.write(3, b"Z")
    assert third.invoke("call", 3) == (ord("Z"),)
    assert [third.invoke("indirect", slot, 3) for slot in (0, 1)] == [(ord("Z"),), (99,)]
    assert [importer.invoke("add"), third.invoke("add"), importer.invoke("add")] == [(8,), (9,), (10,)]
    assert importer.invoke("copy") == (8,)
    assert [importer.invoke("grow"), third.invoke("grow"), importer.invoke("grow")] == [(1,), (2,), (M32,)]
    assert importer.memory.size == third.memory.size == 3 * PAGE
    assert exporter.invoke("f", 3 * PAGE - 1) == (0,)
    assert exporter.exports["g"].value == 10


def test_a_function_runs_in_its_own_instance(engine: Engine) -> None:
    """Its memory and globals are those of the module that it came from, however it is called."""
    parts = """(memory (export "memory") 1) (data (i32.const 0) "{0}") (global $g (mut i32) (i32.const {1}))
        (func $own (export "{2}") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1)))
            (i32.add (i32.load8_u (i32.const 0)) (global.get $g)))"""
    exporter = start(engine, parts.format("a", 1000, "f"))
    source = '(import "e" "f" (func $f (result i32)))' + parts.format("b", 2000, "own")
    source += """(table 1 funcref) (elem (i32.const 0) $f) (func (export "direct") (result i32) (call $f))
        (func (export "indirect") (result i32) (call_indirect (result i32) (i32.const 0)))
        (func (export "both") (result i32) (call $f) (drop) (call $own))"""
    importer = start(engine, source, exports(exporter), beside=exporter)
    assert importer.invoke("direct") == (97 + 1001,)
    assert importer.invoke("indirect") == (97 + 1002,)
    assert importer.invoke("own") == (98 + 2001,)
    assert importer.invoke("both") == (98 + 2002,)
    assert exporter.invoke("f") == (97 + 1004,)


def test_a_trap_in_another_instance(engine: Engine) -> None:
    exporter = start(engine, EXPORTER)
    importer = start(engine, IMPORTER, exports(exporter), beside=exporter, stack=1000)
    assert trapped(importer.invoke, "call", PAGE).kind is TrapKind.MEMORY_BOUNDS
    assert (importer.stack, exporter.stack) == (1000, NO_LIMIT)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("f (func (param i32) (result i32))", True),
        ("f (func (param i32))", False),
        ("f (func (param i64) (result i32))", False),
        ("f (global i32)", False),
        ("f (memory 1)", False),
        ("m (memory 1)", True),
        ("m (memory 0 3)", True),
        ("m (memory 1 4)", True),
        ("m (memory 1 2)", False),
        ("m (memory 2)", False),
        ("m (table 1 funcref)", False),
        ("t (table 1 funcref)", True),
        ("t (table 2 5 funcref)", True),
        ("t (table 2 4 funcref)", False),
        ("t (table 3 funcref)", False),
        ("t (table 1 externref)", False),
        ("x (table 1 externref)", True),
        ("x (table 1 1 externref)", False),
        ("g (global (mut i32))", True),
        ("g (global i32)", False),
        ("g (global (mut i64))", False),
        ("c (global i64)", True),
        ("c (global (mut i64))", False),
        ("c (func)", False),
        ("nothing (func)", False),
        ("nothing (memory 1)", False),
    ],
)
def test_imports_must_fit(wanted: str, fits: bool, engine: Engine) -> None:
    exporter = start(engine, EXPORTER)
    name, _, type_ = wanted.partition(" ")
    loaded = engine.load(load(f'(import "e" "{name}" {type_})'))
    if fits:
        loaded.instantiate(exports(exporter), beside=exporter)
    else:
        with pytest.raises(Unlinkable, match=rf"e\.{name}|incompatible"):
            loaded.instantiate(exports(exporter), beside=exporter)


def test_a_grown_memory_is_imported_at_its_size(engine: Engine) -> None:
    exporter = start(engine, EXPORTER)
    wanting = engine.load(load('(import "e" "m" (memory 2))'))
    with pytest.raises(Unlinkable):
        wanting.instantiate(exports(exporter), beside=exporter)
    start(engine, IMPORTER, exports(exporter), beside=exporter).invoke("grow")
    wanting.instantiate(exports(exporter), beside=exporter)


def test_host_functions_must_fit(engine: Engine) -> None:
    loaded = engine.load(load('(import "h" "one" (func (result i32)))'))
    with pytest.raises(Unlinkable, match=r"h\.one|incompatible"):
        loaded.instantiate(host())
    with pytest.raises(Unlinkable, match=r"unknown import h\.one"):
        loaded.instantiate({})


# Counters: what metering inserts


def test_charges_are_taken(engine: Engine) -> None:
    module = with_charges(load('(func (export "f") nop nop)'), 0, {0: [charge(3)], 1: [charge(4)]})
    for gas, left in ((100, 93), (7, 0)):
        instance = engine.load(module).instantiate({}, gas=gas)
        assert instance.invoke("f") == ()
        assert instance.gas == left
    for gas in (6, 3, 2, 0):
        instance = engine.load(module).instantiate({}, gas=gas)
        assert trapped(instance.invoke, "f").kind is TrapKind.OUT_OF_GAS


def test_a_charge_comes_before_what_it_pays_for(engine: Engine) -> None:
    module = with_charges(load('(func (export "f") unreachable)'), 0, {0: [charge(5)]})
    assert trapped(engine.load(module).instantiate({}, gas=4).invoke, "f").kind is TrapKind.OUT_OF_GAS
    assert trapped(engine.load(module).instantiate({}, gas=5).invoke, "f").kind is TrapKind.UNREACHABLE


def test_charges_in_a_loop(engine: Engine) -> None:
    source = '(func (export "f") (param i32) loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end)'
    module = with_charges(load(source), 0, {0: [charge(1)], 1: [charge(10)]})
    instance = engine.load(module).instantiate({}, gas=1000)
    instance.invoke("f", 7)
    assert instance.gas == 1000 - 1 - 70


@pytest.mark.parametrize(
    ("unit", "shift", "operand", "cost"),
    [(3, 0, 5, 15), (3, 6, 0, 0), (3, 6, 1, 3), (3, 6, 64, 3), (3, 6, 65, 6), (2**31 - 1, 0, M32, (2**31 - 1) * M32)],
)
def test_charges_by_an_operand(unit: int, shift: int, operand: int, cost: int, engine: Engine) -> None:
    """Rounded up to the unit, of the unsigned operand, which stays where it is."""
    module = load('(func (export "f") (param i32) (result i32) local.get 0)')
    module = with_charges(module, 0, {1: [Instr(CHARGE_OPERAND, (unit, shift), 0)]})
    instance = engine.load(module).instantiate({}, gas=cost)
    assert instance.invoke("f", operand) == (operand,)
    assert instance.gas == 0
    if cost:
        assert (
            trapped(engine.load(module).instantiate({}, gas=cost - 1).invoke, "f", operand).kind is TrapKind.OUT_OF_GAS
        )


def test_the_host_sees_and_takes_gas(engine: Engine) -> None:
    seen = []

    def take(instance: Instance, *_: int) -> None:
        seen.append(instance.gas)
        instance.gas -= 10

    source = '(import "h" "none" (func $h (param i32 i64))) (memory (export "memory") 1)'
    module = load(source + '(func (export "f") i32.const 0 i64.const 0 call $h nop)')
    module = with_charges(module, 0, {0: [charge(5)], 3: [charge(1)]})
    instance = engine.load(module).instantiate(host(none=take), gas=50)
    for _ in range(3):
        instance.invoke("f")
    assert (seen, instance.gas) == ([45, 29, 13], 2)
    assert trapped(instance.invoke, "f").kind is TrapKind.OUT_OF_GAS


def test_frames_are_taken_from_the_stack_counter_and_given_back(engine: Engine) -> None:
    module = with_charges(load(RECURSION), 0, {}, weight=10)
    instance = engine.load(module).instantiate({}, stack=1000)
    assert instance.invoke("f", 99) == (99,)
    assert instance.stack == 1000
    assert trapped(instance.invoke, "f", 100).kind is TrapKind.STACK_OVERFLOW
    assert instance.stack == 1000
    assert instance.invoke("f", 99) == (99,)
    assert trapped(engine.load(module).instantiate({}, stack=9).invoke, "f", 0).kind is TrapKind.STACK_OVERFLOW


def test_the_stack_is_taken_before_the_gas(engine: Engine) -> None:
    module = with_charges(load('(func (export "f") nop)'), 0, {0: [charge(5)]}, weight=10)
    assert trapped(engine.load(module).instantiate({}, gas=0, stack=9).invoke, "f").kind is TrapKind.STACK_OVERFLOW
    assert trapped(engine.load(module).instantiate({}, gas=0, stack=10).invoke, "f").kind is TrapKind.OUT_OF_GAS


def test_the_stack_counter_within_host_calls(engine: Engine) -> None:
    """A call back finds what the frames around it have left."""
    source = """(import "h" "none" (func $h (param i32 i64))) (memory (export "memory") 1)
        (func (export "f") (call $h (i32.const 0) (i64.const 0)))"""
    module = with_charges(load(source), 0, {}, weight=10)
    instance = engine.load(module).instantiate(host(), stack=15)
    assert instance.invoke("f") == ()
    assert instance.stack == 15
