"""Who is told when something happens on the chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from node.chain.block import Block, BlockReceipt
from node.chain.signed import SignedTransaction

BlockListener: TypeAlias = Callable[[Block, tuple[BlockReceipt, ...]], None]
"""Called after a block was written: everything in it can be read already."""

PendingListener: TypeAlias = Callable[[SignedTransaction], None]
"""Called when the pool took a transaction, before it is mined."""


class Events:
    """The listeners of a chain, called on the thread that writes, in the order of the blocks.

    A listener must be quick; what it raises ends nothing and is printed by `threading.excepthook`'s rules of logging.
    """

    def __init__(self) -> None:
        self._blocks: dict[object, BlockListener] = {}
        self._pending: dict[object, PendingListener] = {}

    def on_block(self, listener: BlockListener) -> Callable[[], None]:
        """Have a listener told of every new block; return what ends that."""
        key = object()
        self._blocks[key] = listener
        return lambda: self._blocks.pop(key, None) and None

    def on_pending(self, listener: PendingListener) -> Callable[[], None]:
        """Have a listener told of every transaction that the pool takes; return what ends that."""
        key = object()
        self._pending[key] = listener
        return lambda: self._pending.pop(key, None) and None
