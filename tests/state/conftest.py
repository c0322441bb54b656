"""Databases over every store there is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from state import Database, MemoryStore, Store
from state.lmdb import LmdbStore

STORES = ("memory", "lmdb")


@pytest.fixture(scope="module", params=STORES)
def new_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Store]]:
    """Return what makes a store that is empty; of those on disk the last few stay open."""
    if request.param == "memory":
        yield MemoryStore
        return
    folder, numbers, opened = tmp_path_factory.mktemp("stores"), count(), deque[LmdbStore]()

    def new() -> Store:
        opened.append(LmdbStore(folder / str(next(numbers)), create=True))
        if len(opened) > 4:
            opened.popleft().close()
        return opened[-1]

    yield new
    while opened:
        opened.pop().close()


@pytest.fixture(scope="module")
def new_database(new_store: Callable[[], Store]) -> Callable[[], Database]:
    """Return what makes a database that is empty."""
    return lambda: Database(new_store())
