"""What all tests share: the engines, and the published data that may stand beside the checkout."""

from __future__ import annotations

import pytest

from ewasm.vm import ENGINES, make_engine
from wasm.engine import Engine


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return each engine in turn: every test that executes code takes this fixture."""
    return make_engine(request.param)
