"""What only the interpreter can show: the place of a trap, calls as deep as memory allows, traces."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import pytest

from tests.wasm.running import (
    CALLS,
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
from wasm.engine import NO_LIMIT, Imports, Run
from wasm.errors import Trap, TrapKind, Unsupported
from wasm.instructions import CHARGE_OPERAND
from wasm.interpreter import MAX_ENTRIES, Interpreter, InterpreterInstance
from wasm.module import Instr, Module, ValidModule


@pytest.mark.parametrize(("code", "kind", "number"), TRAPS)
def test_traps_of_traced_runs_are_the_same(code: str, kind: TrapKind, number: int) -> None:
    module = load(trapping(code))
    seen = []
    instance = Interpreter().load(module).instantiate({}, tracer=lambda *what: seen.append(what[:3]))
    trap = trapped(instance.invoke, "f")
    place = module.functions[1].body[number]
    assert (trap.kind, trap.function, trap.offset) == (kind, 1, place.offset)
    assert seen[-1] == (1, place.offset, place.op.name)


def test_a_trap_from_a_host_function_is_located_at_the_call() -> None:
    module = load(CALLS)

    def fail(*_: Any) -> None:
        raise Trap(TrapKind.MEMORY_BOUNDS)

    trap = trapped(Interpreter().load(module).instantiate(host(none=fail)).invoke, "none")
    call = next(at for op, _, at in module.functions[0].body if op.name == "call")
    assert (trap.function, trap.offset) == (3, call)


def test_a_trap_of_a_call_back_keeps_its_place() -> None:
    source = """(import "h" "none" (func $none (param i32 i64))) (func (export "inner") nop nop unreachable)
        (func (export "f") (call $none (i32.const 0) (i64.const 0)))"""
    module = load(source)
    instance = Interpreter().load(module).instantiate(host(none=lambda instance, *_: instance.invoke("inner")))
    trap = trapped(instance.invoke, "f")
    assert (trap.function, trap.offset) == (1, module.functions[0].body[2].offset)


def test_a_table_without_a_maximum_ends_at_the_limit_of_the_machine() -> None:
    source = '(table $t 0 funcref) (func (export "f") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))'
    instance = start(Interpreter(), source)
    assert instance.invoke("f", MAX_ENTRIES + 1) == (M32,)
    assert instance.invoke("f", 5) == (0,)
    assert instance.invoke("f", MAX_ENTRIES) == (M32,)


def test_references_are_opaque_and_null_is_none() -> None:
    source = """(table $x 2 externref) (func (export "set") (param externref) (table.set $x (i32.const 0) (local.get 0)))
        (func (export "get") (param i32) (result externref) (table.get $x (local.get 0)))
        (func (export "null") (param externref) (result i32) (ref.is_null (local.get 0)))
        (func (export "local") (result externref funcref) (local externref funcref) (local.get 0) (local.get 1))
        (func (export "pick") (param externref i32) (result externref)
            (select (result externref) (local.get 0) (ref.null extern) (local.get 1)))"""
    instance = start(Interpreter(), source)
    thing = object()
    instance.invoke("set", thing)
    assert instance.invoke("get", 0) == (thing,)
    assert instance.invoke("get", 1) == (None,)
    assert (instance.invoke("null", thing), instance.invoke("null", None)) == ((0,), (1,))
    assert instance.invoke("local") == (None, None)
    assert (instance.invoke("pick", thing, 1), instance.invoke("pick", thing, 0)) == ((thing,), (None,))


def test_calls_do_not_recurse_in_python() -> None:
    """Far deeper than Python could; the frames are on the heap."""
    depth = 200_000
    assert depth > 10 * sys.getrecursionlimit()
    instance = start(Interpreter(), RECURSION)
    assert instance.invoke("f", depth) == (depth,)
    indirect = """(type $t (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $f)
        (func $f (export "f") (param i32) (result i32) (if (result i32) (local.get 0)
            (then (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))) (else (i32.const 42))))"""
    assert start(Interpreter(), indirect).invoke("f", depth) == (42,)


def test_a_trap_far_down_gives_every_frame_back() -> None:
    source = RECURSION.replace("(else (i32.const 0))", "(else (unreachable))")
    module = with_charges(load(source), 0, {}, weight=3)
    instance = Interpreter().load(module).instantiate({}, stack=NO_LIMIT)
    assert trapped(instance.invoke, "f", 50_000).kind is TrapKind.UNREACHABLE
    assert instance.stack == NO_LIMIT


def test_a_stack_overflow_is_located_at_the_call() -> None:
    module = with_charges(load(RECURSION), 0, {}, weight=10)
    trap = trapped(Interpreter().load(module).instantiate({}, stack=50).invoke, "f", 9)
    call = next(at for op, _, at in module.functions[0].body if op.name == "call")
    assert (trap.kind, trap.function, trap.offset) == (TrapKind.STACK_OVERFLOW, 0, call)


def test_gas_in_traps_is_what_was_left() -> None:
    module = with_charges(load('(func (export "f") nop unreachable)'), 0, {0: [charge(3)], 1: [charge(4)]})
    instance = Interpreter().load(module).instantiate({}, gas=5)
    assert trapped(instance.invoke, "f").kind is TrapKind.OUT_OF_GAS
    assert instance.gas == -2


FLOATS = """(func (export "const") (result f32) (f32.const 1)) (func (export "add") (param f64) (result f64) (f64.add (local.get 0) (local.get 0)))
    (memory 1) (func (export "load") (result f32) (f32.load (i32.const 0))) (func (export "fine") (param f64) (result f64) (local.get 0))
    (func (export "sat") (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0)))"""


def test_floats_have_no_semantics_here() -> None:
    instance = start(Interpreter(), FLOATS)
    for name, args, what in (("const", (), "f32.const"), ("add", (1,), "f64.add"), ("load", (), "f32.load")):
        with pytest.raises(Unsupported, match=f"floating point: {what} cannot run") as error:
            instance.invoke(name, *args)
        assert error.value.feature == "floating-point"
    with pytest.raises(Unsupported) as error:
        instance.invoke("sat", 1)
    assert error.value.feature == "saturating-conversion"
    assert instance.invoke("fine", 5) == (5,)


def test_unreachable_floats_do_not_matter() -> None:
    source = '(func (export "f") (param i32) (result i32) (if (local.get 0) (then (drop (f32.const 1)))) (i32.const 3))'
    assert run(Interpreter(), source, 0) == (3,)


def test_functions_are_prepared_once_and_shared() -> None:
    loaded = Interpreter().load(load(RECURSION))
    one, two = loaded.instantiate({}), loaded.instantiate({})
    assert one.exports["f"].code() is two.exports["f"].code()
    traced = loaded.instantiate({}, tracer=lambda *_: None)
    assert traced.exports["f"].code() is not one.exports["f"].code()
    assert traced.exports["f"].code() is traced.exports["f"].code()


# The tracer


def traced(
    source: str, *args: int, imports: Imports | None = None
) -> tuple[list[tuple[Any, ...]], tuple[Any, ...], Module]:
    """Return what a tracer saw, without offsets, and the results; offsets are held against the module."""
    module = load(source)
    seen: list[tuple[Any, ...]] = []
    instance = Interpreter().load(module).instantiate(imports or {}, tracer=lambda *what: seen.append(what))
    results = instance.invoke("f", *args)
    places = {at: op.name for function in module.functions for op, _, at in function.body}
    assert all(places[offset] == name for _, offset, name, _, _ in seen)
    return [(function, name, operands) for function, _, name, operands, _ in seen], results, module


def test_the_tracer_sees_every_instruction_with_its_operands() -> None:
    source = """(import "h" "one" (func $one (result i64))) (memory 1) (global $g (mut i32) (i32.const 4))
        (table 1 funcref) (elem (i32.const 0) $g) (type $t (func (param i32 i32) (result i32)))
        (func $g (param i32 i32) (result i32) local.get 0 local.get 1 i32.sub)
        (func (export "f") (param i32) (result i32) (local i64)
            nop call $one local.set 1 i32.const 8 local.get 0 i32.store offset=4
            local.get 0 i32.const 1 call $g local.tee 0 if i32.const 6 global.set $g end
            i32.const 10 i32.const 3 i32.const 0 call_indirect (type $t) drop
            block i32.const 1 br_if 0 unreachable end i32.const 5 i32.const 6 i32.const 0 select
            global.get $g i32.add return)"""
    seen, results, _ = traced(source, 3, imports=host(one=lambda _: 9))
    assert results == (12,)
    assert seen == [
        (2, "nop", ()),
        (2, "call", ()),
        (2, "local.set", (9,)),
        (2, "i32.const", ()),
        (2, "local.get", ()),
        (2, "i32.store", (8, 3)),
        (2, "local.get", ()),
        (2, "i32.const", ()),
        (2, "call", (3, 1)),
        (1, "local.get", ()),
        (1, "local.get", ()),
        (1, "i32.sub", (3, 1)),
        (2, "local.tee", (2,)),
        (2, "if", (2,)),
        (2, "i32.const", ()),
        (2, "global.set", (6,)),
        (2, "i32.const", ()),
        (2, "i32.const", ()),
        (2, "i32.const", ()),
        (2, "call_indirect", (10, 3, 0)),
        (1, "local.get", ()),
        (1, "local.get", ()),
        (1, "i32.sub", (10, 3)),
        (2, "drop", (7,)),
        (2, "block", ()),
        (2, "i32.const", ()),
        (2, "br_if", (1,)),
        (2, "i32.const", ()),
        (2, "i32.const", ()),
        (2, "i32.const", ()),
        (2, "select", (5, 6, 0)),
        (2, "global.get", ()),
        (2, "i32.add", (6, 6)),
        (2, "return", ()),
    ]


def test_the_tracer_sees_references_and_tables() -> None:
    source = """(table $t 4 9 funcref) (elem $e func $f) (memory 1 2) (data $d "ab")
        (func $f (export "f") (local funcref)
            ref.null func ref.func $f i32.const 0 select (result funcref) local.set 0
            i32.const 2 local.get 0 table.set $t i32.const 1 table.get $t ref.is_null drop
            local.get 0 i32.const 3 table.grow $t drop table.size $t drop
            i32.const 0 ref.null func i32.const 1 table.fill $t i32.const 3 i32.const 2 i32.const 1 table.copy $t $t
            i32.const 0 i32.const 0 i32.const 1 table.init $t $e elem.drop $e
            i32.const 5 i32.const 0 i32.const 2 memory.init $d data.drop $d
            i32.const 1 i32.const 0 i32.const 3 memory.copy i32.const 8 i32.const 7 i32.const 6 memory.fill
            i32.const 1 memory.grow memory.size br_table 0 0)"""
    seen, _, module = traced(source)
    assert [name for _, name, _ in seen] == [op.name for op, _, _ in module.functions[0].body[:-1]]
    operands = {name: values for _, name, values in seen}
    reference = operands["local.set"][0]
    assert reference is not None
    expected = {
        "select_t": (None, reference, 0),
        "table.set": (2, reference),
        "table.get": (1,),
        "ref.is_null": (None,),
        "table.grow": (reference, 3),
        "table.size": (),
        "table.fill": (0, None, 1),
        "table.copy": (3, 2, 1),
        "table.init": (0, 0, 1),
        "elem.drop": (),
        "memory.init": (5, 0, 2),
        "data.drop": (),
        "memory.copy": (1, 0, 3),
        "memory.fill": (8, 7, 6),
        "memory.grow": (1,),
        "memory.size": (),
        "br_table": (2,),
    }
    assert {name: operands[name] for name in expected} == expected


def test_the_tracer_sees_a_loop_once_an_entry_and_once_a_back_branch() -> None:
    source = '(func (export "f") (param i32) loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end)'
    seen, _, _ = traced(source, 3)
    names = [name for _, name, _ in seen]
    assert names.count("loop") == names.count("br_if") == 3
    assert names[0] == "loop"
    assert "end" not in names


def test_the_tracer_sees_gas_before_the_instruction_and_no_charges() -> None:
    module = with_charges(load('(func (export "f") nop nop nop)'), 0, {0: [charge(3)], 2: [charge(4)]})
    seen = []
    instance = Interpreter().load(module).instantiate({}, gas=100, tracer=lambda *what: seen.append(what[2:]))
    instance.invoke("f")
    assert seen == [("nop", (), 97), ("nop", (), 97), ("nop", (), 93)]


def test_an_exception_of_the_tracer_ends_the_run() -> None:
    def stop(*_: Any) -> None:
        raise Special

    instance = Interpreter().load(load(RECURSION)).instantiate({}, tracer=stop, stack=100)
    with pytest.raises(Special):
        instance.invoke("f", 3)
    assert instance.stack == 100


# The profiler


class Notes:
    """A profiler that writes down what it is told."""

    def __init__(self) -> None:
        self.runs: dict[Run, int] = defaultdict(int)
        self.operands: dict[tuple[int, int], int] = defaultdict(int)
        self.executed = 0
        self.last: Run | None = None
        self.seen: list[tuple[str, int, int]] = []

    def enter(self, function: int, gas: int) -> None:
        self.seen.append((f"enter {function}", gas, self.executed))

    def leave(self, gas: int) -> None:
        self.seen.append(("leave", gas, self.executed))

    @property
    def names(self) -> list[tuple[list[str], int]]:
        """The runs with the names of their instructions."""
        return [([op.name for _, op in run.instructions], times) for run, times in self.runs.items() if times]


def profiled(module: ValidModule, *args: int, gas: int = 1_000) -> tuple[Notes, Any]:
    """Return what a profiler was told, and the results or the trap."""
    notes = Notes()
    instance = Interpreter().load(module).instantiate({}, gas=gas, profiler=notes)
    try:
        return notes, instance.invoke("f", *args)
    except Trap as trap:
        return notes, trap


def test_the_profiler_sees_calls_with_gas_and_instructions_so_far() -> None:
    source = """(func $g (param i32) (result i32) (local i64) local.get 0 i32.const 1 i32.add)
        (func (export "f") (param i32) (result i32) local.get 0 call $g nop call $g nop return)"""
    module = with_charges(load(source), 1, {0: [charge(3)]})
    notes, results = profiled(module, 5)
    assert results == (7,)
    assert notes.seen == [
        ("enter 1", 1_000, 0),
        ("enter 0", 997, 2),
        ("leave", 997, 5),
        ("enter 0", 997, 7),
        ("leave", 997, 10),
        ("leave", 997, 12),
    ]
    assert [run.locals for run in notes.runs] == [0, 1, None, None]
    assert notes.executed == 12 == sum(len(names) * times for names, times in notes.names)


def test_runs_are_what_lies_between_labels_branches_and_calls() -> None:
    source = """(func (export "f") (param i32)
        nop loop nop local.get 0 if nop nop end local.get 0 i32.const 1 i32.sub local.tee 0 i32.const 0 i32.ge_s br_if 0
        end i32.const 3 drop)"""
    notes, _ = profiled(load(source), 2)
    assert sorted(notes.names) == sorted(
        [
            (["nop"], 1),
            (["loop", "nop", "local.get", "if"], 3),
            (["nop", "nop"], 2),
            (["local.get", "i32.const", "i32.sub", "local.tee", "i32.const", "i32.ge_s", "br_if"], 3),
            (["i32.const", "drop"], 1),
        ]
    )


def test_the_last_run_tells_where_a_trap_was() -> None:
    source = """(func (export "f") (param i32) nop local.get 0 i32.const 0 i32.div_u drop nop)"""
    notes, trap = profiled(load(source), 2)
    assert isinstance(trap, Trap)
    assert notes.last is not None
    places = [at for at, _ in notes.last.instructions]
    assert trap.offset in places
    assert places.index(trap.offset) == 3
    assert [event for event, _, _ in notes.seen] == ["enter 0"], "nothing returned"


def test_charges_by_operand_are_told() -> None:
    source = load('(memory 1 9) (func (export "f") (result i32) i32.const 2 memory.grow)')
    place = source.functions[0].body[1].offset
    module = with_charges(source, 0, {1: [Instr(CHARGE_OPERAND, (5, 0), place)]})
    notes, results = profiled(module)
    assert results == (1,)
    assert notes.operands == {(0, place): 10}
    notes, trap = profiled(module, gas=9)
    assert isinstance(trap, Trap)
    assert not notes.operands, "it was not paid"


def test_only_functions_of_traced_instances_are_traced() -> None:
    seen = []
    exporter = start(Interpreter(), EXPORTER)
    importer = start(Interpreter(), IMPORTER, exports(exporter), tracer=lambda *what: seen.append(what[2]))
    assert isinstance(importer, InterpreterInstance)
    importer.invoke("call", 3)
    assert seen == ["local.get", "call"]
