"""Headers, receipts, blooms, roots and the base fee, against the executable specification."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("ethereum", reason="ethereum-execution is absent: its wheels end at CPython 3.12")

from ethereum.crypto.hash import Hash32, keccak256
from ethereum.forks.london import blocks as london
from ethereum.forks.london.bloom import logs_bloom
from ethereum.forks.london.fork import calculate_base_fee_per_gas
from ethereum.forks.london.fork_types import Address as TheirAddress
from ethereum.forks.london.fork_types import Bloom
from ethereum.forks.london.transactions import LegacyTransaction, decode_transaction
from ethereum.forks.london.trie import Trie, root, trie_set
from ethereum_rlp import rlp
from ethereum_types import numeric
from ethereum_types.bytes import Bytes, Bytes8  # fmt: skip
from ethereum_types.bytes import Bytes32 as TheirBytes32
from ethereum_types.numeric import Uint  # fmt: skip
from hypothesis import example, given
from hypothesis import strategies as st

from evmc import U256, Address, Bytes32, Log
from node.chain import Block, Header, LogFilter, Wallet
from node.chain.block import (
    bloom_of,
    encode_logs,
    encode_receipt,
    index_root,
    may_match,
)
from node.chain.fees import base_fee_after
from node.chain.signed import LEGACY
from state import EMPTY_ROOT, CodecError
from tests.node.chain.world import ALICE, WALLET, payload

HASHES = st.binary(min_size=32, max_size=32).map(Bytes32)
ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)
NUMBERS = st.integers(0, 2**64 - 1)
LOGS = st.lists(
    st.builds(Log, ADDRESSES, st.lists(HASHES, max_size=4).map(tuple), st.binary(max_size=70)), max_size=5
).map(tuple)
HEADERS = st.builds(
    Header,
    parent_hash=HASHES,
    ommers_hash=HASHES,
    coinbase=ADDRESSES,
    state_root=HASHES,
    transactions_root=HASHES,
    receipts_root=HASHES,
    bloom=LOGS.map(bloom_of),
    difficulty=st.integers(0, 2**256 - 1).map(U256),
    number=NUMBERS,
    gas_limit=NUMBERS,
    gas_used=NUMBERS,
    timestamp=NUMBERS,
    extra_data=st.binary(max_size=32),
    mix_hash=HASHES,
    nonce=st.binary(min_size=8, max_size=8),
    base_fee=st.integers(0, 2**100),
)


def their_header(header: Header) -> london.Header:
    return london.Header(
        parent_hash=Hash32(header.parent_hash),
        ommers_hash=Hash32(header.ommers_hash),
        coinbase=TheirAddress(header.coinbase),
        state_root=Hash32(header.state_root),
        transactions_root=Hash32(header.transactions_root),
        receipt_root=Hash32(header.receipts_root),
        bloom=Bloom(header.bloom),
        difficulty=Uint(header.difficulty),
        number=Uint(header.number),
        gas_limit=Uint(header.gas_limit),
        gas_used=Uint(header.gas_used),
        timestamp=numeric.U256(header.timestamp),
        extra_data=Bytes(header.extra_data),
        mix_digest=TheirBytes32(header.mix_hash),
        nonce=Bytes8(header.nonce),
        base_fee_per_gas=Uint(header.base_fee),
    )


def their_logs(logs: tuple[Log, ...]) -> tuple[london.Log, ...]:
    return tuple(london.Log(TheirAddress(log.address), tuple(map(Hash32, log.topics)), log.data) for log in logs)


@given(HEADERS)
def test_a_header_is_encoded_as_in_the_specification(header: Header) -> None:
    encoded = rlp.encode(their_header(header))
    assert header.encode() == encoded
    assert Header.decode(encoded) == header
    assert header.hash == bytes(keccak256(encoded))


@pytest.mark.parametrize("cut", [1, 100])
def test_half_a_header_is_none(cut: int) -> None:
    with pytest.raises(CodecError):
        Header.decode(Header().encode()[:-cut])


@pytest.mark.parametrize("fields", [{"nonce": bytes(7)}, {"bloom": bytes(255)}])
def test_a_header_of_other_widths_is_none(fields: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        Header.decode(Header(**fields).encode())


@given(LOGS)
def test_blooms(logs: tuple[Log, ...]) -> None:
    assert bloom_of(logs) == bytes(logs_bloom(their_logs(logs)))


@given(st.sampled_from([0, 1, 2]), st.booleans(), NUMBERS, LOGS)
def test_a_receipt_is_encoded_as_in_the_specification(
    type_: int, succeeded: bool, gas: int, logs: tuple[Log, ...]
) -> None:
    given = payload(type=type_, max_tip=payload().max_fee)
    tx = Wallet(WALLET).sign(given, ALICE)
    theirs: Any = rlp.decode_to(LegacyTransaction, tx.raw) if type_ == LEGACY else decode_transaction(tx.raw)
    receipt = london.Receipt(succeeded, Uint(gas), logs_bloom(their_logs(logs)), their_logs(logs))
    expected = london.encode_receipt(theirs, receipt)
    expected = expected if isinstance(expected, bytes) else rlp.encode(expected)
    assert encode_receipt(type_, gas, bloom_of(logs), encode_logs(logs), succeeded=succeeded) == expected


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=140))
def test_a_root_over_indices(values: list[bytes]) -> None:
    trie: Trie[Bytes, Bytes] = Trie(secured=False, default=b"")
    for index, value in enumerate(values):
        trie_set(trie, rlp.encode(Uint(index)), value)
    assert index_root(values) == bytes(root(trie))


def test_the_root_of_nothing() -> None:
    assert index_root([]) == EMPTY_ROOT


def test_the_size_of_a_block_is_that_of_its_encoding() -> None:
    wallet = Wallet(WALLET)
    given = [payload(), payload(type=LEGACY, max_tip=payload().max_fee, nonce=1)]
    block = Block(Header(), tuple(wallet.sign(each, ALICE) for each in given))
    transactions = tuple(
        rlp.decode_to(LegacyTransaction, tx.raw) if tx.type == LEGACY else tx.raw for tx in block.transactions
    )
    theirs = london.Block(their_header(block.header), transactions, ())
    assert block.encode() == rlp.encode(theirs)
    assert block.size == len(rlp.encode(theirs))


# The base fee


@example(1_000_000_000, 0, 30_000_000)
@example(7, 16_000_000, 30_000_000)
@given(st.integers(0, 10**15), st.integers(0, 60_000_000), st.integers(5_000, 60_000_000))
def test_the_base_fee_moves_as_in_the_specification(fee: int, used: int, limit: int) -> None:
    used = min(used, limit)
    expected = calculate_base_fee_per_gas(Uint(limit), Uint(limit), Uint(used), Uint(fee))
    assert base_fee_after(fee, used, limit) == int(expected)


@given(st.integers(8, 10**15), st.integers(2, 60_000_000))
def test_the_base_fee_moves_by_an_eighth_at_most(fee: int, limit: int) -> None:
    limit -= limit % 2
    assert base_fee_after(fee, limit, limit) == fee + max(fee // 8, 1)
    assert base_fee_after(fee, 0, limit) == fee - fee // 8
    assert base_fee_after(fee, limit // 2, limit) == fee


# Filters of logs

WORDS = [Bytes32.from_int(number) for number in range(4)]
PLACES = [Address.from_int(number) for number in range(3)]
FILTERS = st.builds(
    LogFilter,
    addresses=st.frozensets(st.sampled_from(PLACES), max_size=2),
    topics=st.lists(st.none() | st.frozensets(st.sampled_from(WORDS), min_size=1, max_size=2), max_size=4).map(tuple),
)
FEW_LOGS = st.builds(
    Log, st.sampled_from(PLACES), st.lists(st.sampled_from(WORDS), max_size=4).map(tuple), st.just(b"")
)


@given(FILTERS, st.lists(FEW_LOGS, max_size=3))
def test_a_bloom_never_hides_a_log(wanted: LogFilter, logs: list[Log]) -> None:
    if any(wanted.matches(log) for log in logs):
        assert may_match(bloom_of(logs), wanted.masks)


def test_a_bloom_tells_what_is_not_there() -> None:
    bloom = bloom_of([Log(PLACES[1], (WORDS[1],), b"")])
    assert may_match(bloom, LogFilter(addresses=frozenset({PLACES[1]}), topics=(frozenset({WORDS[1]}),)).masks)
    assert not may_match(bloom, LogFilter(addresses=frozenset({PLACES[2]})).masks)
    assert not may_match(bloom, LogFilter(topics=(frozenset({WORDS[2]}),)).masks)


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ((), True),
        ((None,), True),
        ((None, None), True),
        ((None, None, None), False),
        ((frozenset({WORDS[1]}),), True),
        ((frozenset({WORDS[2]}),), False),
        ((None, frozenset({WORDS[2], WORDS[3]})), True),
        ((frozenset({WORDS[1]}), frozenset({WORDS[1]})), False),
    ],
)
def test_topics_match_by_place(topics: Any, expected: bool) -> None:
    log = Log(PLACES[0], (WORDS[1], WORDS[2]), b"")
    assert LogFilter(topics=topics).matches(log) is expected
    assert LogFilter(topics=topics, addresses=frozenset({PLACES[0], PLACES[1]})).matches(log) is expected
    assert not LogFilter(topics=topics, addresses=frozenset({PLACES[1]})).matches(log)
