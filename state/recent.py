"""Accounts that were read lately, for the newest of the states that follow each other."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Final

from evmc import Address
from state.account import Account

RECENT_ACCOUNTS: Final = 1 << 16
"""How many accounts are kept, some 400 bytes each with what they share."""

UNKNOWN: Final = Account(nonce=-1)
"""Stands for an account of which nothing is known."""


class _Kept:
    """Accounts of one state at a time: of the one whose token is the owner."""

    __slots__ = ("accounts", "lock", "owner")

    def __init__(self, owner: object) -> None:
        self.accounts: dict[Address, Account | None] = {}
        self.lock = Lock()
        self.owner: object | None = owner


class RecentAccounts:
    """What one state knows of its accounts without asking its trie.

    A state that is changed hands its accounts on to the next and knows none from then on, so that what is kept is
    never copied. Threads may read a state while another thread changes it.
    """

    __slots__ = ("_kept", "_token", "bound")

    def __init__(self, bound: int = RECENT_ACCOUNTS) -> None:
        self.bound = bound
        self._token = object()
        self._kept = _Kept(self._token)

    def get(self, address: Address) -> Account | None:
        """Return the account, None if there is none, `UNKNOWN` if that is not known."""
        kept = self._kept
        account = kept.accounts.get(address, UNKNOWN)
        # Whoever takes the accounts over ends the ownership before it changes any.
        return account if kept.owner is self._token else UNKNOWN

    def put(self, address: Address, account: Account | None) -> None:
        """Keep an account; the one that was kept first makes room."""
        kept = self._kept
        with kept.lock:
            if kept.owner is self._token:
                self._place(address, account)

    def handed_on(self, changed: Mapping[Address, Account | None]) -> RecentAccounts:
        """Return the accounts of the next state, with what changed."""
        after = RecentAccounts(self.bound)
        kept = self._kept
        with kept.lock:
            if kept.owner is not self._token:
                return after
            kept.owner = None
            after._kept = kept
            for address, account in changed.items():
                after._place(address, account)
            kept.owner = after._token
        return after

    def _place(self, address: Address, account: Account | None) -> None:
        accounts = self._kept.accounts
        accounts[address] = account
        if len(accounts) > self.bound:
            del accounts[next(iter(accounts))]
