"""What a chain is, from its first block on: written once, and held against whoever opens the store again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

from ewasm.ruleset import Ruleset
from node.chain.archive import HEAD
from node.chain.errors import UnusableChain
from state import Store, Table

IDENTITY: Final = b"chain"
"""The key of META with a chain's identity in JSON."""

RULESET: Final = b"ruleset"
"""The key of META with name and hash of the ruleset, as in every state directory."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Chain id, the genesis it began with, the rules its contracts run by."""

    chain_id: int
    genesis: str
    ruleset: str
    ruleset_hash: str

    def rows(self) -> dict[bytes, bytes | None]:
        """Return the rows of META: the chain's, and the ruleset's for whoever reads the states only."""
        ruleset = {"name": self.ruleset, "hash": self.ruleset_hash}
        return {IDENTITY: json.dumps(asdict(self)).encode(), RULESET: json.dumps(ruleset).encode()}

    @classmethod
    def find(cls, store: Store) -> Self | None:
        """Return what is in a store, None if no chain is; raise UnusableChain if it cannot be read."""
        row = store.get(Table.META, IDENTITY)
        last = store.last(Table.ROOTS)
        if row is None:
            if last is not None:
                raise UnusableChain("the store holds states without a chain, as `ewasm deploy` makes; give another one")
            return None
        if last is not None and last[0] > (store.get(Table.META, HEAD) or b"")[: len(last[0])]:
            raise UnusableChain(
                "the store holds states after the last block, made by another command; give another one"
            )
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
