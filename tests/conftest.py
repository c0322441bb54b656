"""What all tests share: the engines, and a process that is left as it was found."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from ewasm.vm import ENGINES, make_engine
from wasm.engine import Engine

PYTHON_RECURSION = 1_000
"""The limit that Python starts with."""


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return each engine in turn: every test that executes code takes this fixture."""
    return make_engine(request.param)


@pytest.fixture(autouse=True, scope="session")
def _cache_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled code of the command line away from the user's cache directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _recursion_limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run under Python's own recursion limit: py_ecc, an oracle, raises it for the whole process when imported."""
    before = sys.getrecursionlimit()
    if not request.module.__name__.endswith("test_precompiles"):
        sys.setrecursionlimit(PYTHON_RECURSION)
    yield
    sys.setrecursionlimit(before)
