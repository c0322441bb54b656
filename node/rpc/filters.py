"""Filters: what happened since a client last asked, kept here until it asks or has forgotten to."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from node.chain import Block, BlockReceipt, Chain, SignedTransaction
from node.rpc.errors import LIMIT_EXCEEDED, Refused, RpcError
from node.rpc.format import log_document
from node.rpc.kinds import hex_data
from node.rpc.limits import Limits
from node.rpc.objects import LogQuery

Kind: TypeAlias = Literal["logs", "blocks", "transactions"]


@dataclass(slots=True)
class Filter:
    """What a client wants to hear of, and what has come; `used` is when it last asked."""

    kind: Kind
    query: LogQuery | None
    used: float
    found: list[Any] = field(default_factory=list)


class Filters:
    """The filters of all clients, by opaque ids; safe to use from any thread.

    One that is not asked for `filter_seconds`, or gathers more than `logs` results, is dropped.
    """

    def __init__(self, chain: Chain, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._filters: dict[str, Filter] = {}
        self._lock = threading.Lock()
        self._ends = [chain.events.on_block(self._block), chain.events.on_pending(self._pending)]

    def close(self) -> None:
        """Hear of nothing more."""
        for end in self._ends:
            end()

    def add(self, kind: Kind, query: LogQuery | None = None) -> str:
        """Add a filter and return its id; raise `RpcError` if there are too many."""
        with self._lock:
            self._drop_old()
            if len(self._filters) >= self._limits.filters:
                raise RpcError(LIMIT_EXCEEDED, f"too many filters: at most {self._limits.filters}; uninstall some")
            identifier = "0x" + secrets.token_hex(16)
            self._filters[identifier] = Filter(kind, query, self._clock())
        return identifier

    def remove(self, identifier: str) -> bool:
        """Remove a filter; tell whether there was one."""
        with self._lock:
            return self._filters.pop(identifier, None) is not None

    def changes(self, identifier: str) -> list[Any]:
        """Return what has come since the last time."""
        with self._lock:
            wanted = self._find(identifier)
            found, wanted.found = wanted.found, []
        return found

    def query(self, identifier: str) -> LogQuery:
        """Return what a filter of logs asks for."""
        with self._lock:
            query = self._find(identifier).query
        if query is None:
            raise Refused("not a filter of logs")
        return query

    def _find(self, identifier: str) -> Filter:
        self._drop_old()
        found = self._filters.get(identifier)
        if found is None:
            raise Refused("filter not found")
        found.used = self._clock()
        return found

    def _drop_old(self) -> None:
        oldest = self._clock() - self._limits.filter_seconds
        for identifier in [key for key, each in self._filters.items() if each.used < oldest]:
            del self._filters[identifier]

    def _add(self, kind: Kind, results: Callable[[Filter], list[Any]]) -> None:
        with self._lock:
            self._drop_old()
            for identifier, each in list(self._filters.items()):
                if each.kind == kind:
                    each.found += results(each)
                    if len(each.found) > self._limits.logs:
                        del self._filters[identifier]

    def _block(self, block: Block, receipts: tuple[BlockReceipt, ...]) -> None:
        found = [hex_data(block.hash)]
        self._add("blocks", lambda _: found)
        self._add("logs", lambda each: matching(each.query, block, receipts))

    def _pending(self, transaction: SignedTransaction) -> None:
        found = [hex_data(transaction.hash)]
        self._add("transactions", lambda _: found)


def matching(query: LogQuery | None, block: Block, receipts: tuple[BlockReceipt, ...]) -> list[Any]:
    """Return the logs of a new block that a query asks for, as clients read them."""
    if query is None or not _in_range(query, block):
        return []
    return [log_document(log) for receipt in receipts for log in receipt.placed_logs if query.wanted.matches(log.log)]


def _in_range(query: LogQuery, block: Block) -> bool:
    """Tell whether a new block is among those asked for; names other than numbers leave the range open."""
    first, last = query.first, query.last
    after = not isinstance(first, int) or block.number >= first
    before = not isinstance(last, int) or block.number <= last
    return query.block is None and after and before
