"""The log of waiting transactions: a file beside a chain's store, so that a process that is killed loses none.

A store writes to the disk and waits for it, which is too slow for every transaction. Here a transaction is appended and
nobody waits: the system keeps it if the process ends, and what a power failure leaves half is recognised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from zlib import crc32

from evmc import Address
from node.chain.errors import TransactionRefused
from node.chain.pool import Pool
from node.chain.signed import SignedTransaction
from state import Store, StoreError, Table

NAME: Final = "waiting"
"""The file's name in the directory of a chain."""

_WORD: Final = 4
_SPARE: Final = 256
"""Records that may be in vain before the log is written anew."""


class WaitingLog:
    """Transactions in the order of their arrival: each with its length and checksum, then sender and encoding.

    Records are only added: one whose nonce the sender has used up is in vain, and one with the nonce of another takes
    its place. Without a folder nothing is kept. Methods raise StoreError.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = None if folder is None else folder / NAME
        self._count = 0

    def read(self) -> list[SignedTransaction]:
        """Return what is there, up to the first record that is not whole."""
        if self._path is None:
            return []
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failure(error) from error
        found, place = [], 0
        while (body := _body(data, place)) is not None:
            found.append(_restored(body))
            place += 2 * _WORD + len(body)
        self._count = len(found) + (place < len(data))
        return found

    def add(self, tx: SignedTransaction) -> None:
        """Append a transaction, in one piece or not at all."""
        if self._path is None:
            return
        record = _record(tx)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                size = os.fstat(file).st_size
                if os.write(file, record) != len(record):
                    os.ftruncate(file, size)
                    raise StoreError(f"{self._path}: cannot be written: the disk is full")
            finally:
                os.close(file)
        except OSError as error:
            raise self._failure(error) from error
        self._count += 1

    def level(self, transactions: Sequence[SignedTransaction]) -> None:
        """Make the log hold just these."""
        if self._path is None or not (transactions or self._count):
            return
        new = self._path.with_suffix(".new")
        try:
            with new.open("wb") as file:
                file.writelines(map(_record, transactions))
            new.replace(self._path)
        except OSError as error:
            raise self._failure(error) from error
        self._count = len(transactions)

    def shorten(self, pool: Pool) -> None:
        """Make the log hold just what is in the pool, if much of what it has is in vain."""
        if self._count > (2 * len(pool) + _SPARE if len(pool) else 0):
            self.level(pool.transactions())

    def _failure(self, error: OSError) -> StoreError:
        return StoreError(f"{error.filename or self._path}: {error.strerror or error}")


def rows_waiting(store: Store) -> list[SignedTransaction]:
    """Return what waited when a chain was closed, as its store has it, in the order of its arrival."""
    return [_restored(row) for _, row in store.items(Table.POOL)]


def put_waiting(store: Store, transactions: Sequence[SignedTransaction]) -> None:
    """Write what waits when a chain is closed, in place of what did before."""
    rows: dict[bytes, bytes | None] = dict.fromkeys(key for key, _ in store.items(Table.POOL))
    rows |= {index.to_bytes(_WORD, "big"): tx.sender + tx.raw for index, tx in enumerate(transactions)}
    store.write({Table.POOL: rows})


def take_up(pool: Pool, waited: Iterable[SignedTransaction], nonce: Callable[[Address], int]) -> None:
    """Let what waited before wait again, as far as its nonces are not used up."""
    for tx in waited:
        if tx.nonce >= nonce(tx.sender):
            with suppress(TransactionRefused):  # it stands there twice, or another took its place
                pool.add(tx)


def _restored(body: bytes) -> SignedTransaction:
    return SignedTransaction.restore(body[Address.length :], Address(body[: Address.length]))


def _record(tx: SignedTransaction) -> bytes:
    body = tx.sender + tx.raw
    return len(body).to_bytes(_WORD, "big") + crc32(body).to_bytes(_WORD, "big") + body


def _body(data: bytes, place: int) -> bytes | None:
    """Return what the record at a place holds; None if none is there that is whole."""
    length, checksum = (int.from_bytes(data[at : at + _WORD], "big") for at in (place, place + _WORD))
    body = data[place + 2 * _WORD : place + 2 * _WORD + length]
    return body if len(body) == length > Address.length and crc32(body) == checksum else None
