"""Recorded observations: what every fixture contract did when it was last looked at.

A difference is a change of what people pay or see; it belongs in the changelog. To record anew:
`UPDATE_OBSERVATIONS=1 pytest tests/differential/test_observations.py`, and read the difference.
"""

from __future__ import annotations

import hashlib
import json
import os
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest

from evmc import Bytes32, Log
from ewasm.ruleset import EWASM
from gas.emission import write_out
from gas.metering import meter
from tests.differential.scenarios import CALLS, Accounts, Call, execute, ledger, steps
from tests.differential.world import ALICE, BOB, NOBODY, OTHER, SELF, Ledger
from tests.helpers import KEEPS_GAS, fixture_code
from wasm.decode import decode
from wasm.encode import encode
from wasm.engine import Engine
from wasm.validate import validate

FOLDER: Final = Path(__file__).with_name("observations")
UPDATE: Final = os.environ.get("UPDATE_OBSERVATIONS") == "1"
NAMES: Final = {SELF: "self", ALICE: "alice", BOB: "bob", OTHER: "other", NOBODY: "nobody"}
LONGEST: Final = 256
"""Bytes that are shown as they are; what is longer is shown by its hash."""


def shown(data: bytes) -> str:
    """Return bytes as hex, long ones by length and hash."""
    return data.hex() if len(data) <= LONGEST else f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"


def event(log: Log) -> dict[str, Any]:
    return {
        "address": NAMES.get(log.address, str(log.address)),
        "topics": [topic.hex() for topic in log.topics],
        "data": shown(log.data),
    }


def changes(before: Accounts, after: Accounts) -> dict[str, dict[str, str]]:
    """Return what changed in storage, balance and code, by account."""
    found: dict[str, dict[str, str]] = {}
    for address, account in after.items():
        old = before.get(address)
        slots = {} if old is None else old.storage
        changed = {}
        for key, value in account.storage.items():
            was = slots.get(key, Bytes32(bytes(32)))
            if was != value:
                changed[f"slot {_short(key)}"] = f"{_short(was)} -> {_short(value)}"
        if account.balance != (old.balance if old else 0):
            changed["balance"] = f"{old.balance if old else 0} -> {account.balance}"
        if account.code != (old.code if old else b""):
            changed["code"] = shown(account.code)
        if changed or old is None:
            found[NAMES.get(address, str(address))] = changed
    return found


def _short(value: bytes) -> str:
    return value.hex().lstrip("0") or "0"


def calls(run: Ledger) -> str:
    """Return the host functions in order, with a number where one is called again and again."""
    runs = [(name, len(list(group))) for name, group in groupby(name for name, _ in run.calls)]
    return " ".join(name if count == 1 else f"{count}*{name}" for name, count in runs)


def observe(run: Ledger, contract: str, call: Call, state: Accounts) -> dict[str, Any]:
    """Run a call and tell all that can be seen of it."""
    result, world = execute(run, contract, call, state)
    seen: dict[str, Any] = {"call": call.title, "status": result.status.name}
    if result.status in KEEPS_GAS:
        seen["gas used"] = call.gas - result.gas_left
    if result.output:
        seen["output"] = shown(result.output)
    if world.logs:
        seen["logs"] = [event(log) for log in world.logs]
    if world.destroyed:
        seen["destroyed"] = [[NAMES[a], NAMES[b]] for a, b in world.destroyed]
    if changed := changes(state, world.accounts):
        seen["changes"] = changed
    if run.calls:
        seen["host calls"] = calls(run)
    if run.printed:
        seen["printed"] = list(run.printed)
    return seen


class Trace:
    """The hash of a trace: depth of the message, function, place, instruction and operands of each."""

    def __init__(self) -> None:
        self.length = 0
        self.hash = hashlib.sha256()

    def __call__(self, depth: int, function: int, offset: int, name: str, operands: tuple[Any, ...]) -> None:
        """Take an instruction in."""
        self.length += 1
        self.hash.update(f"{depth} {function} {offset} {name} {operands}\n".encode())


def metered(contract: str) -> dict[str, Any]:
    """Return length and hash of the metered module."""
    module = validate(decode(fixture_code(contract)))
    binary = encode(write_out(meter(module, EWASM.schedule, EWASM.limits.memory_pages)))
    return {"bytes": len(binary), "sha256": hashlib.sha256(binary).hexdigest()}


def observations(contract: str, engine: Engine) -> dict[str, Any]:
    """Run everything that is called of a contract."""
    run = ledger(contract, engine, traced=engine.traces)
    seen = []
    for call, state in steps(contract, run):
        trace = Trace()
        run.events = trace
        observation = observe(run, contract, call, state)
        if engine.traces:
            observation["trace"] = {"instructions": trace.length, "sha256": trace.hash.hexdigest()}
        seen.append(observation)
    return {"contract": contract, "metered": metered(contract), "calls": seen}


def path(contract: str) -> Path:
    return FOLDER / f"{contract.replace('/', '_')}.json"


def without_traces(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as an engine without traces makes it."""
    kept = [{k: v for k, v in call.items() if k != "trace"} for call in record["calls"]]
    return {**record, "calls": kept}


@pytest.mark.parametrize("contract", CALLS)
def test_as_recorded(contract: str, engine: Engine) -> None:
    seen = observations(contract, engine)
    if UPDATE and engine.traces:
        FOLDER.mkdir(exist_ok=True)
        path(contract).write_text(json.dumps(seen, indent=1) + "\n", "utf-8")
    elif UPDATE:
        pytest.skip("an engine that traces makes the records")
    recorded = json.loads(path(contract).read_text("utf-8"))
    expected = recorded if engine.traces else without_traces(recorded)
    assert seen["metered"] == expected["metered"]
    for mine, known in zip(seen["calls"], expected["calls"], strict=True):
        assert mine == known
    assert seen == expected


def test_no_record_is_left_over() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {path(contract).name for contract in CALLS}


def test_records_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 200_000
