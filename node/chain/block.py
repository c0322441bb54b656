"""Blocks, receipts and logs as Ethereum has them (Yellow Paper section 4.3, EIP-1559, EIP-2718)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, Self

from evmc import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas, Log, Status
from node.chain.signed import LEGACY, SignedTransaction
from state import EMPTY_ROOT, CodecError, encode, keccak256, root_of
from state.codec import decode_scalar, decode_strings, encode_list, encode_string, scalar

EMPTY_OMMERS: Final = keccak256(encode([]))
BLOOM_BYTES: Final = 256
NO_BLOOM: Final = bytes(BLOOM_BYTES)
_HEADER_FIELDS: Final = 16
_NONCE_BYTES: Final = 8


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header up to London's base fee. The difficulty is 0, the nonce 8 zeros, as after the merge."""

    parent_hash: Bytes32 = ZERO_BYTES32
    ommers_hash: Bytes32 = EMPTY_OMMERS
    coinbase: Address = ZERO_ADDRESS
    state_root: Bytes32 = EMPTY_ROOT
    transactions_root: Bytes32 = EMPTY_ROOT
    receipts_root: Bytes32 = EMPTY_ROOT
    bloom: bytes = NO_BLOOM
    difficulty: U256 = U256(0)
    number: int = 0
    gas_limit: Gas = 0
    gas_used: Gas = 0
    timestamp: int = 0
    extra_data: bytes = b""
    mix_hash: Bytes32 = ZERO_BYTES32
    nonce: bytes = bytes(_NONCE_BYTES)
    base_fee: int = 0

    def encode(self) -> bytes:
        """Return the header's RLP."""
        fields = (
            self.parent_hash,
            self.ommers_hash,
            self.coinbase,
            self.state_root,
            self.transactions_root,
            self.receipts_root,
            self.bloom,
            scalar(self.difficulty),
            scalar(self.number),
            scalar(self.gas_limit),
            scalar(self.gas_used),
            scalar(self.timestamp),
            self.extra_data,
            self.mix_hash,
            self.nonce,
            scalar(self.base_fee),
        )
        return encode_list(b"".join(map(encode_string, fields)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header whose RLP is `data`; raise CodecError if it is none."""
        parent, ommers, coinbase, state, transactions, receipts, bloom, *rest = decode_strings(data, _HEADER_FIELDS)
        difficulty, number, gas_limit, gas_used, timestamp, extra, mix_hash, nonce, base_fee = rest
        if len(bloom) != BLOOM_BYTES or len(nonce) != _NONCE_BYTES:
            raise CodecError("not a header: a bloom or nonce of another length")
        try:
            return cls(
                parent_hash=Bytes32(parent),
                ommers_hash=Bytes32(ommers),
                coinbase=Address(coinbase),
                state_root=Bytes32(state),
                transactions_root=Bytes32(transactions),
                receipts_root=Bytes32(receipts),
                bloom=bloom,
                difficulty=U256(decode_scalar(difficulty)),
                number=decode_scalar(number),
                gas_limit=decode_scalar(gas_limit),
                gas_used=decode_scalar(gas_used),
                timestamp=decode_scalar(timestamp),
                extra_data=extra,
                mix_hash=Bytes32(mix_hash),
                nonce=nonce,
                base_fee=decode_scalar(base_fee),
            )
        except ValueError as error:
            raise CodecError(f"not a header: {error}") from error

    @cached_property
    def hash(self) -> Bytes32:
        """The block's hash."""
        return keccak256(self.encode())


@dataclass(frozen=True, slots=True)
class Block:
    """A header and the transactions it stands for; ommers and their like do not exist."""

    header: Header
    transactions: tuple[SignedTransaction, ...] = ()

    @property
    def number(self) -> int:
        """The block's number."""
        return self.header.number

    @property
    def hash(self) -> Bytes32:
        """The block's hash."""
        return self.header.hash

    def encode(self) -> bytes:
        """Return the block's RLP."""
        body = b"".join(tx.raw if tx.type == LEGACY else encode_string(tx.raw) for tx in self.transactions)
        return encode_list(self.header.encode() + encode_list(body) + encode([]))

    @property
    def size(self) -> int:
        """The length of the block's RLP in bytes."""
        return len(self.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReceipt:
    """What came of a transaction in a block.

    `status` says how the message ended and `output` what it returned, reverts included; a client sees `succeeded`.
    `contract` is where a creation was for, made or not. `first_log` counts the logs before it in the block.
    """

    transaction: SignedTransaction
    index: int
    block_hash: Bytes32
    block_number: int
    block_timestamp: int
    base_fee: int
    status: Status
    output: bytes
    gas_used: Gas
    cumulative_gas_used: Gas
    contract: Address | None
    logs: tuple[Log, ...]
    first_log: int

    @property
    def succeeded(self) -> bool:
        """Whether the receipt's status is 1."""
        return self.status is Status.SUCCESS

    @property
    def effective_gas_price(self) -> int:
        """What the sender paid for each gas."""
        return self.transaction.effective_price(self.base_fee)

    @property
    def bloom(self) -> bytes:
        """The bloom of the logs."""
        return bloom_of(self.logs)

    @property
    def placed_logs(self) -> list[BlockLog]:
        """The logs with their place in the chain."""
        return [
            BlockLog(
                log=log,
                index=index,
                transaction_hash=self.transaction.hash,
                transaction_index=self.index,
                block_hash=self.block_hash,
                block_number=self.block_number,
                block_timestamp=self.block_timestamp,
            )
            for index, log in enumerate(self.logs, self.first_log)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLog:
    """A log with its place in the chain; `index` counts the logs of the block."""

    log: Log
    index: int
    transaction_hash: Bytes32
    transaction_index: int
    block_hash: Bytes32
    block_number: int
    block_timestamp: int


@dataclass(frozen=True, slots=True)
class MinedTransaction:
    """A transaction with its place: all None while it waits in the pool."""

    transaction: SignedTransaction
    block_hash: Bytes32 | None = None
    block_number: int | None = None
    index: int | None = None
    base_fee: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs are asked for.

    No addresses means any. A topic that is None is any, otherwise one of the set; a log must have as many topics as
    the filter names.
    """

    addresses: frozenset[Address] = frozenset()
    topics: tuple[frozenset[Bytes32] | None, ...] = ()

    def matches(self, log: Log) -> bool:
        """Tell whether a log is asked for."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        return all(wanted is None or topic in wanted for wanted, topic in zip(self.topics, log.topics, strict=False))

    @property
    def masks(self) -> list[list[int]]:
        """What a bloom must have, as bits: of every list, all bits of at least one entry."""
        choices: list[frozenset[Address] | frozenset[Bytes32]] = [
            topics for topics in self.topics if topics is not None
        ]
        if self.addresses:
            choices.append(self.addresses)
        return [[bloom_bits(entry) for entry in choice] for choice in choices]


def may_match(bloom: bytes, masks: list[list[int]]) -> bool:
    """Tell whether a block with this bloom may have a log of a filter with these masks."""
    bits = int.from_bytes(bloom, "big")
    return all(any(bits & mask == mask for mask in choice) for choice in masks)


@lru_cache(maxsize=4096)
def bloom_bits(entry: bytes) -> int:
    """Return the bits of an address or topic in a bloom (Yellow Paper section 4.3.1, M3:2048)."""
    digest = keccak256(entry)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def bloom_number(logs: Iterable[Log]) -> int:
    """Return the bloom of logs as a number."""
    bits = 0
    for log in logs:
        bits |= bloom_bits(log.address)
        for topic in log.topics:
            bits |= bloom_bits(topic)
    return bits


def bloom_of(logs: Iterable[Log]) -> bytes:
    """Return the bloom of logs."""
    return bloom_number(logs).to_bytes(BLOOM_BYTES, "big")


def encode_logs(logs: Iterable[Log]) -> bytes:
    """Return the RLP of a list of logs."""
    return encode_list(
        b"".join(
            encode_list(
                encode_string(log.address)
                + encode_list(b"".join(map(encode_string, log.topics)))
                + encode_string(log.data)
            )
            for log in logs
        )
    )


def encode_receipt(type_: int, cumulative_gas: Gas, bloom: bytes, logs: bytes, *, succeeded: bool) -> bytes:
    """Return the receipt that goes into the receipts root; `logs` are encoded already (EIP-658, EIP-2718)."""
    fields = (b"\x01" if succeeded else b"\x80") + encode_string(scalar(cumulative_gas)) + encode_string(bloom) + logs
    encoded = encode_list(fields)
    return encoded if type_ == LEGACY else bytes([type_]) + encoded


def index_root(encoded: Iterable[bytes]) -> Bytes32:
    """Return the root of the trie that has these values under their index (Yellow Paper section 4.3.2)."""
    return root_of({encode_string(scalar(index)): value for index, value in enumerate(encoded)})
