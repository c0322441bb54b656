"""The runner of WebAssembly test scripts itself: what passes, fails, is refused; what is no script."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from node.spectest import Outcome, run_file
from node.statetest import TestFileError
from tests.helpers import wat
from tests.node.damage import NONSENSE, places
from wasm.engine import Engine

ADDER = '(module (global (export "g") i32 (i32.const 9)) (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))'
TRAPS = '(module (func (export "f") unreachable) (func (export "div") (drop (i32.div_u (i32.const 1) (i32.const 0)))) (func $r (export "r") (call $r)))'
FLOATS = '(module (func (export "f") (result f32) (f32.add (f32.const 1) (f32.const 2))) (func (export "i") (result i32) (i32.const 1)) (func (export "bits") (param f32) (result f32) (local.get 0)))'
SIMD = '(module (func (export "f") (result v128) (v128.const i32x4 0 0 0 0)))'
INVALID = b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\x0a\5\1\3\0\x1a\x0b"  # drops what is not there
Scripted = Callable[..., list[Outcome]]


@pytest.fixture
def scripted(tmp_path: Path, engine: Engine) -> Scripted:
    """Run commands; a module is given as text or bytes and written beside the script."""

    def run(*commands: dict[str, Any]) -> list[Outcome]:
        for number, command in enumerate(commands):
            if "code" in command:
                code = command.pop("code")
                command["filename"] = f"script.{number}.wasm"
                (tmp_path / command["filename"]).write_bytes(code if isinstance(code, bytes) else wat(code))
            command["line"] = number + 1
        path = tmp_path / "script.json"
        path.write_text(json.dumps({"source_filename": "script.wast", "commands": commands}))
        return list(run_file(path, engine))

    return run


def module(code: str | bytes, **fields: Any) -> dict[str, Any]:
    return {"type": "module", "code": code, **fields}


def invoke(field: str, *args: int, **fields: Any) -> dict[str, Any]:
    values = [{"type": "i32", "value": str(arg)} for arg in args]
    return {"type": "invoke", "field": field, "args": values, **fields}


def returns(action: dict[str, Any], *values: tuple[str, str]) -> dict[str, Any]:
    expected = [{"type": type_, "value": value} for type_, value in values]
    return {"type": "assert_return", "action": action, "expected": expected}


def traps(action: dict[str, Any], text: str) -> dict[str, Any]:
    return {"type": "assert_trap", "action": action, "text": text, "expected": []}


def broken(kind: str, code: str | bytes, text: str = "", **fields: Any) -> dict[str, Any]:
    return {"type": f"assert_{kind}", "code": code, "text": text, "module_type": "binary", **fields}


def only(outcomes: list[Outcome]) -> Outcome:
    assert len(outcomes) == 1
    return outcomes[0]


# What passes and what fails


@pytest.mark.parametrize(
    ("value", "status"), [("6", "passed"), ("7", "failed"), ("4294967295", "failed"), ("0", "failed")]
)
def test_returned_values(scripted: Scripted, value: str, status: str) -> None:
    outcome = only(scripted(module(ADDER), returns(invoke("f", 5), ("i32", value))))
    assert (outcome.status, outcome.name) == (status, "script:2 assert_return")
    assert outcome.executed is (status == "passed")
    if status == "failed":
        assert f"'value': '{value}'" in outcome.expected
        assert outcome.got == "(6,)"


def test_the_number_of_results_counts(scripted: Scripted) -> None:
    assert only(scripted(module(ADDER), returns(invoke("f", 5)))).status == "failed"
    assert only(scripted(module(ADDER), returns(invoke("f", 5), ("i32", "6"), ("i32", "6")))).status == "failed"
    assert only(scripted(module(TRAPS), traps(invoke("f"), "unreachable"))).status == "passed"


def test_a_trap_where_a_value_is_expected(scripted: Scripted) -> None:
    outcome = only(scripted(module(TRAPS), returns(invoke("f"))))
    assert (outcome.status, outcome.executed) == ("failed", False)
    assert outcome.got.startswith("Trap: unreachable")


@pytest.mark.parametrize(
    ("field", "text", "status"),
    [
        ("f", "unreachable", "passed"),
        ("f", "integer divide by zero", "failed"),
        ("div", "integer divide by zero", "passed"),
        ("div", "integer overflow", "failed"),
        ("r", "call stack exhausted", "passed"),
        ("r", "unreachable", "failed"),
    ],
)
def test_the_words_of_a_trap_count(scripted: Scripted, field: str, text: str, status: str) -> None:
    assert only(scripted(module(TRAPS), traps(invoke(field), text))).status == status


def test_no_trap_where_one_is_expected(scripted: Scripted) -> None:
    outcome = only(scripted(module(ADDER), traps(invoke("f", 1), "unreachable")))
    assert (outcome.status, outcome.got) == ("failed", "no error")


def test_exhaustion_is_met_by_the_stack_budget(scripted: Scripted) -> None:
    action = {"type": "assert_exhaustion", "text": "call stack exhausted"}
    assert only(scripted(module(TRAPS), {**action, "action": invoke("r")})).executed
    assert only(scripted(module(TRAPS), {**action, "action": invoke("f")})).status == "failed"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("malformed", b"\0asm\1\0\0\0\xff", "passed"),
        ("malformed", INVALID, "failed"),
        ("malformed", ADDER, "failed"),
        ("invalid", INVALID, "passed"),
        ("invalid", ADDER, "failed"),
        ("unlinkable", '(module (import "spectest" "nope" (func)))', "passed"),
        ("unlinkable", '(module (import "spectest" "print_i32" (func (param i64))))', "passed"),
        ("unlinkable", '(module (import "spectest" "print_i32" (func (param i32))))', "failed"),
        ("unlinkable", INVALID, "failed"),
        ("uninstantiable", "(module (func $main unreachable) (start $main))", "passed"),
        ("uninstantiable", "(module (func $main) (start $main))", "failed"),
    ],
)
def test_modules_that_must_not_be(scripted: Scripted, kind: str, code: str | bytes, status: str) -> None:
    outcome = only(scripted(broken(kind, code, "unreachable" if kind == "uninstantiable" else "")))
    assert (outcome.status, outcome.executed) == (status, False)


def test_text_modules_are_counted_apart(scripted: Scripted) -> None:
    command = {"type": "assert_malformed", "filename": "script.wat", "text": "", "module_type": "text"}
    assert only(scripted(command)).status == "text"


@pytest.mark.parametrize("code", [b"\0asm\1\0\0\0\xff", INVALID, '(module (import "spectest" "nope" (func)))'])
def test_a_module_that_should_be_fine_and_is_not(scripted: Scripted, code: str | bytes) -> None:
    outcome = scripted(module(code))[0]
    assert (outcome.status, outcome.expected) == ("failed", "a valid module")


def test_an_unknown_command_fails(scripted: Scripted) -> None:
    outcome = only(scripted({"type": "assert_bliss"}))
    assert (outcome.status, outcome.got) == ("failed", "assert_bliss")


# Scripts with several modules


def test_names_registered_modules_and_globals(scripted: Scripted) -> None:
    user = '(module (import "lib" "f" (func $f (param i32) (result i32))) (func (export "twice") (param i32) (result i32) (call $f (call $f (local.get 0)))))'
    outcomes = scripted(
        module(ADDER, name="$lib"),
        {"type": "register", "as": "lib", "name": "$lib"},
        module(user),
        returns(invoke("twice", 5), ("i32", "7")),
        returns(invoke("f", 5, module="$lib"), ("i32", "6")),
        returns({"type": "get", "field": "g", "module": "$lib"}, ("i32", "9")),
        {"type": "action", "action": invoke("twice", 1), "expected": [{"type": "i32"}]},
        broken("unlinkable", '(module (import "lib" "nope" (func)))'),
    )
    assert [outcome.status for outcome in outcomes] == ["passed"] * 5
    assert sum(outcome.executed for outcome in outcomes) == 3


def test_the_current_module_can_be_registered(scripted: Scripted) -> None:
    user = '(module (import "lib" "g" (global $g i32)) (func (export "g") (result i32) (global.get $g)))'
    outcomes = scripted(
        module(ADDER), {"type": "register", "as": "lib"}, module(user), returns(invoke("g"), ("i32", "9"))
    )
    assert only(outcomes).status == "passed"


# What is refused


def test_floats_are_type_checked_and_the_interpreter_does_not_run_them(scripted: Scripted, engine: Engine) -> None:
    if engine.name != "interpreter":
        pytest.skip(f"the {engine.name} engine runs floats in these scripts")
    outcomes = scripted(
        module(FLOATS),
        returns(invoke("f"), ("f32", "1077936128")),
        returns(invoke("i"), ("i32", "1")),
        traps(invoke("f"), "unreachable"),
        {"type": "action", "action": invoke("f"), "expected": []},
    )
    assert [outcome.status for outcome in outcomes] == ["refused", "passed", "refused", "refused"]
    assert {outcome.feature for outcome in outcomes if outcome.status == "refused"} == {"floating point"}


@pytest.mark.parametrize(
    ("bits", "expected", "status"),
    [
        (0x7FC00000, "nan:canonical", "passed"),
        (0xFFC00001, "nan:arithmetic", "passed"),
        (0x7F800001, "nan:arithmetic", "failed"),
        (0x3F800000, "nan:canonical", "failed"),
        (0x3F800000, str(0x3F800000), "passed"),
    ],
)
def test_floats_that_only_pass_through(scripted: Scripted, bits: int, expected: str, status: str) -> None:
    action = {"type": "invoke", "field": "bits", "args": [{"type": "f32", "value": str(bits)}]}
    assert only(scripted(module(FLOATS), returns(action, ("f32", expected)))).status == status


def test_a_refused_module_refuses_all_that_needs_it(scripted: Scripted) -> None:
    user = '(module (import "simd" "f" (func (result v128))))'
    outcomes = scripted(
        module(SIMD, name="$s"),
        {"type": "register", "as": "simd", "name": "$s"},
        returns(invoke("f")),
        returns(invoke("f", module="$s")),
        module('(module (import "simd" "g" (func)))'),
        broken("unlinkable", user),
    )
    assert [outcome.status for outcome in outcomes] == ["refused"] * 5
    assert {outcome.feature for outcome in outcomes} == {"fixed-width SIMD"}
    assert not any(outcome.executed for outcome in outcomes)


# Files


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "5", "null", "{}", '{"commands": 5}', '{"commands": {}}', '{"commands": [5]}',
        '{"commands": [{}]}', '{"commands": [{"type": "module"}]}',
        '{"commands": [{"type": "module", "filename": "missing.wasm"}]}',
        '{"commands": [{"type": "assert_return", "action": {"type": "invoke", "field": "f", "args": []}}]}',
        "[" * 100_000,
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_no_script(tmp_path: Path, engine: Engine, text: str) -> None:
    (tmp_path / "script.json").write_text(text)
    with pytest.raises(TestFileError, match=r"script\.json: "):
        list(run_file(tmp_path / "script.json", engine))


def test_any_part_may_be_nonsense(tmp_path: Path, engine: Engine, scripted: Scripted) -> None:
    """A damaged script fails or is refused with a `TestFileError`, never with another exception."""
    scripted(module(ADDER, name="$m"), returns(invoke("f", 5, module="$m"), ("i32", "6")), broken("invalid", INVALID))
    script = tmp_path / "script.json"
    document = json.loads(script.read_text())
    for path in places(document):
        for value in NONSENSE[::2]:
            changed = deepcopy(document)
            place = changed
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            script.write_text(json.dumps(changed))
            try:
                list(run_file(script, engine))
            except TestFileError:
                continue


def test_scripts_need_the_converter(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(TestFileError, match="wast2json is not on the PATH; install wabt, or give the JSON"):
        list(run_file(tmp_path / "script.wast", engine))


needs_converter = pytest.mark.skipif(shutil.which("wast2json") is None, reason="wast2json (wabt) is not on the PATH")


@needs_converter
def test_a_script_in_text(tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "-odd name.wast"
    path.write_text(f'{ADDER}\n(assert_return (invoke "f" (i32.const 1)) (i32.const 2))\n(assert_return (invoke "f" (i32.const 1)) (i32.const 3))\n(assert_malformed (module quote "(") "")')  # fmt: skip
    outcomes = list(run_file(path, engine))
    assert [(outcome.name, outcome.status) for outcome in outcomes] == [
        ("-odd name:2 assert_return", "passed"),
        ("-odd name:3 assert_return", "failed"),
        ("-odd name:4 assert_malformed", "text"),
    ]


@needs_converter
@pytest.mark.parametrize("text", ["(module", "nonsense", "", '(module) (assert_return (invoke "nope"))'])
def test_text_that_is_no_script(tmp_path: Path, engine: Engine, text: str) -> None:
    (tmp_path / "script.wast").write_text(text)
    with pytest.raises(TestFileError, match=r"script\.wast: wast2json: ") as raised:
        list(run_file(tmp_path / "script.wast", engine))
    assert "\n" not in str(raised.value)


@needs_converter
def test_no_such_script(tmp_path: Path, engine: Engine) -> None:
    for path in (tmp_path / "missing.wast", tmp_path / "missing.json"):
        with pytest.raises(TestFileError, match="missing"):
            list(run_file(path, engine))
