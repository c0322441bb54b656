"""Proofs: right against an independent trie, and every change of one is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st
from trie import HexaryTrie
from trie.exceptions import BadTrieProof

from evmc import U256, ZERO_BYTES32, Address, Bytes32
from state import (
    EMPTY_ROOT,
    Account,
    AccountProof,
    BadProof,
    Database,
    Fault,
    GenesisAccount,
    Trie,
    WorldState,
    keccak256,
    prove_account,
    verify_account_proof,
)
from state.codec import encode, encode_list, encode_string
from state.node import Branch, Extension, encode_node
from state.proof import verify
from state.world import genesis_diff
from tests.state.test_trie import CONTENTS, KEYS, built, fixed_keys

NOBODY = Address.from_int(0xDEAD)
SMALL = {bytes([number]): b"v" for number in (0x10, 0x11, 0x20)}
"""Leaves short enough to stand in their parents."""


def theirs(root: bytes, key: bytes, nodes: tuple[bytes, ...]) -> bytes:
    """Return what py-trie says is proven."""
    return HexaryTrie.get_from_proof(root, key, [rlp.decode(node) for node in nodes])  # type: ignore[no-any-return]


@settings(deadline=None)
@given(CONTENTS, st.lists(KEYS, max_size=5))
def test_what_is_there_and_what_is_not(contents: dict[bytes, bytes], others: list[bytes]) -> None:
    """Both verifiers read the value out of the proof; it is the one that py-trie makes, and no node of it is spare."""
    trie, _ = built(contents)
    root = trie.root()
    their_trie = HexaryTrie({})
    for key, value in contents.items():
        their_trie[key] = value
    for key in [*contents, *others]:
        nodes = trie.proof(key)
        assert verify(root, key, nodes) == contents.get(key)
        assert theirs(root, key, nodes) == contents.get(key, b"")
        listed = [rlp.encode(node) for node in their_trie.get_proof(key)]
        assert list(nodes) == [node for number, node in enumerate(listed) if not number or len(node) >= 32]
        for number in range(len(nodes)):
            with pytest.raises(BadProof):
                verify(root, key, nodes[:number] + nodes[number + 1 :])


@settings(deadline=None, max_examples=50)
@given(CONTENTS, KEYS, KEYS)
def test_a_proof_is_of_one_key(contents: dict[bytes, bytes], key: bytes, other: bytes) -> None:
    """It either serves another key of the trie, rightly, or is refused."""
    trie, _ = built(contents)
    nodes = trie.proof(key)
    if nodes == trie.proof(other):
        assert verify(trie.root(), other, nodes) == contents.get(other)
        return
    with pytest.raises(BadProof) as refusal:
        verify(trie.root(), other, nodes)
    assert refusal.value.fault in (Fault.MISSING, Fault.HASH, Fault.SUPERFLUOUS)


def test_what_waits_to_be_written_is_proven() -> None:
    trie = Trie(Database())
    trie.update(fixed_keys(20))
    key, value = next(iter(fixed_keys(20).items()))
    assert verify(trie.root(), key, trie.proof(key)) == value


def test_nothing_is_in_an_empty_trie() -> None:
    assert Trie(Database()).proof(b"k") == ()
    assert verify(EMPTY_ROOT, b"k", ()) is None
    with pytest.raises(BadProof, match="ends with 0 nodes, and the proof has 1") as refusal:
        verify(EMPTY_ROOT, b"k", [b"\x80"])
    assert refusal.value.fault is Fault.SUPERFLUOUS


def test_short_nodes_stand_in_their_parents() -> None:
    trie, _ = built(SMALL)
    for key in SMALL:
        assert len(trie.proof(key)) == 1
        assert verify(trie.root(), key, trie.proof(key)) == b"v"
    for absent in (b"\x12", b"\x30", b"", b"\x10\x00"):
        assert verify(trie.root(), absent, trie.proof(absent)) is None


# Tampering


def changed(nodes: tuple[bytes, ...]) -> Iterator[tuple[bytes, ...]]:
    """Yield lists of nodes that differ from these: bytes, order, count."""
    for number, node in enumerate(nodes):
        before, after = nodes[:number], nodes[number + 1 :]
        yield before + after
        yield (*before, node, node, *after)
        yield (*before, node[:-1], *after)
        yield (*before, node + b"\0", *after)
        yield (*before, b"", *after)
        for at in range(len(node)):
            yield (*before, node[:at] + bytes([node[at] ^ 1]) + node[at + 1 :], *after)
        for other in range(number):
            swapped = list(nodes)
            swapped[number], swapped[other] = swapped[other], swapped[number]
            yield tuple(swapped)
    yield (*nodes, b"\x80")
    yield nodes[::-1] if len(nodes) > 1 else ()


@pytest.mark.parametrize("contents", [fixed_keys(60), SMALL], ids=["hashed", "embedded"])
@pytest.mark.parametrize("there", [True, False])
def test_every_change_is_found(contents: Mapping[bytes, bytes], there: bool) -> None:
    trie, _ = built(contents)
    key = next(iter(contents)) if there else b"\x13" * len(next(iter(contents)))
    nodes = trie.proof(key)
    for tampered in changed(nodes):
        with pytest.raises(BadProof) as refusal:
            verify(trie.root(), key, tampered)
        assert refusal.value.fault in (Fault.MISSING, Fault.HASH, Fault.SUPERFLUOUS)
        assert refusal.value.index is not None


def test_where_a_proof_is_wrong_is_said() -> None:
    trie, _ = built(fixed_keys(60))
    key = next(iter(fixed_keys(1)))
    nodes, path = trie.proof(key), key.hex()
    with pytest.raises(BadProof, match=f"^key 0x{path}: node 1 of the proof, at path {path[0]}, is missing: ") as found:
        verify(trie.root(), key, nodes[:1])
    assert (found.value.fault, found.value.index) == (Fault.MISSING, 1)
    with pytest.raises(BadProof, match=f"^total: node 1 of the proof, at path {path[0]}, has hash 0x") as found:
        verify(trie.root(), key, (nodes[0], nodes[0]), "total")
    assert (found.value.fault, found.value.index) == (Fault.HASH, 1)
    with pytest.raises(BadProof, match="at path root, has hash") as found:
        verify(Bytes32(b"\1" * 32), key, nodes)
    assert found.value.index == 0


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"\xc0",
        b"\x80" * 40,
        encode(b"x" * 40),
        encode([b"\x20"]),
        encode([b"\x45", b"v" * 40]),
        encode_list(b"\xc3\xc2\xc1\xc0" * 17),
        encode_node(Extension("", b"\xa0" + bytes(32))),
        encode_list(encode_string(b"\x11") + encode_list(encode_string(b"\x31") + encode_string(b"v" * 40))),
    ],
)
def test_the_right_hash_makes_no_node(node: bytes) -> None:
    with pytest.raises(BadProof, match="node 0 of the proof, at path root is no trie node: ") as refusal:
        verify(keccak256(node), b"\x10", [node])
    assert (refusal.value.fault, refusal.value.index) == (Fault.NODE, 0)


def test_a_key_that_ends_at_a_branch() -> None:
    node = encode_node(Branch((b"\x80",) * 16, b"v" * 40))
    assert verify(keccak256(node), b"", [node]) == b"v" * 40
    assert verify(keccak256(node), b"\x10", [node]) is None
    assert theirs(keccak256(node), b"", (node,)) == b"v" * 40


# Accounts


SLOTS = st.dictionaries(
    st.integers(0, 40).map(Bytes32.from_int), st.integers(1, 2**256 - 1).map(Bytes32.from_int), max_size=20
)
ACCOUNTS = st.dictionaries(
    st.integers(1, 60).map(Address.from_int),
    st.builds(
        GenesisAccount,
        nonce=st.integers(0, 2**64 - 1),
        balance=st.integers(0, 2**256 - 1).map(U256),
        code=st.binary(max_size=40),
        storage=SLOTS,
    ),
    max_size=12,
)


def fields(leaf: bytes) -> list[bytes]:
    return rlp.decode(leaf)  # type: ignore[no-any-return]


@settings(deadline=None, max_examples=60)
@given(ACCOUNTS)
def test_accounts_and_slots(accounts: dict[Address, GenesisAccount]) -> None:
    world = WorldState.genesis(Database(), accounts)
    asked = [Bytes32.from_int(number) for number in range(0, 60, 7)]
    for address in [*accounts, NOBODY]:
        given_account = accounts.get(address)
        slots = [*given_account.storage, *asked] if given_account else asked
        proof = prove_account(world, address, slots)
        verify_account_proof(world.root, proof)
        leaf = theirs(world.root, keccak256(address), proof.nodes)
        if given_account is None:
            assert (leaf, proof.account) == (b"", None)
            assert all(slot.nodes == () and slot.value == ZERO_BYTES32 for slot in proof.storage)
            continue
        nonce, balance, storage_root, code_hash = fields(leaf)
        assert int.from_bytes(nonce, "big") == given_account.nonce
        assert int.from_bytes(balance, "big") == given_account.balance
        assert code_hash == keccak256(given_account.code)
        assert [slot.key for slot in proof.storage] == slots
        for slot in proof.storage:
            assert slot.value == given_account.storage.get(slot.key, ZERO_BYTES32)
            proven = theirs(storage_root, keccak256(slot.key), slot.nodes)
            assert proven == (rlp.encode(slot.value.lstrip(b"\0")) if any(slot.value) else b"")


@pytest.fixture
def world() -> WorldState:
    storage = {Bytes32.from_int(number): Bytes32.from_int(number + 1) for number in range(20)}
    accounts = {Address.from_int(number): GenesisAccount(nonce=number, storage=storage) for number in range(1, 20)}
    return WorldState.genesis(Database(), accounts)


def proof_of(world: WorldState) -> AccountProof:
    return prove_account(world, Address.from_int(5), [Bytes32.from_int(3), Bytes32.from_int(999)])


def test_a_claim_that_is_not_proven(world: WorldState) -> None:
    proof = proof_of(world)
    verify_account_proof(world.root, proof)
    assert proof.account is not None
    there, absent = proof.storage
    wrong: list[tuple[AccountProof, Fault, str]] = [
        (replace(proof, account=None), Fault.VALUE, "account .*None is claimed"),
        (replace(proof, account=replace(proof.account, nonce=6)), Fault.VALUE, "nonce=6.* is claimed"),
        (replace(proof, account=replace(proof.account, storage_root=EMPTY_ROOT)), Fault.VALUE, "is claimed"),
        (replace(proof, address=NOBODY), Fault.HASH, f"account {NOBODY}: node 1"),
        (replace(proof, storage=(replace(there, value=ZERO_BYTES32),)), Fault.VALUE, f"slot {there.key} of"),
        (replace(proof, storage=(replace(absent, value=there.value),)), Fault.VALUE, f"slot {absent.key} of"),
        (replace(proof, storage=(replace(there, nodes=()),)), Fault.MISSING, f"slot {there.key} of"),
        (replace(proof, storage=(replace(there, nodes=proof.nodes),)), Fault.HASH, "node 0 of the proof, at path root"),
        (replace(proof, storage=(replace(absent, nodes=(*absent.nodes, b"x")),)), Fault.SUPERFLUOUS, "ends with"),
    ]
    for tampered, fault, message in wrong:
        with pytest.raises(BadProof, match=message) as refusal:
            verify_account_proof(world.root, tampered)
        assert refusal.value.fault is fault


@pytest.mark.parametrize(
    "leaf", [b"x" * 40, encode([b"\1", b"", b"x" * 32]), encode([b"\0", b"", b"x" * 32, b"y" * 32])]
)
def test_a_leaf_that_is_no_account(leaf: bytes) -> None:
    address = Address.from_int(1)
    trie, _ = built({keccak256(address): leaf})
    with pytest.raises(BadProof, match="what is proven is no account") as refusal:
        verify_account_proof(trie.root(), AccountProof(address, Account(), trie.proof(keccak256(address))))
    assert refusal.value.fault is Fault.VALUE


def test_every_change_of_an_account_proof_is_found(world: WorldState) -> None:
    proof = proof_of(world)
    for nodes in changed(proof.nodes):
        with pytest.raises(BadProof):
            verify_account_proof(world.root, replace(proof, nodes=nodes))
    for number, slot in enumerate(proof.storage):
        for nodes in changed(slot.nodes):
            storage = list(proof.storage)
            storage[number] = replace(slot, nodes=nodes)
            with pytest.raises(BadProof):
                verify_account_proof(world.root, replace(proof, storage=tuple(storage)))


def test_the_independent_verifier_misses_nodes_as_well(world: WorldState) -> None:
    proof = proof_of(world)
    with pytest.raises(BadTrieProof):
        theirs(world.root, keccak256(proof.address), proof.nodes[1:])


def test_old_and_new_roots_are_proven_side_by_side(world: WorldState) -> None:
    before = proof_of(world)
    after = world.apply(genesis_diff({NOBODY: GenesisAccount(nonce=1)}))
    verify_account_proof(world.root, proof_of(world))
    verify_account_proof(after.root, prove_account(after, NOBODY))
    verify_account_proof(world.root, prove_account(world, NOBODY))
    with pytest.raises(BadProof, match="node 0 of the proof, at path root, has hash"):
        verify_account_proof(after.root, before)
