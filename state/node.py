"""The nodes of a trie and their encoding (Yellow Paper appendices C and D).

A *path* is a run of nibbles, written as the hex digits of the key: one character each. A *reference* is how a node
stands in its parent, in RLP: 33 bytes with its hash, the node itself if that is shorter than 32 bytes, or `NOTHING`.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from state.codec import CodecError, decode_string, encode_list, encode_string, split

Reference: TypeAlias = bytes

NOTHING: Final[Reference] = b"\x80"
HASH_PREFIX: Final = b"\xa0"
HASH_REFERENCE: Final = 33
"""Bytes of a reference by hash, its prefix included."""


class Leaf(NamedTuple):
    """The rest of one key's path, and its value."""

    path: str
    value: bytes


class Extension(NamedTuple):
    """A path that all keys below share, and the branch it leads to."""

    path: str
    child: Reference


class Branch(NamedTuple):
    """A reference for each of the 16 nibbles, and the value of the key that ends here, empty if none does."""

    children: tuple[Reference, ...]
    value: bytes


Node: TypeAlias = Leaf | Extension | Branch


def hex_prefix(path: str, *, leaf: bool) -> bytes:
    """Return a path packed in bytes, the first nibble telling leaf or extension and odd or even (appendix C)."""
    if len(path) % 2:
        return bytes.fromhex(("3" if leaf else "1") + path)
    return bytes.fromhex(("20" if leaf else "00") + path)


def decode_hex_prefix(packed: bytes) -> tuple[str, bool]:
    """Return the path in `packed` and whether it is a leaf's; raise CodecError if it is nobody's."""
    digits = packed.hex()
    flag, path = digits[:1], digits[1:]
    if flag in ("1", "3"):
        return path, flag == "3"
    if flag in ("0", "2") and path[0] == "0":
        return path[1:], flag == "2"
    raise CodecError(f"0x{packed.hex()} is no hex-prefixed path")


def encode_node(node: Node) -> bytes:
    """Return the node's RLP."""
    if isinstance(node, Branch):
        return encode_list(b"".join(node.children) + encode_string(node.value))
    if isinstance(node, Leaf):
        return encode_list(encode_string(hex_prefix(node.path, leaf=True)) + encode_string(node.value))
    return encode_list(encode_string(hex_prefix(node.path, leaf=False)) + node.child)


def decode_node(encoded: bytes) -> Node:
    """Return the node that `encode_node` writes as `encoded`; raise CodecError if there is none."""
    items = split(encoded)
    if len(items) == 17:
        for item in items[:16]:
            if item != NOTHING and (len(item) != HASH_REFERENCE or item[0] != HASH_PREFIX[0]):
                _check_embedded(item)
        return Branch(tuple(items[:16]), decode_string(items[16]))
    if len(items) == 2:
        path, is_leaf = decode_hex_prefix(decode_string(items[0]))
        if is_leaf:
            return Leaf(path, decode_string(items[1]))
        if not path:
            raise CodecError("an extension without a path")
        if len(items[1]) != HASH_REFERENCE or items[1][0] != HASH_PREFIX[0]:
            _check_embedded(items[1])
        return Extension(path, items[1])
    raise CodecError(f"neither leaf, extension nor branch: a list of {len(items)} items")


def follow(node: Node, path: str, depth: int) -> tuple[Reference, int]:
    """Return what a node, `depth` nibbles down the path, has for the rest of it, and how far down that is.

    It is `NOTHING` where the path ends, at this node or in the void.
    """
    if isinstance(node, Branch):
        return (NOTHING if depth == len(path) else node.children[int(path[depth], 16)]), depth + 1
    if isinstance(node, Extension) and path.startswith(node.path, depth):
        return node.child, depth + len(node.path)
    return NOTHING, depth


def _check_embedded(item: bytes) -> None:
    """Raise CodecError unless a reference is a node that is short enough to stand in its parent."""
    if len(item) >= HASH_REFERENCE - 1:
        raise CodecError(f"a reference of {len(item)} bytes is neither a hash nor a short node")
    decode_node(item)
