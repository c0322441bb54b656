"""Objects that clients send: calls and transactions, log filters, overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from evmc import ZERO_BYTES32, Address, Bytes32
from node.chain import BlockOverride, Call, LogFilter, Override
from node.rpc.kinds import (
    BlockId,
    Kind,
    Unreadable,
    each,
    field,
    read_address,
    read_block,
    read_data,
    read_hash,
    read_list,
    read_object,
    read_quantity,
    read_slot,
    read_small,
    shown,
)
from node.transaction import AccessList

MAX_TOPICS: Final = 4
MAX_ALTERNATIVES: Final = 1_000
"""Addresses in a filter, and hashes for one place of its topics, as in geth."""


def read_access_list(value: Any) -> AccessList:
    """Read an access list (EIP-2930)."""

    def entry(item: Any) -> tuple[Address, tuple[Bytes32, ...]]:
        fields = read_object(item)
        address = field(fields, "address", read_address)
        if address is None:
            raise Unreadable("address is missing")
        return address, field(fields, "storageKeys", each(read_hash), ())

    return tuple(each(entry)(value))


def read_call(value: Any) -> Call:
    """Read a call or a transaction; `input` and `data` are the same."""
    fields = read_object(value)
    if fields.get("blobVersionedHashes") is not None or fields.get("authorizationList") is not None:
        raise Unreadable("transactions with blobs or authorizations are not supported")
    data, given = field(fields, "data", read_data), field(fields, "input", read_data)
    if data is not None and given is not None and data != given:
        raise Unreadable('both "data" and "input" are set and not equal')
    price, fee = field(fields, "gasPrice", read_quantity), field(fields, "maxFeePerGas", read_quantity)
    tip = field(fields, "maxPriorityFeePerGas", read_quantity)
    if price is not None and (fee is not None or tip is not None):
        raise Unreadable("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    return Call(
        sender=field(fields, "from", read_address),
        to=field(fields, "to", read_address),
        gas=field(fields, "gas", read_small),
        gas_price=price,
        max_fee=fee,
        max_tip=tip,
        value=field(fields, "value", read_quantity, read_quantity(0)),
        data=given if given is not None else data or b"",
        nonce=field(fields, "nonce", read_small),
        access_list=field(fields, "accessList", read_access_list),
        chain_id=field(fields, "chainId", read_small),
        type=field(fields, "type", read_small),
    )


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which logs of which blocks; `block` is the hash of the only one."""

    wanted: LogFilter
    first: BlockId = "latest"
    last: BlockId = "latest"
    block: Bytes32 | None = None


def read_log_query(value: Any) -> LogQuery:
    """Read a log filter: addresses one or many, topics nested or not."""
    fields = read_object(value)
    addresses = field(fields, "address", _addresses, frozenset())
    wanted = LogFilter(addresses=addresses, topics=field(fields, "topics", _topics, ()))
    block = field(fields, "blockHash", read_hash)
    if block is not None and (fields.get("fromBlock") is not None or fields.get("toBlock") is not None):
        raise Unreadable("cannot specify both blockHash and fromBlock/toBlock, choose one or the other")
    first, last = (field(fields, name, read_block, "latest") for name in ("fromBlock", "toBlock"))
    return LogQuery(wanted, first, last, block)


def _few(value: list[Any], what: str) -> list[Any]:
    if len(value) > MAX_ALTERNATIVES:
        raise Unreadable(f"at most {MAX_ALTERNATIVES} {what} are expected, not {len(value)}")
    return value


def _addresses(value: Any) -> frozenset[Address]:
    if not isinstance(value, list):
        return frozenset({read_address(value)})
    return frozenset(each(read_address)(_few(value, "addresses")))


def _topics(value: Any) -> tuple[frozenset[Bytes32] | None, ...]:
    topics = read_list(value)
    if len(topics) > MAX_TOPICS:
        raise Unreadable(f"a log has at most {MAX_TOPICS} topics, not {len(topics)}")
    return tuple(each(_topic)(topics))


def _topic(value: Any) -> frozenset[Bytes32] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        return frozenset({read_hash(value)})
    if None in value:
        return None
    return frozenset(each(read_hash)(_few(value, "topics")))


def read_overrides(value: Any) -> Mapping[Address, Override]:
    """Read geth's state override set: accounts by address."""
    found = {}
    for address, given in read_object(value).items():
        try:
            found[read_address(address)] = _override(read_object(given))
        except Unreadable as error:
            raise Unreadable(f"{shown(address)}: {error}") from None
    return found


def _override(fields: Mapping[str, Any]) -> Override:
    if fields.get("state") is not None and fields.get("stateDiff") is not None:
        raise Unreadable("both state and stateDiff are given")
    return Override(
        balance=field(fields, "balance", read_quantity),
        nonce=field(fields, "nonce", read_small),
        code=field(fields, "code", read_data),
        state=field(fields, "state", _slots),
        slots=field(fields, "stateDiff", _slots, {}),
    )


def _slots(value: Any) -> dict[Bytes32, Bytes32]:
    return {read_slot(key): read_slot(item or ZERO_BYTES32) for key, item in read_object(value).items()}


def read_block_override(value: Any) -> BlockOverride:
    """Read what a block has during a call."""
    fields = read_object(value)
    return BlockOverride(
        number=field(fields, "number", read_small),
        timestamp=field(fields, "time", read_small),
        gas_limit=field(fields, "gasLimit", read_small),
        coinbase=field(fields, "feeRecipient", read_address, field(fields, "coinbase", read_address)),
        base_fee=field(fields, "baseFeePerGas", read_small, field(fields, "baseFee", read_small)),
    )


def _object(name: str, read: Any, *properties: str) -> Kind:
    return Kind(name, {"title": name, "type": "object", "properties": {each: {} for each in properties}}, read)


CALL: Final = _object(
    "transaction",
    read_call,
    *("from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce", "data", "input"),
    *("accessList", "chainId", "type"),
)
LOG_QUERY: Final = _object("filter", read_log_query, "fromBlock", "toBlock", "blockHash", "address", "topics")
OVERRIDES: Final = Kind("state overrides", {"title": "state overrides", "type": "object"}, read_overrides)
BLOCK_OVERRIDE: Final = _object(
    "block overrides", read_block_override, "number", "time", "gasLimit", "feeRecipient", "baseFeePerGas"
)
