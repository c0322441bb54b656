"""The development chain: transactions, pool, blocks, and the one door to them, `Chain`."""

from node.chain.block import Block, BlockLog, BlockReceipt, Header, LogFilter, MinedTransaction
from node.chain.calls import AccessListResult, BlockOverride, Call, CallResult, Override
from node.chain.chain import Chain
from node.chain.errors import (
    CallAborted,
    ChainError,
    ExecutionFailed,
    TransactionRefused,
    UnknownBlock,
    UnusableChain,
)
from node.chain.events import Events
from node.chain.genesis import Genesis
from node.chain.pool import PoolContent, PoolLimits
from node.chain.reader import FeeHistory, Reader, Tag
from node.chain.signed import Payload, SignedTransaction
from node.chain.wallet import DERIVATION_PATH, Wallet
from node.defaults import MNEMONIC

__all__ = [
    "DERIVATION_PATH",
    "MNEMONIC",
    "AccessListResult",
    "Block",
    "BlockLog",
    "BlockOverride",
    "BlockReceipt",
    "Call",
    "CallAborted",
    "CallResult",
    "Chain",
    "ChainError",
    "Events",
    "ExecutionFailed",
    "FeeHistory",
    "Genesis",
    "Header",
    "LogFilter",
    "MinedTransaction",
    "Override",
    "Payload",
    "PoolContent",
    "PoolLimits",
    "Reader",
    "SignedTransaction",
    "Tag",
    "TransactionRefused",
    "UnknownBlock",
    "UnusableChain",
    "Wallet",
]
