"""What a chain remembers to go back to."""

from __future__ import annotations

from dataclasses import dataclass

from evmc import Address, Bytes32
from node.chain.block import Header
from node.chain.pool import Pool
from node.chain.settings import Settings


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The chain's end with the root of its state, and what was set and waited then."""

    head: Header
    root: Bytes32
    pool: Pool
    settings: Settings
    impersonated: frozenset[Address]
    automine: bool
