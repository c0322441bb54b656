"""The trie against two others: py-trie, and the execution specification's where it is installed."""

from __future__ import annotations

import importlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from trie import HexaryTrie

from state import EMPTY_ROOT, Database, Trie, keccak256
from tests.state.test_trie import BATCHES, model_update

Batch = dict[bytes, bytes | None]


@settings(deadline=None)
@given(BATCHES)
def test_py_trie_has_the_same_roots(batches: list[Batch]) -> None:
    """Keys of any length, values that embed nodes and others, deletions of what is there and what is not."""
    ours, theirs = Trie(Database()), HexaryTrie({})
    for batch in batches:
        ours.update(batch)
        for key, value in batch.items():
            if value is None:
                theirs.delete(key)
            else:
                theirs[key] = value
        assert ours.root() == theirs.root_hash


def history(seed: int, *, batches: int, size: int) -> list[Batch]:
    """Return changes of 32-byte keys, some deleting what earlier ones gave."""
    source = random.Random(seed)
    known: list[bytes] = []
    found: list[Batch] = []
    for _ in range(batches):
        batch: Batch = {}
        for _ in range(source.randrange(1, size)):
            if known and source.random() < 0.45:
                key = source.choice(known)
                batch[key] = None if source.random() < 0.7 else source.randbytes(source.randrange(1, 40))
            else:
                key = keccak256(source.randbytes(8))
                known.append(key)
                batch[key] = source.randbytes(source.randrange(1, 80))
        found.append(batch)
    found.append(dict.fromkeys(known))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_long_histories(seed: int) -> None:
    """Each batch on a trie that was loaded again, down to nothing at the end."""
    database, root, theirs = Database(), EMPTY_ROOT, HexaryTrie({})
    for batch in history(seed, batches=15, size=40):
        ours = Trie(database, root)
        ours.update(batch)
        root = ours.commit()
        for key, value in batch.items():
            if value is None:
                theirs.delete(key)
            else:
                theirs[key] = value
        assert root == theirs.root_hash
    assert root == EMPTY_ROOT


@pytest.fixture(scope="module")
def specification() -> Any:
    """Return the trie of the execution specification."""
    try:
        return importlib.import_module("ethereum.forks.byzantium.trie")
    except ImportError as error:
        pytest.skip(f"the execution specification is absent ({error}); pip install ethereum-execution")


@pytest.mark.parametrize("seed", range(3))
def test_the_execution_specification_has_the_same_roots(specification: Any, seed: int) -> None:
    ours, model = Trie(Database()), dict[bytes, bytes]()
    for batch in history(seed, batches=8, size=30):
        ours.update(batch)
        model_update(model, batch)
        theirs = specification.Trie(secured=False, default=None)
        for key, value in model.items():
            specification.trie_set(theirs, key, value)
        assert ours.root() == specification.root(theirs)
