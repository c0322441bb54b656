"""Plain functions with published counts (../shared/conformance/ssvm): our trace, counted as WasmEdge counts."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from gas.metering import meter
from gas.schedule import FREE
from tests.helpers import CONFORMANCE, conformance
from wasm.decode import decode
from wasm.engine import Engine
from wasm.module import Expr, Module, ValidModule
from wasm.validate import validate

FILE = CONFORMANCE / "ssvm" / "wasmedge_gas_vectors.json"
DOCUMENT: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
ABSENT = [pytest.param(None, marks=pytest.mark.skip(reason=f"published vectors are absent: {FILE}"))]
VECTORS, ERRORS = DOCUMENT.get("vectors", ABSENT), DOCUMENT.get("errors", ABSENT)
OLDER = {"fib": "fib10", "fac": "fac5"}


def load(name: str) -> ValidModule:
    text = (conformance("ssvm") / "contracts" / f"{name}.hex").read_text()
    return validate(decode(bytes.fromhex(text.strip())))


def traced(engine: Engine, vector: dict[str, Any]) -> tuple[ValidModule, list[tuple[Any, ...]]]:
    """Run a vector; return the module and what the tracer saw."""
    if not engine.traces:
        pytest.skip(f"the {engine.name} engine does not trace: it has no counts to compare")
    module, seen = load(vector["code"]), list[tuple[Any, ...]]()
    instance = engine.load(meter(module, FREE)).instantiate({}, tracer=lambda *event: seen.append(event))
    instance.invoke(vector["export"], *vector["args"])
    return module, seen


def ends(body: Expr) -> dict[int, tuple[int | None, int]]:
    """Return for each `if` its `else`, if any, and its `end`, by position."""
    found: dict[int, tuple[int | None, int]] = {}
    opened: list[tuple[int, int | None]] = []
    for at, (op, _, _) in enumerate(body):
        if op.name in ("block", "loop", "if"):
            opened.append((at, None))
        elif op.name == "else":
            opened[-1] = (opened[-1][0], at)
        elif op.name == "end" and opened:
            start, otherwise = opened.pop()
            found[start] = (otherwise, at)
    return found


def counted(module: Module, seen: list[tuple[Any, ...]]) -> Counter[str]:
    """Count a trace as WasmEdge 0.9 does: with the `else` and `end` that it passes.

    A then-branch that falls out at its `else` counts that once and skips the `end`; an `if` that is not taken counts
    its `else`, or else its `end`.
    """
    counts: Counter[str] = Counter()
    frames: list[list[int]] = [[seen[0][0], 0]]

    def pass_ends() -> None:
        """Go on to the next instruction that a tracer sees."""
        while frames:
            function, at = frames[-1]
            body = module.functions[function].body
            name = body[at].op.name
            if name == "else":
                counts["else_or_end_closing_then"] += 1
                frames[-1][1] = next(end for otherwise, end in ends(body).values() if otherwise == at) + 1
            elif name == "end":
                counts["end"] += 1
                frames[-1][1] += 1
                if at + 1 == len(body):
                    frames.pop()
            else:
                return

    for function, offset, name, operands, _ in seen:
        pass_ends()
        frame = frames[-1]
        body = module.functions[function].body
        assert (frame[0], body[frame[1]].offset, body[frame[1]].op.name) == (function, offset, name)
        counts[name] += 1
        frame[1] += 1
        if name == "if" and not operands[-1]:
            otherwise, end = ends(body)[frame[1] - 1]
            counts["else_taken"] += otherwise is not None
            frame[1] = end if otherwise is None else otherwise + 1
        elif name == "call":
            frames.append([body[frame[1] - 1].imm, 0])
        elif name == "return":
            frames.pop()
        else:
            assert name not in ("br", "br_if", "br_table", "block", "loop"), "the rule published says nothing of them"
    pass_ends()
    assert frames == []
    return +counts


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["export"] if vector else "absent")
def test_results(vector: dict[str, Any], engine: Engine) -> None:
    instance = engine.load(meter(load(vector["code"]), FREE)).instantiate({})
    assert instance.invoke(vector["export"], *vector["args"]) == (vector["result"],)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["export"] if vector else "absent")
def test_published_counts(vector: dict[str, Any], engine: Engine) -> None:
    module, seen = traced(engine, vector)
    counts = counted(module, seen)
    assert counts == vector["histogram"]
    assert counts.total() == vector["instruction_count"] == vector["gas"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["export"] if vector else "absent")
def test_older_counts_are_the_executed_instructions(vector: dict[str, Any], engine: Engine) -> None:
    """Before 0.6, `else` and `end` were no instructions, as here; gas was one more for each branch of an `if` begun."""
    module, seen = traced(engine, vector)
    published = DOCUMENT["older"][0][OLDER[vector["export"]]]
    assert len(seen) == published["instruction_count"]
    both = {
        body[at].offset
        for body in (function.body for function in module.functions)
        for at, (otherwise, _) in ends(body).items()
        if otherwise is not None
    }
    begun = sum(name == "if" and (offset in both or bool(operands[-1])) for _, offset, name, operands, _ in seen)
    assert len(seen) + begun == published["gas"]


@pytest.mark.parametrize("vector", ERRORS, ids=lambda vector: vector["error"] if vector else "absent")
def test_published_errors(vector: dict[str, Any], engine: Engine) -> None:
    instance = engine.load(meter(load(vector["code"]), FREE)).instantiate({})
    error = {"function signature mismatch": TypeError, "wasm function not found": KeyError}[vector["error"]]
    with pytest.raises(error, match=vector["export"]):
        instance.invoke(vector["export"], *vector["args"])


def test_the_vectors_are_there() -> None:
    conformance("ssvm")
    assert (len(VECTORS), len(ERRORS)) == (2, 2)
