"""What a chain is, from its first block on: written once, and held against whoever opens the store again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

from ewasm.ruleset import Ruleset
from node.chain.errors import UnusableChain
from state import Store, Table

IDENTITY: Final = b"chain"
"""The key of META with a chain's identity in JSON."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Chain id, the genesis it began with, the rules its contracts run by."""

    chain_id: int
    genesis: str
    ruleset: str
    ruleset_hash: str

    def encode(self) -> bytes:
        """Return the row of META."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def find(cls, store: Store) -> Self | None:
        """Return what is in a store, None if no chain is; raise UnusableChain if it cannot be read."""
        row = store.get(Table.META, IDENTITY)
        if row is None:
            return None
        try:
            return cls(**json.loads(row))
        except (ValueError, TypeError) as error:
            raise UnusableChain("the store's chain was written by another version; use that one") from error

    @classmethod
    def of(cls, store: Store, ruleset: Ruleset) -> Self:
        """Return what is in a store; raise UnusableChain if there is nothing, or another ruleset's chain."""
        found = cls.find(store)
        if found is None:
            raise UnusableChain("the store has no chain; start one with `ewasm node`")
        if found.ruleset_hash != ruleset.hash:
            raise UnusableChain(
                f"the chain was made with the ruleset {found.ruleset} ({found.ruleset_hash[:12]}…), not with "
                f"{ruleset.name} ({ruleset.hash[:12]}…); give that one, or another store"
            )
        return found
