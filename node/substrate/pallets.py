"""The pallets of the runtime: calls, storage, events, errors and constants; a row each, from which all else is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from evmc import Status
from node.substrate import types as t
from node.substrate.hashing import HASHERS, twox_128
from node.substrate.scale import (
    BYTES,
    U8,
    U16,
    U32,
    U64,
    U128,
    Compact,
    Enum,
    Field,
    Reader,
    ScaleError,
    ScaleType,
    Sequence,
    Struct,
    Variant,
    encode,
)
from node.substrate.types import variant


@dataclass(frozen=True, slots=True)
class Item:
    """A storage item: a value, or a map from keys that are hashed each in its own way.

    `default` is what is read where nothing is stored; None makes such a read answer null.
    """

    name: str
    value: ScaleType
    keys: tuple[tuple[str, ScaleType], ...] = ()
    default: Any = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant; its value comes with the chain."""

    name: str
    type: ScaleType
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Pallet:
    """A pallet as metadata has it."""

    name: str
    index: int
    storage: tuple[Item, ...] = ()
    calls: tuple[Variant, ...] = ()
    events: tuple[Variant, ...] = ()
    constants: tuple[Constant, ...] = ()
    errors: tuple[Variant, ...] = ()
    crate: str = ""

    def _enum(self, kind: str, variants: tuple[Variant, ...]) -> Enum | None:
        return Enum(f"{self.crate}::pallet::{kind}", variants) if variants else None

    @property
    def call_type(self) -> Enum | None:
        """The type of its calls."""
        return self._enum("Call", self.calls)

    @property
    def event_type(self) -> Enum | None:
        """The type of its events."""
        return self._enum("Event", self.events)

    @property
    def error_type(self) -> Enum | None:
        """The type of its errors."""
        return self._enum("Error", self.errors)

    def item(self, name: str) -> Item:
        """Return a storage item by name."""
        return next(each for each in self.storage if each.name == name)


_ZERO_ACCOUNT: Final = {
    "nonce": 0,
    "consumers": 0,
    "providers": 0,
    "sufficients": 0,
    "data": {"free": 0, "reserved": 0, "frozen": 0, "flags": 1 << 127},
}
"""What `System.Account` answers for an account without anything; the flag says that balances has its present form."""

FAILURES: Final[dict[Status, tuple[str, str]]] = {
    Status.REVERT: ("Reverted", "The contract reverted; the event has its output."),
    Status.OUT_OF_GAS: ("OutOfGas", "The gas did not suffice."),
    Status.STACK_OVERFLOW: ("StackOverflow", "Calls within a contract nest too deeply."),
    Status.INVALID_MEMORY_ACCESS: ("InvalidMemoryAccess", "A contract reached beyond its memory."),
    Status.CALL_DEPTH_EXCEEDED: ("CallDepthExceeded", "Messages nest too deeply."),
    Status.STATIC_MODE_VIOLATION: ("StaticModeViolation", "A static call tried to change something."),
    Status.PRECOMPILE_FAILURE: ("PrecompileFailure", "A precompiled contract refused its input."),
    Status.CONTRACT_VALIDATION_FAILURE: ("InvalidContract", "The code is no contract under the rules of this chain."),
    Status.ARGUMENT_OUT_OF_RANGE: ("ArgumentOutOfRange", "A host function was given an argument out of its range."),
    Status.WASM_UNREACHABLE_INSTRUCTION: ("Unreachable", "The contract executed `unreachable`."),
    Status.WASM_TRAP: ("Trapped", "The contract trapped."),
    Status.INSUFFICIENT_BALANCE: ("BalanceLow", "The balance on the contract side is too low."),
    Status.FAILURE: ("Failed", "The message failed, as a creation does at an address that is taken."),
}
"""What each end of an execution is called among the pallet's errors."""

_OWN_ERRORS: Final = (
    ("GasPriceTooLow", "The price of gas is below the least that is taken."),
    ("GasLimitTooHigh", "The gas limit is above what a block has."),
    ("CodeTooLarge", "The init code is larger than the rules allow."),
    ("NonceExhausted", "The account has sent all it can."),
)
_CALL_GAS: Final[dict[str, ScaleType]] = {"value": t.U256, "gas_limit": U64, "gas_price": t.U256}
_EXECUTED: Final[dict[str, ScaleType]] = {"output": BYTES, "gas_used": U64}
ERROR_NAMES: Final = tuple(name for name, _ in FAILURES.values()) + tuple(name for name, _ in _OWN_ERRORS)

_SYSTEM: Final = Pallet(
    "System",
    0,
    crate="frame_system",
    storage=(
        Item("Account", t.ACCOUNT_INFO, (("Blake2_128Concat", t.ACCOUNT_ID),), _ZERO_ACCOUNT, "Nonce and balance."),
        Item("ExtrinsicCount", U32, doc="How many extrinsics the block has."),
        Item("BlockHash", t.H256, (("Twox64Concat", U32),), bytes(32), "Hashes of blocks by number."),
        Item("Number", U32, default=0, doc="The block's number."),
        Item("ParentHash", t.H256, default=bytes(32), doc="The hash of the block before."),
        Item("Digest", t.DIGEST, default={"logs": []}, doc="What the header says beside roots."),
        Item("EventCount", U32, default=0, doc="How many events the block has."),
    ),
    calls=(
        variant("remark", 0, "Do nothing but be in the block.", remark=BYTES),
        variant("remark_with_event", 7, "Be in the block, with an event.", remark=BYTES),
    ),
    events=(
        variant("ExtrinsicSuccess", 0, "An extrinsic did what it says.", dispatch_info=t.DISPATCH_INFO),
        variant(
            "ExtrinsicFailed", 1, "An extrinsic failed.", dispatch_error=t.DISPATCH_ERROR, dispatch_info=t.DISPATCH_INFO
        ),
        variant("NewAccount", 3, "An account has its first balance.", account=t.ACCOUNT_ID),
        variant("Remarked", 5, "A remark was made.", sender=t.ACCOUNT_ID, hash=t.H256),
    ),
    constants=(
        Constant("BlockWeights", t.BLOCK_WEIGHTS, "What a block has room for."),
        Constant("BlockLength", t.BLOCK_LENGTH, "How many bytes of extrinsics a block may have."),
        Constant("BlockHashCount", U32, "How many blocks back hashes are known."),
        Constant("Version", t.RUNTIME_VERSION, "The version of the runtime."),
        Constant("SS58Prefix", U16, "The prefix of addresses."),
    ),
)

TIMESTAMP: Final = Pallet(
    "Timestamp",
    1,
    crate="pallet_timestamp",
    storage=(Item("Now", U64, default=0, doc="The block's time in milliseconds."),),
    calls=(variant("set", 0, "Set the time; the node itself does, first in each block.", now=Compact(U64)),),
    constants=(Constant("MinimumPeriod", U64, "Half the least time between two blocks, in milliseconds."),),
)

BALANCES: Final = Pallet(
    "Balances",
    2,
    crate="pallet_balances",
    storage=(Item("TotalIssuance", U128, default=0, doc="All coins on the account side."),),
    calls=(
        variant("transfer_allow_death", 0, "Move coins to another account.", dest=t.ADDRESS, value=Compact(U128)),
        variant("transfer_keep_alive", 3, "The same; accounts do not die here.", dest=t.ADDRESS, value=Compact(U128)),
    ),
    events=(
        Variant(
            "Transfer",
            2,
            (Field("from", t.ACCOUNT_ID), Field("to", t.ACCOUNT_ID), Field("amount", U128)),
            "Coins moved.",
        ),
        variant("Deposit", 7, "Coins came to an account.", who=t.ACCOUNT_ID, amount=U128),
        variant("Withdraw", 8, "Coins left an account.", who=t.ACCOUNT_ID, amount=U128),
    ),
    constants=(Constant("ExistentialDeposit", U128, "The least balance that makes an account."),),
    errors=(Variant("InsufficientBalance", 2, doc="The account has too little."),),
)

TRANSACTION_PAYMENT: Final = Pallet(
    "TransactionPayment",
    3,
    crate="pallet_transaction_payment",
    storage=(Item("NextFeeMultiplier", U128, default=10**18, doc="The factor on weight fees: one, always."),),
    events=(variant("TransactionFeePaid", 0, "A fee was paid.", who=t.ACCOUNT_ID, actual_fee=U128, tip=U128),),
    constants=(Constant("OperationalFeeMultiplier", U8, "Of no use here: nothing is operational."),),
)

EWASM: Final = Pallet(
    "Ewasm",
    4,
    crate="pallet_ewasm",
    storage=(
        Item(
            "Accounts",
            t.ACCOUNT,
            (("Blake2_128Concat", t.H160),),
            {"nonce": 0, "balance": 0},
            "Accounts of contracts and users.",
        ),
        Item("AccountCodes", BYTES, (("Blake2_128Concat", t.H160),), b"", "Code of contracts."),
        Item(
            "AccountStorages",
            t.H256,
            (("Blake2_128Concat", t.H160), ("Blake2_128Concat", t.H256)),
            bytes(32),
            "Slots of contracts.",
        ),
    ),
    calls=(
        variant("deposit_balance", 0, "Move coins to the contract side.", value=U128),
        variant("withdraw_balance", 1, "Move coins back from the contract side.", value=U128),
        variant("call", 2, "Call a contract.", target=t.H160, input=BYTES, **_CALL_GAS),
        variant("create", 3, "Create a contract; its address comes from sender and nonce.", code=BYTES, **_CALL_GAS),
        variant(
            "create2",
            4,
            "Create a contract; its address comes from sender, salt and code.",
            code=BYTES,
            salt=t.H256,
            **_CALL_GAS,
        ),
    ),
    events=(
        variant("Log", 0, "A contract recorded an event.", log=t.LOG),
        variant("Created", 1, "A contract was created.", address=t.H160, gas_used=U64),
        variant("CreatedFailed", 2, "A creation failed.", address=t.H160, **_EXECUTED),
        variant("Executed", 3, "A call succeeded.", address=t.H160, **_EXECUTED),
        variant("ExecutedFailed", 4, "A call failed; `output` is what it reverted with.", address=t.H160, **_EXECUTED),
        variant(
            "BalanceDeposited", 5, "Coins moved to the contract side.", who=t.ACCOUNT_ID, address=t.H160, value=U128
        ),
        variant("BalanceWithdrawn", 6, "Coins moved back.", who=t.ACCOUNT_ID, address=t.H160, value=U128),
    ),
    constants=(
        Constant("WeightPerGas", U64, "The reference time, in picoseconds, that one gas stands for."),
        Constant("GasLimit", U64, "The gas of a block."),
        Constant("MinGasPrice", t.U256, "The least price of gas."),
        Constant("ChainId", U64, "What contracts are told."),
    ),
    errors=tuple(Variant(name, index, (), doc) for index, (name, doc) in enumerate((*FAILURES.values(), *_OWN_ERRORS))),
)

_OTHERS: Final = (TIMESTAMP, BALANCES, TRANSACTION_PAYMENT, EWASM)


def _outer(kind: str, attribute: str) -> Enum:
    """Return the enum over all pallets of their calls, events or errors."""
    variants = [
        Variant(pallet.name, pallet.index, (Field(None, inner),))
        for pallet in (_SYSTEM, *_OTHERS)
        if (inner := getattr(pallet, attribute)) is not None
    ]
    return Enum(f"ewasm_runtime::{kind}", tuple(variants))


CALL: Final = _outer("RuntimeCall", "call_type")
EVENT: Final = _outer("RuntimeEvent", "event_type")
ERROR: Final = _outer("RuntimeError", "error_type")
EVENT_RECORD: Final = Struct(
    "frame_system::EventRecord",
    (Field("phase", t.PHASE), Field("event", EVENT), Field("topics", Sequence(t.H256))),
    (("Event", EVENT), ("Topic", t.H256)),
)
EVENTS: Final = Sequence(EVENT_RECORD)
SYSTEM: Final = replace(
    _SYSTEM, storage=(*_SYSTEM.storage, Item("Events", EVENTS, default=[], doc="What happened in the block."))
)
PALLETS: Final = (SYSTEM, *_OTHERS)


def module_error(pallet: Pallet, name: str) -> tuple[str, Any]:
    """Return the `DispatchError` that is a pallet's own error."""
    found = next(each for each in pallet.errors if each.name == name)
    return "Module", {"index": pallet.index, "error": bytes([found.index, 0, 0, 0])}


# Keys of storage


def storage_prefix(pallet: Pallet, item: Item) -> bytes:
    """Return the 32 bytes that all keys of a storage item begin with."""
    return twox_128(pallet.name.encode()) + twox_128(item.name.encode())


def storage_key(pallet: Pallet, item: Item, *keys: Any) -> bytes:
    """Return the key of an entry; fewer keys than the map has give a prefix of keys."""
    return storage_prefix(pallet, item) + b"".join(
        HASHERS[hasher][1](encode(kind, key)) for (hasher, kind), key in zip(item.keys, keys, strict=False)
    )


_BY_PREFIX: Final = {storage_prefix(pallet, item): (pallet, item) for pallet in PALLETS for item in pallet.storage}


def read_storage_key(key: bytes) -> tuple[Pallet, Item, tuple[Any, ...]] | None:
    """Return pallet, item and keys of an entry, or fewer keys for a prefix; None if nothing is kept there."""
    found = _BY_PREFIX.get(key[:32])
    if found is None:
        return None
    pallet, item = found
    reader, keys = Reader(key[32:]), []
    for hasher, kind in item.keys:
        if not reader.left:
            break
        _, hashed, size = HASHERS[hasher]
        try:
            head = reader.take(size)
            value = kind.read(reader)
        except ScaleError:
            return None
        if not hashed(encode(kind, value)).startswith(head):
            return None
        keys.append(value)
    return None if reader.left else (pallet, item, tuple(keys))
