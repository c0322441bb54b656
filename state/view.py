"""The joint at which a journal meets the state it starts from."""

from __future__ import annotations

from typing import Protocol

from evmc import Address, Bytes32
from state.account import Account


class StateView(Protocol):
    """A state that is only read."""

    def account(self, address: Address) -> Account | None:
        """Return the account, None if there is none; an account that is there and empty is an account."""

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot, zero if never written."""

    def code(self, code_hash: Bytes32) -> bytes:
        """Return the code with this hash; raise MissingCode if it is unknown."""
