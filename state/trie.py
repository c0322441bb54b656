"""The hexary Merkle Patricia trie (Yellow Paper appendices C and D).

Changes wait in a dictionary until the root or the order of keys is asked for. Then one pass over them, in order, makes
the new nodes from the leaves up and hashes each of them once. Nodes are immutable.

A *path* is a run of nibbles, written as the hex digits of the key: one character each.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple, TypeAlias

from evmc import Bytes32
from state.codec import CodecError, Decoded, decode, encode_list, encode_string
from state.hash import keccak256
from state.store import MemoryStore, MissingNode, Store

EMPTY_ROOT = keccak256(encode_string(b""))
"""The root of a trie without keys."""


class Leaf(NamedTuple):
    """The rest of one key's path, and its value."""

    path: str
    value: bytes


class Extension(NamedTuple):
    """A path that all keys below share, and the branch it leads to."""

    path: str
    child: Child


class Branch(NamedTuple):
    """A child or None for each of the 16 nibbles, and the value of the key that ends here, empty if none does."""

    children: tuple[Child | None, ...]
    value: bytes


Node: TypeAlias = Leaf | Extension | Branch

Child: TypeAlias = Node | Bytes32
"""How a node stands in its parent: itself if its RLP is shorter than 32 bytes, else as the hash of that."""

_Change: TypeAlias = tuple[str, bytes]
"""The whole path of a key and its new value, empty to delete."""

_NO_CHILDREN = Branch((None,) * 16, b"")


def hex_prefix(path: str, *, leaf: bool) -> bytes:
    """Return a path packed in bytes, the first nibble telling leaf or extension and odd or even (appendix C)."""
    if len(path) % 2:
        return bytes.fromhex(("3" if leaf else "1") + path)
    return bytes.fromhex(("20" if leaf else "00") + path)


def decode_hex_prefix(packed: bytes) -> tuple[str, bool]:
    """Return the path in `packed` and whether it is a leaf's; raise CodecError if it is nobody's."""
    flag, path = packed.hex()[:1], packed.hex()[1:]
    if flag in ("1", "3"):
        return path, flag == "3"
    if flag in ("0", "2") and path[0] == "0":
        return path[1:], flag == "2"
    raise CodecError(f"0x{packed.hex()} is no hex-prefixed path")


def encode_node(node: Node) -> bytes:
    """Return the node's RLP."""
    if isinstance(node, Leaf):
        return encode_list(encode_string(hex_prefix(node.path, leaf=True)) + encode_string(node.value))
    if isinstance(node, Extension):
        return encode_list(encode_string(hex_prefix(node.path, leaf=False)) + _reference(node.child))
    return encode_list(b"".join([_reference(child) for child in node.children]) + encode_string(node.value))


def _reference(child: Child | None) -> bytes:
    """Return the RLP item that stands for a child in its parent."""
    if child is None:
        return b"\x80"
    return b"\xa0" + child if isinstance(child, Bytes32) else encode_node(child)


@lru_cache(maxsize=1 << 14)
def decode_node(encoded: bytes) -> Node:
    """Return the node that `encode_node` writes as `encoded`; raise CodecError if there is none."""
    return _node_of(decode(encoded))


def _node_of(item: Decoded) -> Node:
    """Return the node in a decoded list of 2 or 17 items."""
    if isinstance(item, list) and len(item) == 17 and isinstance(item[16], bytes):
        return Branch(tuple([_child_of(child) if child else None for child in item[:16]]), item[16])
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], bytes):
        path, is_leaf = decode_hex_prefix(item[0])
        if not is_leaf:
            return Extension(path, _child_of(item[1]))
        if isinstance(item[1], bytes):
            return Leaf(path, item[1])
    raise CodecError("neither leaf, extension nor branch")


def _child_of(item: Decoded) -> Child:
    """Return the node that an item embeds, or the hash that it is."""
    if isinstance(item, list):
        return _node_of(item)
    if len(item) != Bytes32.length:
        raise CodecError(f"a child of {len(item)} bytes is no hash")
    return Bytes32(item)


class Trie:
    """A mapping of bytes to bytes with a root hash, over a store.

    An empty value is no value: setting it deletes the key. Nodes are loaded when they are needed: any method but `set`,
    `delete` and `update` raises MissingNode where one is not in the store, and leaves the trie as it was. Nothing is
    written before `commit`.
    """

    __slots__ = ("_changes", "_fresh", "_root", "_store")

    def __init__(self, store: Store, root: Bytes32 = EMPTY_ROOT) -> None:
        self._store = store
        self._root = root
        self._changes: dict[bytes, bytes] = {}
        self._fresh: dict[Bytes32, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the key's value, None if it has none."""
        if key in self._changes:
            return self._changes[key] or None
        path, depth, child = key.hex(), 0, self._top()
        while child is not None:
            node = self._node(child)
            if isinstance(node, Branch):
                if depth == len(path):
                    return node.value or None
                child = node.children[int(path[depth], 16)]
                depth += 1
            elif isinstance(node, Extension):
                child = node.child if path.startswith(node.path, depth) else None
                depth += len(node.path)
            else:
                return node.value if node.path == path[depth:] else None
        return None

    def set(self, key: bytes, value: bytes) -> None:
        """Give the key a value."""
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        """Take the key out, if it is in."""
        self._changes[key] = b""

    def update(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Set each key to its value, deleting those whose value is None."""
        for key, value in changes.items():
            self._changes[key] = value or b""

    def root(self) -> Bytes32:
        """Return the hash of the root node."""
        if self._changes:
            changes = sorted((key.hex(), value) for key, value in self._changes.items())
            top = self._changed(self._top(), changes, 0)
            if not isinstance(top, Bytes32):
                self._root = EMPTY_ROOT if top is None else self._hash(encode_node(top))
            self._changes = {}
        return self._root

    def commit(self) -> Bytes32:
        """Put the nodes that are new since the last commit into the store, in one piece, and return the root."""
        root = self.root()
        self._store.put_many(self._fresh)
        self._fresh = {}
        return root

    def items(
        self, start: bytes = b"", stop: bytes | None = None, *, descending: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values with `start` <= key < `stop`, in the order of the keys or against it.

        They are those of the trie when iteration begins.
        """
        self.root()
        low, high = start.hex(), None if stop is None else stop.hex()
        top = self._top()
        waiting: list[tuple[str, Child]] = [] if top is None else [("", top)]
        while waiting:
            path, child = waiting.pop()
            if path < low[: len(path)] or (high is not None and path >= high):
                continue
            node = self._node(child)
            if isinstance(node, Extension):
                waiting.append((path + node.path, node.child))
            elif isinstance(node, Branch):
                below = [(path + f"{nibble:x}", child) for nibble, child in enumerate(node.children) if child]
                own: list[tuple[str, Child]] = [(path, Leaf("", node.value))] if node.value else []
                waiting += own + below if descending else below[::-1] + own
            elif low <= path + node.path and (high is None or path + node.path < high):
                yield bytes.fromhex(path + node.path), node.value

    def next_key(self, key: bytes) -> bytes | None:
        """Return the smallest key above `key`."""
        return next((found for found, _ in self.items(start=key + b"\0")), None)

    def previous_key(self, key: bytes) -> bytes | None:
        """Return the greatest key below `key`."""
        return next((found for found, _ in self.items(stop=key, descending=True)), None)

    def _top(self) -> Child | None:
        """Return the root as a child, None for that of an empty trie."""
        return None if self._root == EMPTY_ROOT else self._root

    def _node(self, child: Child) -> Node:
        """Return the node that `child` is or names."""
        if not isinstance(child, Bytes32):
            return child
        encoded = self._fresh.get(child) or self._store.get(child)
        if encoded is None:
            raise MissingNode(child)
        return decode_node(encoded)

    def _hash(self, encoded: bytes) -> Bytes32:
        """Return the hash of a new node, which is remembered for `commit`."""
        digest = keccak256(encoded)
        self._fresh[digest] = encoded
        return digest

    def _sealed(self, child: Child) -> Child:
        """Return a node as it stands in its parent."""
        if isinstance(child, Bytes32):
            return child
        encoded = encode_node(child)
        return child if len(encoded) < Bytes32.length else self._hash(encoded)

    def _changed(self, child: Child | None, changes: list[_Change], depth: int) -> Child | None:
        """Return what takes the place of `child`, `depth` nibbles down: `child` itself if nothing changes.

        Else it is a node, not yet sealed, since a parent may have to merge with it. `changes` are one or more, in the
        order of their paths, and these agree in the first `depth` nibbles.
        """
        if child is None:
            return self._built(changes, depth)
        node = self._node(child)
        if isinstance(node, Branch):
            changed = self._changed_branch(node, changes, depth)
        elif isinstance(node, Extension):
            changed = self._changed_extension(node, changes, depth)
        else:
            changed = self._changed_leaf(node, changes, depth)
        return child if type(changed) is type(node) and changed == node else changed

    def _built(self, entries: list[_Change], depth: int) -> Node | None:
        """Return a node that holds just `entries`, as far as they have values."""
        path, value = entries[0]
        if len(entries) == 1:
            return Leaf(path[depth:], value) if value else None
        fork = _fork(path, entries[-1][0], depth)
        return self._extended(path[depth:fork], self._changed_branch(_NO_CHILDREN, entries, fork))

    def _changed_leaf(self, node: Leaf, changes: list[_Change], depth: int) -> Node | None:
        path = changes[0][0][:depth] + node.path
        if all(key != path for key, _ in changes):
            changes = changes.copy()
            insort(changes, (path, node.value))
        return self._built(changes, depth)

    def _changed_extension(self, node: Extension, changes: list[_Change], depth: int) -> Node | None:
        changes = [change for change in changes if change[1] or change[0].startswith(node.path, depth)]
        if not changes:
            return node
        path = changes[0][0][:depth] + node.path
        fork = min(_fork(path, changes[0][0], depth), _fork(path, changes[-1][0], depth))
        if fork == len(path):
            child = self._changed(node.child, changes, fork)
            return node if child is node.child else self._extended(node.path, child)
        children: list[Child | None] = [None] * 16
        rest = path[fork + 1 :]
        children[int(path[fork], 16)] = Extension(rest, node.child) if rest else node.child
        return self._extended(path[depth:fork], self._changed_branch(Branch(tuple(children), b""), changes, fork))

    def _changed_branch(self, node: Branch, changes: list[_Change], depth: int) -> Node | None:
        children, value = list(node.children), node.value
        if len(changes[0][0]) == depth:
            value = changes[0][1]
            changes = changes[1:]
        for nibble, group in groupby(changes, key=lambda change: change[0][depth]):
            index = int(nibble, 16)
            children[index] = self._changed(children[index], list(group), depth + 1)
        count = 16 - children.count(None)
        if count + bool(value) > 1:
            return Branch(tuple([child and self._sealed(child) for child in children]), value)
        if not count:
            return Leaf("", value) if value else None
        index, child = next((index, child) for index, child in enumerate(children) if child)
        return self._extended(f"{index:x}", child)

    def _extended(self, path: str, child: Child | None) -> Node | None:
        """Return the node that leads by `path` to what `child` holds."""
        node = None if child is None else self._node(child)
        if child is None or node is None or not path:
            return node
        if isinstance(node, Branch):
            return Extension(path, self._sealed(child))
        return node._replace(path=path + node.path)


def _fork(left: str, right: str, start: int) -> int:
    """Return where two paths part, which agree up to `start` at least."""
    end = min(len(left), len(right))
    while start < end and left[start] == right[start]:
        start += 1
    return start


def root_of(entries: Mapping[bytes, bytes]) -> Bytes32:
    """Return the root of the trie that holds just these entries, without keeping it."""
    trie = Trie(MemoryStore())
    trie.update(entries)
    return trie.root()
