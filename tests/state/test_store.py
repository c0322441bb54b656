"""What every store does, and what the layer above it checks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import Bytes32
from state import (
    CorruptEntry,
    Database,
    MissingCode,
    MissingEntry,
    MissingNode,
    MissingPreimage,
    Table,
    keccak256,
)
from state.cache import LeastRecentlyUsed
from state.store import Store, draft

KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.dictionaries(st.sampled_from(Table), st.dictionaries(KEYS, st.none() | st.binary(max_size=5), max_size=6))


@settings(deadline=None)
@given(st.lists(CHANGES, max_size=6), KEYS, st.none() | KEYS)
def test_tables_are_dictionaries(
    new_store: Callable[[], Store],
    writes: list[dict[Table, dict[bytes, bytes | None]]],
    start: bytes,
    stop: bytes | None,
) -> None:
    store = new_store()
    model: dict[Table, dict[bytes, bytes]] = {table: dict(store.items(table)) for table in Table}
    for changes in writes:
        store.write(changes)
        for table, rows in changes.items():
            for key, value in rows.items():
                model[table].pop(key, None)
                if value is not None:
                    model[table][key] = value
    for table, rows in model.items():
        kept = sorted(rows.items())
        assert list(store.items(table)) == kept
        assert list(store.items(table, start, stop)) == [
            (key, value) for key, value in kept if start <= key and (stop is None or key < stop)
        ]
        assert store.last(table) == (kept[-1] if kept else None)
        assert all(store.get(table, key) == value for key, value in kept)
        assert store.get(table, b"none such") is None


@pytest.mark.parametrize("kind", [MissingNode, MissingCode, MissingPreimage])
def test_what_is_missing_is_named(kind: type[MissingEntry]) -> None:
    error = kind(Bytes32.from_int(1))
    assert isinstance(error, MissingEntry)
    assert error.wanted == Bytes32.from_int(1)
    assert str(Bytes32.from_int(1)) in str(error)
    assert kind.__name__ in str(error)


def test_code_and_preimages_are_checked(new_database: Callable[[], Database]) -> None:
    database = new_database()
    changes = draft()
    digest = keccak256(b"code")
    changes[Table.CODE][digest] = b"codE"
    changes[Table.PREIMAGES][digest] = b"codf"
    database.write(changes)
    with pytest.raises(CorruptEntry, match=f"code has under {digest}.*damaged"):
        database.code(digest)
    with pytest.raises(CorruptEntry, match=f"preimages has under {digest}.*damaged"):
        database.preimage(digest)
    other = keccak256(b"other")
    with pytest.raises(MissingCode, match=str(other)):
        database.code(other)
    with pytest.raises(MissingPreimage, match=str(other)):
        database.preimage(other)


# The bound in bytes


def test_the_least_recently_used_goes_first() -> None:
    cache: LeastRecentlyUsed[str, int] = LeastRecentlyUsed(10)
    for number, key in enumerate("abc"):
        cache.put(key, number, 3)
    assert cache.get("a") == 0
    cache.put("d", 3, 3)
    assert [cache.get(key) for key in "abcd"] == [0, None, 2, 3]
    cache.put("big", 4, 11)
    assert cache.get("big") is None
    assert (cache.size, len(cache)) == (9, 3)
    cache.put("a", 5, 10)
    assert (cache.get("a"), cache.get("c"), cache.size) == (5, None, 10)
    cache.clear()
    assert (cache.get("a"), cache.size, len(cache)) == (None, 0, 0)


@given(st.integers(0, 30), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12)), max_size=40))
def test_the_bound_holds(bound: int, puts: list[tuple[int, int]]) -> None:
    cache: LeastRecentlyUsed[int, int] = LeastRecentlyUsed(bound)
    sizes: dict[int, int] = {}
    for key, size in puts:
        cache.put(key, size, size)
        sizes[key] = size
        assert cache.size == sum(sizes[kept] for kept in sizes if cache.get(kept) is not None) <= bound
