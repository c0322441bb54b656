"""Subscriptions: what clients are told of as it happens, over their WebSocket."""

from __future__ import annotations

import json
import secrets
import threading
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from node.chain import Block, BlockReceipt, Chain, MinedTransaction, SignedTransaction
from node.rpc.errors import LIMIT_EXCEEDED, SERVER_ERROR, RpcError
from node.rpc.filters import matching
from node.rpc.format import header_document, transaction_document
from node.rpc.kinds import hex_data
from node.rpc.limits import Limits
from node.rpc.objects import LogQuery
from node.rpc.session import Session

Topic: TypeAlias = Literal["newHeads", "logs", "newPendingTransactions"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants to hear of what; `full` wants transactions whole."""

    session: Session
    topic: Topic
    query: LogQuery | None = None
    full: bool = False


class Subscriptions:
    """The subscriptions of all connections, by opaque ids; safe to use from any thread."""

    def __init__(self, chain: Chain, limits: Limits) -> None:
        self._limits = limits
        self._subscriptions: dict[str, Subscription] = {}
        self._lock = threading.Lock()
        self._ends = [chain.events.on_block(self._block), chain.events.on_pending(self._pending)]

    def close(self) -> None:
        """Hear of nothing more."""
        for end in self._ends:
            end()

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(self, subscription: Subscription) -> str:
        """Add a subscription and return its id; raise `RpcError` if the connection has too many."""
        session = subscription.session
        with self._lock:
            if session.closed:  # and forgotten, or about to be
                raise RpcError(SERVER_ERROR, "the connection is gone")
            if len(session.subscriptions) >= self._limits.subscriptions:
                raise RpcError(LIMIT_EXCEEDED, f"too many subscriptions: at most {self._limits.subscriptions}")
            identifier = "0x" + secrets.token_hex(16)
            session.subscribed(identifier)
            self._subscriptions[identifier] = subscription
        return identifier

    def remove(self, session: Session, identifier: str) -> bool:
        """Remove a subscription of a connection; tell whether there was one."""
        with self._lock:
            found = self._subscriptions.get(identifier)
            if found is None or found.session is not session:
                return False
            del self._subscriptions[identifier]
            session.unsubscribed(identifier)
        return True

    def forget(self, session: Session) -> None:
        """Remove all subscriptions of a connection that is closed."""
        with self._lock:
            for identifier in list(session.subscriptions):
                self._subscriptions.pop(identifier, None)

    def _of(self, topic: Topic) -> list[tuple[str, Subscription]]:
        with self._lock:
            return [(identifier, each) for identifier, each in self._subscriptions.items() if each.topic == topic]

    def _block(self, block: Block, receipts: tuple[BlockReceipt, ...]) -> None:
        heads = self._of("newHeads")
        if heads:
            result = json.dumps(header_document(block.header))
            for identifier, each in heads:
                each.session.notify(identifier, _notification(identifier, result))
        for identifier, each in self._of("logs"):
            for log in matching(each.query, block, receipts):
                each.session.notify(identifier, _notification(identifier, json.dumps(log)))

    def _pending(self, transaction: SignedTransaction) -> None:
        for identifier, each in self._of("newPendingTransactions"):
            result: Any = hex_data(transaction.hash)
            if each.full:
                result = transaction_document(MinedTransaction(transaction))
            each.session.notify(identifier, _notification(identifier, json.dumps(result)))


def _notification(identifier: str, result: str) -> str:
    """Return the message of a notification; the result is JSON already."""
    return (
        f'{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{identifier}","result":{result}}}}}'
    )
