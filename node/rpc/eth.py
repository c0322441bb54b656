"""Methods that read the chain and run calls on it (Ethereum execution API, `eth_`)."""

from __future__ import annotations

from typing import Any, Final

from evmc import Address, Bytes32, Status
from node.chain import BlockOverride, Call, Override, UnknownBlock
from node.chain.fees import MAX_FEE
from node.rpc.errors import LIMIT_EXCEEDED, InvalidParams, RpcError
from node.rpc.format import (
    access_list_document,
    block_document,
    in_block,
    log_document,
    receipt_document,
    slot_document,
    transaction_document,
)
from node.rpc.kinds import (
    ADDRESS,
    BLOCK,
    DATA,
    FLAG,
    HASH,
    OBJECT,
    QUANTITY,
    SLOT,
    SMALL,
    BlockId,
    Kind,
    Unreadable,
    array,
    each,
    hex_data,
    hex_quantity,
    optional,
    read_list,
    read_slot,
)
from node.rpc.objects import BLOCK_OVERRIDE, CALL, LOG_QUERY, OVERRIDES, LogQuery
from node.rpc.service import Context, execution_error, is_pending
from node.rpc.table import MethodTable, Param
from state import prove_account

TABLE: Final = MethodTable()
MAX_FEE_HISTORY: Final = 1_024
MAX_SLOTS: Final = 1_024
"""Slots that are proved at once, as in geth."""

AT: Final = Param("block", BLOCK, "latest")
ADDRESS_PARAM: Final = Param("address", ADDRESS)
HASH_PARAM: Final = Param("hash", HASH)
MAYBE_OBJECT: Final = optional(OBJECT)
MAYBE_QUANTITY: Final = optional(QUANTITY)


def _read_percentile(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise Unreadable(f"a percentile from 0 to 100 is expected, not {value!r:.40}")
    return float(value)


def _read_percentiles(value: Any) -> tuple[float, ...]:
    found = each(_read_percentile)(read_list(value))
    if list(found) != sorted(found) or len(found) > 100:
        raise Unreadable("at most 100 percentiles in ascending order are expected")
    return found


PERCENTILES: Final = Kind(
    "array of number", {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 100}}, _read_percentiles
)


def _read_slots(value: Any) -> tuple[Bytes32, ...]:
    slots = read_list(value)
    if len(slots) > MAX_SLOTS:
        raise Unreadable(f"at most {MAX_SLOTS} slots are expected, not {len(slots)}")
    return each(read_slot)(slots)


SLOTS: Final = Kind("array of slot", array(SLOT).schema, _read_slots)


# The chain


@TABLE.method("eth_chainId", result=QUANTITY)
def chain_id(ctx: Context) -> int:
    """Return the id of the chain."""
    return ctx.chain.chain_id


@TABLE.method("eth_syncing", result=FLAG)
def syncing(_ctx: Context) -> bool:
    """Return false: this node has all there is."""
    return False


@TABLE.method("eth_mining", result=FLAG)
def mining(ctx: Context) -> bool:
    """Tell whether blocks are made by themselves."""
    return ctx.chain.automine or ctx.service.mining.seconds is not None


@TABLE.method("eth_hashrate", result=QUANTITY)
def hashrate(_ctx: Context) -> int:
    """Return 0: no work goes into blocks."""
    return 0


@TABLE.method("eth_coinbase", result=ADDRESS)
def coinbase(ctx: Context) -> Address:
    """Return who gets the priority fees."""
    return ctx.chain.context("pending").coinbase


@TABLE.method("eth_blockNumber", result=QUANTITY)
def block_number(ctx: Context) -> int:
    """Return the number of the last block."""
    return ctx.chain.head.number


@TABLE.method("eth_gasPrice", result=QUANTITY)
def gas_price(ctx: Context) -> int:
    """Return a price of gas with which a transaction gets into the next block."""
    return min(ctx.chain.next_base_fee() + ctx.chain.suggested_tip(), MAX_FEE)


@TABLE.method("eth_maxPriorityFeePerGas", result=QUANTITY)
def max_priority_fee(ctx: Context) -> int:
    """Return a priority fee that will do."""
    return ctx.chain.suggested_tip()


@TABLE.method(
    "eth_feeHistory",
    Param("count", SMALL),
    Param("newest", BLOCK, "latest"),
    Param("percentiles", PERCENTILES, None),
    result=OBJECT,
)
def fee_history(ctx: Context, count: int, newest: BlockId, percentiles: tuple[float, ...] | None) -> dict[str, Any]:
    """Return base fees, shares of gas used, and priority fees by percentile, of up to 1,024 blocks."""
    found = ctx.chain.fee_history(min(count, MAX_FEE_HISTORY), newest, percentiles or ())
    document: dict[str, Any] = {
        "oldestBlock": hex_quantity(found.oldest),
        "baseFeePerGas": [hex_quantity(fee) for fee in found.base_fees],
        "gasUsedRatio": list(found.gas_used_ratios),
    }
    if percentiles is not None:
        document["reward"] = [[hex_quantity(fee) for fee in row] for row in found.rewards or ()]
    return document


# Accounts


@TABLE.method("eth_getBalance", ADDRESS_PARAM, AT, result=QUANTITY, reads=True)
def get_balance(ctx: Context, address: Address, block: BlockId) -> int:
    """Return the balance of an account, in the smallest unit."""
    account = ctx.reader.state(block).account(address)
    return 0 if account is None else account.balance


@TABLE.method("eth_getTransactionCount", ADDRESS_PARAM, AT, result=QUANTITY)
def get_transaction_count(ctx: Context, address: Address, block: BlockId) -> int:
    """Return the nonce of an account; `pending` counts what waits."""
    return ctx.chain.nonce(address, block)


@TABLE.method("eth_getCode", ADDRESS_PARAM, AT, result=DATA, reads=True)
def get_code(ctx: Context, address: Address, block: BlockId) -> bytes:
    """Return the code of an account."""
    state = ctx.reader.state(block)
    account = state.account(address)
    return b"" if account is None else state.code(account.code_hash)


@TABLE.method("eth_getStorageAt", ADDRESS_PARAM, Param("slot", SLOT), AT, result=DATA, reads=True)
def get_storage_at(ctx: Context, address: Address, slot: Bytes32, block: BlockId) -> bytes:
    """Return a slot of an account, 32 bytes."""
    return ctx.reader.state(block).storage(address, slot)


@TABLE.method("eth_getProof", ADDRESS_PARAM, Param("slots", SLOTS), AT, result=OBJECT, reads=True)
def get_proof(ctx: Context, address: Address, slots: tuple[Bytes32, ...], block: BlockId) -> dict[str, Any]:
    """Return an account and slots with the trie nodes that prove them (EIP-1186)."""
    proof = prove_account(ctx.reader.state(block), address, slots)
    account = proof.account
    return {
        "address": hex_data(address),
        "accountProof": [hex_data(node) for node in proof.nodes],
        "balance": hex_quantity(account.balance if account else 0),
        "codeHash": hex_data(account.code_hash if account else Bytes32(bytes(32))),
        "nonce": hex_quantity(account.nonce if account else 0),
        "storageHash": hex_data(account.storage_root if account else Bytes32(bytes(32))),
        "storageProof": [slot_document(slot.key, slot.value, slot.nodes) for slot in proof.storage],
    }


# Blocks and what is in them


@TABLE.method("eth_getBlockByNumber", Param("block", BLOCK), Param("full", FLAG, default=False), result=MAYBE_OBJECT)
def get_block_by_number(ctx: Context, block: BlockId, full: bool) -> dict[str, Any] | None:  # noqa: FBT001  # JSON's
    """Return a block with the hashes of its transactions, or with them in full."""
    try:
        return block_document(ctx.chain.block(block), full=full, pending=is_pending(block))
    except UnknownBlock:
        return None


@TABLE.method("eth_getBlockByHash", HASH_PARAM, Param("full", FLAG, default=False), result=MAYBE_OBJECT)
def get_block_by_hash(ctx: Context, block: Bytes32, full: bool) -> dict[str, Any] | None:  # noqa: FBT001  # JSON's
    """Return a block with the hashes of its transactions, or with them in full."""
    return get_block_by_number(ctx, block, full)


@TABLE.method(
    "eth_getBlockTransactionCountByNumber",
    Param("block", BLOCK),
    result=MAYBE_QUANTITY,
)
def count_by_number(ctx: Context, block: BlockId) -> int | None:
    """Return how many transactions a block has."""
    try:
        return len(ctx.chain.block(block).transactions)
    except UnknownBlock:
        return None


@TABLE.method("eth_getBlockTransactionCountByHash", HASH_PARAM, result=MAYBE_QUANTITY)
def count_by_hash(ctx: Context, block: Bytes32) -> int | None:
    """Return how many transactions a block has."""
    return count_by_number(ctx, block)


@TABLE.method("eth_getUncleCountByBlockNumber", Param("block", BLOCK), result=MAYBE_QUANTITY)
def uncles_by_number(ctx: Context, block: BlockId) -> int | None:
    """Return 0, or null where there is no such block: no block has uncles."""
    return None if count_by_number(ctx, block) is None else 0


@TABLE.method("eth_getUncleCountByBlockHash", HASH_PARAM, result=MAYBE_QUANTITY)
def uncles_by_hash(ctx: Context, block: Bytes32) -> int | None:
    """Return 0, or null where there is no such block: no block has uncles."""
    return uncles_by_number(ctx, block)


@TABLE.method("eth_getTransactionByHash", HASH_PARAM, result=MAYBE_OBJECT)
def get_transaction(ctx: Context, transaction: Bytes32) -> dict[str, Any] | None:
    """Return a transaction, mined or waiting."""
    found = ctx.chain.transaction(transaction)
    return None if found is None else transaction_document(found)


@TABLE.method(
    "eth_getTransactionByBlockNumberAndIndex", Param("block", BLOCK), Param("index", SMALL), result=MAYBE_OBJECT
)
def transaction_in_block(ctx: Context, block: BlockId, index: int) -> dict[str, Any] | None:
    """Return a transaction by its place."""
    try:
        found = ctx.chain.block(block)
    except UnknownBlock:
        return None
    return transaction_document(in_block(found, index)) if index < len(found.transactions) else None


@TABLE.method("eth_getTransactionByBlockHashAndIndex", HASH_PARAM, Param("index", SMALL), result=MAYBE_OBJECT)
def transaction_in_block_by_hash(ctx: Context, block: Bytes32, index: int) -> dict[str, Any] | None:
    """Return a transaction by its place."""
    return transaction_in_block(ctx, block, index)


@TABLE.method("eth_getRawTransactionByHash", HASH_PARAM, result=optional(DATA), aliases=("debug_getRawTransaction",))
def get_raw_transaction(ctx: Context, transaction: Bytes32) -> bytes | None:
    """Return the encoding of a transaction."""
    found = ctx.chain.transaction(transaction)
    return None if found is None else found.transaction.raw


@TABLE.method("eth_getTransactionReceipt", HASH_PARAM, result=MAYBE_OBJECT)
def get_receipt(ctx: Context, transaction: Bytes32) -> dict[str, Any] | None:
    """Return the receipt of a mined transaction."""
    found = ctx.chain.receipt(transaction)
    return None if found is None else receipt_document(found)


@TABLE.method("eth_getBlockReceipts", Param("block", BLOCK), result=optional(array(OBJECT)))
def get_block_receipts(ctx: Context, block: BlockId) -> list[dict[str, Any]] | None:
    """Return the receipts of a block."""
    try:
        return [receipt_document(receipt) for receipt in ctx.chain.receipts(block)]
    except UnknownBlock:
        return None


@TABLE.method("eth_getLogs", Param("filter", LOG_QUERY), result=array(OBJECT))
def get_logs(ctx: Context, query: LogQuery) -> list[dict[str, Any]]:
    """Return the logs that a filter asks for."""
    return [log_document(log) for log in logs(ctx, query)]


def logs(ctx: Context, query: LogQuery) -> list[Any]:
    """Return the logs of a query; raise `RpcError` if the range is reversed or there are too many."""
    first, last = (query.block, query.block) if query.block is not None else (query.first, query.last)
    if isinstance(first, int) and isinstance(last, int) and last < first:
        raise InvalidParams("invalid block range params: fromBlock is after toBlock")
    most = ctx.service.limits.logs
    found = ctx.chain.logs(query.wanted, _made(first), _made(last), most=most)
    if len(found) > most:
        raise RpcError(LIMIT_EXCEEDED, f"query returned more than {most} results: ask for less")
    return found


def _made(block: BlockId) -> BlockId:
    return "latest" if is_pending(block) else block


# Calls


@TABLE.method(
    "eth_call",
    Param("transaction", CALL),
    AT,
    Param("overrides", OVERRIDES, None),
    Param("blockOverrides", BLOCK_OVERRIDE, None),
    result=DATA,
    reads=True,
)
def call(
    ctx: Context,
    transaction: Call,
    block: BlockId,
    overrides: dict[Address, Override] | None,
    block_override: BlockOverride | None,
) -> bytes:
    """Run a call and return its output; nothing of it is kept."""
    done = ctx.reader.call(transaction, block, overrides, block_override, timeout=ctx.timeout)
    if done.result.status is not Status.SUCCESS:
        raise execution_error(done.result, done.reason)
    return done.result.output


@TABLE.method(
    "eth_estimateGas",
    Param("transaction", CALL),
    AT,
    Param("overrides", OVERRIDES, None),
    result=QUANTITY,
    reads=True,
)
def estimate_gas(ctx: Context, transaction: Call, block: BlockId, overrides: dict[Address, Override] | None) -> int:
    """Return the least gas limit with which a transaction succeeds."""
    return ctx.reader.estimate_gas(transaction, block, overrides, timeout=ctx.timeout)


@TABLE.method("eth_createAccessList", Param("transaction", CALL), AT, result=OBJECT, reads=True)
def create_access_list(ctx: Context, transaction: Call, block: BlockId) -> dict[str, Any]:
    """Return the accounts and slots that a call touches, and the gas it uses with them listed."""
    found = ctx.reader.access_list(transaction, block, timeout=ctx.timeout)
    document: dict[str, Any] = {
        "accessList": access_list_document(found.access_list),
        "gasUsed": hex_quantity(found.gas_used),
    }
    return document if found.reason is None else document | {"error": found.reason}
