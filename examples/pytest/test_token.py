"""Test an ERC-20 token. Run it: `pytest examples/pytest --gas-report`."""

from collections.abc import Callable

import pytest

from ewasm import Address
from ewasm.testing import Contract, Reverted

FIXTURES = "../../fixtures"


@pytest.fixture
def token(deploy: Callable[..., Contract]) -> Contract:
    """Deploy the token; the first account has all 1,000."""
    return deploy(f"{FIXTURES}/erc20_deploy.wasm", f"{FIXTURES}/erc20.abi.json")


def test_a_transfer_moves_tokens_and_says_so(token: Contract, accounts: tuple[Address, ...]) -> None:
    """What one loses the other gains."""
    alice, bob, *_ = accounts
    receipt = token.transfer(bob, 3)
    assert (token.balanceOf(alice), token.balanceOf(bob)) == (997, 3)
    (event,) = receipt.named("Transfer")
    assert event.values == {"from": alice, "to": bob, "value": 3}


def test_nobody_gives_what_they_have_not(token: Contract, accounts: tuple[Address, ...]) -> None:
    """Bob has nothing: the chain of the test before is gone."""
    alice, bob, *_ = accounts
    with pytest.raises(Reverted, match="transfer amount exceeds balance"):
        token.transfer(alice, 1, sender=bob)


def test_an_allowance_is_used_up(token: Contract, accounts: tuple[Address, ...]) -> None:
    """What was allowed can be sent once."""
    alice, bob, carol, *_ = accounts
    token.approve(bob, 5)
    token.transferFrom(alice, carol, 5, sender=bob)
    assert token.balanceOf(carol) == 5
    assert token.allowance(alice, bob) == 0
