"""Where the interpreter's registers could go wrong: operands that stand for locals, values kept across branches, dead code.

Every function runs on every engine and on Wasmtime, and gives what is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import product

import pytest

from tests.helpers import wat
from tests.wasm.generate import Generated
from tests.wasm.oracle import EngineRun, Log, WasmtimeRun, observe
from wasm.decode import decode
from wasm.engine import Engine, Loaded
from wasm.interpreter import Interpreter
from wasm.validate import validate

Values = tuple[int, ...]

# Name, signature, locals in text, code, results by arguments.
CASES: list[tuple[str, str, str, str, dict[Values, Values]]] = [
    # An operand that stands for a local, which is then written.
    ("get then set", "i:i", "", "local.get 0 i32.const 9 local.set 0", {(5,): (5,)}),
    ("get then tee", "i:ii", "", "local.get 0 i32.const 9 local.tee 0", {(5,): (5, 9)}),
    ("get twice then set", "i:iii", "", "local.get 0 local.get 0 i32.const 9 local.set 0 local.get 0", {(5,): (5, 5, 9)}),
    ("get, set, get, set", "i:ii", "", "local.get 0 i32.const 8 local.set 0 local.get 0 i32.const 9 local.set 0", {(5,): (5, 8)}),
    ("exchange", "iI:Ii", "(local i32 i64)",
     "local.get 0 local.get 1 local.set 3 local.set 2 local.get 3 local.get 2", {(1, 2): (2, 1)}),
    ("exchange on the stack", "ii:ii", "", "local.get 0 local.get 1 local.set 0 local.set 1 local.get 0 local.get 1", {(1, 2): (2, 1)}),
    ("set to itself", "i:i", "", "local.get 0 local.set 0 local.get 0", {(5,): (5,)}),
    ("tee to itself", "i:ii", "", "local.get 0 local.tee 0 local.get 0", {(5,): (5, 5)}),
    ("set below an alias of another", "ii:iii", "", "local.get 0 local.get 1 i32.const 7 local.set 0 local.get 0", {(1, 2): (1, 2, 7)}),
    ("computed into the local that an operand stands for", "i:ii", "",
     "local.get 0 local.get 0 i32.const 1 i32.add local.set 0 local.get 0", {(5,): (5, 6)}),
    ("computed from the local it is written to", "i:i", "", "local.get 0 local.get 0 i32.mul local.set 0 local.get 0", {(5,): (25,)}),
    ("tee of a tee", "i:iii", "(local i32 i32)",
     "local.get 0 i32.const 1 i32.add local.tee 1 local.tee 2 local.get 1 local.get 0", {(5,): (6, 6, 5)}),
    ("load into the local of its address", "i:i", "", "local.get 0 i32.load8_u local.set 0 local.get 0", {(3,): (4,)}),
    ("select into a local that it reads", "ii:i", "", "local.get 0 local.get 1 local.get 0 select local.set 0 local.get 0",
     {(0, 9): (9,), (5, 9): (5,)}),
    ("a constant is never written", "i:ii", "", "i32.const 5 local.set 0 i32.const 6 local.set 0 i32.const 5 local.get 0", {(0,): (5, 6)}),
    ("a constant passed through a block", "i:ii", "",
     "i32.const 5 block (param i32) (result i32) i32.const 1 i32.add end i32.const 5", {(0,): (6, 5)}),
    ("drop of an alias, then set", "i:i", "", "local.get 0 drop local.get 0 i32.const 1 local.set 0", {(5,): (5,)}),
    ("alias that outlives a drop", "i:i", "", "local.get 0 local.get 0 drop i32.const 1 local.set 0", {(5,): (5,)}),
    ("set while an alias waits below a block", "i:ii", "",
     "local.get 0 block i32.const 9 local.set 0 end local.get 0", {(5,): (5, 9)}),
    ("set in a loop while an alias waits below", "i:ii", "",
     "local.get 0 loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end local.get 0", {(5,): (5, 0)}),
    ("set in one arm while an alias waits below", "i:ii", "",
     "local.get 0 local.get 0 if i32.const 9 local.set 0 else end local.get 0", {(5,): (5, 9), (0,): (0, 0)}),
    ("the condition stands for a local set in the arm", "i:i", "",
     "local.get 0 if (result i32) i32.const 7 local.set 0 local.get 0 else local.get 0 end", {(5,): (7,), (0,): (0,)}),
    ("arguments that stand for locals", "ii:i", "", "local.get 1 local.get 0 call $sub", {(3, 10): (7,)}),
    ("argument and result in one place", "i:i", "", "local.get 0 i32.const 1 call $sub local.set 0 local.get 0", {(5,): (4,)}),
    ("results of a call over an alias", "i:iii", "", "local.get 0 i32.const 1 i32.const 2 call $swap", {(5,): (5, 2, 1)}),
    ("a call does not touch the caller's locals", "i:ii", "", "local.get 0 i32.const 9 call $clobber local.get 0", {(5,): (5, 5)}),
    ("an indirect index that is written meanwhile", "i:i", "",
     "i32.const 10 i32.const 4 local.get 0 i32.const 9 local.set 0 call_indirect (type $binary)", {(0,): (6,), (1,): (14,)}),
    ("store of an alias", "i:ii", "", "i32.const 32 local.get 0 i32.const 9 local.set 0 i32.store i32.const 32 i32.load local.get 0", {(5,): (5, 9)}),
    ("global.get is a copy", "i:ii", "", "global.get $g local.get 0 global.set $g global.get $g i32.const 7 global.set $g", {(5,): (7, 5)}),
    # Branches with values.
    ("br with a value over others", "i:i", "", "block (result i32) i32.const 1 i32.const 2 local.get 0 br 0 end", {(5,): (5,)}),
    ("br with two values over others", "i:ii", "",
     "block (result i32 i32) i64.const 1 i32.const 2 local.get 0 i32.const 3 br 0 end", {(5,): (5, 3)}),
    ("br moves two values down by one", "i:ii", "",
     "i32.const 0 drop block (result i32 i32) i32.const 1 local.get 0 i32.const 1 i32.add local.get 0 i32.const 2 i32.add br 0 end",
     {(5,): (6, 7)}),
    ("br_if keeps its value", "i:i", "", "block (result i32) i32.const 7 local.get 0 br_if 0 i32.const 1 i32.add end", {(1,): (7,), (0,): (8,)}),
    ("br_if keeps values above others", "i:ii", "",
     "block (result i32) i32.const 100 i32.const 7 local.get 0 br_if 0 i32.add end i32.const 3", {(1,): (7, 3), (0,): (107, 3)}),
    ("br_if with an alias that is written after", "i:i", "",
     "block (result i32) local.get 0 local.get 0 br_if 0 i32.const 9 local.set 0 end", {(1,): (1,), (0,): (0,)}),
    ("br_if on a comparison of what it carries", "ii:i", "",
     "block (result i32) local.get 0 local.get 0 local.get 1 i32.lt_s br_if 0 i32.const 1 i32.add end", {(1, 2): (1,), (2, 1): (3,)}),
    ("br_if on eqz", "i:i", "", "block (result i32) i32.const 3 local.get 0 i32.eqz br_if 0 drop i32.const 4 end", {(0,): (3,), (9,): (4,)}),
    ("br_if on a comparison that was teed", "ii:i", "(local i32)",
     "block local.get 0 local.get 1 i32.eq local.tee 2 br_if 0 i32.const 40 return end local.get 2", {(1, 1): (1,), (1, 2): (40,)}),
    ("br_if on a division", "ii:i", "", "block local.get 0 local.get 1 i32.div_u br_if 0 i32.const 1 return end i32.const 2",
     {(6, 3): (2,), (2, 3): (1,)}),
    ("br_if out of the function", "i:i", "", "i32.const 1 i32.const 7 local.get 0 br_if 0 i32.add", {(1,): (7,), (0,): (8,)}),
    ("br_table with a value", "i:i", "",
     "block (result i32) block (result i32) block (result i32) i32.const 10 local.get 0 br_table 0 1 2 end i32.const 1 i32.add end i32.const 2 i32.add end", {(0,): (13,), (1,): (12,), (2,): (10,), (99,): (10,), (2**32 - 1,): (10,)}),
    ("br_table to places of other heights", "i:i", "",
     "block (result i32) i32.const 100 block (result i32) i32.const 1 i32.const 2 i32.const 10 local.get 0 br_table 0 1 end i32.add end",
     {(0,): (110,), (1,): (10,)}),
    ("br_table by an index that is also carried", "i:i", "",
     "block (result i32) block (result i32) local.get 0 local.get 0 br_table 0 1 end i32.const 50 i32.add end", {(0,): (50,), (1,): (1,)}),
    ("return with values over others", "i:ii", "", "i64.const 1 i64.const 2 local.get 0 i32.const 3 return", {(5,): (5, 3)}),
    ("return of an alias", "i:i", "", "local.get 0 i32.const 9 local.set 0 return", {(5,): (5,)}),
    # Blocks with parameters.
    ("block takes and gives", "ii:ii", "", "local.get 0 local.get 1 block (param i32 i32) (result i32 i32) i32.const 1 i32.add end",
     {(1, 2): (1, 3)}),
    ("block takes less than there is", "ii:ii", "", "local.get 0 local.get 1 block (param i32) (result i32) i32.const 1 i32.add end",
     {(1, 2): (1, 3)}),
    ("block takes an alias and writes its local", "i:ii", "",
     "local.get 0 block (param i32) (result i32) i32.const 9 local.set 0 end local.get 0", {(5,): (5, 9)}),
    ("if takes and gives", "ii:i", "",
     "local.get 0 local.get 1 if (param i32) (result i32) i32.const 1 i32.add else i32.const 2 i32.mul end", {(5, 1): (6,), (5, 0): (10,)}),
    ("if without else keeps what it takes", "ii:i", "",
     "local.get 0 local.get 1 if (param i32) (result i32) i32.const 1 i32.add end", {(5, 1): (6,), (5, 0): (5,)}),
    ("if without else, left by a branch", "ii:i", "",
     "local.get 0 local.get 1 if (param i32) (result i32) local.get 1 br_if 0 i32.const 1 i32.add end", {(5, 1): (5,), (5, 0): (5,)}),
    ("if on a comparison of aliases below", "ii:ii", "",
     "local.get 0 local.get 0 local.get 1 i32.gt_u if (param i32) (result i32) i32.const 1 i32.add end local.get 0", {(5, 1): (6, 5), (1, 5): (1, 1)}),
    ("loop takes and gives", "i:i", "",
     "i32.const 0 loop (param i32) (result i32) local.get 0 i32.add local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end",
     {(4,): (10,), (1,): (1,)}),
    ("loop carries two values and exchanges them", "i:ii", "(local i32 i32)",
     "i32.const 1 i32.const 2 loop (param i32 i32) (result i32 i32) local.set 1 local.set 2 local.get 1 local.get 2 local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end", {(1,): (2, 1), (2,): (1, 2), (3,): (2, 1)}),
    ("loop left by a branch with a value", "i:i", "",
     "block (result i32) loop local.get 0 local.get 0 i32.const 3 i32.ge_u br_if 1 i32.const 1 i32.add local.set 0 br 0 end unreachable end",
     {(0,): (3,), (7,): (7,)}),
    ("loop: br carries values down over others", "i:i", "",
     "i32.const 7 loop (param i32) (result i32) i32.const 100 i32.const 1 local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 drop drop end", {(1,): (7,), (3,): (1,)}),
    ("fibonacci on the stack", "i:i", "(local i32 i32)",
     "i32.const 0 i32.const 1 loop (param i32 i32) (result i32) local.set 1 local.set 2 local.get 1 local.get 1 local.get 2 i32.add local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 drop end", {(1,): (1,), (2,): (1,), (3,): (2,), (10,): (55,)}),
    # Select and if as values.
    ("select of aliases, one written", "ii:ii", "",
     "local.get 0 local.get 1 local.get 0 i32.const 9 local.set 0 select local.get 0", {(0, 4): (4, 9), (3, 4): (3, 9)}),
    ("nested if as a value", "ii:i", "",
     "local.get 0 if (result i32) local.get 1 if (result i32) i32.const 11 else i32.const 10 end else i32.const 0 end i32.const 100 i32.add", {(0, 0): (100,), (1, 0): (110,), (1, 1): (111,)}),
    ("else alone falls through", "i:i", "", "local.get 0 if (result i32) i32.const 1 return else i32.const 2 end i32.const 10 i32.add",
     {(1,): (1,), (0,): (12,)}),
    ("then alone falls through", "i:i", "", "local.get 0 if (result i32) i32.const 1 else i32.const 2 return end i32.const 10 i32.add",
     {(1,): (11,), (0,): (2,)}),
    ("then branches, else falls through", "i:i", "",
     "local.get 0 if (result i32) i32.const 1 br 0 else local.get 0 end i32.const 10 i32.add", {(1,): (11,), (0,): (10,)}),
    ("locals begin as zero", ":iI", "(local i32 i64)", "local.get 0 local.get 1", {(): (0, 0)}),
    ("locals are fresh in every call", ":i", "(local i32)", "i32.const 5 call $fresh drop i32.const 7 call $fresh", {(): (0,)}),
]  # fmt: skip

PRELUDE = """
    (type $binary (func (param i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "\\01\\02\\03\\04\\05") (global $g (mut i32) (i32.const 7))
    (table 2 funcref) (elem (i32.const 0) $sub $add)
    (func $sub (param i32 i32) (result i32) local.get 0 local.get 1 i32.sub)
    (func $add (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
    (func $swap (param i32 i32) (result i32 i32) local.get 1 local.get 0)
    (func $clobber (param i32) (local i32 i32) local.get 0 local.tee 1 local.set 2 i32.const 0 local.set 0)
    (func $fresh (param i32) (result i32) (local i32) local.get 1 local.get 0 local.set 1)
"""
TYPES = {"i": "i32", "I": "i64"}


def function(name: str, signature: str, locals_: str, code: str) -> str:
    params, results = ([TYPES[t] for t in part] for part in signature.split(":"))
    head = f"(param {' '.join(params)}) (result {' '.join(results)})"
    return f'(func (export "{name}") {head} {locals_} {code})'


def module(functions: Sequence[str], exports: Sequence[tuple[str, str]]) -> Generated:
    return Generated(wat(f"(module {PRELUDE} {' '.join(functions)})"), (), tuple(exports), ())


@cache
def all_cases() -> Generated:
    return module([function(*case[:4]) for case in CASES], [case[:2] for case in CASES])


LOADED: dict[str, Loaded] = {}
"""The module of all cases, by the name of the engine that prepared it."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_operands(case: tuple[str, str, str, str, dict[Values, Values]], engine: Engine) -> None:
    name, _, _, _, expected = case
    if engine.name not in LOADED:
        LOADED[engine.name] = engine.load(validate(decode(all_cases().binary)))
    for args, results in expected.items():
        assert LOADED[engine.name].instantiate({}).invoke(name, *args) == results
        if engine.traces:
            traced = LOADED[engine.name].instantiate({}, tracer=lambda *_: None)
            assert traced.invoke(name, *args) == results


def test_wasmtime_gives_what_is_written_here() -> None:
    for name, _, _, _, expected in CASES:
        for args, results in expected.items():
            assert WasmtimeRun(all_cases(), []).call(name, args) == results, name


# Dead code: an instruction that does not go on, in every construct, with things that nobody can reach behind it

CONSTRUCTS = {
    "body": "{}",
    "block": "block (result i32) {} end i32.const 1 i32.add",
    "loop": "loop (result i32) {} end i32.const 1 i32.add",
    "then": "local.get 0 if (result i32) {} else i32.const 40 end i32.const 1 i32.add",
    "else": "local.get 0 if (result i32) i32.const 40 else {} end i32.const 1 i32.add",
    "both": "local.get 0 if (result i32) {0} else {0} end i32.const 1 i32.add",
    "then without else": "i32.const 3 local.get 0 if (param i32) (result i32) drop {} end i32.const 1 i32.add",
    "block in block": "block (result i32) i32.const 5 block (result i32) {} end i32.add end i32.const 1 i32.add",
    "loop in block": "block (result i32) i32.const 5 loop (result i32) {} end i32.add end i32.const 1 i32.add",
    "if in loop": "loop (result i32) local.get 0 if (result i32) {} else i32.const 2 end end",
    "block whose end is reached by a branch": "block (result i32) i32.const 9 local.get 0 br_if 0 drop {} end i32.const 1 i32.add",
}
ENDINGS = {
    "br out of the function": "i32.const 7 br {outermost}",
    "br to the end": "i32.const 7 br {out}",
    "return": "i64.const 1 i32.const 7 return",
    "unreachable": "unreachable",
    "br_table": "i32.const 7 local.get 0 br_table {out} {outermost} {out}",
}
BEHIND = {
    "nothing": "",
    "a value": "i32.const 1",
    "missing operands": "i32.add i32.eqz",
    "blocks": "drop block (result i32) loop (result i32) i32.const 1 br 1 end end",
    "an if with two arms": "if (result i32) i32.const 1 else i32.const 2 br 0 end",
    "an if without arms": "if end i32.const 3",
    "branches": "br_if 0 br_table 0 0 return",
    "a write to a local": "local.set 0 i32.const 3 local.tee 0",
    "a call": "call $sub call $swap i32.add",
    "dead code in dead code": "unreachable block unreachable if unreachable else i32.const 1 return end end i32.const 1",
}


def dead_functions() -> list[tuple[str, str]]:
    """Return exported functions of type [i32] -> [i32] by name."""
    found = []
    for (construct, text), (ending, end), (behind, garbage) in product(
        CONSTRUCTS.items(), ENDINGS.items(), BEHIND.items()
    ):
        depth = text.partition("{")[0].count(" end")  # closed before, so only what is open counts below
        opened = sum(text.partition("{")[0].split().count(word) for word in ("block", "loop", "if")) - depth
        # A loop has its own label at its start, so leave to the block around it, or the function.
        out = min(1, opened) if "loop (result i32) {" in text else 0
        inside = end.format(out=out, outermost=opened) + " " + garbage
        found.append((f"{construct}; {ending}; {behind}", text.format(inside)))
    return found


def test_dead_code_in_every_construct(engine: Engine) -> None:
    functions = dead_functions()
    generated = module(
        [function(name, "i:i", "", code) for name, code in functions], [(name, "i:i") for name, _ in functions]
    )
    calls = [(name, (argument,)) for name, _ in functions for argument in (0, 1)]
    assert len(calls) == 2 * 11 * 5 * 10

    def on_engine(generated: Generated, log: Log) -> EngineRun:
        return EngineRun(engine, generated, log)

    ours, theirs = observe(on_engine, generated, calls), observe(WasmtimeRun, generated, calls)
    for call, mine, wanted in zip(calls, ours.outcomes, theirs.outcomes, strict=True):
        assert mine == wanted, call
    assert ours == theirs
    assert len({str(outcome) for outcome in ours.outcomes}) > 5


def test_unreachable_code_is_not_prepared() -> None:
    """It may hold what would need registers beyond those that a frame has."""
    generated = module(
        [function("f", "i:i", "", "i32.const 1 return " + "i32.const 1 " * 50 + "drop " * 50)], [("f", "i:i")]
    )
    run = EngineRun(Interpreter(), generated, [])
    assert run.call("f", (0,)) == (1,)
    code = run.instance.exports["f"].code()
    assert not code.entry.steps
