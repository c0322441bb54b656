"""`ewasm check` and `meter`, and the two test runners: output, JSON, exit status."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.helpers import FIXTURES, conformance, fixture_code, wat
from tests.node.commands import run
from wasm.engine import Engine

COUNTER = FIXTURES / "counter.wasm"

# check and meter


def test_check_plain() -> None:
    done = run("check", COUNTER)
    assert (done.status, done.stdout, done.stderr) == (0, f"{COUNTER}: accepted by ruleset ewasm\n", "")
    path = FIXTURES / "hostile/float_add.wasm"
    done = run("check", COUNTER, path)
    assert (done.status, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"{COUNTER}: accepted by ruleset ewasm", f"{path}: refused by ruleset ewasm, 3 findings"]
    assert all(
        line.startswith("  floating point is not allowed (may differ between machines): f64.") for line in lines[2:]
    )


def test_check_json() -> None:
    path = FIXTURES / "hostile/simd_load.wasm"
    done = run("check", COUNTER, path, "--json")
    assert done.status == 1
    good, bad = done.json
    assert good == {"file": str(COUNTER), "ruleset": "ewasm", "accepted": True, "findings": []}
    assert list(bad) == ["file", "ruleset", "accepted", "findings"]
    (finding,) = bad["findings"]
    assert list(finding) == ["rule", "message", "offset", "function"]
    assert (finding["rule"], finding["function"], finding["message"].endswith(f"at offset {finding['offset']:#x}")) == (
        "simd",
        0,
        True,
    )


def test_check_options() -> None:
    debug, copies = FIXTURES / "debug.wasm", FIXTURES / "wat/memory_copy_fill.wasm"
    assert [run("check", debug, *options).status for options in ((), ("--debug",))] == [1, 0]
    assert [run("check", copies, "--ruleset", name).status for name in ("ewasm", "hera", "ssvm")] == [0, 1, 1]


def test_meter(tmp_path: Path) -> None:
    target = tmp_path / "metered.wasm"
    done = run("meter", COUNTER, "-o", target)
    assert (done.status, done.stderr) == (0, "")
    size = target.stat().st_size
    assert re.fullmatch(rf"{target}: {size:,} bytes \(from 1,927\), \d+ charges\n", done.stdout)
    module = wasmtime.Module(wasmtime.Engine(), target.read_bytes())
    assert {export.name for export in module.exports} == {"main", "memory", "ewasm:gas", "ewasm:stack"}


def test_meter_by_ruleset(tmp_path: Path) -> None:
    free, priced = tmp_path / "free.wasm", tmp_path / "priced.wasm"
    assert run("meter", COUNTER, "--output", free, "--ruleset", "ssvm").status == 0
    assert run("meter", COUNTER, "--output", priced).status == 0
    assert free.stat().st_size < priced.stat().st_size


def test_meter_refuses(tmp_path: Path) -> None:
    source, target = FIXTURES / "hostile/float_add.wasm", tmp_path / "metered.wasm"
    done = run("meter", source, "-o", target)
    assert (done.status, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 3
    assert all(line.startswith(f"{source}: floating point") for line in done.stderr.splitlines())
    assert not target.exists()


# The test runners

GOOD = '(module (func (export "f") (result i32) (i32.const 1)))'


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """A directory with a script that passes and, below, one with a failure and a refusal."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "code.wasm").write_bytes(wat(GOOD))
    (tmp_path / "deeper" / "code.wasm").write_bytes(wat(GOOD))
    (tmp_path / "deeper" / "simd.wasm").write_bytes(fixture_code("hostile/simd_load"))

    def returns(value: str) -> dict[str, Any]:
        action = {"type": "invoke", "field": "f", "args": []}
        return {"type": "assert_return", "line": 2, "action": action, "expected": [{"type": "i32", "value": value}]}

    module = {"type": "module", "line": 1, "filename": "code.wasm"}
    (tmp_path / "good.json").write_text(json.dumps({"commands": [module, returns("1")]}))
    bad = [module, returns("2"), {**module, "line": 3, "filename": "simd.wasm"}]
    (tmp_path / "deeper" / "bad.json").write_text(json.dumps({"commands": bad}))
    return tmp_path


def test_spectest(scripts: Path, engine: Engine) -> None:
    done = run("spectest", scripts / "good.json", "--engine", engine.name)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "good.json: 1 passed, 0 failed, 0 refused, 0 text",
        "1 passed, 0 failed, 0 refused, 0 text; 1 assertions executed and passed",
    ]
    every = run("spectest", scripts, "--engine", engine.name)
    assert every.status == 1
    assert every.stdout.splitlines() == [
        "failed bad:2 assert_return: expected [{'type': 'i32', 'value': '2'}], got (1,)",
        "bad.json: 0 passed, 1 failed, 1 refused, 0 text",
        "good.json: 1 passed, 0 failed, 0 refused, 0 text",
        "1 passed, 1 failed, 1 refused, 0 text; 1 assertions executed and passed; refused: 1 for fixed-width SIMD",
    ]


def test_spectest_json(scripts: Path, engine: Engine) -> None:
    done = run("spectest", scripts, "--json", "--engine", engine.name)
    assert done.status == 1
    assert list(done.json) == ["passed", "failed", "refused", "results"]
    assert [done.json[key] for key in ("passed", "failed", "refused")] == [1, 1, 1]
    failed, refused, passed = done.json["results"]
    assert passed == {"name": "good:2 assert_return", "status": "passed"}
    assert failed == {
        "name": "bad:2 assert_return",
        "status": "failed",
        "expected": "[{'type': 'i32', 'value': '2'}]",
        "got": "(1,)",
    }
    assert (refused["name"], refused["status"]) == ("bad:3 module", "refused")


@pytest.fixture
def state_tests(tmp_path: Path) -> Path:
    """A directory with a state test that passes and, below, the same with a wrong hash."""
    test = {
        "env": {
            "currentCoinbase": "0x" + "c0" * 20, "currentDifficulty": "0x1", "currentGasLimit": "0x989680",
            "currentNumber": "0x1", "currentTimestamp": "0x1",
        },
        "pre": {},
        "transaction": {
            "data": ["0x"], "gasLimit": ["0x5208"], "value": ["0x0"], "gasPrice": "0x0", "nonce": "0x1", "to": "",
            "secretKey": "0x" + "45" * 32,
        },
        "post": {"Byzantium": [{
            "hash": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
            "logs": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
            "indexes": {"data": 0, "gas": 0, "value": 0},
        }]},
    }  # fmt: skip
    (tmp_path / "good.json").write_text(json.dumps({"invalid nonce": test}))
    test["post"]["Byzantium"][0]["hash"] = "0x" + "00" * 32  # type: ignore[index,call-overload]
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "bad.json").write_text(json.dumps({"wrong": test}))
    return tmp_path


def test_statetest(state_tests: Path, engine: Engine) -> None:
    done = run("statetest", state_tests / "good.json", "--engine", engine.name)
    assert (done.status, done.stderr) == (0, "")
    assert re.fullmatch(
        r"passed invalid nonce \(nonce 1 of 0x.{40} is not the next, 0\)\n1 passed, 0 failed\n", done.stdout
    )
    every = run("statetest", state_tests, "--engine", engine.name)
    assert every.status == 1
    lines = every.stdout.splitlines()
    assert lines[0].startswith("failed wrong (")
    assert lines[1].startswith("  expected 0x00000000")
    assert lines[2].startswith("  got      0x56e81f17")
    assert lines[-1] == "1 passed, 1 failed"


def test_statetest_json(state_tests: Path, engine: Engine) -> None:
    done = run("statetest", state_tests / "deeper", state_tests / "good.json", "--json", "--engine", engine.name)
    assert done.status == 1
    assert list(done.json) == ["passed", "failed", "refused", "results"]
    assert [done.json[key] for key in ("passed", "failed", "refused")] == [1, 1, 0]
    failed, passed = done.json["results"]
    assert passed == {"name": "invalid nonce", "status": "passed"}
    assert list(failed) == ["name", "status", "expected", "got"]
    assert failed["expected"].startswith("0x00000000")
    assert failed["got"].startswith("0x56e81f17")


def test_statetest_by_ruleset(engine: Engine) -> None:
    path = conformance("ewasm-state-tests") / "getBlockNumber.json"
    options = ("--engine", engine.name)
    assert run("statetest", path, *options).status == 0
    assert run("statetest", path, *options, "--ruleset", "hera").status == 0
    assert run("statetest", path, *options, "--ruleset", "ewasm").status == 1
