"""Chains on every engine, with accounts whose keys are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ewasm.cache import CodeCache
from node.chain import Chain, Genesis, Wallet
from state import Store
from tests.node.chain.world import ACCOUNTS, WALLET, Clock
from tests.state.conftest import new_store
from wasm.engine import Engine

__all__ = ["new_store"]

NewChain = Callable[..., Chain]

_CACHE = CodeCache()
"""Fixtures are prepared once for all tests."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def new_chain(engine: Engine, clock: Clock) -> Iterator[NewChain]:
    """Return what opens chains on an engine; they are closed at the end."""
    opened: list[Chain] = []

    def new(store: Store | None = None, **options: Any) -> Chain:
        options = {
            "wallet": Wallet(WALLET),
            "genesis": Genesis(accounts=ACCOUNTS),
            "engine": engine.name,
            "cache": _CACHE,
            "clock": clock,
            **options,
        }
        opened.append(Chain(store, **options))
        return opened[-1]

    yield new
    for chain in opened:
        chain.close()


@pytest.fixture
def chain(new_chain: NewChain) -> Chain:
    return new_chain()
