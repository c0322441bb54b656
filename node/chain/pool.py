"""Transactions that wait for a block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evmc import Address
from node.chain.signed import SignedTransaction


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many transactions may wait: of one sender, and of all."""

    sender: int = 1_024
    total: int = 8_192


@dataclass(frozen=True, slots=True)
class PoolContent:
    """What waits, by sender and nonce: `pending` could be in the next block, `queued` wait for an earlier nonce."""

    pending: Mapping[Address, Mapping[int, SignedTransaction]]
    queued: Mapping[Address, Mapping[int, SignedTransaction]]
