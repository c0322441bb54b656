"""What a transaction must be to get into the pool; messages as geth has them."""

from __future__ import annotations

from typing import Final

from evmc import Gas
from ewasm.ruleset import Ruleset
from node.chain.errors import (
    CodeTooBig,
    ExceedsBlockGasLimit,
    FeeTooLow,
    InsufficientFunds,
    IntrinsicGasTooLow,
    MalformedTransaction,
    NonceTooLow,
    TipAboveFee,
    TransactionRefused,
    WrongChainId,
)
from node.chain.signed import Payload, SignedTransaction
from node.host import MAX_NONCE
from node.transaction import intrinsic_gas
from state import Account

MAX_BYTES: Final = 1 << 20
"""The longest raw transaction, in bytes."""


def check_size(raw: bytes) -> None:
    """Raise MalformedTransaction for more bytes than any transaction may have."""
    if len(raw) > MAX_BYTES:
        raise MalformedTransaction(f"oversized data: transaction of {len(raw)} bytes, at most {MAX_BYTES}")


def check_form(tx: SignedTransaction, chain_id: int, gas_limit: Gas, ruleset: Ruleset) -> None:
    """Check what does not depend on the sender's account; raise TransactionRefused."""
    check_size(tx.raw)
    if tx.chain_id is not None and tx.chain_id != chain_id:
        raise WrongChainId(f"invalid chain id for signer: have {tx.chain_id} want {chain_id}")
    check_tip(tx.max_fee, tx.max_tip, tx.sender)
    if tx.gas_limit > gas_limit:
        raise ExceedsBlockGasLimit(f"exceeds block gas limit: transaction has {tx.gas_limit}, a block {gas_limit}")
    check_init_code(tx.data if tx.to is None else b"", ruleset)
    check_intrinsic(tx, tx.gas_limit, ruleset)


def check_tip(fee: int, tip: int, sender: object) -> None:
    """Raise TipAboveFee if the highest tip is above the highest fee."""
    if tip > fee:
        raise TipAboveFee(
            f"max priority fee per gas higher than max fee per gas: address {sender}, "
            f"maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee}"
        )


def check_init_code(code: bytes, ruleset: Ruleset) -> None:
    """Raise CodeTooBig for init code beyond the ruleset's bound."""
    bound = ruleset.max_init_code
    if bound is not None and len(code) > bound:
        raise CodeTooBig(f"max initcode size exceeded: code size {len(code)} limit {bound}")


def check_intrinsic(tx: Payload, gas: Gas, ruleset: Ruleset) -> None:
    """Raise IntrinsicGasTooLow if gas does not pay for what comes before the run."""
    needed = intrinsic_gas(tx.data, ruleset, tx.access_list, create=tx.to is None)
    if gas < needed:
        raise IntrinsicGasTooLow(f"intrinsic gas too low: gas {gas}, minimum needed {needed}")


def check_account(tx: SignedTransaction, account: Account) -> None:
    """Check nonce and funds against the sender's account; raise TransactionRefused."""
    if tx.nonce < account.nonce:
        raise NonceTooLow(f"nonce too low: next nonce {account.nonce}, tx nonce {tx.nonce}")
    if tx.nonce >= MAX_NONCE:
        raise TransactionRefused(f"nonce has max value: address {tx.sender}, nonce: {tx.nonce}")
    check_funds(tx, tx.sender, account.balance)


def check_funds(tx: Payload, sender: object, balance: int) -> None:
    """Raise InsufficientFunds if the balance does not cover gas at its highest price and the value."""
    cost = tx.gas_limit * tx.max_fee + tx.value
    if cost > balance:
        raise InsufficientFunds(
            f"insufficient funds for gas * price + value: address {sender} have {balance} want {cost}"
        )


def check_fee(tx: Payload, sender: object, base_fee: int) -> None:
    """Raise FeeTooLow if the transaction cannot be in a block with this base fee."""
    if tx.max_fee < base_fee:
        raise FeeTooLow(
            f"max fee per gas less than block base fee: address {sender}, maxFeePerGas: {tx.max_fee}, "
            f"baseFee: {base_fee}"
        )
