from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

import state.trie as trie_module
from evmc import Bytes32
from state import (
    EMPTY_ROOT,
    CodecError,
    CorruptEntry,
    Database,
    MemoryStore,
    MissingNode,
    Table,
    Trie,
    keccak256,
    root_of,
)
from state.codec import encode
from state.database import node_key
from state.node import NOTHING, Extension, Leaf, decode_hex_prefix, decode_node, encode_node, hex_prefix
from state.store import Changes
from tests.state.conformance_data import cases, load, raw, unhex

PLAIN = ("trie/trietest.json", "trie/trieanyorder.json")
SECURE = ("trie/trietest_secureTrie.json", "trie/trieanyorder_secureTrie.json", "trie/hex_encoded_securetrie_test.json")

KEYS = st.lists(st.sampled_from([0x00, 0x01, 0x10, 0x11, 0x1F, 0xF0]), max_size=4).map(bytes)
VALUES = st.one_of(st.binary(min_size=1, max_size=3), st.binary(min_size=30, max_size=40))
CONTENTS = st.dictionaries(KEYS, VALUES, max_size=25)
BATCHES = st.lists(st.dictionaries(KEYS, st.none() | VALUES, max_size=12), max_size=6)


def yellow_rlp(item: Any) -> bytes:
    """Encode by appendix B; a tuple is an item that is encoded already."""
    if isinstance(item, tuple):
        return item[0]
    payload = item if isinstance(item, bytes) else b"".join(map(yellow_rlp, item))
    if isinstance(item, bytes) and len(item) == 1 and item[0] < 128:
        return item
    base = 128 if isinstance(item, bytes) else 192
    if len(payload) < 56:
        return bytes([base + len(payload)]) + payload
    size = len(payload).to_bytes((len(payload).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size + payload


def yellow_prefix(path: list[int], flag: int) -> bytes:
    """Pack nibbles by appendix C, `flag` 2 for a leaf."""
    head = [flag + 1, *path] if len(path) % 2 else [flag, 0, *path]
    return bytes(16 * high + low for high, low in zip(head[::2], head[1::2], strict=True))


def yellow_c(pairs: list[tuple[list[int], bytes]], i: int) -> bytes:
    """Compose the node for `pairs` from nibble `i` on, appendix D: c."""
    if len(pairs) == 1:
        return yellow_rlp([yellow_prefix(pairs[0][0][i:], 2), pairs[0][1]])
    j = i
    while all(len(path) > j for path, _ in pairs) and len({path[j] for path, _ in pairs}) == 1:
        j += 1
    if j > i:
        return yellow_rlp([yellow_prefix(pairs[0][0][i:j], 0), (yellow_n(pairs, j),)])
    below = [[pair for pair in pairs if len(pair[0]) > i and pair[0][i] == nibble] for nibble in range(16)]
    own = [value for path, value in pairs if len(path) == i]
    return yellow_rlp([*((yellow_n(each, i + 1),) for each in below), own[0] if own else b""])


def yellow_n(pairs: list[tuple[list[int], bytes]], i: int) -> bytes:
    """Refer to the node for `pairs`, appendix D: n."""
    if not pairs:
        return b"\x80"
    node = yellow_c(pairs, i)
    return node if len(node) < 32 else yellow_rlp(keccak(node))


def yellow_root(contents: Mapping[bytes, bytes]) -> bytes:
    """Return the root of a trie, appendix D: TRIE."""
    pairs = [([nibble for byte in key for nibble in divmod(byte, 16)], value) for key, value in contents.items()]
    return keccak(yellow_c(pairs, 0) if pairs else b"\x80")


def model_update(model: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]) -> None:
    for key, value in changes.items():
        if value is None:
            model.pop(key, None)
        else:
            model[key] = value


def built(contents: Mapping[bytes, bytes]) -> tuple[Trie, Database]:
    database = Database()
    trie = Trie(database)
    trie.update(contents)
    trie.commit()
    return trie, database


def stored(database: Database) -> dict[bytes, bytes]:
    """Return all nodes of a store by their keys."""
    return dict(database.store.items(Table.NODES))


def holding(nodes: Mapping[bytes, bytes]) -> Database:
    """Return a database with just these nodes, none of them decoded yet."""
    database = Database()
    database.write({Table.NODES: nodes})
    return database


def reachable(database: Database, root: Bytes32) -> set[bytes]:
    """Return the keys of all stored nodes below a root."""
    nodes, found = stored(database), set[bytes]()

    def visit(child: bytes, path: str) -> None:
        if len(child) == 33:
            key = node_key(b"", path, child[1:])
            found.add(key)
            child = nodes[key]
        elif child == NOTHING:
            return
        node = decode_node(child)
        if isinstance(node, Extension):
            visit(node.child, path + node.path)
        elif not isinstance(node, Leaf):
            for nibble, each in enumerate(node.children):
                visit(each, f"{path}{nibble:x}")

    if root != EMPTY_ROOT:
        visit(b"\xa0" + root, "")
    return found


# Published vectors


def changes_of(case: dict[str, Any]) -> Iterable[tuple[bytes, bytes | None]]:
    pairs = case["in"].items() if isinstance(case["in"], dict) else case["in"]
    return [(raw(key), None if value is None else raw(value)) for key, value in pairs]


@pytest.mark.parametrize("case", cases(*PLAIN))
def test_published_plain_roots(new_database: Callable[[], Database], case: dict[str, Any]) -> None:
    check_published(new_database, case, lambda key: key)


@pytest.mark.parametrize("case", cases(*SECURE))
def test_published_secure_roots(new_database: Callable[[], Database], case: dict[str, Any]) -> None:
    check_published(new_database, case, keccak256)


def check_published(new_database: Callable[[], Database], case: dict[str, Any], key_of: Any) -> None:
    at_once, one_by_one = Trie(new_database()), Trie(new_database())
    for key, value in changes_of(case):
        at_once.update({key_of(key): value})
        one_by_one.update({key_of(key): value})
        one_by_one.commit()
    assert at_once.root() == one_by_one.root() == unhex(case["root"])


def test_published_counts() -> None:
    assert sum(len(load(path)) for path in PLAIN + SECURE) == 25


@pytest.mark.parametrize("case", cases("trie/trietestnextprev.json"))
def test_published_key_order(case: dict[str, Any]) -> None:
    trie, _ = built({key.encode(): b"x" for key in case["in"]})
    for probe, previous, following in case["tests"]:
        assert (trie.previous_key(probe.encode()) or b"").decode() == previous
        assert (trie.next_key(probe.encode()) or b"").decode() == following


# Facts


def test_empty_root() -> None:
    assert EMPTY_ROOT.hex() == "56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
    assert Trie(Database()).root() == root_of({}) == EMPTY_ROOT


def test_a_root_shorter_than_a_hash_is_hashed() -> None:
    assert root_of({b"\x12": b"v"}) == keccak(unhex("c482201276"))


@pytest.mark.parametrize(
    ("path", "leaf", "packed"),
    [
        ("", False, "00"),
        ("", True, "20"),
        ("12345", False, "112345"),
        ("012345", False, "00012345"),
        ("0f1cb8", True, "200f1cb8"),
        ("f1cb8", True, "3f1cb8"),
    ],
)
def test_hex_prefix(path: str, leaf: bool, packed: str) -> None:
    assert hex_prefix(path, leaf=leaf).hex() == packed
    assert decode_hex_prefix(unhex(packed)) == (path, leaf)


@pytest.mark.parametrize("packed", ["", "01", "2f", "40", "f1"])
def test_bad_hex_prefix(packed: str) -> None:
    with pytest.raises(CodecError):
        decode_hex_prefix(unhex(packed))


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"x" * 32,
        [],
        [b"\x20", [b"v"]],
        [[], b"v"],
        [b"\x00", b"short"],
        [b""] * 16,
        [b""] * 16 + [[]],
        [b"x"] + [b""] * 16,
    ],
)
def test_bad_nodes(item: Any) -> None:
    with pytest.raises(CodecError):
        decode_node(encode(item))


# Against a dictionary and the definition


@settings(deadline=None)
@given(CONTENTS)
def test_root_is_the_definition(contents: dict[bytes, bytes]) -> None:
    assert root_of(contents) == yellow_root(contents)


@settings(deadline=None)
@given(BATCHES)
def test_batches(new_database: Callable[[], Database], batches: list[dict[bytes, bytes | None]]) -> None:
    store = new_database()
    trie, model = Trie(store), dict[bytes, bytes]()
    for batch in batches:
        trie.update(batch)
        model_update(model, batch)
        assert {key: trie.get(key) for key in batch} == {key: model.get(key) for key in batch}
        assert trie.root() == yellow_root(model)
        assert all(trie.get(key) == value for key, value in model.items())
        assert list(trie.items()) == sorted(model.items())
        reloaded = Trie(store, trie.commit())
        assert list(reloaded.items()) == sorted(model.items())
        assert reloaded.root() == trie.root()


@settings(deadline=None)
@given(BATCHES)
def test_each_batch_reloaded(new_database: Callable[[], Database], batches: list[dict[bytes, bytes | None]]) -> None:
    store, root, model = new_database(), EMPTY_ROOT, dict[bytes, bytes]()
    roots = []
    for batch in batches:
        trie = Trie(store, root)
        trie.update(batch)
        root = trie.commit()
        model_update(model, batch)
        roots.append((root, dict(model)))
    for old_root, contents in roots:
        assert dict(Trie(store, old_root).items()) == contents
        assert old_root == yellow_root(contents)


@settings(deadline=None)
@given(CONTENTS, st.dictionaries(KEYS, st.none() | VALUES, min_size=1, max_size=12), st.randoms())
def test_one_batch_is_many_single_changes(
    contents: dict[bytes, bytes], batch: dict[bytes, bytes | None], random: Any
) -> None:
    at_once, _ = built(contents)
    at_once.update(batch)
    single, _ = built(contents)
    order = list(batch.items())
    random.shuffle(order)
    for key, value in order:
        if value is None:
            single.delete(key)
        else:
            single.set(key, value)
        single.root()
    assert at_once.root() == single.root()


@settings(deadline=None)
@given(CONTENTS, CONTENTS)
def test_what_is_deleted_leaves_no_trace(kept: dict[bytes, bytes], extra: dict[bytes, bytes]) -> None:
    trie, _ = built({**extra, **kept})
    trie.update({key: None for key in extra if key not in kept})
    assert trie.root() == root_of(kept)
    trie.update(dict.fromkeys(kept, b""))
    assert trie.root() == EMPTY_ROOT


@settings(deadline=None)
@given(CONTENTS, st.dictionaries(KEYS, st.none() | VALUES, max_size=12))
@example({b"\x00": bytes(32), b"\x01": bytes(32)}, {})  # equal nodes in two places
def test_only_nodes_of_the_new_root_are_written(contents: dict[bytes, bytes], batch: dict[bytes, bytes | None]) -> None:
    trie, store = built(contents)
    old = reachable(store, trie.root())
    trie.update(batch)
    assert reachable(store, trie.commit()) | old == stored(store).keys()


@settings(deadline=None)
@given(CONTENTS, KEYS, st.none() | KEYS, st.booleans())
def test_ranges(contents: dict[bytes, bytes], start: bytes, stop: bytes | None, descending: bool) -> None:
    trie, _ = built(contents)
    expected = sorted((key, value) for key, value in contents.items() if start <= key and (stop is None or key < stop))
    assert list(trie.items(start, stop, descending=descending)) == (expected[::-1] if descending else expected)
    assert trie.next_key(start) == min((key for key in contents if key > start), default=None)
    assert trie.previous_key(start) == max((key for key in contents if key < start), default=None)


@settings(deadline=None)
@given(CONTENTS)
def test_nodes_decode(contents: dict[bytes, bytes]) -> None:
    trie, store = built(contents)
    for key in reachable(store, trie.root()):
        encoded = stored(store)[key]
        assert encode_node(decode_node(encoded)) == encoded
        assert keccak256(encoded) == key[-32:]


# Cost and loss


def fixed_keys(count: int) -> dict[bytes, bytes]:
    return {keccak256(number.to_bytes(4, "big")): number.to_bytes(32, "big") for number in range(1, count + 1)}


def test_each_node_is_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []

    def counting(data: bytes) -> bytes:
        hashed.append(data)
        return keccak(data)

    monkeypatch.setattr(trie_module, "keccak", counting)
    contents = fixed_keys(500)
    trie, store = built(contents)
    assert len(hashed) == len(set(hashed)) == len(stored(store))
    hashed.clear()
    trie.root()
    trie.update(contents)
    trie.root()
    assert not hashed
    trie.set(next(iter(contents)), b"other")
    trie.root()
    assert 2 <= len(hashed) <= 5


class ListeningStore(MemoryStore):
    """A store that notes what is asked and how much is written."""

    __slots__ = ("asked", "written")

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.written: list[int] = []

    def get(self, table: Table, key: bytes) -> bytes | None:
        self.asked.append(key)
        return super().get(table, key)

    def write(self, changes: Changes) -> None:
        self.written.append(sum(map(len, changes.values())))
        super().write(changes)


def test_nodes_are_loaded_only_when_needed_and_once() -> None:
    contents = fixed_keys(500)
    store = ListeningStore()
    trie = Trie(Database(store))
    trie.update(contents)
    root = trie.commit()
    assert not store.asked
    trie = Trie(Database(store), root)
    trie.set(next(iter(contents)), b"other")
    assert not store.asked
    some = next(reversed(contents))
    assert trie.get(some) == contents[some]
    assert 2 <= len(store.asked) <= 5
    assert trie.get(some) == contents[some]
    assert len(store.asked) == len(set(store.asked))
    for direction in ("next", "previous"):
        trie = Trie(Database(store), root)
        store.asked.clear()
        assert (trie.next_key(some) if direction == "next" else trie.previous_key(some)) in contents
        assert 2 <= len(store.asked) <= 8


def test_without_a_cache_every_read_goes_to_the_store() -> None:
    store = ListeningStore()
    trie = Trie(Database(store, cache_bytes=0))
    trie.update(fixed_keys(50))
    trie.commit()
    some = next(iter(fixed_keys(1)))
    trie.get(some)
    once = len(store.asked)
    trie.get(some)
    assert len(store.asked) == 2 * once > 0


def test_nodes_are_written_once() -> None:
    store = ListeningStore()
    trie = Trie(Database(store))
    trie.update(fixed_keys(20))
    trie.root()
    assert not store.written
    trie.commit()
    trie.commit()
    assert store.written == [len(dict(store.items(Table.NODES)))]


def test_a_missing_node_is_named() -> None:
    contents = fixed_keys(200)
    trie, full = built(contents)
    nodes = stored(full)
    for lost in nodes:
        partial = Trie(holding({key: node for key, node in nodes.items() if key != lost}), trie.root())
        with pytest.raises(MissingNode, match=lost[-32:].hex()) as caught:
            list(partial.items())
        assert caught.value.wanted == lost[-32:]
        assert 0 < sum(cannot_read(partial, key) for key in contents) <= len(contents)


def test_a_flipped_bit_is_found_and_named() -> None:
    contents = fixed_keys(60)
    trie, full = built(contents)
    nodes = stored(full)
    for number, (key, node) in enumerate(nodes.items()):
        flipped = bytearray(node)
        flipped[number % len(node)] ^= 1 << number % 8
        damaged = Trie(holding({**nodes, key: bytes(flipped)}), trie.root())
        with pytest.raises(CorruptEntry, match=key[-32:].hex()):
            list(damaged.items())


def cannot_read(trie: Trie, key: bytes) -> bool:
    try:
        trie.get(key)
    except MissingNode:
        return True
    return False


def test_a_failed_change_can_be_taken_up_again(new_database: Callable[[], Database]) -> None:
    contents = fixed_keys(50)
    trie, full = built(contents)
    database = new_database()
    partial = Trie(database, trie.root())
    partial.delete(next(iter(contents)))
    with pytest.raises(MissingNode):
        partial.root()
    assert partial.get(next(iter(contents))) is None
    database.write({Table.NODES: stored(full)})
    assert partial.root() == root_of({key: value for key, value in contents.items() if key != next(iter(contents))})


def test_deleting_an_absent_key_needs_no_siblings() -> None:
    trie, full = built({b"\x11\x11" + bytes(40): b"a" * 40, b"\x11\x12" + bytes(40): b"b" * 40})
    root = {key: node for key, node in stored(full).items() if key.endswith(trie.root())}
    assert len(root) == 1
    partial = Trie(holding(root), trie.root())
    partial.update({b"\x12": None, b"\x11": None, b"": None})
    assert partial.root() == trie.root()


def test_iteration_is_over_the_trie_as_it_was() -> None:
    trie, _ = built({b"a": b"1", b"b": b"2"})
    entries = trie.items()
    assert next(entries) == (b"a", b"1")
    trie.update({b"b": None, b"c": b"3"})
    trie.root()
    assert list(entries) == [(b"b", b"2")]
    assert list(trie.items()) == [(b"a", b"1"), (b"c", b"3")]
