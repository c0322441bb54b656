"""What a transaction did to the state, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from evmc import U256, Address, Bytes32

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """A value before and after."""

    before: T
    after: T


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountDiff:
    """What changed in one account; what did not is None or not among the slots.

    An account that is `created` counts as having been without nonce, balance and code before; one that is `deleted`
    as having none after, and its storage is gone without a list of slots. `storage_cleared` tells that slots which
    are not listed are zero now: the account began anew at an address that had one.
    """

    created: bool = False
    deleted: bool = False
    storage_cleared: bool = False
    nonce: Change[int] | None = None
    balance: Change[U256] | None = None
    code: Change[bytes] | None = None
    slots: Mapping[Bytes32, Change[Bytes32]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diff:
    """The accounts that changed, by ascending address."""

    accounts: Mapping[Address, AccountDiff] = field(default_factory=dict)
