"""Methods that bend the chain to a test's needs: `evm_`, `anvil_` and `hardhat_`, from one table.

Names are those of the nodes that tests were written for; each method has one function and all its spellings.
"""

from __future__ import annotations

from typing import Any, Final

from evmc import U256, Address, Bytes32
from node.chain.fees import MAX_FEE
from node.rpc.errors import InvalidParams, Refused
from node.rpc.kinds import (
    ADDRESS,
    ANY,
    DATA,
    FLAG,
    HASH,
    NOTHING,
    NUMBER,
    OBJECT,
    QUANTITY,
    SLOT,
    SMALL,
    Kind,
    field,
    hex_data,
    hex_quantity,
    optional,
    read_object,
    read_small,
)
from node.rpc.service import Context, client_version
from node.rpc.table import MethodTable, Param

TABLE: Final = MethodTable()
MAX_BLOCKS: Final = 100_000


def _read_lenient(value: Any) -> int:
    """Read a number: as JSON, in hex, or in decimal digits, since test libraries send all three."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:30])
    return read_small(value)


LENIENT: Final = Kind("number or quantity", {"oneOf": [NUMBER.schema, QUANTITY.schema]}, _read_lenient)
SECONDS: Final = Param("seconds", LENIENT)
TIMESTAMP: Final = Param("timestamp", LENIENT)
ADDRESS_PARAM: Final = Param("address", ADDRESS)
ON: Final = Param("on", FLAG)


def both(name: str) -> tuple[str, str]:
    """Return the spellings of a name that Anvil and Hardhat share."""
    return f"anvil_{name}", f"hardhat_{name}"


# Blocks and time


def _read_mine(value: Any) -> tuple[int, int | None]:
    if not isinstance(value, dict):
        return 1, _read_lenient(value)
    fields = read_object(value)
    return field(fields, "blocks", _read_lenient, 1), field(fields, "timestamp", _read_lenient)


MINE: Final = Kind("timestamp or object", {"oneOf": [LENIENT.schema, OBJECT.schema]}, _read_mine)


@TABLE.method("evm_mine", Param("options", MINE, None), result=QUANTITY, developer=True)
def evm_mine(ctx: Context, options: tuple[int, int | None] | None) -> int:
    """Make a block, at a timestamp if one is given; or several, as `{blocks, timestamp}`."""
    count, timestamp = options or (1, None)
    if timestamp is not None:
        ctx.chain.set_next_timestamp(timestamp)
    _mine(ctx, count, None)
    return 0


@TABLE.method(
    "anvil_mine",
    Param("count", LENIENT, "0x1"),
    Param("interval", LENIENT, None),
    result=NOTHING,
    aliases=("hardhat_mine",),
    developer=True,
)
def mine(ctx: Context, count: int, interval: int | None) -> None:
    """Make blocks, so many seconds apart."""
    _mine(ctx, count, interval)


def _mine(ctx: Context, count: int, interval: int | None) -> None:
    if count > MAX_BLOCKS:
        raise InvalidParams(f"invalid argument 0: at most {MAX_BLOCKS} blocks at once, not {count}")
    if count:
        ctx.chain.mine(count, interval)


@TABLE.method("evm_setAutomine", ON, result=FLAG, aliases=("anvil_setAutomine", "hardhat_setAutomine"), developer=True)
def set_automine(ctx: Context, on: bool) -> bool:  # noqa: FBT001  # JSON's
    """Switch whether every transaction gets a block at once."""
    ctx.chain.set_automine(on)
    if on:
        ctx.service.mining.set(None)
    return True


@TABLE.method("anvil_getAutomine", result=FLAG, aliases=("hardhat_getAutomine",), developer=True)
def get_automine(ctx: Context) -> bool:
    """Tell whether every transaction gets a block at once."""
    return ctx.chain.automine


@TABLE.method("evm_setIntervalMining", SECONDS, result=NOTHING, aliases=("anvil_setIntervalMining",), developer=True)
def set_interval_mining(ctx: Context, seconds: int) -> None:
    """Make a block every so many seconds in place of one for each transaction; 0 ends it."""
    ctx.service.mining.set(seconds or None)
    if seconds:
        ctx.chain.set_automine(False)


@TABLE.method("anvil_getIntervalMining", result=optional(NUMBER), developer=True)
def get_interval_mining(ctx: Context) -> float | None:
    """Return the seconds between blocks that are made by the clock, null if none are."""
    return ctx.service.mining.seconds


@TABLE.method("evm_increaseTime", SECONDS, result=NUMBER, aliases=("anvil_increaseTime",), developer=True)
def increase_time(ctx: Context, seconds: int) -> int:
    """Move the clock ahead and return by how many seconds it is ahead in all."""
    return ctx.chain.increase_time(seconds)


@TABLE.method("evm_setTime", TIMESTAMP, result=NUMBER, aliases=("anvil_setTime",), developer=True)
def set_time(ctx: Context, timestamp: int) -> int:
    """Set the clock, in seconds, and return the difference to the machine's."""
    return ctx.chain.set_time(timestamp)


@TABLE.method(
    "evm_setNextBlockTimestamp", TIMESTAMP, result=NOTHING, aliases=("anvil_setNextBlockTimestamp",), developer=True
)
def set_next_timestamp(ctx: Context, timestamp: int) -> None:
    """Set the time of the next block."""
    ctx.chain.set_next_timestamp(timestamp)


@TABLE.method("anvil_setBlockTimestampInterval", SECONDS, result=NOTHING, developer=True)
def set_block_interval(ctx: Context, seconds: int) -> None:
    """Have every block so many seconds after the one before."""
    ctx.chain.set_block_interval(seconds)


@TABLE.method("anvil_removeBlockTimestampInterval", result=FLAG, developer=True)
def remove_block_interval(ctx: Context) -> bool:
    """Let the clock decide again."""
    ctx.chain.set_block_interval(None)
    return True


@TABLE.method(
    "anvil_setNextBlockBaseFeePerGas",
    Param("fee", QUANTITY),
    result=NOTHING,
    aliases=("hardhat_setNextBlockBaseFeePerGas",),
    developer=True,
)
def set_next_base_fee(ctx: Context, fee: int) -> None:
    """Set the base fee of the next block."""
    ctx.chain.set_next_base_fee(fee)


@TABLE.method(
    "evm_setBlockGasLimit", Param("gas", SMALL), result=FLAG, aliases=("anvil_setBlockGasLimit",), developer=True
)
def set_gas_limit(ctx: Context, gas: int) -> bool:
    """Set the gas limit of the blocks to come."""
    ctx.chain.set_gas_limit(gas)
    return True


@TABLE.method("anvil_setCoinbase", ADDRESS_PARAM, result=NOTHING, aliases=("hardhat_setCoinbase",), developer=True)
def set_coinbase(ctx: Context, address: Address) -> None:
    """Set who gets the priority fees of the blocks to come."""
    ctx.chain.set_coinbase(address)


@TABLE.method(
    "hardhat_setPrevRandao", Param("value", HASH), result=NOTHING, aliases=("anvil_setPrevRandao",), developer=True
)
def set_prev_randao(ctx: Context, value: Bytes32) -> None:
    """Set the mix hash of the next block."""
    ctx.chain.set_next_mix_hash(value)


# Accounts


@TABLE.method(
    "anvil_setBalance",
    ADDRESS_PARAM,
    Param("balance", QUANTITY),
    result=NOTHING,
    aliases=("hardhat_setBalance", "evm_setAccountBalance"),
    developer=True,
)
def set_balance(ctx: Context, address: Address, balance: U256) -> None:
    """Give an account a balance."""
    ctx.chain.set_balance(address, balance)


@TABLE.method(
    "anvil_setCode",
    ADDRESS_PARAM,
    Param("code", DATA),
    result=NOTHING,
    aliases=("hardhat_setCode", "evm_setAccountCode"),
    developer=True,
)
def set_code(ctx: Context, address: Address, code: bytes) -> None:
    """Give an account code."""
    ctx.chain.set_code(address, code)


@TABLE.method(
    "anvil_setNonce",
    ADDRESS_PARAM,
    Param("nonce", SMALL),
    result=NOTHING,
    aliases=("hardhat_setNonce", "evm_setAccountNonce"),
    developer=True,
)
def set_nonce(ctx: Context, address: Address, nonce: int) -> None:
    """Give an account a nonce, not below the present one."""
    ctx.chain.set_nonce(address, nonce)


@TABLE.method(
    "anvil_setStorageAt",
    ADDRESS_PARAM,
    Param("slot", SLOT),
    Param("value", SLOT),
    result=FLAG,
    aliases=("hardhat_setStorageAt", "evm_setAccountStorageAt"),
    developer=True,
)
def set_storage_at(ctx: Context, address: Address, slot: Bytes32, value: Bytes32) -> bool:
    """Write a slot of an account."""
    ctx.chain.set_storage(address, slot, value)
    return True


@TABLE.method(
    "anvil_impersonateAccount", ADDRESS_PARAM, result=NOTHING, aliases=("hardhat_impersonateAccount",), developer=True
)
def impersonate(ctx: Context, address: Address) -> None:
    """Let `eth_sendTransaction` send from an account without its key."""
    ctx.chain.impersonate(address)


@TABLE.method(
    "anvil_stopImpersonatingAccount",
    ADDRESS_PARAM,
    result=NOTHING,
    aliases=("hardhat_stopImpersonatingAccount",),
    developer=True,
)
def stop_impersonating(ctx: Context, address: Address) -> None:
    """Ask for the key of an account again."""
    ctx.chain.stop_impersonating(address)


@TABLE.method("anvil_autoImpersonateAccount", ON, result=NOTHING, developer=True)
def auto_impersonate(ctx: Context, on: bool) -> None:  # noqa: FBT001  # JSON's
    """Let `eth_sendTransaction` send from any account, or no longer."""
    ctx.chain.set_auto_impersonate(on)


# The pool


@TABLE.method(
    "anvil_dropTransaction",
    Param("hash", HASH),
    result=optional(HASH),
    aliases=("hardhat_dropTransaction",),
    developer=True,
)
def drop_transaction(ctx: Context, transaction: Bytes32) -> Bytes32 | None:
    """Remove a transaction that waits and return its hash, null if there is none."""
    return transaction if ctx.chain.drop(transaction) else None


@TABLE.method("anvil_dropAllTransactions", result=NOTHING, developer=True)
def drop_all(ctx: Context) -> None:
    """Remove all transactions that wait."""
    ctx.chain.drop_all()


@TABLE.method("anvil_removePoolTransactions", ADDRESS_PARAM, result=NOTHING, developer=True)
def drop_of_sender(ctx: Context, address: Address) -> None:
    """Remove all transactions of a sender that wait."""
    pool = ctx.chain.pool()
    for waiting in (pool.pending.get(address, {}), pool.queued.get(address, {})):
        for transaction in waiting.values():
            ctx.chain.drop(transaction.hash)


# Rewinding


@TABLE.method("evm_snapshot", result=QUANTITY, aliases=("anvil_snapshot",), developer=True)
def snapshot(ctx: Context) -> int:
    """Remember chain, pool and settings, and return a handle."""
    return ctx.chain.snapshot()


@TABLE.method("evm_revert", Param("snapshot", QUANTITY), result=FLAG, aliases=("anvil_revert",), developer=True)
def revert(ctx: Context, handle: int) -> bool:
    """Go back to a snapshot, which is used up with all later ones; tell whether there was one."""
    return ctx.chain.revert(int(handle))


@TABLE.method(
    "anvil_reset", Param("options", ANY, None), result=FLAG, aliases=("hardhat_reset", "evm_reset"), developer=True
)
def reset(ctx: Context, options: Any) -> bool:
    """Begin anew with the same genesis; another chain to begin from is refused."""
    if isinstance(options, dict) and options.get("forking"):
        raise Refused("this node does not continue other chains: call without forking")
    ctx.chain.reset()
    return True


@TABLE.method("anvil_rollback", Param("depth", LENIENT, 1), result=NOTHING, developer=True)
def rollback(ctx: Context, depth: int) -> None:
    """Remove the last blocks."""
    ctx.chain.rollback(depth)


@TABLE.method("anvil_dumpState", result=DATA, aliases=("hardhat_dumpState",), developer=True)
def dump_state(ctx: Context) -> bytes:
    """Return the state of the last block as gzipped JSON."""
    return ctx.chain.dump()


@TABLE.method("anvil_loadState", Param("dump", DATA), result=FLAG, aliases=("hardhat_loadState",), developer=True)
def load_state(ctx: Context, dump: bytes) -> bool:
    """Add the accounts of a dump to the state."""
    ctx.chain.load(dump)
    return True


# The node


@TABLE.method("anvil_setLoggingEnabled", ON, result=NOTHING, aliases=("hardhat_setLoggingEnabled",), developer=True)
def set_logging(ctx: Context, on: bool) -> None:  # noqa: FBT001  # JSON's
    """Switch the lines that the node prints."""
    ctx.service.settings.logging = on


@TABLE.method("anvil_nodeInfo", result=OBJECT, developer=True)
def node_info(ctx: Context) -> dict[str, Any]:
    """Return where the chain is and what the next block will have."""
    head, chain = ctx.chain.head, ctx.chain
    return {
        "currentBlockNumber": hex_quantity(head.number),
        "currentBlockTimestamp": head.timestamp,
        "currentBlockHash": hex_data(head.hash),
        "hardFork": "ewasm",
        "transactionOrder": "fees",
        "environment": {
            "baseFee": hex_quantity(chain.next_base_fee()),
            "chainId": chain.chain_id,
            "gasLimit": hex_quantity(head.gas_limit),
            "gasPrice": hex_quantity(min(chain.next_base_fee() + chain.suggested_tip(), MAX_FEE)),
        },
        "ruleset": chain.ruleset.name,
    }


@TABLE.method("anvil_metadata", result=OBJECT, aliases=("hardhat_metadata",), developer=True)
def metadata(ctx: Context) -> dict[str, Any]:
    """Return what this node is and where its chain is."""
    head = ctx.chain.head
    return {
        "clientVersion": client_version(),
        "chainId": ctx.chain.chain_id,
        "latestBlockNumber": head.number,
        "latestBlockHash": hex_data(head.hash),
    }
