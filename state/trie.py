"""The hexary Merkle Patricia trie (Yellow Paper appendix D).

Changes wait in a dictionary until the root or the order of keys is asked for. Then one pass over them, in order, makes
the new nodes from the leaves up and hashes each of them once. Nodes are immutable; a path is a string of nibbles, as
in `state/node.py`.
"""

from __future__ import annotations

import gc
from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeAlias, cast

from evmc import Bytes32
from state.codec import encode_string
from state.database import Database, node_key
from state.hash import keccak, keccak256
from state.node import (
    HASH_PREFIX,
    HASH_REFERENCE,
    NOTHING,
    Branch,
    Extension,
    Leaf,
    Node,
    Reference,
    decode_node,
    encode_node,
    follow,
)
from state.store import Draft, Table, draft

EMPTY_ROOT = keccak256(encode_string(b""))
"""The root of a trie without keys."""

_Child: TypeAlias = "Reference | Node | None"
"""A node as it stands in its parent, one that is new and not yet encoded, or none."""

_Change: TypeAlias = tuple[str, bytes]
"""The whole path of a key and its new value, empty to delete."""

_MANY: Final = 1_000
_NO_CHILDREN: Final = (NOTHING,) * 16
_DIGITS: Final = "0123456789abcdef"
_NIBBLE: Final = {digit: number for number, digit in enumerate(_DIGITS)}


class Trie:
    """A mapping of bytes to bytes with a root hash, over a database.

    An empty value is no value: setting it deletes the key. Nodes are loaded when they are needed: any method but `set`,
    `delete` and `update` raises MissingNode or CorruptEntry where one is not in the store or not what it should be, and
    leaves the trie as it was. Nothing is written before `commit`. `prefix` tells tries apart that share a store.
    """

    __slots__ = ("_changes", "_database", "_fresh", "_made", "_prefix", "_root")

    def __init__(self, database: Database, root: Bytes32 = EMPTY_ROOT, prefix: bytes = b"") -> None:
        self._database = database
        self._root = root
        self._prefix = prefix
        self._changes: dict[bytes, bytes] = {}
        self._fresh: dict[bytes, tuple[Node, bytes]] = {}
        """New nodes and their encodings, by where they will be stored: equal nodes may stand in several places."""
        self._made: dict[bytes, tuple[Node, bytes]] = {}
        """The same while `root` makes them: nobody has to look for them there."""

    def get(self, key: bytes) -> bytes | None:
        """Return the key's value, None if it has none."""
        if key in self._changes:
            return self._changes[key] or None
        path, depth, child = key.hex(), 0, self._top()
        while child != NOTHING:
            node = self._load(child, path[:depth])
            if isinstance(node, Branch):
                if depth == len(path):
                    return node.value or None
                child = node.children[_NIBBLE[path[depth]]]
                depth += 1
            elif isinstance(node, Extension):
                child = node.child if path.startswith(node.path, depth) else NOTHING
                depth += len(node.path)
            else:
                return node.value if path[depth:] == node.path else None
        return None

    def proof(self, key: bytes) -> tuple[bytes, ...]:
        """Return what proves the key's value or that it has none: `state.proof.verify` reads it.

        These are the nodes on the way to the key, from the root, in RLP; one that is shorter than 32 bytes stands in
        its parent and is not listed.
        """
        self.root()
        nodes: list[bytes] = []
        path, depth, child = key.hex(), 0, self._top()
        while child != NOTHING:
            node = self._load(child, path[:depth])
            if len(child) == HASH_REFERENCE:
                nodes.append(encode_node(node))
            child, depth = follow(node, path, depth)
        return tuple(nodes)

    def set(self, key: bytes, value: bytes) -> None:
        """Give the key a value; an empty one deletes it."""
        self._changes[key] = value

    def delete(self, key: bytes) -> None:
        """Take the key's value away, if it has one."""
        self._changes[key] = b""

    def update(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Set many keys at once; None or an empty value deletes."""
        for key, value in changes.items():
            self._changes[key] = value or b""

    def root(self) -> Bytes32:
        """Return the hash of the root node."""
        if self._changes:
            self._made = {}
            with _without_collector(len(self._changes)):
                changes = sorted(zip(map(bytes.hex, self._changes), self._changes.values(), strict=True))
                top = self._changed(self._top(), changes, 0)
            if top is None:
                self._root = EMPTY_ROOT
            elif not isinstance(top, bytes):
                self._root = Bytes32(self._hash(top, encode_node(top), ""))
            self._fresh.update(self._made)
            self._changes, self._made = {}, {}
        return self._root

    def commit(self) -> Bytes32:
        """Write the nodes that are new since the last commit to the store, in one piece, and return the root."""
        changes = draft()
        root = self.commit_to(changes)
        if changes:
            self._database.write(changes)
        return root

    def commit_to(self, changes: Draft) -> Bytes32:
        """Add the nodes that are new since the last commit to changes that are to be written; return the root."""
        with _without_collector(len(self._changes) + len(self._fresh)):
            root = self.root()
            if self._fresh:
                changes[Table.NODES].update({key: encoded for key, (_, encoded) in self._fresh.items()})
                self._database.keep(self._fresh)
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
        waiting: list[tuple[str, Reference | Leaf]] = [("", self._top())]
        while waiting:
            path, child = waiting.pop()
            if child == NOTHING or path < low[: len(path)] or (high is not None and path >= high):
                continue
            node = self._load(child, path) if isinstance(child, bytes) else child
            if isinstance(node, Extension):
                waiting.append((path + node.path, node.child))
            elif isinstance(node, Branch):
                below = [(f"{path}{nibble:x}", each) for nibble, each in enumerate(node.children) if each != NOTHING]
                own = [(path, Leaf("", node.value))] if node.value else []
                waiting += [*own, *below] if descending else [*below[::-1], *own]
            elif low <= path + node.path and (high is None or path + node.path < high):
                yield bytes.fromhex(path + node.path), node.value

    def next_key(self, key: bytes) -> bytes | None:
        """Return the smallest key above `key`."""
        return next((found for found, _ in self.items(start=key + b"\0")), None)

    def previous_key(self, key: bytes) -> bytes | None:
        """Return the greatest key below `key`."""
        return next((found for found, _ in self.items(stop=key, descending=True)), None)

    def _top(self) -> Reference:
        """Return the reference to the root."""
        return NOTHING if self._root == EMPTY_ROOT else HASH_PREFIX + self._root

    def _load(self, reference: Reference, path: str) -> Node:
        """Return the node that a reference, which is not `NOTHING`, is or names."""
        if len(reference) != HASH_REFERENCE:
            return decode_node(reference)
        digest = reference[1:]
        if self._fresh:
            fresh = self._fresh.get(node_key(self._prefix, path, digest))
            if fresh is not None:
                return fresh[0]
        return self._database.node(digest, self._prefix, path)

    def _hash(self, node: Node, encoded: bytes, path: str) -> bytes:
        """Return the hash of a new node, which is remembered for `commit`."""
        digest = keccak(encoded)
        self._made[node_key(self._prefix, path, digest)] = node, encoded
        return digest

    def _sealed(self, child: _Child, path: str) -> Reference:
        """Return a node as it stands in its parent."""
        if child is None:
            return NOTHING
        if isinstance(child, bytes):
            return child
        encoded = encode_node(child)
        return encoded if len(encoded) < HASH_REFERENCE - 1 else HASH_PREFIX + self._hash(child, encoded, path)

    def _changed(self, child: _Child, changes: list[_Change], depth: int) -> _Child:
        """Return what takes the place of `child`, `depth` nibbles down: `child` itself if nothing changes.

        Else it is a node, not yet sealed, since a parent may have to merge with it. `changes` are one or more, in the
        order of their paths, and these agree in the first `depth` nibbles.
        """
        if child is None or child == NOTHING:
            return self._built(changes, depth)
        node = self._load(child, changes[0][0][:depth]) if isinstance(child, bytes) else child
        if isinstance(node, Branch):
            changed = self._changed_branch(node.children, node.value, changes, depth)
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
        return self._extended(path[:depth], path[depth:fork], self._changed_branch(_NO_CHILDREN, b"", entries, fork))

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
        before = changes[0][0][:depth]
        path = before + node.path
        fork = min(_fork(path, changes[0][0], depth), _fork(path, changes[-1][0], depth))
        if fork == len(path):
            child = self._changed(node.child, changes, fork)
            return node if child is node.child else self._extended(before, node.path, child)
        children: list[_Child] = [*_NO_CHILDREN]
        rest = path[fork + 1 :]
        children[_NIBBLE[path[fork]]] = Extension(rest, node.child) if rest else node.child
        branch = self._changed_branch(children, b"", changes, fork, [_NIBBLE[path[fork]]])
        return self._extended(before, path[depth:fork], branch)

    def _changed_branch(
        self,
        before: Sequence[_Child],
        value: bytes,
        changes: list[_Change],
        depth: int,
        loose: Sequence[int] = (),
    ) -> Node | None:
        """Return what a branch with these children and this value becomes; those that are not sealed are `loose`."""
        path = changes[0][0][:depth]
        children = [*before]
        if len(changes[0][0]) == depth:
            value = changes[0][1]
            changes = changes[1:]
        loose = [*loose]
        for index, group in _by_nibble(changes, depth):
            child = self._changed(children[index], group, depth + 1)
            if child is None:
                children[index] = NOTHING
            elif child is not children[index]:
                children[index] = child
                loose.append(index)
        count = 16 - children.count(NOTHING)
        if count + bool(value) > 1:
            for index in loose:
                children[index] = self._sealed(children[index], path + _DIGITS[index])
            return Branch(tuple(cast("list[Reference]", children)), value)
        if not count:
            return Leaf("", value) if value else None
        index, only = next((index, child) for index, child in enumerate(children) if child != NOTHING)
        return self._extended(path, _DIGITS[index], only)

    def _extended(self, before: str, path: str, child: _Child) -> Node | None:
        """Return the node at `before` that leads by `path` to what `child` holds."""
        if child is None:
            return None
        node = self._load(child, before + path) if isinstance(child, bytes) else child
        if not path:
            return node
        if isinstance(node, Branch):
            return Extension(path, self._sealed(child, before + path))
        return node._replace(path=path + node.path)


@contextmanager
def _without_collector(number: int) -> Iterator[None]:
    """Keep Python's collector of cycles from looking at many nodes while they are made: none is in a cycle.

    Nor does it afterwards: frozen and released at once, they count as old. What others have frozen stays so.
    """
    if number < _MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
            gc.unfreeze()
        gc.enable()


def _by_nibble(changes: list[_Change], depth: int) -> Iterator[tuple[int, list[_Change]]]:
    """Yield the changes, which are in the order of their paths, by the nibble at `depth`."""
    start, digit = 0, changes[0][0][depth] if changes else ""
    for stop, (path, _) in enumerate(changes):
        if path[depth] != digit:
            yield _NIBBLE[digit], changes[start:stop]
            start, digit = stop, path[depth]
    if changes:
        yield _NIBBLE[digit], changes[start:]


def _fork(left: str, right: str, start: int) -> int:
    """Return where two paths part, which agree up to `start` at least."""
    end = min(len(left), len(right))
    while start < end and left[start] == right[start]:
        start += 1
    return start


def root_of(entries: Mapping[bytes, bytes]) -> Bytes32:
    """Return the root of the trie that holds just these entries, without keeping it."""
    trie = Trie(Database(cache_bytes=0))
    trie.update(entries)
    return trie.root()
