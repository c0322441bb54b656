"""The runner of state tests itself: what passes, what fails, what is no test."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey

from evmc import U256, Address, TxContext
from ewasm.ruleset import HERA
from ewasm.system import system_contracts
from ewasm.vm import EwasmVM
from node.statetest import Outcome, TestFileError, logs_hash, run_file
from node.transaction import Transaction, execute_transaction
from state import Database, GenesisAccount, Journal, WorldState, keccak256
from tests.helpers import fixture_code
from tests.node.damage import NONSENSE, places
from wasm.engine import Engine

KEY = bytes(31) + b"\7"
SENDER = Address(keccak256(PrivateKey(KEY).public_key.format(compressed=False)[1:])[12:])
TARGET, COINBASE = Address.from_int(0xC0DE), Address.from_int(0xC0)
ENV = {
    "currentCoinbase": str(COINBASE),
    "currentDifficulty": "0x020000",
    "currentGasLimit": "0x989680",
    "currentNumber": "0x01",
    "currentTimestamp": "0x03e8",
    "previousHash": "0x" + "00" * 32,
}


def account(
    balance: int = 0, nonce: int = 0, code: bytes = b"", storage: dict[str, str] | None = None
) -> dict[str, Any]:
    return {"balance": hex(balance), "nonce": hex(nonce), "code": "0x" + code.hex(), "storage": storage or {}}


def expected(engine: Engine, data: bytes) -> tuple[str, str]:
    """Return the hashes that the test below should have, from the parts that the runner is made of."""
    accounts = {
        SENDER: GenesisAccount(balance=U256(10**12)),
        TARGET: GenesisAccount(nonce=1, code=fixture_code("wat/log_topics")),
    }
    world = WorldState.genesis(Database(), accounts)
    tx = Transaction(sender=SENDER, to=TARGET, nonce=0, gas_limit=100_000, gas_price=U256(2), value=U256(5), data=data)
    block = TxContext(coinbase=COINBASE, number=1, timestamp=1_000, gas_limit=10_000_000, difficulty=U256(0x20000))
    receipt = execute_transaction(tx, Journal(world), block, EwasmVM(HERA, engine), HERA, system_contracts(HERA))
    assert len(receipt.logs) == 5
    return str(world.apply(receipt.diff).root), str(logs_hash(receipt.logs))


@pytest.fixture
def filled(engine: Engine) -> dict[str, Any]:
    """A filled state test with two transactions, which differ in their data."""
    posts = []
    for number, data in enumerate((b"", b"\1\0")):
        root, logs = expected(engine, data)
        posts.append({"hash": root, "logs": logs, "indexes": {"data": number, "gas": 0, "value": 0}})
    return {
        "env": ENV,
        "pre": {
            str(SENDER): account(balance=10**12),
            str(TARGET): account(nonce=1, code=fixture_code("wat/log_topics")),
        },
        "transaction": {
            "data": ["0x", "0x0100"],
            "gasLimit": ["0x0186a0"],
            "gasPrice": "0x02",
            "nonce": "0x00",
            "secretKey": "0x" + KEY.hex(),
            "to": str(TARGET),
            "value": ["0x05"],
        },
        "post": {"Byzantium": posts},
    }


Outcomes = Callable[[Any], list[Outcome]]


@pytest.fixture
def outcomes(tmp_path: Path, engine: Engine) -> Outcomes:
    """Run a document as a file."""

    def run(document: Any) -> list[Outcome]:
        path = tmp_path / "tests.json"
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return list(run_file(path, HERA, EwasmVM(HERA, engine)))

    return run


def test_what_agrees_passes(filled: dict[str, Any], outcomes: Outcomes) -> None:
    found = outcomes({"logging": filled})
    assert [(outcome.name, outcome.passed) for outcome in found] == [
        ("logging/Byzantium/0", True),
        ("logging/Byzantium/1", True),
    ]
    assert found[0].note.startswith("SUCCESS, ")
    assert found[0].expected == found[0].got != found[1].got


def test_one_transaction_has_the_name_of_its_test(filled: dict[str, Any], outcomes: Outcomes) -> None:
    del filled["post"]["Byzantium"][1]
    assert [outcome.name for outcome in outcomes({"logging": filled})] == ["logging"]


@pytest.mark.parametrize("key", ["hash", "logs"])
def test_each_wrong_hash_fails(filled: dict[str, Any], outcomes: Outcomes, key: str) -> None:
    right = filled["post"]["Byzantium"][0][key]
    filled["post"]["Byzantium"][0][key] = "0x" + "12" * 32
    first, second = outcomes({"logging": filled})
    assert (first.passed, second.passed) == (False, True)
    assert right in first.got
    assert "0x" + "12" * 32 in first.expected


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (("pre", str(SENDER), "balance"), "0xe8d4a51001"),
        (("pre", str(TARGET), "code"), "0x"),
        (("pre", str(TARGET), "storage"), {"0x01": "0x02"}),
        (("env", "currentCoinbase"), str(TARGET)),
        (("transaction", "gasPrice"), "0x03"),
        (("transaction", "nonce"), "0x01"),
        (("transaction", "value", 0), "0x06"),
        (("transaction", "to"), ""),
        (("transaction", "secretKey"), "0x" + "11" * 32),
    ],
)
def test_every_part_of_a_test_counts(
    filled: dict[str, Any], outcomes: Outcomes, change: tuple[Any, ...], value: Any
) -> None:
    place = filled
    for step in change[:-1]:
        place = place[step]
    place[change[-1]] = value
    assert not any(outcome.passed for outcome in outcomes({"logging": filled}))


def test_an_invalid_transaction_leaves_the_state(filled: dict[str, Any], outcomes: Outcomes) -> None:
    filled["transaction"]["nonce"] = "0x09"
    found = outcomes({"logging": filled})
    assert "is not the next" in found[0].note
    filled["post"]["Byzantium"] = [
        {"hash": found[0].got[0], "logs": str(logs_hash(())), "indexes": {"data": 0, "gas": 0, "value": 0}}
    ]
    assert [outcome.passed for outcome in outcomes({"logging": filled})] == [True]


def test_logs_hash_of_nothing_as_published() -> None:
    assert str(logs_hash(())) == "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"a": 5}',
        b'{"a": null}',
        b'{"a": {}}',
        b'{"": []}',
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_no_state_test(outcomes: Outcomes, tmp_path: Path, text: bytes) -> None:
    with pytest.raises(TestFileError, match=r"tests\.json: ") as raised:
        outcomes(text)
    assert str(raised.value).startswith(str(tmp_path))


def test_any_part_may_be_nonsense(filled: dict[str, Any], outcomes: Outcomes) -> None:
    """A damaged test is refused or runs; it never ends in another exception, and wrong hashes never pass."""
    del filled["post"]["Byzantium"][1]
    refusals = 0
    for path in places(filled):
        for value in NONSENSE:
            changed = deepcopy(filled)
            place = changed
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            try:
                found = outcomes({"logging": changed})
            except TestFileError:
                refusals += 1
                continue
            assert path[-1] not in ("hash", "logs")
            assert found
    assert refusals > 200


def test_a_test_that_expects_nothing_is_none(filled: dict[str, Any], outcomes: Outcomes) -> None:
    for post in ({}, {"Byzantium": []}):
        with pytest.raises(TestFileError, match="nothing is expected"):
            outcomes({"logging": {**filled, "post": post}})


def test_no_such_file(tmp_path: Path, engine: Engine) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(TestFileError):
            list(run_file(path, HERA, EwasmVM(HERA, engine)))


def test_a_fault_of_the_machine_is_no_bad_file(
    filled: dict[str, Any], outcomes: Outcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(EwasmVM, "execute", fail)
    with pytest.raises(ValueError, match="a bug"):
        outcomes({"logging": filled})
