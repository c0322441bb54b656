"""Proofs of what a state holds, for whoever knows nothing of it but its root (EIP-1186).

A proof lists the trie nodes on the way to a key, in RLP, from the root on. Each is named by its hash in the one before,
so a proof that ends is as good as the root, and there is just one for each key. A node that is shorter than 32 bytes
stands in its parent and is not listed; the proof from a trie without keys is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from evmc import ZERO_BYTES32, Address, Bytes32
from state.account import Account
from state.codec import CodecError
from state.hash import keccak256
from state.node import HASH_PREFIX, HASH_REFERENCE, NOTHING, Branch, Leaf, Reference, decode_node, follow
from state.trie import EMPTY_ROOT, Trie
from state.world import WorldState, slot_value, storage_prefix

_SHOWN: Final = 12
"""Hex digits of a hash that a message shows."""


class Fault(StrEnum):
    """What can be wrong with a proof."""

    MISSING = "missing"
    """A node is missing, and all after it."""
    HASH = "hash"
    """A node has another hash than the one before it, or the root, names."""
    NODE = "node"
    """A node has the right hash and is no trie node."""
    SUPERFLUOUS = "superfluous"
    """Nodes follow after the way to the key has ended."""
    VALUE = "value"
    """What is proven is no account or slot, or is not what is claimed."""


class BadProof(ValueError):
    """A proof that proves nothing: the message says what is wrong, and at which node or in which claim."""

    def __init__(self, fault: Fault, what: str, index: int | None = None) -> None:
        super().__init__(what)
        self.fault = fault
        self.index = index
        """The number of the node, from 0; None where it is no node that is at fault."""


@dataclass(frozen=True, slots=True)
class StorageProof:
    """The value of a slot, zero if it has none, and the nodes that prove it under the account's storage root."""

    key: Bytes32
    value: Bytes32
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class AccountProof:
    """An account, None if there is none, the nodes that prove it under the state root, and proofs of its slots."""

    address: Address
    account: Account | None
    nodes: tuple[bytes, ...]
    storage: tuple[StorageProof, ...] = ()


def prove_account(world: WorldState, address: Address, slots: Iterable[Bytes32] = ()) -> AccountProof:
    """Return the proof of an account and of some of its slots, be they there or not.

    Raise MissingNode or CorruptEntry if the store cannot give it.
    """
    account = world.account(address)
    key = keccak256(address)
    root = EMPTY_ROOT if account is None else account.storage_root
    storage = Trie(world.database, root, storage_prefix(key))
    return AccountProof(
        address,
        account,
        Trie(world.database, world.root).proof(key),
        tuple(StorageProof(slot, world.storage(address, slot), storage.proof(keccak256(slot))) for slot in slots),
    )


def verify_account_proof(root: Bytes32, proof: AccountProof) -> None:
    """Raise BadProof unless a state with this root has just the account and slots that the proof claims."""
    name = f"account {proof.address}"
    leaf = verify(root, keccak256(proof.address), proof.nodes, name)
    try:
        account = None if leaf is None else Account.decode(leaf)
    except CodecError as error:
        raise BadProof(Fault.VALUE, f"{name}: what is proven is no account: {error}") from error
    if account != proof.account:
        raise BadProof(Fault.VALUE, f"{name}: {proof.account} is claimed, {account} is proven")
    storage_root = EMPTY_ROOT if account is None else account.storage_root
    for slot in proof.storage:
        _verify_slot(storage_root, slot, f"slot {slot.key} of {proof.address}")


def _verify_slot(root: Bytes32, proof: StorageProof, name: str) -> None:
    leaf = verify(root, keccak256(proof.key), proof.nodes, name)
    try:
        value = ZERO_BYTES32 if leaf is None else slot_value(leaf)
    except CodecError as error:
        raise BadProof(Fault.VALUE, f"{name}: what is proven is no slot: {error}") from error
    if value != proof.value:
        raise BadProof(Fault.VALUE, f"{name}: {proof.value} is claimed, {value} is proven")


def verify(root: Bytes32, key: bytes, nodes: Sequence[bytes], name: str = "") -> bytes | None:
    """Return the value of a key in the trie with this root, None if it has none; raise BadProof if that is not proven.

    The key is the trie's: of accounts and slots, the Keccak-256. Messages begin with the `name` of what is proven.
    """
    name = name or f"key 0x{key.hex()}"
    path, depth, used = key.hex(), 0, 0
    value: bytes | None = None
    child: Reference = NOTHING if root == EMPTY_ROOT else HASH_PREFIX + root
    where = ""
    while child != NOTHING:
        encoded = child
        if len(child) == HASH_REFERENCE:
            where = f"{name}: node {used} of the proof, at path {path[:depth] or 'root'}"
            encoded = _listed(nodes, used, child[1:], where)
            used += 1
        try:
            node = decode_node(encoded)
        except CodecError as error:
            raise BadProof(Fault.NODE, f"{where} is no trie node: {error}", used - 1) from error
        if (isinstance(node, Branch) and depth == len(path)) or (isinstance(node, Leaf) and node.path == path[depth:]):
            value = node.value or None
        child, depth = follow(node, path, depth)
    if used < len(nodes):
        what = f"{name}: the way to it ends with {used} nodes, and the proof has {len(nodes)}"
        raise BadProof(Fault.SUPERFLUOUS, what, used)
    return value


def _listed(nodes: Sequence[bytes], index: int, digest: bytes, where: str) -> bytes:
    """Return the node with this number, which must have this hash."""
    shown = f"0x{digest.hex()[:_SHOWN]}…"
    if index == len(nodes):
        raise BadProof(Fault.MISSING, f"{where}, is missing: the one with hash {shown}", index)
    found = keccak256(nodes[index])
    if found != digest:
        what = f"{where}, has hash 0x{found.hex()[:_SHOWN]}…, where {shown} belongs"
        raise BadProof(Fault.HASH, what, index)
    return nodes[index]
