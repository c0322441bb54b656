"""The engines agree on generated contracts; `campaign.py` runs the same by the million."""

from __future__ import annotations

import pytest

from ewasm.threads import on_fresh_thread
from tests.differential.campaign import campaign
from wasm.compiled import CompiledEngine

MODULES = 120
RUNS = 25


@pytest.mark.parametrize("first", range(0, MODULES, 40))
def test_engines_agree(first: int) -> None:
    modules, counts = on_fresh_thread(CompiledEngine(), lambda: campaign(range(first, first + 40), RUNS))
    assert modules == 40
    assert counts.total() == 40 * RUNS
    assert len(counts) > 4, "the generated contracts end in few ways: the comparison shows little"
