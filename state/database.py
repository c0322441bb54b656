"""What is read from a store: checked, decoded, and kept for the next time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from evmc import Bytes32
from state.cache import LeastRecentlyUsed
from state.hash import EMPTY_CODE_HASH, keccak256
from state.node import Node, decode_node
from state.store import Changes, MemoryStore, Store, Table

CACHE_BYTES: Final = 128 << 20
"""Bytes of decoded nodes that are kept unless one says otherwise."""

_NODE_BYTES: Final = 300
"""What a decoded node takes in memory beside twice its encoding, roughly."""

_LONGEST_PATH: Final = 64


class MissingEntry(LookupError):
    """A hash that the store should know and does not: the state is incomplete, which is a fault of the node."""

    def __init__(self, wanted: Bytes32, where: str = "") -> None:
        super().__init__(f"{type(self).__name__}: nothing is stored under {wanted}{where}")
        self.wanted = wanted


class MissingNode(MissingEntry):
    """A trie node is missing."""


class MissingCode(MissingEntry):
    """The code of a contract is missing."""


class MissingPreimage(MissingEntry):
    """The address or slot behind a hashed key is missing."""


class CorruptEntry(Exception):
    """Bytes that are not what their hash promises: the store is damaged, which is a fault of the node."""

    def __init__(self, table: Table, wanted: Bytes32, found: Bytes32) -> None:
        super().__init__(f"CorruptEntry: what table {table} has under {wanted} is damaged: its hash is {found}")
        self.table = table
        self.wanted = wanted


def node_key(prefix: bytes, path: str, digest: bytes) -> bytes:
    """Return where a node is stored: by the trie's prefix, its path from the root, and its hash.

    The hash alone would do. The path before it has the nodes of a neighbourhood stored side by side, so that a change
    of an account touches one or two pages of a database on disk and not one for every node.
    """
    return b"".join((prefix, path[:_LONGEST_PATH].encode(), b"\0", digest))


class Database:
    """Nodes, code and preimages of a store, whose hashes are checked whenever they are read from it.

    Decoded nodes are kept within `cache_bytes`. Threads may share a database.
    """

    __slots__ = ("_nodes", "store")

    def __init__(self, store: Store | None = None, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.store: Store = MemoryStore() if store is None else store
        self._nodes: LeastRecentlyUsed[bytes, Node] = LeastRecentlyUsed(cache_bytes)

    def node(self, digest: bytes, prefix: bytes, path: str) -> Node:
        """Return the node with this hash at this place; raise MissingNode, CorruptEntry or CodecError."""
        node = self._nodes.get(digest)
        if node is None:
            encoded = self.encoded_node(digest, prefix, path)
            node = decode_node(encoded)
            self.keep({digest: (node, encoded)})
        return node

    def encoded_node(self, digest: bytes, prefix: bytes, path: str) -> bytes:
        """Return the RLP of the node with this hash at this place; raise MissingNode or CorruptEntry."""
        encoded = self.store.get(Table.NODES, node_key(prefix, path, digest))
        if encoded is None:
            raise MissingNode(Bytes32(digest), _place(prefix, path))
        return _checked(Table.NODES, digest, encoded)

    def keep(self, nodes: Mapping[bytes, tuple[Node, bytes]]) -> None:
        """Keep nodes for `node`, decoded and encoded, by their hash or by any key that ends with it."""
        size = Bytes32.length
        self._nodes.put_all(
            (key[-size:], node, _NODE_BYTES + 2 * len(encoded)) for key, (node, encoded) in nodes.items()
        )

    def code(self, digest: Bytes32) -> bytes:
        """Return the code with this hash; raise MissingCode or CorruptEntry."""
        if digest == EMPTY_CODE_HASH:
            return b""
        code = self.store.get(Table.CODE, digest)
        if code is None:
            raise MissingCode(digest)
        return _checked(Table.CODE, digest, code)

    def preimage(self, digest: Bytes32) -> bytes:
        """Return the address or slot with this hash; raise MissingPreimage or CorruptEntry."""
        preimage = self.store.get(Table.PREIMAGES, digest)
        if preimage is None:
            raise MissingPreimage(digest)
        return _checked(Table.PREIMAGES, digest, preimage)

    def write(self, changes: Changes) -> None:
        """Make all changes in the store or, on an exception, none."""
        self.store.write(changes)

    def forget(self, digests: Iterable[bytes] | None = None) -> None:
        """Drop the nodes that are kept, or those with these hashes: the next reads go to the store."""
        if digests is None:
            self._nodes.clear()
            return
        for digest in digests:
            self._nodes.drop(digest)


def _checked(table: Table, digest: bytes, value: bytes) -> bytes:
    """Return a value that has this hash; raise CorruptEntry if it has another."""
    found = keccak256(value)
    if found != digest:
        raise CorruptEntry(table, Bytes32(digest), found)
    return value


def _place(prefix: bytes, path: str) -> str:
    trie = f"storage trie of the account hashed 0x{prefix[1:].hex()}…" if prefix else "account trie"
    return f" ({trie}, path {path or 'root'})"
