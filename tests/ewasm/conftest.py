from __future__ import annotations

import pytest

from tests.ewasm.interface import Bench
from wasm.engine import Engine


@pytest.fixture
def bench(engine: Engine) -> Bench:
    """Return what runs contracts, on each engine in turn."""
    return Bench(engine)
