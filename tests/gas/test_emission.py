"""The metered module written out: what is in it by hand, and on Wasmtime the same outcome as on our engines."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import wasmtime

from ewasm.contract import check
from ewasm.ruleset import EWASM as RULES
from gas.emission import GAS_EXPORT, STACK_EXPORT, write_out
from gas.meter import MAX_COUNTER, STACK_BUDGET
from gas.metering import meter
from gas.schedule import EWASM, FREE, MAX_PRICE, Schedule
from tests.gas.bodies import HOST, Program, program, random_schedule
from tests.gas.runs import Outcome, WrittenOut, run
from tests.gas.witness import Enough, Witness
from tests.helpers import FIXTURES, wat
from wasm.decode import decode
from wasm.encode import encode
from wasm.engine import Engine
from wasm.errors import TrapKind
from wasm.interpreter import Interpreter
from wasm.module import Expr, Module, ValidModule
from wasm.types import FuncType
from wasm.validate import validate

MODULES = int(os.environ.get("GAS_EMITTED", "240"))
"""Random modules that are written out and run; the variable is for longer runs by hand."""

FIRST = int(os.environ.get("GAS_FIRST_SEED", "0"))
GROUPS: Final = 4
STEPS: Final = 2_000

CHEAP: Final = Schedule(
    {**dict.fromkeys(FREE.instructions, 1), "else": 0, "end": 0},
    {"memory.grow": (100, 0), "memory.fill": (7, 6), "memory.copy": (0, 6)},
    local=5,
    page=0,
)


CONTRACTS: Final = sorted((*FIXTURES.glob("*.wasm"), *FIXTURES.glob("wat/*.wasm")))


def wasm(text: str) -> ValidModule:
    return validate(decode(wat(text)))


def shown(module: Module, function: int = 0) -> list[str]:
    """Return a body as lines of text format, `global 0` named for what it counts."""
    return [f"{op.name} {imm}" if imm is not None else op.name for op, imm, _ in module.functions[function].body]


def bare(module: Module) -> Module:
    """Return a module without the places of its instructions."""
    zero = [replace(g, init=_bare(g.init)) for g in module.globals]
    functions = tuple(replace(f, body=_bare(f.body)) for f in module.functions)
    elements = tuple(replace(e, at=e.at and _bare(e.at)) for e in module.elements)
    data = tuple(replace(d, at=d.at and _bare(d.at)) for d in module.data)
    return replace(module, functions=functions, globals=tuple(zero), elements=elements, data=data)


def _bare(body: Expr) -> Expr:
    return tuple(i._replace(offset=0) for i in body)


# By hand


def charge(gas: int, amount: int) -> list[str]:
    return [f"global.get {gas}", f"i64.const {amount}", *subtract(gas)]


def subtract(gas: int) -> list[str]:
    test = [f"global.set {gas}", f"global.get {gas}", "i64.const 0", "i64.lt_s", "if", "unreachable", "end"]
    return ["i64.sub", *test]


def enter(stack: int, weight: int) -> list[str]:
    take = [f"global.get {stack}", f"i32.const {weight}", "i32.sub", f"global.set {stack}"]
    return [*take, f"global.get {stack}", "i32.const 0", "i32.lt_s", "if", "unreachable", "end"]


def leave(stack: int, weight: int) -> list[str]:
    return [f"global.get {stack}", f"i32.const {weight}", "i32.add", f"global.set {stack}", "end"]


def test_a_function_written_out() -> None:
    source = wasm(
        """(module (memory 1) (global i32 (i32.const 0)) (func (param i64) (result i32) (local i32)
             (block (br_if 0 (i32.const 7)) (return (i32.const 8)))
             (if (local.get 1) (then (loop (return (i32.const 9)))))
             (memory.fill (i32.const 1) (i32.const 2) (i32.const 3))
             (memory.copy (i32.const 1) (i32.const 2) (i32.const 3))
             (memory.grow (i32.const 4))))"""
    )
    out = write_out(meter(source, CHEAP), gas=1234, stack=567)
    weight = 4 + 2 + 3 + 12
    assert len(source.functions[0].body) == 24
    assert out.functions[0].locals == ((1, "i32"), (1, "i32"))
    assert shown(out) == [
        *enter(2, weight),
        "block i32",
        *charge(1, 5 + 1 + 2),
        "block",
        "i32.const 7",
        "br_if 0",
        *charge(1, 2),
        "i32.const 8",
        "br 1",
        "end",
        *charge(1, 2),
        "local.get 1",
        "if",
        "loop",
        *charge(1, 3),
        "i32.const 9",
        "br 2",
        "end",
        "end",
        *charge(1, 10),
        "i32.const 1",
        "i32.const 2",
        "i32.const 3",
        "local.tee 2",
        "global.get 1",
        "local.get 2",
        "i64.extend_i32_u",
        "i64.const 63",
        "i64.add",
        "i64.const 6",
        "i64.shr_u",
        "i64.const 7",
        "i64.mul",
        *subtract(1),
        "memory.fill 0",
        "i32.const 1",
        "i32.const 2",
        "i32.const 3",
        "memory.copy (0, 0)",
        "i32.const 4",
        "local.tee 2",
        "global.get 1",
        "local.get 2",
        "i64.extend_i32_u",
        "i64.const 100",
        "i64.mul",
        *subtract(1),
        "memory.grow 0",
        "end",
        *leave(2, weight),
    ]
    assert [(g.type.value, g.type.mutable, g.init[0].imm) for g in out.globals] == [
        ("i32", False, 0),
        ("i64", True, 1234),
        ("i32", True, 567),
    ]
    assert [(e.name, e.kind, e.index) for e in out.exports] == [
        ("ewasm:gas", "global", 1),
        ("ewasm:stack", "global", 2),
    ]
    assert all(f.weight == 0 for f in out.functions)


def test_counters_stand_behind_imported_globals() -> None:
    module = wasm(
        '(module (import "m" "g" (global i32)) (import "m" "h" (global i64)) (global i32 (i32.const 0)) (func))'
    )
    out = write_out(meter(module, CHEAP))
    assert [(e.name, e.index) for e in out.exports] == [(GAS_EXPORT, 3), (STACK_EXPORT, 4)]
    assert shown(out)[:10] == enter(4, 5)
    assert [g.init[0].imm for g in out.globals[1:]] == [0, STACK_BUDGET]
    validate(out)


def test_several_results_need_a_type() -> None:
    text = "(func (param i32) (result i32 i64) i32.const 1 i64.const 2)"
    out = write_out(meter(wasm(f"(module {text} {text})"), CHEAP))
    assert out.types == (FuncType(("i32",), ("i32", "i64")), FuncType((), ("i32", "i64")))
    assert [shown(out, n)[10] for n in (0, 1)] == ["block 1", "block 1"]
    validate(out)
    known = write_out(meter(wasm(f"(module (type (func (result i32 i64))) {text})"), CHEAP))
    assert len(known.types) == 2
    assert "block 0" in shown(known)
    validate(known)


def test_scratch_local_stands_behind_parameters_and_locals() -> None:
    module = wasm("(module (memory 1) (func (param i64 i64) (local i64 i64 i64) (drop (memory.grow (i32.const 1)))))")
    out = write_out(meter(module, CHEAP))
    assert out.functions[0].locals == ((3, "i64"), (1, "i32"))
    assert "local.tee 5" in shown(out)
    validate(out)


def test_without_operand_charges_there_is_no_scratch_local() -> None:
    out = write_out(meter(wasm("(module (memory 1) (func (local i64) (drop (memory.grow (i32.const 1)))))"), FREE))
    assert out.functions[0].locals == ((1, "i64"),)


def test_dead_code_keeps_its_bytes() -> None:
    dead = "return block nop end memory.grow drop i32.const 0 br_if 0 call 0"
    out = write_out(meter(wasm(f"(module (memory 1) (func {dead}))"), CHEAP))
    expected = ["br 0", "block", "nop", "end", "memory.grow 0", "drop", "i32.const 0", "br_if 0", "call 0", "end"]
    start = shown(out).index("br 0")
    assert shown(out)[start : start + len(expected)] == expected


def test_no_contract_can_name_the_counters() -> None:
    code = wat(
        f"""(module (memory (export "memory") 1) (func (export "main"))
          (global (export "{GAS_EXPORT}") (mut i64) (i64.const 0)))"""
    )
    assert [f.rule for f in check(code, RULES).findings] == ["export"]


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_fixtures_written_out_are_valid(path: Path) -> None:
    """They validate here and at Wasmtime, and decoding gives what was encoded."""
    source = validate(decode(path.read_bytes(), keep_customs=True))
    out = write_out(meter(source, EWASM, 128))
    binary = encode(out)
    again = decode(binary, keep_customs=True)
    assert bare(again) == bare(out)
    assert encode(again) == binary
    assert not again.customs
    validate(again)
    wasmtime.Module.validate(wasmtime.Engine(), binary)


def test_blow_up_is_bounded() -> None:
    """The largest fixtures grow, but not out of proportion."""
    for name in ("erc20", "caller", "keccak"):
        code = (FIXTURES / f"{name}.wasm").read_bytes()
        module = validate(decode(code))
        assert len(encode(write_out(meter(module, EWASM, 128)))) < 2.5 * len(encode(module))


# Random bodies on machines that share nothing


def limits(given: Program, schedule: Schedule, arguments: tuple[int, ...], rng: Random) -> list[int]:
    """Return gas limits that run out anywhere: just before and just at what is charged at some step, and at the end."""
    charged = [0]

    def tracer(_function: int, _offset: int, _name: str, _operands: tuple[Any, ...], gas: int) -> None:
        if MAX_COUNTER - gas != charged[-1]:
            charged.append(MAX_COUNTER - gas)
        if len(charged) > STEPS:
            raise Enough

    loaded = Interpreter().load(meter(given.module, schedule))
    try:
        end = run(loaded, arguments, MAX_COUNTER, seed=given.seed, tracer=tracer)
        charged.append(MAX_COUNTER - end.gas)
    except Enough:
        pass
    chosen = [charged[-1], *rng.sample(charged, k=min(2, len(charged)))]
    return [limit for c in chosen for limit in (c, c - 1) if 0 <= limit <= MAX_COUNTER]


def compare(engine: Engine, given: Program, ends: Counter[str]) -> None:
    """Run a module with many limits everywhere."""
    rng = Random(given.seed)
    schedule = EWASM if given.seed % 5 == 0 else random_schedule(rng, least=1)
    metered = meter(given.module, schedule)
    loaded, written = engine.load(metered), WrittenOut(metered)
    exact = engine.name == "interpreter"
    arguments = given.arguments[0]
    for gas in limits(given, schedule, arguments, rng):
        stack = rng.choice((STACK_BUDGET, STACK_BUDGET, rng.randrange(400)))
        options: dict[str, int] = {"seed": given.seed, "stack": stack}
        ours = run(loaded, arguments, gas, **options)
        theirs = written.on_wasmtime(arguments, gas, **options)
        where = f"gas {gas}, stack {stack}, arguments {arguments}"
        if exact:
            assert ours == theirs, where
            assert written.on_interpreter(arguments, gas, **options) == theirs, where
        assert ours.as_seen() == theirs.as_seen(), where
        ends[ours.end if isinstance(ours.end, str) else ours.end.name] += 1
        ends["host calls"] += len(ours.calls)


@pytest.mark.parametrize("group", range(GROUPS))
def test_written_out_and_counted_inside_give_the_same(group: int, engine: Engine) -> None:
    ends: Counter[str] = Counter()
    for seed in range(FIRST + group, FIRST + MODULES, GROUPS):
        given = program(seed)
        try:
            compare(engine, given, ends)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{given}") from error
    for kind in ("OUT_OF_GAS", "STACK_OVERFLOW", "returned", "host calls"):
        assert ends[kind] > MODULES / GROUPS / 8, kind
    assert ends["UNREACHABLE"]


def test_random_modules_written_out_are_valid() -> None:
    for seed in range(FIRST, FIRST + MODULES * 2):
        out = encode(write_out(meter(program(seed).module, random_schedule(Random(seed)))))
        again = decode(out)
        assert encode(again) == out
        validate(again)


def test_written_out_charges_what_the_witness_adds_up() -> None:
    """Wasmtime's counter against the prices of the interpreter's trace: no code is shared between the two sums."""
    seen = 0
    for seed in range(FIRST, FIRST + MODULES // 4):
        given = program(seed)
        schedule = random_schedule(Random(seed))
        witness = Witness(given.module, schedule, len(HOST), limit=STEPS)
        try:
            ours = run(Interpreter().load(given.module), given.arguments[0], MAX_COUNTER, tracer=witness)
        except Enough:
            continue
        theirs = WrittenOut(meter(given.module, schedule)).on_wasmtime(given.arguments[0], MAX_COUNTER)
        if ours.end in ("returned", "finished"):
            assert theirs.gas == MAX_COUNTER - witness.sum, given
            seen += 1
    assert seen > MODULES / 10


# Charges by operand


GROW: Final = """(module (memory (export "memory") 1 3) (func (export "main") (param i32) (result i32)
    (memory.grow (local.get 0))))"""
FILL: Final = """(module (memory (export "memory") 1) (func (export "main") (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 1) (local.get 0)) (i32.const 0)))"""
COPY: Final = """(module (memory (export "memory") 1) (func (export "main") (param i32) (result i32)
    (memory.copy (i32.const 0) (i32.const 1) (local.get 0)) (i32.const 0)))"""


@pytest.mark.parametrize(
    ("text", "operand", "price", "end"),
    [
        (GROW, 0, 10_120, 1),
        (GROW, 1, 10_120 + 10_000_000, 1),
        (GROW, 2, 10_120 + 20_000_000, 1),
        (GROW, 3, 10_120 + 30_000_000, 0xFFFF_FFFF),
        (GROW, 65_536, 10_120 + 65_536 * 10_000_000, 0xFFFF_FFFF),
        (GROW, 0xFFFF_FFFF, 10_120 + 0xFFFF_FFFF * 10_000_000, 0xFFFF_FFFF),
        (FILL, 0, 1_123, 0),
        (FILL, 1, 1_123 + 1_000, 0),
        (FILL, 64, 1_123 + 1_000, 0),
        (FILL, 65, 1_123 + 2_000, 0),
        (FILL, 65_536, 1_123 + 1_024_000, 0),
        (FILL, 65_537, 1_123 + 1_025_000, TrapKind.MEMORY_BOUNDS),
        (FILL, 0xFFFF_FFFF, 1_123 + (1 << 26) * 1_000, TrapKind.MEMORY_BOUNDS),
        (COPY, 0, 1_123, 0),
        (COPY, 1, 1_123 + 1_000, 0),
        (COPY, 128, 1_123 + 2_000, 0),
        (COPY, 129, 1_123 + 3_000, 0),
        (COPY, 65_535, 1_123 + 1_024_000, 0),
        (COPY, 65_536, 1_123 + 1_024_000, TrapKind.MEMORY_BOUNDS),
        (COPY, 0xFFFF_FFFF, 1_123 + (1 << 26) * 1_000, TrapKind.MEMORY_BOUNDS),
    ],
)
def test_charge_by_operand(engine: Engine, text: str, operand: int, price: int, end: int | TrapKind) -> None:
    """It is taken before the bounds are looked at: with one particle less it is out of gas, whatever comes."""
    metered = meter(wasm(text), EWASM)
    written = WrittenOut(metered)
    for gas in (price, price - 1, price + 7):
        ours, theirs = run(engine.load(metered), (operand,), gas), written.on_wasmtime((operand,), gas)
        assert ours.as_seen() == theirs.as_seen()
        if gas < price:
            assert ours.end is TrapKind.OUT_OF_GAS
        elif isinstance(end, TrapKind):
            assert ours.end is end
        else:
            assert (ours.end, ours.values, ours.gas) == ("returned", (end,), gas - price)


@pytest.mark.parametrize("text", [GROW, FILL, COPY])
@pytest.mark.parametrize("shift", [0, 6, 31])
def test_greatest_charge_does_not_wrap(engine: Engine, text: str, shift: int) -> None:
    """The greatest unit times the greatest operand is more than a counter can hold: it ends the run, it gives nothing."""
    unit = (MAX_PRICE - 1, shift)
    schedule = Schedule(FREE.instructions, dict.fromkeys(("memory.grow", "memory.fill", "memory.copy"), unit), 0, 0)
    metered = meter(wasm(text), schedule)
    charged = (MAX_PRICE - 1) * -(-0xFFFF_FFFF // (1 << shift))
    for gas in (0, 1, charged - 1, charged, MAX_COUNTER):
        if gas > MAX_COUNTER:
            continue
        ours, theirs = (
            run(engine.load(metered), (0xFFFF_FFFF,), gas),
            WrittenOut(metered).on_wasmtime((0xFFFF_FFFF,), gas),
        )
        assert ours.as_seen() == theirs.as_seen()
        assert (ours.end is TrapKind.OUT_OF_GAS) == (gas < charged)


@pytest.mark.parametrize("gas", [0, 1, MAX_PRICE, MAX_COUNTER])
def test_greatest_static_charges_do_not_wrap(engine: Engine, gas: int) -> None:
    """Two blocks at the greatest price: a counter that cannot pay them ends below zero, from any start."""
    prices = {**dict.fromkeys(FREE.instructions, MAX_PRICE - 1), "else": 0, "end": 0}
    block = "nop " * 5_000
    metered = meter(
        wasm(f'(module (memory (export "memory") 1) (func (export "main") {block} (if (i32.const 1) (then {block}))))'),
        Schedule(prices, {}, local=0, page=0),
    )
    total = (MAX_PRICE - 1) * 10_002
    for limit in (gas, total, total - 1):
        ours, theirs = run(engine.load(metered), (), limit), WrittenOut(metered).on_wasmtime((), limit)
        assert ours.as_seen() == theirs.as_seen()
        assert (ours.end is TrapKind.OUT_OF_GAS) == (limit < total)


# Verdicts


@pytest.mark.parametrize(
    ("body", "price", "kind"),
    [
        ("nop unreachable nop", 2, TrapKind.UNREACHABLE),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0))) nop", 5, TrapKind.DIVISION_BY_ZERO),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1))) nop", 5, TrapKind.INTEGER_OVERFLOW),
        ("(drop (i32.load (i32.const 65533))) nop", 4, TrapKind.MEMORY_BOUNDS),
        ("(i64.store (i32.const -1) (i64.const 0)) nop", 4, TrapKind.MEMORY_BOUNDS),
        ("(call_indirect (type 0) (i32.const 9))", 2, TrapKind.UNDEFINED_ELEMENT),
        ("(call_indirect (type 0) (i32.const 1))", 2, TrapKind.UNINITIALIZED_ELEMENT),
        ("(call_indirect (type 1) (i32.const 0) (i32.const 0))", 3, TrapKind.INDIRECT_CALL_TYPE),
    ],
)
def test_a_block_that_cannot_be_paid_is_out_of_gas_whatever_traps(
    engine: Engine, body: str, price: int, kind: TrapKind
) -> None:
    text = f"""(module (type (func)) (type (func (param i32))) (memory (export "memory") 1)
        (table 2 2 funcref) (elem (i32.const 0) 0) (func (export "main") {body}))"""
    metered = meter(wasm(text), CHEAP)
    for gas, end in ((price, kind), (price - 1, TrapKind.OUT_OF_GAS), (0, TrapKind.OUT_OF_GAS), (MAX_COUNTER, kind)):
        assert run(engine.load(metered), (), gas).end is end
        assert WrittenOut(metered).on_wasmtime((), gas).end is end


DIRECT: Final = """(module (memory (export "memory") 1)
    (func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))
    (func (export "main") (param i32) (result i32) (call $deeper (local.get 0))))"""
MUTUAL: Final = """(module (memory (export "memory") 1) (type $t (func (param i32) (result i32)))
    (table 2 2 funcref) (elem (i32.const 0) $even $odd)
    (func $even (type $t) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1)) (else
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
    (func $odd (type $t) (local i64 i64) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0)) (else
      (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))))
    (func (export "main") (type $t) (call $even (local.get 0))))"""


def test_endless_recursion_overflows_the_stack(engine: Engine) -> None:
    metered = meter(wasm(DIRECT), EWASM)
    assert [f.weight for f in metered.functions] == [4 + 1 + 2 + 3, 4 + 1 + 1 + 2]
    for gas in (MAX_COUNTER, 10_000_000):
        assert run(engine.load(metered), (0,), gas).end is TrapKind.STACK_OVERFLOW
        assert WrittenOut(metered).on_wasmtime((0,), gas).end is TrapKind.STACK_OVERFLOW
    # main takes 8, every frame below it 10: 6,552 fit. Each pays its block, the last one before it calls.
    entries = (STACK_BUDGET - 8) // 10
    price = (120 + 90) + entries * (1 + 120 + 90)
    for gas, end in ((price, TrapKind.STACK_OVERFLOW), (price - 1, TrapKind.OUT_OF_GAS)):
        assert run(engine.load(metered), (0,), gas).end is end
        assert WrittenOut(metered).on_wasmtime((0,), gas).end is end


def test_recursion_through_the_table_is_counted_to_the_word(engine: Engine) -> None:
    metered = meter(wasm(MUTUAL), EWASM)
    even, odd, main = (f.weight for f in metered.functions)
    loaded, written = engine.load(metered), WrittenOut(metered)
    for depth in (0, 1, 2, 9, 1_000):
        words = main + even * (depth // 2 + 1) + odd * (depth - depth // 2)
        for stack, end in ((words, "returned"), (words - 1, TrapKind.STACK_OVERFLOW)):
            ours = run(loaded, (depth,), MAX_COUNTER, stack=stack)
            assert ours.end == end
            assert ours.as_seen() == written.on_wasmtime((depth,), MAX_COUNTER, stack=stack).as_seen()
            if end == "returned":
                assert ours.values == (1 - depth % 2,)


def test_frames_give_back_their_weight(engine: Engine) -> None:
    """Many calls one after the other need no more than the deepest one."""
    metered = meter(
        wasm(
            """(module (memory (export "memory") 1) (func $leaf (param i32) (result i32) (local.get 0) return)
            (func (export "main") (param i32) (result i32)
              (loop (local.set 0 (i32.sub (call $leaf (local.get 0)) (i32.const 1)))
                (br_if 0 (local.get 0))) (local.get 0)))"""
        ),
        EWASM,
    )
    words = sum(f.weight for f in metered.functions)
    for stack, end in ((words, "returned"), (words - 1, TrapKind.STACK_OVERFLOW)):
        assert run(engine.load(metered), (500,), MAX_COUNTER, stack=stack).end == end
        assert WrittenOut(metered).on_wasmtime((500,), MAX_COUNTER, stack=stack).end == end


def test_outcomes_hide_what_nobody_sees() -> None:
    """The comparison itself: counters after a trap do not count, everything else does."""
    trap = Outcome(TrapKind.UNREACHABLE, gas=5, memory="a")
    assert trap.as_seen() == Outcome(TrapKind.UNREACHABLE, gas=6, memory="a").as_seen()
    assert trap.as_seen() != Outcome(TrapKind.UNREACHABLE, gas=5, memory="b").as_seen()
    assert Outcome(gas=5).as_seen() != Outcome(gas=6).as_seen()
