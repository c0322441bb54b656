"""Types of the runtime: the table that the codec encodes by and metadata lists.

Paths are those of Substrate's own crates: clients recognise types by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.substrate.scale import (
    BOOL,
    BYTES,
    STR,
    U8,
    U32,
    U64,
    U128,
    Array,
    Compact,
    Enum,
    Field,
    Listed,
    Option,
    Primitive,
    Reader,
    ScaleError,
    ScaleType,
    Sequence,
    Struct,
    Tuple,
    Variant,
)


def struct(path: str, /, **fields: ScaleType) -> Struct:
    """Return a struct with named fields."""
    return Struct(path, tuple(Field(name, kind) for name, kind in fields.items()))


def wrapper(path: str, inner: ScaleType) -> Struct:
    """Return a struct around one value."""
    return Struct(path, (Field(None, inner),))


def variant(_name: str, _index: int, _doc: str = "", /, **fields: ScaleType) -> Variant:
    """Return a variant with named fields, or with none."""
    return Variant(_name, _index, tuple(Field(name, kind) for name, kind in fields.items()), _doc)


def plain(path: str, *names: str) -> Enum:
    """Return an enum of variants without fields."""
    return Enum(path, tuple(Variant(name, index) for index, name in enumerate(names)))


def holding(path: str, /, **variants: ScaleType) -> Enum:
    """Return an enum whose variants each hold one value."""
    return Enum(
        path, tuple(Variant(name, index, (Field(None, kind),)) for index, (name, kind) in enumerate(variants.items()))
    )


# Primitive values

H160: Final = wrapper("primitive_types::H160", Array(20, U8))
H256: Final = wrapper("primitive_types::H256", Array(32, U8))
U256: Final = Listed(Primitive("u256"), wrapper("primitive_types::U256", Array(4, U64)))
ACCOUNT_ID: Final = wrapper("sp_core::crypto::AccountId32", Array(32, U8))
ADDRESS: Final = Enum(
    "sp_runtime::multiaddress::MultiAddress",
    (
        Variant("Id", 0, (Field(None, ACCOUNT_ID, "AccountId"),)),
        Variant("Index", 1, (Field(None, Listed(Compact(U32), Compact(U32)), "AccountIndex"),)),
        Variant("Raw", 2, (Field(None, BYTES, "Vec<u8>"),)),
        Variant("Address32", 3, (Field(None, Array(32, U8), "[u8; 32]"),)),
        Variant("Address20", 4, (Field(None, Array(20, U8), "[u8; 20]"),)),
    ),
    (("AccountId", ACCOUNT_ID), ("AccountIndex", Tuple())),
)
SIGNATURE: Final = holding(
    "sp_runtime::MultiSignature", Ed25519=Array(64, U8), Sr25519=Array(64, U8), Ecdsa=Array(65, U8)
)


# Eras


@dataclass(frozen=True, slots=True)
class Era:
    """How long an extrinsic is valid: `period` blocks from one with `phase` modulo it; for ever if that is 0."""

    period: int = 0
    phase: int = 0

    def birth(self, current: int) -> int:
        """Return the number of the block that an era began at, as seen from the block before the one to come."""
        if not self.period:
            return 0
        return (max(current, self.phase) - self.phase) // self.period * self.period + self.phase


IMMORTAL: Final = Era()


@dataclass(frozen=True, slots=True)
class _EraCodec:
    """An era in one byte, zero, or in two: the period's logarithm in four bits, then the phase in steps."""

    def write(self, value: Any, out: bytearray) -> None:
        if not isinstance(value, Era):
            raise ScaleError(f"an era is expected, not {type(value).__name__}")
        if not value.period:
            out.append(0)
            return
        log, step = value.period.bit_length() - 1, max(1, value.period >> 12)
        if value.period != 1 << log or not 2 <= log <= 16 or not 0 <= value.phase < value.period or value.phase % step:
            raise ScaleError(f"no era has period {value.period} and phase {value.phase}")
        out += (log - 1 | value.phase // step << 4).to_bytes(2, "little")

    def read(self, reader: Reader) -> Era:
        first = reader.byte()
        if not first:
            return IMMORTAL
        number = first | reader.byte() << 8
        period = 2 << (number & 15)
        phase = (number >> 4) * max(1, period >> 12)
        if period < 4 or phase >= period:
            raise ScaleError(f"no era is encoded as {number:#06x}")
        return Era(period, phase)


ERA: Final = Listed(
    _EraCodec(),
    Enum(
        "sp_runtime::generic::era::Era",
        (Variant("Immortal", 0), *(Variant(f"Mortal{index}", index, (Field(None, U8),)) for index in range(1, 256))),
    ),
)


# Weights, dispatch

WEIGHT: Final = struct("sp_weights::weight_v2::Weight", ref_time=Compact(U64), proof_size=Compact(U64))
CLASS: Final = plain("frame_support::dispatch::DispatchClass", "Normal", "Operational", "Mandatory")
PAYS: Final = plain("frame_support::dispatch::Pays", "Yes", "No")
DISPATCH_INFO: Final = Struct(
    "frame_support::dispatch::DispatchInfo",
    (Field("weight", WEIGHT), Field("class", CLASS), Field("pays_fee", PAYS)),
)
MODULE_ERROR: Final = struct("sp_runtime::ModuleError", index=U8, error=Array(4, U8))
DISPATCH_ERROR: Final = Enum(
    "sp_runtime::DispatchError",
    (
        Variant("Other", 0),
        Variant("CannotLookup", 1),
        Variant("BadOrigin", 2),
        Variant("Module", 3, (Field(None, MODULE_ERROR, "ModuleError"),)),
        Variant("ConsumerRemaining", 4),
        Variant("NoProviders", 5),
        Variant("TooManyConsumers", 6),
        Variant(
            "Token",
            7,
            (
                Field(
                    None,
                    plain(
                        "sp_runtime::TokenError",
                        "FundsUnavailable",
                        "OnlyProvider",
                        "BelowMinimum",
                        "CannotCreate",
                        "UnknownAsset",
                        "Frozen",
                        "Unsupported",
                        "CannotCreateHold",
                        "NotExpendable",
                        "Blocked",
                    ),
                ),
            ),
        ),
        Variant(
            "Arithmetic",
            8,
            (Field(None, plain("sp_arithmetic::ArithmeticError", "Underflow", "Overflow", "DivisionByZero")),),
        ),
    ),
)


# System

ACCOUNT_DATA: Final = struct(
    "pallet_balances::types::AccountData",
    free=U128,
    reserved=U128,
    frozen=U128,
    flags=wrapper("pallet_balances::types::ExtraFlags", U128),
)
ACCOUNT_INFO: Final = Struct(
    "frame_system::AccountInfo",
    (
        Field("nonce", U32, "Nonce"),
        Field("consumers", U32, "RefCount"),
        Field("providers", U32, "RefCount"),
        Field("sufficients", U32, "RefCount"),
        Field("data", ACCOUNT_DATA, "AccountData"),
    ),
    (("Nonce", U32), ("AccountData", ACCOUNT_DATA)),
)
PHASE: Final = Enum(
    "frame_system::Phase",
    (Variant("ApplyExtrinsic", 0, (Field(None, U32),)), Variant("Finalization", 1), Variant("Initialization", 2)),
)
_CLASS_WEIGHTS: Final = struct(
    "frame_system::limits::WeightsPerClass",
    base_extrinsic=WEIGHT,
    max_extrinsic=Option(WEIGHT),
    max_total=Option(WEIGHT),
    reserved=Option(WEIGHT),
)


def per_class(inner: ScaleType) -> Struct:
    """Return the type that holds a value for each class of dispatch."""
    fields = tuple(Field(name, inner) for name in ("normal", "operational", "mandatory"))
    return Struct("frame_support::dispatch::PerDispatchClass", fields, (("T", inner),))


BLOCK_WEIGHTS: Final = struct(
    "frame_system::limits::BlockWeights", base_block=WEIGHT, max_block=WEIGHT, per_class=per_class(_CLASS_WEIGHTS)
)
BLOCK_LENGTH: Final = struct("frame_system::limits::BlockLength", max=per_class(U32))
RUNTIME_VERSION: Final = struct(
    "sp_version::RuntimeVersion",
    spec_name=STR,
    impl_name=STR,
    authoring_version=U32,
    spec_version=U32,
    impl_version=U32,
    apis=Sequence(Tuple((Array(8, U8), U32))),
    transaction_version=U32,
    state_version=U8,
)
DIGEST_ITEM: Final = Enum(
    "sp_runtime::generic::digest::DigestItem",
    (
        Variant("Other", 0, (Field(None, BYTES),)),
        Variant("Consensus", 4, (Field(None, Array(4, U8)), Field(None, BYTES))),
        Variant("Seal", 5, (Field(None, Array(4, U8)), Field(None, BYTES))),
        Variant("PreRuntime", 6, (Field(None, Array(4, U8)), Field(None, BYTES))),
    ),
)
DIGEST: Final = struct("sp_runtime::generic::digest::Digest", logs=Sequence(DIGEST_ITEM))
HEADER: Final = struct(
    "sp_runtime::generic::header::Header",
    parent_hash=H256,
    number=Compact(U32),
    state_root=H256,
    extrinsics_root=H256,
    digest=DIGEST,
)


# Fees

FEE_INFO: Final = Struct(
    "pallet_transaction_payment::types::RuntimeDispatchInfo",
    (Field("weight", WEIGHT, "Weight"), Field("class", CLASS), Field("partial_fee", U128, "Balance")),
    (("Balance", U128), ("Weight", WEIGHT)),
)
FEE_DETAILS: Final = struct(
    "pallet_transaction_payment::types::FeeDetails",
    inclusion_fee=Option(
        struct("pallet_transaction_payment::types::InclusionFee", base_fee=U128, len_fee=U128, adjusted_weight_fee=U128)
    ),
    tip=U128,
)


# Ewasm

ACCOUNT: Final = struct("pallet_ewasm::Account", nonce=U256, balance=U256)
LOG: Final = struct("pallet_ewasm::Log", address=H160, topics=Sequence(H256), data=BYTES)
OUTCOME: Final = struct(
    "pallet_ewasm::Outcome",
    success=BOOL,
    status=STR,
    output=BYTES,
    gas_used=U64,
    created=Option(H160),
    logs=Sequence(LOG),
    error=Option(DISPATCH_ERROR),
)
FINDING: Final = struct("pallet_ewasm::Finding", rule=STR, message=STR)
