"""A chain in process, on each engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ewasm.testing import Chain, Contract
from tests.helpers import FIXTURES
from wasm.engine import Engine


@pytest.fixture
def chain(engine: Engine) -> Iterator[Chain]:
    chain = Chain(engine=engine.name, clock=lambda: 1_700_000_000)
    yield chain
    chain.close()


@pytest.fixture
def token(chain: Chain) -> Contract:
    return chain.deploy(FIXTURES / "erc20_deploy.wasm", FIXTURES / "erc20.abi.json")
