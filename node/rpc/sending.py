"""Methods that send and sign: raw transactions for all, the node's own keys for developers; and the pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from evmc import Address, Bytes32
from evmc.reading import read_json
from node.chain import Call, MinedTransaction
from node.rpc.errors import InvalidParams
from node.rpc.format import payload_document, pool_document, raw_document, transaction_document
from node.rpc.kinds import (
    ADDRESS,
    DATA,
    HASH,
    OBJECT,
    Kind,
    Unreadable,
    array,
    hex_data,
    hex_quantity,
    read_object,
)
from node.rpc.objects import CALL
from node.rpc.service import Context
from node.rpc.table import MethodTable, Param

TABLE: Final = MethodTable()


def _read_typed_data(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = read_json(value)
        except ValueError:
            raise Unreadable("an object of EIP-712, or its JSON, is expected") from None
    return read_object(value)


TYPED_DATA: Final = Kind("typed data", {"title": "typed data", "type": "object"}, _read_typed_data)
TRANSACTION: Final = Param("transaction", CALL)


@TABLE.method("eth_sendRawTransaction", Param("raw", DATA), result=HASH)
def send_raw(ctx: Context, raw: bytes) -> Bytes32:
    """Take a signed transaction and return its hash; with automine it is mined by then."""
    return ctx.chain.send(raw)


@TABLE.method("eth_accounts", result=array(ADDRESS), aliases=("eth_requestAccounts",))
def accounts(ctx: Context) -> tuple[Address, ...]:
    """Return the accounts whose keys the node has, none to those who may not use them."""
    return ctx.chain.wallet.addresses if ctx.developer else ()


@TABLE.method("eth_sendTransaction", TRANSACTION, result=HASH, aliases=("eth_sendUnsignedTransaction",), developer=True)
def send(ctx: Context, transaction: Call) -> Bytes32:
    """Fill a transaction, sign it with the node's key or for an impersonated sender, and take it."""
    return ctx.chain.send_from(_with_sender(transaction), timeout=ctx.timeout)


@TABLE.method("eth_signTransaction", TRANSACTION, result=OBJECT, developer=True)
def sign_transaction(ctx: Context, transaction: Call) -> dict[str, Any]:
    """Fill and sign a transaction, and return it without sending it."""
    transaction = _with_sender(transaction)
    payload = ctx.chain.fill(transaction, timeout=ctx.timeout)
    return raw_document(ctx.chain.wallet.sign(payload, transaction.origin))


@TABLE.method("eth_fillTransaction", TRANSACTION, result=OBJECT)
def fill(ctx: Context, transaction: Call) -> dict[str, Any]:
    """Return a transaction with nonce, gas and fees chosen where it names none; it is not signed."""
    payload = ctx.chain.fill(transaction, timeout=ctx.timeout)
    document = payload_document(payload) | {"from": hex_data(transaction.origin)}
    if "maxFeePerGas" not in document:
        document["gasPrice"] = hex_quantity(payload.max_fee)
    return {"tx": document}


@TABLE.method("eth_sign", Param("address", ADDRESS), Param("message", DATA), result=DATA, developer=True)
def sign(ctx: Context, address: Address, message: bytes) -> bytes:
    """Sign a message with the key of an account (EIP-191)."""
    return ctx.chain.wallet.sign_message(address, message)


@TABLE.method("personal_sign", Param("message", DATA), Param("address", ADDRESS), result=DATA, developer=True)
def personal_sign(ctx: Context, message: bytes, address: Address) -> bytes:
    """Sign a message with the key of an account (EIP-191)."""
    return ctx.chain.wallet.sign_message(address, message)


@TABLE.method(
    "eth_signTypedData_v4",
    Param("address", ADDRESS),
    Param("data", TYPED_DATA),
    result=DATA,
    aliases=("eth_signTypedData",),
    developer=True,
)
def sign_typed_data(ctx: Context, address: Address, document: Mapping[str, Any]) -> bytes:
    """Sign typed data with the key of an account (EIP-712)."""
    try:
        return ctx.chain.wallet.sign_typed_data(address, document)
    except ValueError as error:
        raise InvalidParams(f"invalid argument 1 (data): {error}") from error


def _with_sender(transaction: Call) -> Call:
    if transaction.sender is None:
        raise InvalidParams("invalid argument 0 (transaction): from is missing")
    return transaction


# The pool


@TABLE.method("txpool_status", result=OBJECT)
def pool_status(ctx: Context) -> dict[str, str]:
    """Return how many transactions wait, and how many of them for an earlier nonce."""
    pool = ctx.chain.pool()
    return {
        "pending": hex_quantity(sum(map(len, pool.pending.values()))),
        "queued": hex_quantity(sum(map(len, pool.queued.values()))),
    }


@TABLE.method("txpool_content", result=OBJECT)
def pool_content(ctx: Context) -> dict[str, Any]:
    """Return the transactions that wait, by sender and nonce."""
    pool = ctx.chain.pool()
    return {"pending": pool_document(pool.pending), "queued": pool_document(pool.queued)}


@TABLE.method("txpool_contentFrom", Param("address", ADDRESS), result=OBJECT)
def pool_content_from(ctx: Context, address: Address) -> dict[str, Any]:
    """Return the transactions of a sender that wait, by nonce."""
    found = pool_content(ctx)
    return {kind: senders.get(hex_data(address), {}) for kind, senders in found.items()}


@TABLE.method("txpool_inspect", result=OBJECT)
def pool_inspect(ctx: Context) -> dict[str, Any]:
    """Return the transactions that wait, each in a line."""
    pool = ctx.chain.pool()
    return {"pending": pool_document(pool.pending, short=True), "queued": pool_document(pool.queued, short=True)}


@TABLE.method("eth_pendingTransactions", result=array(OBJECT))
def pending_transactions(ctx: Context) -> list[dict[str, Any]]:
    """Return the transactions that could be in the next block."""
    waiting = (tx for each in ctx.chain.pool().pending.values() for _, tx in sorted(each.items()))
    return [transaction_document(MinedTransaction(tx)) for tx in waiting]
