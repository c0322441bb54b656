"""The published Ewasm state tests (../shared/conformance/ewasm-state-tests): roots, logs hashes, gas used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ewasm.ruleset import HERA
from ewasm.vm import EwasmVM
from node.statetest import run_file
from tests.conformance.files import published
from tests.helpers import CONFORMANCE, conformance
from wasm.engine import Engine

FOLDER = CONFORMANCE / "ewasm-state-tests"


def published_gas() -> dict[str, int]:
    """Return the gas used of the tests whose top-level frame succeeds, as the README has it."""
    text = (FOLDER / "README.md").read_text("utf-8")
    line = re.search(r"^Tests here whose top-level frame succeeds: (.*)$", text, re.MULTILINE)
    assert line is not None
    return {name: int(gas) for name, gas in re.findall(r"(\w+) (\d+)", line[1])}


@pytest.mark.parametrize("path", published("ewasm-state-tests", "*.json"))
def test_file(path: Path, engine: Engine) -> None:
    """Root and logs hash agree, and so does the gas: as published, or the limit where the frame failed."""
    outcomes = list(run_file(path, HERA, EwasmVM(HERA, engine)))
    assert [(outcome.expected, outcome.name) for outcome in outcomes] == [
        (outcome.got, path.stem) for outcome in outcomes
    ], outcomes[0].note
    (test,) = json.loads(path.read_text("utf-8")).values()
    status, gas, *_ = outcomes[0].note.replace(",", "").split()
    succeeded = published_gas()
    assert int(gas) == succeeded.get(path.stem, int(test["transaction"]["gasLimit"][0], 16))
    assert (status == "SUCCESS") is (path.stem in succeeded)


def test_all_are_there() -> None:
    """150 files, of which 62 say more than that all gas is lost."""
    conformance("ewasm-state-tests")
    names = {path.stem for path in FOLDER.glob("*.json")}
    assert (len(names), len(published_gas())) == (150, 62)
    assert published_gas().keys() <= names
