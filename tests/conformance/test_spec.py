"""The WebAssembly specification's test scripts (../shared/conformance/wasm-spec)."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from ewasm.vm import make_engine
from node.spectest import Outcome, run_file
from tests.conformance.files import published
from tests.helpers import CONFORMANCE, conformance
from wasm.engine import Engine

FOLDER = CONFORMANCE / "wasm-spec"
FILES = sorted(FOLDER.glob("*.wast"))

# What each engine does not run, by title, and the words by which a script that needs it is known.
NOT_RUN = {
    "interpreter": ({"floating point", "non-trapping float-to-int conversions"}, r"\bf(32|64)\b"),
    "compiled": ({"reference types"}, r"\bexternref\b|\bref\.extern\b"),
}

# What was malformed or invalid when the scripts were written, and belongs to a proposal now.
PROPOSALS = {
    "binary:44": "component model",
    "binary:857": "multiple memories",
    "binary:955": "multiple memories",
    "binary:1517": "shared-everything threads",
    "binary:1563": "threads",
    "elem:536": "extended constant expressions",
    "global:379": "shared-everything threads",
    "global:392": "shared-everything threads",
    "global:409": "shared-everything threads",
    "global:421": "shared-everything threads",
}
pytestmark = pytest.mark.skipif(shutil.which("wast2json") is None, reason="wast2json (wabt) is not on the PATH")


@cache
def outcomes(path: Path, engine: str) -> list[Outcome]:
    return list(run_file(path, make_engine(engine)))


@pytest.mark.parametrize("path", published("wasm-spec", "*.wast"))
def test_file(path: Path, engine: Engine) -> None:
    """Nothing fails; refused is what the engine does not run, in a script that has it, and the few listed above."""
    features, words = NOT_RUN[engine.name]
    found = outcomes(path, engine.name)
    assert [outcome for outcome in found if outcome.status == "failed"] == []
    refused = [outcome for outcome in found if outcome.status == "refused"]
    listed = {outcome.name.split()[0]: outcome.feature for outcome in refused if outcome.feature not in features}
    assert listed == {name: feature for name, feature in PROPOSALS.items() if name.startswith(f"{path.stem}:")}
    assert len(refused) == len(listed) or re.search(words, path.read_text("utf-8"))


def test_totals(engine: Engine) -> None:
    """At least 5,600 assertions on running code pass; without floats, about 1,300 beside the copies and fills."""
    conformance("wasm-spec")
    every = [outcome for path in FILES for outcome in outcomes(path, engine.name)]
    executed = [outcome for outcome in every if outcome.executed]
    assert len(executed) >= 5_600
    rest = [outcome for outcome in executed if not outcome.name.startswith(("memory_", "table_", "bulk", "elem"))]
    assert len(rest) >= 1_300
    assert {outcome.status for outcome in every} == {"passed", "refused", "text"}
    assert len(FILES) >= 59
