"""Snapshots of gas: the file format of `forge snapshot`, lists of calls, changes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ewasm.ruleset import EWASM
from node.snapshot import Change, SnapshotError, compare, measure, parse, read_scripts, render
from tests.helpers import FIXTURES, fixture_code
from tests.node.commands import run
from wasm.engine import Engine

CALLS = """
[[contract]]
name = "Token"
deploy = "erc20_deploy.wasm"

[[contract.call]]
sig = "transfer(address,uint256)(bool)"
arguments = ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8", 5]

[[contract.call]]
name = "testAgain()"
sig = "transfer(address,uint256)"
arguments = ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8", "5"]

[[contract.call]]
name = "testTooMuch()"
sender = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
sig = "transfer(address,uint256)"
arguments = ["0x70997970c51812dc3a010c7d01b50e0d17dc79c8", 500]
gas = 100_000
fails = true

[[contract]]
code = "counter.wasm"

[[contract.call]]
name = "increment()"
input = "0xd09de08a"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("erc20_deploy", "counter"):
        shutil.copy(FIXTURES / f"{name}.wasm", tmp_path)
    (tmp_path / "calls.toml").write_text(CALLS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_gas_is_that_of_the_same_transactions(folder: Path, engine: Engine) -> None:
    codes = {Path(f"{name}.wasm"): fixture_code(name) for name in ("erc20_deploy", "counter")}
    found = measure(read_scripts(CALLS), codes, EWASM, engine)
    assert list(found) == [
        "Token:constructor()",
        "Token:transfer(address,uint256)",
        "Token:testAgain()",
        "Token:testTooMuch()",
        "counter:increment()",
    ]
    deployed = run("deploy", "erc20_deploy.wasm", "--state", "chain", "--json").json
    assert found["Token:constructor()"] == deployed["gas_used"]
    to = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
    for name in ("Token:transfer(address,uint256)", "Token:testAgain()"):
        call = ("call", deployed["contract"], "--state", "chain", "--sig", "transfer(address,uint256)", to, 5, "--json")
        assert found[name] == run(*call).json["gas_used"]
    assert found["counter:increment()"] > 21_000 + 20_000


def test_write_check_and_diff(folder: Path) -> None:
    done = run("gas", "snapshot", "calls.toml")
    assert (done.status, done.stderr) == (0, "")
    text = (folder / ".gas-snapshot").read_text()
    lines = text.splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 5
    assert run("gas", "snapshot", "calls.toml", "--check").status == 0
    gas = parse(text)["Token:testAgain()"]
    (folder / ".gas-snapshot").write_text(text.replace(f"testAgain() (gas: {gas})", f"testAgain() (gas: {gas - 100})"))
    done = run("gas", "snapshot", "calls.toml", "--check")
    assert done.status == 1
    assert done.stdout == (
        f'Diff in "Token::testAgain()": consumed "(gas: {gas})" gas, expected "(gas: {gas - 100})" gas\n'
    )
    assert run("gas", "snapshot", "calls.toml", "--check", "--tolerance", 1).status == 0
    done = run("gas", "snapshot", "calls.toml", "--diff")
    percent = f"{100 * 100 / (gas - 100):.3f}%"
    assert done.status == 0
    assert f"testAgain() (gas: 100 ({percent}))" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("Overall gas change: 100 (0.0")
    assert run("gas", "snapshot", "calls.toml", "--diff", "--tolerance", 0.1).status == 1
    assert run("gas", "snapshot", "calls.toml", "--diff", "--json").json["exceeding"] == []
    assert (folder / ".gas-snapshot").read_text() != text, "nothing was written"


def test_new_and_gone(folder: Path) -> None:
    (folder / "mine").write_text("Token:old() (gas: 5)\n")
    done = run("gas", "snapshot", "calls.toml", "--diff", "--snap", "mine")
    assert "Token:old() (gas: 5), gone" in done.stdout
    assert ", new" in done.stdout
    done = run("gas", "snapshot", "calls.toml", "--check", "--snap", "mine")
    assert done.status == 1
    assert 'Diff in "Token::old()": consumed nothing, expected "(gas: 5)" gas' in done.stdout


@given(st.dictionaries(st.from_regex(r"\A[A-Z]\w{0,5}:\w{1,8}\((?:uint256|address,bytes)?\)\Z"), st.integers(0, 2**63)))
def test_a_snapshot_is_read_as_it_was_written(snapshot: dict[str, int]) -> None:
    assert parse(render(snapshot)) == snapshot


def test_the_published_form() -> None:
    assert parse("CTest:testInc() (gas: 28607)\n") == {"CTest:testInc()": 28_607}
    assert render({"CTest:testInc()": 28_607}) == "CTest:testInc() (gas: 28607)\n"
    same = compare({"CTest:testInc()": 28_607}, {"CTest:testInc()": 28_607})
    assert list(same.lines()) == ["testInc() (gas: 0 (0.000%))", "Overall gas change: 0 (0.000%)"]


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "exceeds"),
    [
        (100, 100, 0, False),
        (100, 101, 0, True),
        (100, 99, 0, True),
        (100, 101, 1, False),
        (100, 102, 1.5, True),
        (0, 0, 0, False),
        (0, 1, 50, True),
        (None, 1, 100, True),
        (1, None, 100, True),
    ],
)
def test_tolerance(before: int | None, after: int | None, tolerance: float, *, exceeds: bool) -> None:
    assert Change("a:b()", before, after).exceeds(tolerance) is exceeds


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (CALLS, "", "no [[contract]]"),
        ("[[contract]]", "[[contract", "not TOML"),
        ('deploy = "erc20_deploy.wasm"', "", "contract 1: either deploy"),
        ('deploy = "erc20_deploy.wasm"', "deploy = 3", "contract 1, deploy: a text is expected"),
        ('name = "Token"', 'name = "To ken"', "contract 1, name: letters, digits and _"),
        ('name = "Token"', 'names = "Token"', "contract 1, names: there is no such key"),
        ('name = "testAgain()"', "", "Token:transfer(address,uint256) is there twice"),
        ('name = "testAgain()"', 'name = "again"', "contract 1, call 2, name: a name such as"),
        ("fails = true", "fails = 1", "contract 1, call 3, fails: true or false"),
        ("gas = 100_000", "gas = -1", "contract 1, call 3, gas: a whole number"),
        ("gas = 100_000", "gas = 22_000", "is below the intrinsic gas"),
        ("fails = true", "", "testTooMuch(): REVERT"),
        ("500]", "5]", "testTooMuch(): it succeeded"),
        ("0xd09de08a", "0xd09de08", "contract 2, call 1, input: bad hex"),
        ('sig = "transfer(address,uint256)"', 'sig = "transfer(address"', "contract 1, call 2, sig"),
        ('code = "counter.wasm"', 'code = "absent.wasm"', "absent.wasm: No such file"),
    ],
)
def test_a_list_that_cannot_be_used(folder: Path, old: str, new: str, message: str) -> None:
    assert old in CALLS
    (folder / "calls.toml").write_text(CALLS.replace(old, new, 1))
    done = run("gas", "snapshot", "calls.toml")
    assert (done.status, done.stdout) == (2, "")
    assert message in done.stderr
    assert not (folder / ".gas-snapshot").exists()


def test_a_snapshot_that_cannot_be_used(folder: Path) -> None:
    (folder / "bad").write_text("Token:a() (gas: 5)\nnonsense\n")
    for arguments, message in (
        (("--check", "--snap", "bad"), "bad: line 2: 'Contract:function(types) (gas: 12345)' is expected"),
        (("--check",), ".gas-snapshot: there is no snapshot yet"),
        (("--check", "--diff"), "give either --check or --diff"),
        (("--snap", f"no{os.sep}where"), "name another with --snap"),
    ):
        done = run("gas", "snapshot", "calls.toml", *arguments)
        assert done.status == 2
        assert message in done.stderr
    with pytest.raises(SnapshotError, match="line 1"):
        parse("a")
