"""Blocks, receipts and logs as Ethereum has them (Yellow Paper section 4.3, EIP-1559, EIP-2718)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from evmc import U256, ZERO_ADDRESS, ZERO_BYTES32, Address, Bytes32, Gas, Log, Status
from node.chain.signed import SignedTransaction
from state import EMPTY_ROOT, encode, keccak256

EMPTY_OMMERS: Final = keccak256(encode([]))
NO_BLOOM: Final = bytes(256)


@dataclass(frozen=True, kw_only=True)
class Header:
    """A header up to London's base fee. The difficulty is 0, the nonce 8 zeros, as after the merge."""

    parent_hash: Bytes32 = ZERO_BYTES32
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
    nonce: bytes = bytes(8)
    base_fee: int = 0
    ommers_hash: Bytes32 = EMPTY_OMMERS

    def encode(self) -> bytes:
        """Return the header's RLP."""
        raise NotImplementedError

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the header whose RLP is `data`; raise CodecError if it is none."""
        raise NotImplementedError

    @cached_property
    def hash(self) -> Bytes32:
        """The block's hash."""
        return keccak256(self.encode())


@dataclass(frozen=True, slots=True)
class Block:
    """A block; `size` is the length of its RLP in bytes."""

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

    @property
    def size(self) -> int:
        """The length of the block's RLP in bytes."""
        raise NotImplementedError


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
    bloom: bytes

    @property
    def succeeded(self) -> bool:
        """Whether the receipt's status is 1."""
        return self.status is Status.SUCCESS

    @property
    def effective_gas_price(self) -> int:
        """What the sender paid for each gas."""
        return self.transaction.effective_price(self.base_fee)


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
        raise NotImplementedError

    def may_match(self, bloom: bytes) -> bool:
        """Tell whether a block or receipt with this bloom may have such a log."""
        raise NotImplementedError
