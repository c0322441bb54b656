"""Modules made to be slow to prepare or to compile, each as large as the rules let it be, against ordinary code."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.code import code_bytes, fixture, metered, repeated
from benchmarks.table import Table, in_turn, median, micro, verdict
from ewasm.contract import check
from ewasm.ruleset import EWASM
from gas.metering import meter
from wasm.compiled import CompiledEngine
from wasm.decode import decode
from wasm.encode import encode
from wasm.instructions import BY_NAME
from wasm.module import Instr
from wasm.types import FuncType

BOUND = 5.0
ROOM = 125_000
"""Bytes of code to fill: a little below the ruleset's limit for a module."""

FULL = 16_384
"""The ruleset's limit of instructions in a function."""

Code = list[tuple[str, object]]


def get(index: int) -> tuple[str, object]:
    return ("local.get", index)


def contract(bodies: list[tuple[Code, int]]) -> bytes:
    """Return a contract with these functions: instructions and the number of i64 locals; `main` comes last.

    Functions 0 and 1 are leaves to call: nothing to i64, and nothing to nothing.
    """
    base = decode(fixture("wat/empty"))
    types = (FuncType(), FuncType((), ("i64",)))
    leaves = [([("i64.const", 7)], 0, 1), ([("nop", None)], 0, 0)]
    every = [*leaves, *((code, count, 0) for code, count in bodies), ([], 0, 0)]
    functions = tuple(
        replace(
            base.functions[0],
            type=kind,
            locals=((count, "i64"),) if count else (),
            body=tuple(Instr(BY_NAME[name], imm, 0) for name, imm in [*code, ("end", None)]),
        )
        for code, count, kind in every
    )
    exports = tuple(replace(e, index=len(functions) - 1) if e.kind == "func" else e for e in base.exports)
    module = replace(base, types=types, functions=functions, exports=exports, customs=())
    return encode(module)


def filled(code: Code, locals_: int = 0, most: int = 4_000) -> bytes:
    """Return a contract with one function as often as there is room."""
    size = code_bytes(contract([(code, locals_)])) - code_bytes(contract([]))
    return contract([(code, locals_)] * max(1, min(most, ROOM // (size + 4))))


def nested(kind: str, depth: int, around: int) -> Code:
    """Return blocks in each other to a depth, the innermost with a branch to each, `around` times."""
    out: Code = []
    for _ in range(around):
        out += [(kind, None)] * depth
        for target in range(depth):
            out += [("i32.const", 1), ("br_if", target)]
        out += [("end", None)] * depth
    return out


def tables(depth: int, targets: int, count: int) -> Code:
    """Return `br_table`s with many targets, all over the blocks around."""
    choice = random.Random(1)
    out: Code = []
    for _ in range(count):
        out += [("block", None)] * depth
        out += [("i32.const", 3), ("br_table", tuple(choice.randrange(depth) for _ in range(targets + 1)))]
        out += [("end", None)] * depth
    return out


def leaf_calls() -> Code:
    """Return the results of many calls, mixed: an optimiser keeps them all alive."""
    out: Code = [("i64.const", 1), ("local.set", 0)]
    while len(out) < FULL - 8:
        out += [("call", 0), get(0), ("i64.xor", None), ("local.set", 0)]
    return [*out, ("call", 1), get(0), ("drop", None)]


def loads() -> Code:
    """Return many loads, summed."""
    out: Code = [("i64.const", 1)]
    while len(out) < FULL - 8:
        out += [("i32.const", len(out) * 8 % 60_000), ("i64.load", (3, 0)), ("i64.add", None)]
    return [*out, ("drop", None)]


def straight() -> Code:
    """Return one huge function: operations on 400 values that all stay alive in a loop."""
    choice = random.Random(2)
    out: Code = [("loop", None)]
    while len(out) < FULL - 8:
        a, b, c = (choice.randrange(400) for _ in range(3))
        out += [get(a), get(b), (choice.choice(("i64.add", "i64.xor", "i64.mul")), None), ("local.set", c)]
    return [*out, get(0), ("i32.wrap_i64", None), ("br_if", 0), ("end", None)]


def diamonds() -> Code:
    """Return nests of four loops with a choice inside, over 50 locals: many variables to be merged."""
    choice = random.Random(3)
    out: Code = []
    while len(out) < FULL - 60:
        out += [("loop", None)] * 4
        for _ in range(3):
            a, b, c = (choice.randrange(50) for _ in range(3))
            out += [get(a), ("i32.wrap_i64", None), ("if", None), get(b), ("local.set", c), ("else", None)]
            out += [get(c), ("local.set", a), ("end", None)]
        for _ in range(4):
            out += [get(choice.randrange(50)), ("i32.wrap_i64", None), ("br_if", 0), ("end", None)]
    return out


def many_locals() -> Code:
    """Return a thousand locals, set before a call and used after it."""
    out: Code = []
    for index in range(1_000):
        out += [("i64.const", index), ("local.set", index)]
    out.append(("call", 1))
    for index in range(1_000):
        out += [get(index), get((index + 1) % 1_000), ("i64.xor", None), ("local.set", index)]
    return out


def ifs() -> Code:
    """Return as many blocks as a function may have, each with a local set on one side."""
    out: Code = []
    for index in range(2_000):
        out += [get(index % 50), ("i32.wrap_i64", None), ("if", None), ("i64.const", 1), ("local.set", index % 50)]
        out.append(("end", None))
    return out


def charges() -> Code:
    """Return as many charges as instructions let: a branch, and so a charge, every other one."""
    out: Code = []
    while len(out) < FULL - 8:
        out += [("i32.const", 0), ("br_if", 0)]
    return out


MODULES: dict[str, Callable[[], bytes]] = {
    "blocks in each other, 250 deep": lambda: filled(nested("block", 250, 10)),
    "loops in each other, 250 deep": lambda: filled(nested("loop", 250, 10)),
    "`br_table`s of 1,024 targets": lambda: filled(tables(120, 1_024, 20)),
    "`br_table`s of 1,024 targets, no nesting": lambda: filled(tables(1, 1_024, 40)),
    "4,000 functions": lambda: filled([("call", 1), ("nop", None), ("nop", None)] * 6),
    "4,000 empty functions": lambda: filled([]),
    "results of calls kept alive": lambda: filled(leaf_calls(), 1),
    "loads": lambda: filled(loads()),
    "400 values alive in a loop": lambda: filled(straight(), 400),
    "nests of loops with choices": lambda: filled(diamonds(), 50),
    "1,000 locals across a call": lambda: filled(many_locals(), 1_000, most=9),
    "2,000 `if`s in a row": lambda: filled(ifs(), 50),
    "a charge every other instruction": lambda: filled(charges()),
}


def table(*, quick: bool) -> Table:
    """Measure the cold time of each, and what the rules say of it."""
    rounds = 1 if quick else 3
    usual = "ordinary: an ERC-20's functions, 51 times"
    codes = {usual: repeated(51)} | {name: make() for name, make in MODULES.items()}
    engine = CompiledEngine()
    header = ["module", "bytes", "check + meter, a kB", "compile, a kB", "both, times ordinary", "level", "bound", ""]
    result = Table("Hostile modules, cold", header)
    rates: dict[str, tuple[float, float]] = {}
    variants = {}
    refusals = {}
    levels = {}
    for name, code in codes.items():
        verdict_ = check(code, EWASM)
        if verdict_.findings:
            refusals[name] = verdict_.findings[0].message
            continue
        module = metered(code)
        levels[name] = engine.load(module).shape.optimisation

        def prepare(code: bytes = code) -> float:
            start = time.perf_counter()
            found = check(code, EWASM).module
            assert found is not None
            meter(found, EWASM.schedule, EWASM.limits.memory_pages)
            return time.perf_counter() - start

        def load(code: bytes = code) -> float:
            found = metered(code)
            start = time.perf_counter()
            engine.load(found)
            return time.perf_counter() - start

        variants[name], variants[name + " compile"] = prepare, load
    found = in_turn(variants, rounds, warm=False)
    for name in levels:
        size = len(codes[name]) / 1_000
        rates[name] = (median(found, name) / size, median(found, name + " compile") / size)
    base = sum(rates[usual])
    for name, code in codes.items():
        size = f"{len(code):,}"
        if name in refusals:
            result.rows.append([name, size, "", "", "", "", "refused or ≤ 5", f"refused: {refusals[name]}"])
            continue
        times = sum(rates[name]) / base
        cells = [micro(rates[name][0]), micro(rates[name][1]), f"{times:.2f}", levels[name]]
        result.rows.append([name, size, *cells, f"≤ {BOUND:.0f}", verdict(times, BOUND)])
    result.notes.append(
        "Compiling includes the rewriting for registers and uses all cores."
        " The level is what the engine chose for the module."
    )
    return result
