"""Executing a transaction: intrinsic gas, fees, refunds (Yellow Paper section 6, Byzantium; EIP-2930, EIP-1559)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from evmc import U256, VM, ZERO_ADDRESS, Address, Bytes32, CallKind, Gas, Log, Message, Precompiles, Result, TxContext
from ewasm.ruleset import Ruleset
from node.host import MAX_NONCE, BlockHash, NodeHost, no_block_hash
from state import Diff, Journal

TX_BASE: Final = 21_000
TX_CREATE: Final = 32_000
TX_ZERO_BYTE: Final = 4
TX_BYTE: Final = 68
TX_LISTED_ADDRESS: Final = 2_400
TX_LISTED_SLOT: Final = 1_900

AccessList: TypeAlias = tuple[tuple[Address, tuple[Bytes32, ...]], ...]
"""Addresses with slots that a transaction announces (EIP-2930); here they cost and give nothing."""


class InvalidTransaction(Exception):
    """A transaction that cannot be executed at all: nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transaction whose sender is known; `to` is None for a creation, `gas_price` a price of whole gas.

    `tip` is what of the price goes to the coinbase, None for all of it; the rest is burnt. `max_price` is the price
    that the sender must be able to pay, None for the price itself (EIP-1559).
    """

    sender: Address
    to: Address | None
    nonce: int
    gas_limit: Gas
    gas_price: U256 = U256(0)
    value: U256 = U256(0)
    data: bytes = b""
    tip: U256 | None = None
    max_price: U256 | None = None
    access_list: AccessList = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did: the result of its message, gas used after the refund, logs, changes.

    `contract` is the address a creation was for, made or not.
    """

    result: Result
    gas_used: Gas
    logs: tuple[Log, ...]
    diff: Diff
    contract: Address | None


def intrinsic_gas(data: bytes, ruleset: Ruleset, access_list: AccessList = (), *, create: bool) -> Gas:
    """Return what a transaction pays before anything runs."""
    zeros = data.count(0)
    gas = TX_BASE + TX_ZERO_BYTE * zeros + TX_BYTE * (len(data) - zeros)
    for _, slots in access_list:
        gas += TX_LISTED_ADDRESS + TX_LISTED_SLOT * len(slots)
    return gas + TX_CREATE + ruleset.host.init_code_byte * len(data) if create else gas


def check_transaction(tx: Transaction, journal: Journal, block: TxContext, ruleset: Ruleset) -> Gas:
    """Return the intrinsic gas; raise `InvalidTransaction` that says what is wrong with the transaction."""
    nonce, balance = journal.nonce(tx.sender), journal.balance(tx.sender)
    if tx.nonce != nonce:
        raise InvalidTransaction(f"nonce {tx.nonce} of {tx.sender} is not the next, {nonce}")
    if nonce >= MAX_NONCE:
        raise InvalidTransaction(f"{tx.sender} has sent all it can: its nonce is the last, {nonce}")
    most = tx.gas_price if tx.max_price is None else tx.max_price
    if not (tx.tip or 0) <= tx.gas_price <= most:
        raise InvalidTransaction(f"a price of {tx.gas_price} with a tip of {tx.tip or 0}, at most {most}: impossible")
    cost = tx.gas_limit * most + tx.value
    if cost > balance:
        raise InvalidTransaction(f"{tx.sender} has {balance}, gas and value need {cost}")
    if tx.gas_limit > block.gas_limit:
        raise InvalidTransaction(f"gas limit {tx.gas_limit} is above the block's, {block.gas_limit}")
    bound = ruleset.max_init_code
    if tx.to is None and bound is not None and len(tx.data) > bound:
        raise InvalidTransaction(f"init code of {len(tx.data)} bytes, at most {bound}")
    intrinsic = intrinsic_gas(tx.data, ruleset, tx.access_list, create=tx.to is None)
    if intrinsic > tx.gas_limit:
        raise InvalidTransaction(f"gas limit {tx.gas_limit} is below the intrinsic gas, {intrinsic}")
    return intrinsic


def execute_transaction(
    tx: Transaction,
    journal: Journal,
    block: TxContext,
    vm: VM,
    ruleset: Ruleset,
    precompiles: Precompiles,
    block_hash: BlockHash = no_block_hash,
) -> Receipt:
    """Execute a transaction on a journal and finish it; `block` gives everything but origin and price.

    Raise `InvalidTransaction` before anything was changed.
    """
    intrinsic = check_transaction(tx, journal, block, ruleset)
    context = replace(block, origin=tx.sender, gas_price=tx.gas_price)
    host = NodeHost(journal, context, vm, ruleset, precompiles, block_hash)
    journal.sub_balance(tx.sender, tx.gas_limit * tx.gas_price)
    message = Message(
        kind=CallKind.CREATE if tx.to is None else CallKind.CALL,
        gas=tx.gas_limit - intrinsic,
        sender=tx.sender,
        recipient=tx.to or ZERO_ADDRESS,
        code_address=tx.to or ZERO_ADDRESS,
        value=tx.value,
        input=tx.data,
    )
    contract = None
    if tx.to is None:
        contract = host.address_of_creation(message)
    else:
        journal.increment_nonce(tx.sender)
    result = host.call(message)
    spent = tx.gas_limit - result.gas_left
    gas_used = spent - min(journal.refund, spent // 2)
    journal.give(tx.sender, (tx.gas_limit - gas_used) * tx.gas_price)
    journal.give(block.coinbase, gas_used * (tx.gas_price if tx.tip is None else tx.tip))
    logs = journal.logs
    return Receipt(result, gas_used, logs, journal.finish(), contract)
