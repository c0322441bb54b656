import pytest

from evmc import Bytes32
from state import MemoryStore, MissingCode, MissingEntry, MissingNode, MissingPreimage
from state.store import Batch

ONE, TWO = Bytes32.from_int(1), Bytes32.from_int(2)


def test_memory() -> None:
    store = MemoryStore({ONE: b"one"})
    store.put_many({TWO: b""})
    assert (store.get(ONE), store.get(TWO), store.get(Bytes32.from_int(3)), len(store)) == (b"one", b"", None, 2)


def test_memory_copies_what_it_begins_with() -> None:
    entries = {ONE: b"one"}
    MemoryStore(entries).put_many({TWO: b"two"})
    assert entries == {ONE: b"one"}


def test_a_batch_writes_at_once() -> None:
    store = MemoryStore({ONE: b"one"})
    batch = Batch(store)
    batch.put_many({TWO: b""})
    assert (batch.get(ONE), batch.get(TWO)) == (b"one", b"")
    assert store.get(TWO) is None
    batch.write()
    assert store.get(TWO) == b""


@pytest.mark.parametrize("kind", [MissingNode, MissingCode, MissingPreimage])
def test_what_is_missing_is_named(kind: type[MissingEntry]) -> None:
    error = kind(ONE)
    assert isinstance(error, MissingEntry)
    assert error.wanted == ONE
    assert str(ONE) in str(error)
    assert kind.__name__ in str(error)
