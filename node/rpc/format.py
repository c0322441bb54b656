"""Blocks, transactions, receipts and logs as clients read them (Ethereum execution API)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evmc import Address, Bytes32
from node.chain import Block, BlockLog, BlockReceipt, Header, MinedTransaction, SignedTransaction
from node.chain.signed import DYNAMIC_FEE, LEGACY
from node.rpc.kinds import hex_data, hex_quantity
from node.transaction import AccessList


def maybe_data(value: bytes | None) -> str | None:
    """Return bytes as clients read them, null for none."""
    return None if value is None else hex_data(value)


def header_document(header: Header) -> dict[str, Any]:
    """Return a header, as `newHeads` has it."""
    return {
        "number": hex_quantity(header.number),
        "hash": hex_data(header.hash),
        "parentHash": hex_data(header.parent_hash),
        "sha3Uncles": hex_data(header.ommers_hash),
        "logsBloom": hex_data(header.bloom),
        "transactionsRoot": hex_data(header.transactions_root),
        "stateRoot": hex_data(header.state_root),
        "receiptsRoot": hex_data(header.receipts_root),
        "miner": hex_data(header.coinbase),
        "difficulty": hex_quantity(header.difficulty),
        "extraData": hex_data(header.extra_data),
        "gasLimit": hex_quantity(header.gas_limit),
        "gasUsed": hex_quantity(header.gas_used),
        "timestamp": hex_quantity(header.timestamp),
        "mixHash": hex_data(header.mix_hash),
        "nonce": hex_data(header.nonce),
        "baseFeePerGas": hex_quantity(header.base_fee),
    }


def block_document(block: Block, *, full: bool, pending: bool = False) -> dict[str, Any]:
    """Return a block with the hashes of its transactions, or with them in full; a pending one has no hash yet."""
    document = header_document(block.header)
    document["totalDifficulty"] = hex_quantity(0)
    document["size"] = hex_quantity(block.size)
    document["uncles"] = []
    if full:
        document["transactions"] = [
            transaction_document(in_block(block, index) if not pending else MinedTransaction(transaction))
            for index, transaction in enumerate(block.transactions)
        ]
    else:
        document["transactions"] = [hex_data(transaction.hash) for transaction in block.transactions]
    if pending:
        document |= {"hash": None, "nonce": None, "miner": None, "logsBloom": None}
    return document


def in_block(block: Block, index: int) -> MinedTransaction:
    """Return a transaction of a block with its place."""
    return MinedTransaction(block.transactions[index], block.hash, block.number, index, block.header.base_fee)


def access_list_document(access_list: AccessList) -> list[dict[str, Any]]:
    """Return an access list."""
    return [
        {"address": hex_data(address), "storageKeys": [hex_data(key) for key in keys]} for address, keys in access_list
    ]


def transaction_document(found: MinedTransaction) -> dict[str, Any]:
    """Return a transaction; one that waits has no block."""
    tx = found.transaction
    mined = found.block_number is not None
    price = tx.effective_price(found.base_fee) if mined and found.base_fee is not None else tx.max_fee
    document = {
        "blockHash": maybe_data(found.block_hash),
        "blockNumber": hex_quantity(found.block_number) if found.block_number is not None else None,
        "transactionIndex": hex_quantity(found.index) if found.index is not None else None,
        "hash": hex_data(tx.hash),
        "gasPrice": hex_quantity(price),
        **payload_document(tx),
        "from": hex_data(tx.sender),
        "v": hex_quantity(tx.v),
        "r": hex_quantity(tx.r),
        "s": hex_quantity(tx.s),
    }
    if tx.type != LEGACY:
        document["yParity"] = hex_quantity(tx.y_parity)
    return document


def payload_document(tx: Any) -> dict[str, Any]:
    """Return what a sender signs of a transaction, without the price of a mined one."""
    document: dict[str, Any] = {
        "type": hex_quantity(tx.type),
        "nonce": hex_quantity(tx.nonce),
        "to": maybe_data(tx.to),
        "gas": hex_quantity(tx.gas_limit),
        "value": hex_quantity(tx.value),
        "input": hex_data(tx.data),
    }
    if tx.chain_id is not None:
        document["chainId"] = hex_quantity(tx.chain_id)
    if tx.type != LEGACY:
        document["accessList"] = access_list_document(tx.access_list)
    if tx.type == DYNAMIC_FEE:
        document["maxFeePerGas"] = hex_quantity(tx.max_fee)
        document["maxPriorityFeePerGas"] = hex_quantity(tx.max_tip)
    return document


def raw_document(tx: SignedTransaction) -> dict[str, Any]:
    """Return a transaction that was signed and not sent, with its encoding."""
    return {"raw": hex_data(tx.raw), "tx": transaction_document(MinedTransaction(tx))}


def log_document(log: BlockLog) -> dict[str, Any]:
    """Return a log with its place."""
    return {
        "address": hex_data(log.log.address),
        "topics": [hex_data(topic) for topic in log.log.topics],
        "data": hex_data(log.log.data),
        "blockHash": hex_data(log.block_hash),
        "blockNumber": hex_quantity(log.block_number),
        "blockTimestamp": hex_quantity(log.block_timestamp),
        "transactionHash": hex_data(log.transaction_hash),
        "transactionIndex": hex_quantity(log.transaction_index),
        "logIndex": hex_quantity(log.index),
        "removed": False,
    }


def receipt_document(receipt: BlockReceipt) -> dict[str, Any]:
    """Return a receipt."""
    tx = receipt.transaction
    return {
        "transactionHash": hex_data(tx.hash),
        "transactionIndex": hex_quantity(receipt.index),
        "blockHash": hex_data(receipt.block_hash),
        "blockNumber": hex_quantity(receipt.block_number),
        "from": hex_data(tx.sender),
        "to": maybe_data(tx.to),
        "contractAddress": maybe_data(receipt.contract if receipt.succeeded else None),
        "cumulativeGasUsed": hex_quantity(receipt.cumulative_gas_used),
        "gasUsed": hex_quantity(receipt.gas_used),
        "effectiveGasPrice": hex_quantity(receipt.effective_gas_price),
        "logs": [log_document(log) for log in receipt.placed_logs],
        "logsBloom": hex_data(receipt.bloom),
        "status": hex_quantity(int(receipt.succeeded)),
        "type": hex_quantity(tx.type),
    }


def pool_document(
    senders: Mapping[Address, Mapping[int, SignedTransaction]], *, short: bool = False
) -> dict[str, dict[str, Any]]:
    """Return waiting transactions by sender and nonce, in full or each in a line."""
    return {
        hex_data(sender): {str(nonce): _line(tx) if short else _waiting(tx) for nonce, tx in sorted(waiting.items())}
        for sender, waiting in senders.items()
    }


def _waiting(tx: SignedTransaction) -> dict[str, Any]:
    return transaction_document(MinedTransaction(tx))


def _line(tx: SignedTransaction) -> str:
    to = "contract creation" if tx.to is None else str(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas_limit} gas at {tx.max_fee} wei"


def slot_document(key: Bytes32, value: Bytes32, nodes: tuple[bytes, ...]) -> dict[str, Any]:
    """Return the proof of a slot (EIP-1186)."""
    return {
        "key": hex_data(key),
        "value": hex_quantity(int.from_bytes(value, "big")),
        "proof": [hex_data(node) for node in nodes],
    }
