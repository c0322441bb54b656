"""The state that most tests of this folder begin with."""

from __future__ import annotations

import pytest

from evmc import U256
from state import GenesisAccount
from tests.node.world import ALICE, CALLER, ONE, RICH, TWO, A, B, C, Node, contract
from wasm.engine import Engine


@pytest.fixture
def node(engine: Engine) -> Node:
    """Three contracts that do what they are told; A and B have ether."""
    accounts = {
        ALICE: GenesisAccount(balance=RICH),
        A: contract(CALLER, balance=U256(1_000), storage={TWO: ONE}),
        B: contract(CALLER, balance=U256(500)),
        C: contract(CALLER),
    }
    return Node(engine, accounts)
