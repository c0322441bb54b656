"""`--diff`: what an execution changed, before and after."""

from __future__ import annotations

from pathlib import Path

import pytest

from evmc import U256, Address, Bytes32
from node.cli.diff import diff_json, emit_diff
from state import AccountDiff, Change, Diff, keccak256
from tests.helpers import FIXTURES
from tests.node.commands import Done, run
from tests.node.world import word
from wasm.engine import Engine

A, B, C, D = (Address.from_int(number) for number in (0xA, 0xB, 0xC, 0xD))
FIRST = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
MAGIC = b"\0asm"
NO_CODE = {"size": 0, "hash": "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"}

DIFF = Diff(
    {
        A: AccountDiff(
            created=True,
            nonce=Change(0, 1),
            balance=Change(U256(0), U256(0)),
            code=Change(b"", bytes(1_500)),
            slots={word(1): Change(word(0), word(0x1234))},
        ),
        B: AccountDiff(deleted=True, balance=Change(U256(10**18), U256(0)), code=Change(MAGIC, b"")),
        C: AccountDiff(
            storage_cleared=True, slots={word(2): Change(word(0), word(7))}, balance=Change(U256(3), U256(5))
        ),
        D: AccountDiff(storage_cleared=True),
    }
)


def test_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit_diff(DIFF)
    assert capsys.readouterr().out.splitlines() == [
        f"{A} created",
        "  nonce: 0 -> 1",
        f"  code: none -> 1,500 bytes with hash {keccak256(bytes(1_500))}",
        f"  slot {word(1)}: {word(0)} -> {word(0x1234)}",
        f"{B} deleted",
        "  balance: 1000000000000000000 -> 0 (-1000000000000000000)",
        f"  code: 4 bytes with hash {keccak256(MAGIC)} -> none",
        f"{C} changed",
        "  balance: 3 -> 5 (+2)",
        "  storage: all slots cleared but those that follow",
        f"  slot {word(2)}: {word(0)} -> {word(7)}",
        f"{D} changed",
        "  storage: all slots cleared",
    ]


def test_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    emit_diff(Diff())
    assert capsys.readouterr().out == "nothing changed\n"
    assert diff_json(Diff()) == {}


def test_json() -> None:
    assert diff_json(DIFF) == {
        str(A): {
            "created": True,
            "nonce": {"before": 0, "after": 1},
            "code": {"before": NO_CODE, "after": {"size": 1_500, "hash": str(keccak256(bytes(1_500)))}},
            "storage": {str(word(1)): {"before": str(word(0)), "after": str(word(0x1234))}},
        },
        str(B): {
            "deleted": True,
            "balance": {"before": "0xde0b6b3a7640000", "after": "0x0"},
            "code": {"before": {"size": 4, "hash": str(keccak256(MAGIC))}, "after": NO_CODE},
        },
        str(C): {
            "storage_cleared": True,
            "balance": {"before": "0x3", "after": "0x5"},
            "storage": {str(word(2)): {"before": str(word(0)), "after": str(word(7))}},
        },
        str(D): {"storage_cleared": True},
    }


def counted(before: int, after: int) -> dict[str, object]:
    """Return what the counter's slot shows."""
    return {"storage": {str(word(0)): {"before": str(word(before)), "after": str(word(after))}}}


def test_run(engine: Engine) -> None:
    arguments = ("run", FIXTURES / "counter.wasm", "--sig", "add(uint256)", 5, "--engine", engine.name)
    found = run(*arguments, "--diff", "--json").json
    assert found.pop("diff") == {FIRST: counted(0, 5)}
    assert found == run(*arguments, "--json").json
    shown, plain = run(*arguments, "--diff").stdout, run(*arguments).stdout
    assert shown == plain + f"{FIRST} changed\n  slot {Bytes32(bytes(32))}: {word(0)} -> {word(5)}\n"


def test_what_failed_changed_nothing(engine: Engine) -> None:
    done = run("run", FIXTURES / "counter.wasm", "--sig", "reset()", "--engine", engine.name, "--diff")
    assert done.status == 1
    assert done.stdout.endswith("\nnothing changed\n")


def test_deploy_and_call(engine: Engine, tmp_path: Path) -> None:
    rest = ("--state", tmp_path / "chain", "--engine", engine.name, "--diff", "--json")

    def diff(done: Done) -> dict[str, object]:
        assert list(done.json)[-1] == "diff"
        found: dict[str, object] = done.json["diff"]
        return found

    deployed = run("deploy", FIXTURES / "counter_deploy.wasm", *rest)
    code = bytes.fromhex(deployed.json["output"][2:])
    assert diff(deployed) == {
        FIRST: {
            "created": True,
            "nonce": {"before": 0, "after": 1},
            "code": {"before": NO_CODE, "after": {"size": len(code), "hash": str(keccak256(code))}},
        },
        SENDER: {"nonce": {"before": 0, "after": 1}},
    }
    for number, extra in ((1, ("--dry-run",)), (1, ()), (2, ())):
        done = run("call", FIRST, *rest, "--sig", "increment()", *extra)
        assert diff(done) == {
            FIRST: counted(number - 1, number),
            SENDER: {"nonce": {"before": number, "after": number + 1}},
        }
    reverted = run("call", FIRST, *rest, "--sig", "reset()")
    assert (reverted.status, diff(reverted)) == (1, {SENDER: {"nonce": {"before": 3, "after": 4}}})
