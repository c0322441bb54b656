"""Transactions that wait for a block."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Lock
from typing import Final

from evmc import Address, Bytes32
from node.chain.errors import AlreadyKnown, PoolFull, ReplacementUnderpriced
from node.chain.signed import SignedTransaction

PRICE_BUMP: Final = 10
"""By how many percent a replacement must raise both fees."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many transactions may wait: of one sender, and of all; and how many bytes they may have."""

    sender: int = 1_024
    total: int = 8_192
    bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class PoolContent:
    """What waits, by sender and nonce: `pending` could be in the next block, `queued` wait for an earlier nonce."""

    pending: Mapping[Address, Mapping[int, SignedTransaction]]
    queued: Mapping[Address, Mapping[int, SignedTransaction]]


Nonces = Callable[[Address], int]
"""The next nonce of every account, after the last block."""


class Pool:
    """Waiting transactions by sender and nonce. Threads may read while one changes it."""

    def __init__(self, limits: PoolLimits) -> None:
        self.limits = limits
        self.version = 0
        """Rises with every change."""
        self._senders: dict[Address, dict[int, SignedTransaction]] = {}
        self._arrivals: dict[Bytes32, int] = {}
        self._by_hash: dict[Bytes32, SignedTransaction] = {}
        self._bytes = 0
        self._count = count()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, transaction_hash: object) -> bool:
        return transaction_hash in self._by_hash

    def get(self, transaction_hash: Bytes32) -> SignedTransaction | None:
        """Return a waiting transaction."""
        return self._by_hash.get(transaction_hash)

    def add(self, tx: SignedTransaction) -> SignedTransaction | None:
        """Take a transaction and return the one it replaces, if it does.

        Raise AlreadyKnown, ReplacementUnderpriced or PoolFull.
        """
        with self._lock:
            if tx.hash in self._by_hash:
                raise AlreadyKnown("already known")
            waiting = self._senders.get(tx.sender, {})
            before = waiting.get(tx.nonce)
            if before is not None:
                _check_replacement(before, tx)
            elif len(waiting) >= self.limits.sender:
                raise PoolFull(f"account limit exceeded: {len(waiting)} transactions of {tx.sender} are waiting")
            elif len(self._by_hash) >= self.limits.total:
                raise PoolFull(f"txpool is full: {len(self._by_hash)} transactions are waiting")
            if self._bytes - (len(before.raw) if before else 0) + len(tx.raw) > self.limits.bytes:
                raise PoolFull(f"txpool is full: {self._bytes} bytes are waiting, at most {self.limits.bytes}")
            self._senders.setdefault(tx.sender, waiting)
            if before is not None:
                self._forget(before)
            waiting[tx.nonce] = tx
            self._by_hash[tx.hash] = tx
            self._bytes += len(tx.raw)
            self._arrivals[tx.hash] = next(self._count)
            self.version += 1
            return before

    def remove(self, transaction_hash: Bytes32) -> SignedTransaction | None:
        """Remove a transaction and return it, None if it does not wait."""
        with self._lock:
            tx = self._by_hash.get(transaction_hash)
            if tx is not None:
                self._remove(tx)
            return tx

    def remove_below(self, sender: Address, nonce: int) -> None:
        """Remove a sender's transactions with nonces that are used up."""
        with self._lock:
            for each in [each for each in self._senders.get(sender, ()) if each < nonce]:
                self._remove(self._senders[sender][each])

    def clear(self) -> None:
        """Remove all."""
        with self._lock:
            self._senders.clear()
            self._arrivals.clear()
            self._by_hash.clear()
            self._bytes = 0
            self.version += 1

    def next_nonce(self, sender: Address, nonce: int) -> int:
        """Return the first nonce from `nonce` on with which nothing of the sender waits."""
        waiting = self._senders.get(sender, {})
        while nonce in waiting:
            nonce += 1
        return nonce

    def transactions(self) -> list[SignedTransaction]:
        """Return all in the order of their arrival."""
        with self._lock:
            return sorted(self._by_hash.values(), key=lambda tx: self._arrivals[tx.hash])

    def senders(self) -> list[Address]:
        """Return who has transactions here."""
        with self._lock:
            return list(self._senders)

    def content(self, nonces: Nonces) -> PoolContent:
        """Return what waits, parted by whether a nonce is missing before it."""
        with self._lock:
            senders = {sender: dict(sorted(waiting.items())) for sender, waiting in self._senders.items()}
        pending: dict[Address, dict[int, SignedTransaction]] = {}
        queued: dict[Address, dict[int, SignedTransaction]] = {}
        for sender, waiting in senders.items():
            following = nonces(sender)
            for nonce, tx in waiting.items():
                if nonce == following:
                    pending.setdefault(sender, {})[nonce] = tx
                    following += 1
                elif nonce > following:
                    queued.setdefault(sender, {})[nonce] = tx
        return PoolContent(pending, queued)

    def copy(self) -> Pool:
        """Return a pool with the same transactions."""
        with self._lock:
            other = Pool(self.limits)
            other._senders = {sender: dict(waiting) for sender, waiting in self._senders.items()}
            other._by_hash = dict(self._by_hash)
            other._bytes = self._bytes
            other._arrivals = dict(self._arrivals)
            other._count = count(max(self._arrivals.values(), default=-1) + 1)
            other.version = self.version
            return other

    def candidates(self, nonces: Nonces, base_fee: int) -> Candidates:
        """Return what could be in a block with this base fee, the best first."""
        with self._lock:
            return Candidates(
                {sender: dict(waiting) for sender, waiting in self._senders.items()},
                dict(self._arrivals),
                nonces,
                base_fee,
            )

    def _remove(self, tx: SignedTransaction) -> None:
        waiting = self._senders[tx.sender]
        del waiting[tx.nonce]
        if not waiting:
            del self._senders[tx.sender]
        self._forget(tx)
        self.version += 1

    def _forget(self, tx: SignedTransaction) -> None:
        del self._by_hash[tx.hash]
        self._bytes -= len(tx.raw)
        del self._arrivals[tx.hash]


def _check_replacement(before: SignedTransaction, tx: SignedTransaction) -> None:
    for old, new in ((before.max_fee, tx.max_fee), (before.max_tip, tx.max_tip)):
        least = old + -(-old * PRICE_BUMP // 100)
        if new < max(least, old + 1):
            raise ReplacementUnderpriced(
                f"replacement transaction underpriced: both fees must rise by {PRICE_BUMP} %, to {least} at least"
            )


class Candidates:
    """Transactions in the order in which a block takes them: by tip, then by arrival, and a sender's by nonce.

    Of every sender one stands in line. The next one follows when `follow` tells that it was taken; otherwise the
    sender has no more in this block.
    """

    def __init__(
        self,
        senders: Mapping[Address, Mapping[int, SignedTransaction]],
        arrivals: Mapping[Bytes32, int],
        nonces: Nonces,
        base_fee: int,
    ) -> None:
        self._senders = senders
        self._arrivals = arrivals
        self._base_fee = base_fee
        self._line: list[tuple[int, int, SignedTransaction]] = []
        for sender in senders:
            self._stand(sender, nonces(sender))

    def __bool__(self) -> bool:
        return bool(self._line)

    def __iter__(self) -> Iterator[SignedTransaction]:
        while self._line:
            yield heapq.heappop(self._line)[2]

    def follow(self, tx: SignedTransaction) -> None:
        """Let the sender's next transaction stand in line."""
        self._stand(tx.sender, tx.nonce + 1)

    def _stand(self, sender: Address, nonce: int) -> None:
        tx = self._senders[sender].get(nonce)
        if tx is not None and tx.max_fee >= self._base_fee:
            heapq.heappush(self._line, (-tx.effective_tip(self._base_fee), self._arrivals[tx.hash], tx))
