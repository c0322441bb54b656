"""Who is told when something happens on the chain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from node.chain.block import Block, BlockReceipt
from node.chain.signed import SignedTransaction

_logger = logging.getLogger(__name__)

BlockListener: TypeAlias = Callable[[Block, tuple[BlockReceipt, ...]], None]
"""Called after a block was written: everything in it can be read already."""

PendingListener: TypeAlias = Callable[[SignedTransaction], None]
"""Called when the pool took a transaction, before it is mined."""

L = TypeVar("L")


class Events:
    """The listeners of a chain, called on the thread that writes, in the order of the blocks.

    A listener must be quick and must not write to the chain. What it raises is logged and changes nothing.
    """

    def __init__(self) -> None:
        self._blocks: dict[object, BlockListener] = {}
        self._pending: dict[object, PendingListener] = {}

    def on_block(self, listener: BlockListener) -> Callable[[], None]:
        """Have a listener told of every new block; return what ends that."""
        return _added(self._blocks, listener)

    def on_pending(self, listener: PendingListener) -> Callable[[], None]:
        """Have a listener told of every transaction that the pool takes; return what ends that."""
        return _added(self._pending, listener)

    @property
    def wants_blocks(self) -> bool:
        """Whether anybody listens for blocks."""
        return bool(self._blocks)

    def block(self, block: Block, receipts: tuple[BlockReceipt, ...]) -> None:
        """Tell of a block."""
        for listener in list(self._blocks.values()):
            _guarded(lambda listener=listener: listener(block, receipts))  # type: ignore[misc]

    def pending(self, tx: SignedTransaction) -> None:
        """Tell of a waiting transaction."""
        for listener in list(self._pending.values()):
            _guarded(lambda listener=listener: listener(tx))  # type: ignore[misc]


def _added(listeners: dict[object, L], listener: L) -> Callable[[], None]:
    key = object()
    listeners[key] = listener

    def end() -> None:
        listeners.pop(key, None)

    return end


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        _logger.exception("a listener of the chain failed")
