"""Errors of the chain, with the words that clients of Ethereum nodes look for.

A message begins as geth's does (`core/error.go`, `core/txpool/errors.go`), since web3.py, ethers and viem tell errors
apart by it; numbers follow. `code` is the one of JSON-RPC.
"""

from __future__ import annotations

from typing import Final

from evmc import Result, Status

REVERTED: Final = 3
"""The code of JSON-RPC for a revert, after which clients decode the data (geth, Anvil)."""


class ChainError(Exception):
    """What was asked cannot be done: the message says why."""

    code: int = -32000


class UnknownBlock(ChainError):
    """No block has this number or hash, or its state is no longer there."""


class UnusableChain(ChainError):
    """A store or file that holds no chain this node can go on with: the message says what to do."""


class TransactionRefused(ChainError):
    """A transaction that the pool does not take; nothing was changed."""


class MalformedTransaction(TransactionRefused):
    """Bytes that are not a transaction in canonical form."""

    code = -32602


class UnsupportedType(TransactionRefused):
    """A transaction of a type that the chain does not have."""


class InvalidSignature(TransactionRefused):
    """A signature that is out of range, malleable, or of nobody."""


class WrongChainId(TransactionRefused):
    """A transaction that was signed for another chain."""


class AlreadyKnown(TransactionRefused):
    """A transaction that waits in the pool already."""


class NonceTooLow(TransactionRefused):
    """A nonce that the sender has used up."""


class InsufficientFunds(TransactionRefused):
    """A sender who cannot pay for gas and value."""


class ReplacementUnderpriced(TransactionRefused):
    """A transaction in another's place that does not raise both fees by a tenth."""


class FeeTooLow(TransactionRefused):
    """A fee that is below the base fee of the next block, where a block is made at once."""


class TipAboveFee(TransactionRefused):
    """A priority fee above the whole fee."""


class IntrinsicGasTooLow(TransactionRefused):
    """Less gas than a transaction pays before anything runs."""


class ExceedsBlockGasLimit(TransactionRefused):
    """More gas than a block has."""


class CodeTooBig(TransactionRefused):
    """Init code beyond the ruleset's bound."""


class ContractRefused(TransactionRefused):
    """Init code that the rules refuse, so that the creation could only fail."""


class PoolFull(TransactionRefused):
    """No room in the pool for another transaction, of this sender or at all."""


class NotAuthorised(TransactionRefused):
    """A sender whose key the node has not and who is not impersonated."""


class CallAborted(ChainError):
    """A call that the node stopped after its time: no verdict about the contract."""


class ExecutionFailed(ChainError):
    """A call that failed where its success was asked for; `result` has status and output."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
        if result.status is Status.REVERT:
            self.code = REVERTED
