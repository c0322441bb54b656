"""The Ethereum environment interface: THE table of host functions, revision 4 and the extensions.

A function's row (its decorator) has its name, its signature, what it costs before it runs and whether a static frame
may call it; the body has the operation only. `ewasm.binding` is the one caller. Conventions: offsets and lengths are
unsigned 32-bit; addresses are 20 bytes and hashes, keys and values 32 bytes in memory order; 128-bit amounts are 16
bytes little-endian. Sources: the Ewasm design document *Ethereum Interface*, and the published state tests for the
order of checks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from evmc import (
    MAX_DEPTH,
    U256,
    ZERO_BYTES32,
    Address,
    Bytes32,
    CallKind,
    Log,
    Message,
    Result,
    Status,
    StorageStatus,
)
from ewasm.frame import ArgumentOutOfRange, Finish, Frame, InvalidMemoryAccess, Revert, StaticModeViolation
from ewasm.ruleset import HostPrices
from gas.meter import OutOfGas, all_but_one_64th
from wasm.types import FuncType, ValType

Price: TypeAlias = Callable[[HostPrices, tuple[int, ...]], int]

_LETTERS: Final[dict[str, ValType]] = {"i": "i32", "I": "i64"}

SUCCEEDED, FAILED, REVERTED = range(3)
"""What `call*` and `create*` answer."""


@dataclass(frozen=True, slots=True)
class EEIFunction:
    """One host function.

    `price` is charged before anything else, in gas, from the arguments. `changes` says that the function changes state,
    which a static frame must not do; that is looked at after the price is paid. `extra` functions are not part of
    revision 4.
    """

    name: str
    type: FuncType
    price: Price
    changes: bool
    extra: bool
    call: Callable[..., Any]


EEI: Final[dict[str, EEIFunction]] = {}
"""Functions of the module `ethereum`, by name."""

DEBUG: Final[dict[str, EEIFunction]] = {}
"""Functions of the module `debug`, by name: they cost nothing and exist only in debugging runs."""


def _base(prices: HostPrices, _: tuple[int, ...]) -> int:
    return prices.base


def _free(_: HostPrices, _args: tuple[int, ...]) -> int:
    return 0


def _words(length: int) -> int:
    return -(-length // 32)


def _host_function(
    name: str,
    signature: str,
    price: Price = _base,
    *,
    changes: bool = False,
    extra: bool = False,
    table: dict[str, EEIFunction] = EEI,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a function in the table; the signature is `params:results` in letters, i = i32, I = i64."""
    params, _, results = signature.partition(":")
    type_ = FuncType(tuple(_LETTERS[c] for c in params), tuple(_LETTERS[c] for c in results))

    def enter(call: Callable[..., Any]) -> Callable[..., Any]:
        table[name] = EEIFunction(name, type_, price, changes, extra, call)
        return call

    return enter


def _copy(length_at: int, base: str = "copy") -> Price:
    """Return the price of a copy: a base, and so much a word of the length argument."""
    return lambda prices, args: int(getattr(prices, base)) + prices.copy_word * _words(args[length_at])


# Gas


@_host_function("useGas", "I:", _free)
def use_gas(frame: Frame, gas: int) -> None:
    """Take gas from the contract itself."""
    frame.meter.charge(_gas_argument(gas))


@_host_function("getGasLeft", ":I")
def get_gas_left(frame: Frame) -> int:
    """Return the whole gas left, this call paid."""
    return frame.meter.left


# The message and its transaction


@_host_function("getAddress", "i:")
def get_address(frame: Frame, result: int) -> None:
    """Write the address of the running account."""
    frame.memory.write(result, frame.message.recipient)


@_host_function("getCaller", "i:")
def get_caller(frame: Frame, result: int) -> None:
    """Write the address of the caller."""
    frame.memory.write(result, frame.message.sender)


@_host_function("getCallValue", "i:")
def get_call_value(frame: Frame, result: int) -> None:
    """Write the value that came with the message."""
    frame.write_u128(result, frame.message.value)


@_host_function("getCallDataSize", ":i")
def get_call_data_size(frame: Frame) -> int:
    """Return the size of the call data."""
    return len(frame.message.input)


@_host_function("callDataCopy", "iii:", _copy(2))
def call_data_copy(frame: Frame, result: int, offset: int, length: int) -> None:
    """Copy call data to memory."""
    frame.copy_in(result, frame.message.input, offset, length, "call data")


@_host_function("getTxOrigin", "i:")
def get_tx_origin(frame: Frame, result: int) -> None:
    """Write the address that signed the transaction."""
    frame.memory.write(result, frame.tx.origin)


@_host_function("getTxGasPrice", "i:")
def get_tx_gas_price(frame: Frame, result: int) -> None:
    """Write the transaction's price of gas."""
    frame.write_u128(result, frame.tx.gas_price)


# The block


@_host_function("getBlockHash", "Ii:i", lambda prices, _: prices.block_hash)
def get_block_hash(frame: Frame, number: int, result: int) -> int:
    """Write the hash of a recent block; return 0, or 1 if there is none."""
    found = frame.host.get_block_hash(number)
    if found is None:
        return 1
    frame.memory.write(result, found)
    return 0


@_host_function("getBlockCoinbase", "i:")
def get_block_coinbase(frame: Frame, result: int) -> None:
    """Write the beneficiary of the block."""
    frame.memory.write(result, frame.tx.coinbase)


@_host_function("getBlockDifficulty", "i:")
def get_block_difficulty(frame: Frame, result: int) -> None:
    """Write the difficulty of the block, 32 bytes little-endian."""
    frame.memory.write(result, frame.tx.difficulty.to_bytes(32, "little"))


@_host_function("getBlockGasLimit", ":I")
def get_block_gas_limit(frame: Frame) -> int:
    """Return the gas limit of the block."""
    return frame.tx.gas_limit


@_host_function("getBlockNumber", ":I")
def get_block_number(frame: Frame) -> int:
    """Return the number of the block."""
    return frame.tx.number


@_host_function("getBlockTimestamp", ":I")
def get_block_timestamp(frame: Frame) -> int:
    """Return the time of the block, in seconds."""
    return frame.tx.timestamp


@_host_function("getChainId", "i:", extra=True)
def get_chain_id(frame: Frame, result: int) -> None:
    """Write the chain's id as a 128-bit number."""
    frame.write_u128(result, frame.tx.chain_id)


# Accounts and code


@_host_function("getExternalBalance", "ii:", lambda prices, _: prices.balance)
def get_external_balance(frame: Frame, address: int, result: int) -> None:
    """Write the balance of an account."""
    frame.write_u128(result, frame.host.get_balance(frame.read_address(address)))


@_host_function("getCodeSize", ":i")
def get_code_size(frame: Frame) -> int:
    """Return the size of the running code."""
    return len(frame.code)


@_host_function("codeCopy", "iii:", _copy(2))
def code_copy(frame: Frame, result: int, offset: int, length: int) -> None:
    """Copy the running code to memory."""
    frame.copy_in(result, frame.code, offset, length, "code")


@_host_function("getExternalCodeSize", "i:i", lambda prices, _: prices.external_code)
def get_external_code_size(frame: Frame, address: int) -> int:
    """Return the size of an account's code."""
    return frame.host.get_code_size(frame.read_address(address))


@_host_function("externalCodeCopy", "iiii:", _copy(3, "external_code"))
def external_code_copy(frame: Frame, address: int, result: int, offset: int, length: int) -> None:
    """Copy an account's code to memory."""
    owner = frame.read_address(address)
    if offset + length > frame.host.get_code_size(owner):
        raise InvalidMemoryAccess(f"{offset} … {offset + length} is outside the code of {owner}")
    frame.memory.write(result, frame.host.copy_code(owner, offset, length))


# Storage, logs, the end


@_host_function("storageLoad", "ii:", lambda prices, _: prices.storage_load)
def storage_load(frame: Frame, key: int, result: int) -> None:
    """Read a slot of the running account's storage."""
    slot = frame.read_bytes32(key)
    frame.memory.write(result, frame.host.get_storage(frame.message.recipient, slot))


@_host_function("storageStore", "ii:", lambda prices, _: prices.storage_store, changes=True)
def storage_store(frame: Frame, key: int, value: int) -> None:
    """Write a slot; one that was zero and no longer is costs more."""
    slot, new = frame.read_bytes32(key), frame.read_bytes32(value)
    if frame.host.set_storage(frame.message.recipient, slot, new) is StorageStatus.ADDED:
        frame.meter.charge(frame.prices.storage_add)


def _log_price(prices: HostPrices, args: tuple[int, ...]) -> int:
    _, length, topics, *_ = args
    return prices.log + prices.log_topic * topics + prices.log_byte * length


@_host_function("log", "iiiiiii:", _log_price, changes=True)
def log(frame: Frame, data: int, length: int, topics: int, *offsets: int) -> None:
    """Record an event with up to four topics."""
    if topics > len(offsets):
        raise ArgumentOutOfRange(f"{topics} topics, at most {len(offsets)}")
    found = tuple(frame.read_bytes32(offset) for offset in offsets[:topics])
    frame.host.emit_log(Log(frame.message.recipient, found, frame.memory.read(data, length)))


@_host_function("finish", "ii:", _free)
def finish(frame: Frame, data: int, length: int) -> None:
    """End the run with output."""
    raise Finish(frame.memory.read(data, length))


@_host_function("revert", "ii:", _free)
def revert(frame: Frame, data: int, length: int) -> None:
    """End the run with output, undo its changes, keep the gas left."""
    raise Revert(frame.memory.read(data, length))


@_host_function("selfDestruct", "i:", lambda prices, _: prices.self_destruct, changes=True)
def self_destruct(frame: Frame, beneficiary: int) -> None:
    """Give the balance away, mark the account for deletion, end the run."""
    heir = frame.read_address(beneficiary)
    if not frame.host.account_exists(heir):
        frame.meter.charge(frame.prices.call_new_account)
    frame.host.selfdestruct(frame.message.recipient, heir)
    raise Finish(b"")


# Return data


@_host_function("getReturnDataSize", ":i")
def get_return_data_size(frame: Frame) -> int:
    """Return the size of what the last call or creation returned."""
    return len(frame.return_data)


@_host_function("returnDataCopy", "iii:", _copy(2))
def return_data_copy(frame: Frame, result: int, offset: int, length: int) -> None:
    """Copy what the last call or creation returned to memory."""
    frame.copy_in(result, frame.return_data, offset, length, "return data")


# Calls: memory, arguments and static mode are looked at before the first charge


@_host_function("call", "Iiiii:i", _free)
def call(frame: Frame, gas: int, address: int, value: int, data: int, length: int) -> int:
    """Call another account, with value."""
    target, amount = frame.read_address(address), frame.read_u128(value)
    if amount and frame.message.is_static:
        raise StaticModeViolation("call with value")
    return _call(frame, CallKind.CALL, gas, target, amount, data, length)


@_host_function("callCode", "Iiiii:i", _free)
def call_code(frame: Frame, gas: int, address: int, value: int, data: int, length: int) -> int:
    """Run another account's code on this account, with value."""
    target, amount = frame.read_address(address), frame.read_u128(value)
    return _call(frame, CallKind.CALLCODE, gas, target, amount, data, length)


@_host_function("callDelegate", "Iiii:i", _free)
def call_delegate(frame: Frame, gas: int, address: int, data: int, length: int) -> int:
    """Run another account's code on this account, as this message's caller with this message's value."""
    return _call(frame, CallKind.DELEGATECALL, gas, frame.read_address(address), U256(0), data, length)


@_host_function("callStatic", "Iiii:i", _free)
def call_static(frame: Frame, gas: int, address: int, data: int, length: int) -> int:
    """Call another account, which must not change state."""
    return _call(frame, CallKind.CALL, gas, frame.read_address(address), U256(0), data, length, static=True)


def _call(
    frame: Frame,
    kind: CallKind,
    gas: int,
    target: Address,
    value: U256,
    data: int,
    length: int,
    *,
    static: bool = False,
) -> int:
    """Charge, forward gas, call, take back what was left."""
    requested = _gas_argument(gas)
    message, meter, prices, host = frame.message, frame.meter, frame.prices, frame.host
    call_data = frame.memory.read(data, length) if length else b""
    meter.charge(prices.call)
    if message.depth >= MAX_DEPTH:
        return FAILED
    if value:
        meter.charge(prices.call_value)
        if not frame.can_pay(value):
            return FAILED
        if kind is CallKind.CALL and not host.account_exists(target):
            meter.charge(prices.call_new_account)
    forwarded = min(requested, all_but_one_64th(meter.left))
    meter.charge(forwarded)
    delegated = kind is CallKind.DELEGATECALL
    result = host.call(
        Message(
            kind=kind,
            is_static=static or message.is_static,
            depth=message.depth + 1,
            gas=forwarded + (prices.call_stipend if value else 0),
            recipient=target if kind is CallKind.CALL else message.recipient,
            sender=message.sender if delegated else message.recipient,
            input=call_data,
            value=message.value if delegated else value,
            code_address=target,
        )
    )
    meter.give_back(result.gas_left)
    frame.return_data = result.output
    return _answer(result)


@_host_function("create", "iiii:i", lambda prices, _: prices.create, changes=True)
def create(frame: Frame, value: int, data: int, length: int, result: int) -> int:
    """Create a contract at the address that follows from this account's nonce."""
    return _create(frame, CallKind.CREATE, value, data, length, result)


def _create2_price(prices: HostPrices, args: tuple[int, ...]) -> int:
    return prices.create + prices.create2_word * _words(args[2])


@_host_function("create2", "iiiii:i", _create2_price, changes=True, extra=True)
def create2(frame: Frame, value: int, data: int, length: int, salt: int, result: int) -> int:
    """Create a contract at the address that follows from a salt and the init code (EIP-1014)."""
    return _create(frame, CallKind.CREATE2, value, data, length, result, salt)


def _create(
    frame: Frame, kind: CallKind, value: int, data: int, length: int, result: int, salt: int | None = None
) -> int:
    """Forward all but a 64th of the gas, create, take back what was left, write the address.

    Init code above the ruleset's bound ends the run out of gas (EIP-3860).
    """
    message, meter, prices = frame.message, frame.meter, frame.prices
    amount = frame.read_u128(value)
    if message.depth >= MAX_DEPTH or not frame.can_pay(amount):
        return FAILED
    init_code = frame.memory.read(data, length) if length else b""
    if frame.max_init_code is not None and length > frame.max_init_code:
        raise OutOfGas
    meter.charge(prices.init_code_byte * length)
    salt_bytes = ZERO_BYTES32 if salt is None else frame.read_bytes32(salt)
    forwarded = all_but_one_64th(meter.left)
    meter.charge(forwarded)
    created = frame.host.call(
        Message(
            kind=kind,
            depth=message.depth + 1,
            gas=forwarded,
            sender=message.recipient,
            input=init_code,
            value=amount,
            salt=salt_bytes,
        )
    )
    meter.give_back(created.gas_left)
    frame.return_data = created.output if created.status is Status.REVERT else b""
    if created.status is Status.SUCCESS:
        assert created.created is not None, "a creation that succeeded has an address"
        frame.memory.write(result, created.created)
    return _answer(created)


def _answer(result: Result) -> int:
    """Return what a contract learns of how its call ended."""
    return {Status.SUCCESS: SUCCEEDED, Status.REVERT: REVERTED}.get(result.status, FAILED)


def _gas_argument(gas: int) -> int:
    """Return an amount of gas that a contract gave, which must not be negative as a signed number."""
    if gas >> 63:
        raise ArgumentOutOfRange("a negative amount of gas")
    return gas


# Debugging


@_host_function("print32", "i:", _free, table=DEBUG)
def print32(frame: Frame, value: int) -> None:
    """Print a 32-bit number."""
    frame.print(f"{value} (0x{value:08x})")


@_host_function("print64", "I:", _free, table=DEBUG)
def print64(frame: Frame, value: int) -> None:
    """Print a 64-bit number."""
    frame.print(f"{value} (0x{value:016x})")


@_host_function("printMem", "ii:", _free, table=DEBUG)
def print_mem(frame: Frame, offset: int, length: int) -> None:
    """Print memory as text."""
    text = frame.memory.read(offset, length).decode("utf-8", "replace")
    frame.print("".join(c if c.isprintable() or c in "\n\t" else "." for c in text))


@_host_function("printMemHex", "ii:", _free, table=DEBUG)
def print_mem_hex(frame: Frame, offset: int, length: int) -> None:
    """Print memory as hex."""
    frame.print(frame.memory.read(offset, length).hex())


@_host_function("printStorage", "i:", _free, table=DEBUG)
def print_storage(frame: Frame, key: int) -> None:
    """Print a slot of storage as a number."""
    frame.print(str(int.from_bytes(_slot(frame, key), "big")))


@_host_function("printStorageHex", "i:", _free, table=DEBUG)
def print_storage_hex(frame: Frame, key: int) -> None:
    """Print a slot of storage as hex."""
    frame.print(_slot(frame, key).hex())


def _slot(frame: Frame, key: int) -> Bytes32:
    return frame.host.get_storage(frame.message.recipient, frame.read_bytes32(key))
