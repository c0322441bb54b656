"""Blocks in the tables of a store: how they are written, found again and taken out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evmc import Address, Bytes32, Gas, Log, Status
from node.chain.block import NO_BLOOM, Block, BlockLog, BlockReceipt, Header, LogFilter
from node.chain.signed import SignedTransaction
from state import Store, Table, keccak256
from state.codec import decode_scalar, decode_string, encode_list, encode_string, scalar, split
from state.store import Draft

HEAD: Final = b"chain head"
"""The key of META with the last block's number and the root of its state."""

_NUMBER_BYTES: Final = 8
_INDEX_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a transaction, before its block has a hash; `logs_encoded` is the RLP of the logs."""

    status: Status
    output: bytes
    gas_used: Gas
    cumulative_gas_used: Gas
    contract: Address | None
    logs: tuple[Log, ...]
    logs_encoded: bytes
    first_log: int


def number_key(number: int) -> bytes:
    """Return the key of a block in the tables of the chain."""
    return number.to_bytes(_NUMBER_BYTES, "big")


def put_block(changes: Draft, block: Block, outcomes: Sequence[Outcome]) -> None:
    """Add the rows of a block to changes; head and state root are not among them."""
    key = number_key(block.number)
    header = block.header
    changes[Table.HEADERS][key] = header.encode()
    changes[Table.HASHES][header.hash] = key
    if header.bloom != NO_BLOOM:
        changes[Table.BLOOMS][key] = header.bloom
    if not block.transactions:
        return
    changes[Table.BODIES][key] = encode_list(
        b"".join(encode_string(tx.raw) + encode_string(tx.sender) for tx in block.transactions)
    )
    changes[Table.RECEIPTS][key] = encode_list(b"".join(map(_encode_outcome, outcomes)))
    for index, tx in enumerate(block.transactions):
        changes[Table.TRANSACTIONS][tx.hash] = key + index.to_bytes(_INDEX_BYTES, "big")


def put_head(changes: Draft, number: int, root: Bytes32) -> None:
    """Add to changes which block is the last, and the root of the state after it."""
    changes[Table.ROOTS][number_key(number)] = root
    changes[Table.META][HEAD] = number_key(number) + root


_STATUS_OFFSET: Final = 128
"""Added to a status where it is written: refusals of the VM are negative."""


def _encode_outcome(outcome: Outcome) -> bytes:
    fields = (
        bytes([outcome.status + _STATUS_OFFSET]),
        outcome.output,
        scalar(outcome.gas_used),
        scalar(outcome.cumulative_gas_used),
        outcome.contract or b"",
        scalar(outcome.first_log),
    )
    return encode_list(b"".join(map(encode_string, fields)) + outcome.logs_encoded)


def _decode_outcome(item: bytes) -> Outcome:
    *fields, logs = split(item)
    status, output, gas, cumulative, contract, first = map(decode_string, fields)
    return Outcome(
        Status(status[0] - _STATUS_OFFSET),
        output,
        decode_scalar(gas),
        decode_scalar(cumulative),
        Address(contract) if contract else None,
        tuple(_decode_log(log) for log in split(logs)),
        logs,
        decode_scalar(first),
    )


def _decode_log(item: bytes) -> Log:
    address, topics, data = split(item)
    return Log(
        Address(decode_string(address)),
        tuple(Bytes32(decode_string(topic)) for topic in split(topics)),
        decode_string(data),
    )


class Archive:
    """Reads the blocks of a store; None stands for what is not there."""

    __slots__ = ("store",)

    def __init__(self, store: Store) -> None:
        self.store = store

    def head(self) -> tuple[int, Bytes32] | None:
        """Return the last block's number and the root of its state."""
        row = self.store.get(Table.META, HEAD)
        return None if row is None else (int.from_bytes(row[:_NUMBER_BYTES], "big"), Bytes32(row[_NUMBER_BYTES:]))

    def root(self, number: int) -> Bytes32 | None:
        """Return the root of the state after a block."""
        root = self.store.get(Table.ROOTS, number_key(number))
        return None if root is None else Bytes32(root)

    def header(self, number: int) -> Header | None:
        """Return a header."""
        row = self.store.get(Table.HEADERS, number_key(number))
        return None if row is None else Header.decode(row)

    def number_of(self, block_hash: bytes) -> int | None:
        """Return the number of the block with this hash."""
        row = self.store.get(Table.HASHES, block_hash)
        return None if row is None else int.from_bytes(row, "big")

    def place(self, transaction_hash: bytes) -> tuple[int, int] | None:
        """Return the block's number and the index of a transaction."""
        row = self.store.get(Table.TRANSACTIONS, transaction_hash)
        if row is None:
            return None
        return int.from_bytes(row[:_NUMBER_BYTES], "big"), int.from_bytes(row[_NUMBER_BYTES:], "big")

    def _body(self, number: int) -> list[bytes]:
        row = self.store.get(Table.BODIES, number_key(number))
        return [] if row is None else split(row)

    def transactions(self, number: int) -> tuple[SignedTransaction, ...]:
        """Return the transactions of a block."""
        items = self._body(number)
        return tuple(_restored(items, index) for index in range(len(items) // 2))

    def transaction(self, number: int, index: int) -> SignedTransaction | None:
        """Return one transaction of a block."""
        items = self._body(number)
        return _restored(items, index) if 2 * index < len(items) else None

    def block(self, number: int) -> Block | None:
        """Return a block."""
        header = self.header(number)
        return None if header is None else Block(header, self.transactions(number))

    def receipts(self, block: Block) -> tuple[BlockReceipt, ...]:
        """Return the receipts of a block."""
        row = self.store.get(Table.RECEIPTS, number_key(block.number))
        outcomes = [] if row is None else [_decode_outcome(item) for item in split(row)]
        return receipts_of(block, outcomes)

    def receipt(self, number: int, index: int) -> BlockReceipt | None:
        """Return one receipt of a block."""
        header, tx = self.header(number), self.transaction(number, index)
        row = self.store.get(Table.RECEIPTS, number_key(number))
        if header is None or tx is None or row is None:
            return None
        return _receipt(header, index, tx, _decode_outcome(split(row)[index]))

    def logs(self, number: int, wanted: LogFilter) -> Iterator[BlockLog]:
        """Yield the logs of a block that are asked for; of the rest no more is decoded than it takes to place them."""
        key = number_key(number)
        header, row = self.store.get(Table.HEADERS, key), self.store.get(Table.RECEIPTS, key)
        if header is None or row is None:
            return
        block_hash, timestamp = keccak256(header), Header.decode(header).timestamp
        body = self._body(number)
        for index, item in enumerate(split(row)):
            *_, first, logs = split(item)
            for place, each in enumerate(split(logs), decode_scalar(decode_string(first))):
                log = _decode_log(each)
                if wanted.matches(log):
                    yield BlockLog(
                        log=log,
                        index=place,
                        transaction_hash=keccak256(decode_string(body[2 * index])),
                        transaction_index=index,
                        block_hash=block_hash,
                        block_number=number,
                        block_timestamp=timestamp,
                    )

    def opening(self, number: int) -> bytes | None:
        """Return what a block's opening left behind."""
        return self.store.get(Table.OPENINGS, number_key(number))

    def blooms(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and bloom of the blocks that have logs, `last` included."""
        for key, bloom in self.store.items(Table.BLOOMS, number_key(first), number_key(last + 1)):
            yield int.from_bytes(key, "big"), bloom

    def take_out(self, changes: Draft, number: int) -> None:
        """Add to changes that a block and what leads to it are gone, its state root too."""
        header = self.header(number)
        if header is None:
            return
        key = number_key(number)
        items = self._body(number)
        for item in items[::2]:
            changes[Table.TRANSACTIONS][keccak256(decode_string(item))] = None
        changes[Table.HASHES][header.hash] = None
        for table in (Table.HEADERS, Table.BODIES, Table.RECEIPTS, Table.BLOOMS, Table.OPENINGS, Table.ROOTS):
            changes[table][key] = None


def receipts_of(block: Block, outcomes: Sequence[Outcome]) -> tuple[BlockReceipt, ...]:
    """Return the receipts of a block from what came of its transactions."""
    return tuple(
        _receipt(block.header, index, tx, outcome)
        for index, (tx, outcome) in enumerate(zip(block.transactions, outcomes, strict=True))
    )


def _receipt(header: Header, index: int, tx: SignedTransaction, outcome: Outcome) -> BlockReceipt:
    return BlockReceipt(
        transaction=tx,
        index=index,
        block_hash=header.hash,
        block_number=header.number,
        block_timestamp=header.timestamp,
        base_fee=header.base_fee,
        status=outcome.status,
        output=outcome.output,
        gas_used=outcome.gas_used,
        cumulative_gas_used=outcome.cumulative_gas_used,
        contract=outcome.contract,
        logs=outcome.logs,
        first_log=outcome.first_log,
    )


def _restored(items: Sequence[bytes], index: int) -> SignedTransaction:
    return SignedTransaction.restore(decode_string(items[2 * index]), Address(decode_string(items[2 * index + 1])))
