"""Extrinsics of version 4: signed extensions, the payload that is signed, decoding and checking.

After "Transaction format" of the Polkadot SDK documentation and `sp_runtime::generic::UncheckedExtrinsic`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from node.substrate import types as t
from node.substrate.hashing import blake2_256
from node.substrate.keys import Keypair, verify
from node.substrate.pallets import CALL
from node.substrate.scale import (
    BYTES,
    U32,
    U128,
    UNIT,
    Compact,
    Field,
    Reader,
    ScaleError,
    ScaleType,
    Struct,
    compact,
    decode,
    encode,
)

VERSION: Final = 4
_SIGNED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Extension:
    """A signed extension: what it adds to an extrinsic, and what it adds to the signed payload only."""

    name: str
    path: str
    extra: ScaleType = UNIT
    additional: ScaleType = UNIT

    @property
    def type(self) -> Struct:
        """The type of what is in the extrinsic."""
        return Struct(self.path, () if self.extra == UNIT else (Field(None, self.extra),))


_FRAME: Final = "frame_system::extensions"
EXTENSIONS: Final = (
    Extension("CheckNonZeroSender", f"{_FRAME}::check_non_zero_sender::CheckNonZeroSender"),
    Extension("CheckSpecVersion", f"{_FRAME}::check_spec_version::CheckSpecVersion", additional=U32),
    Extension("CheckTxVersion", f"{_FRAME}::check_tx_version::CheckTxVersion", additional=U32),
    Extension("CheckGenesis", f"{_FRAME}::check_genesis::CheckGenesis", additional=t.H256),
    Extension("CheckMortality", f"{_FRAME}::check_mortality::CheckMortality", t.ERA, t.H256),
    Extension("CheckNonce", f"{_FRAME}::check_nonce::CheckNonce", Compact(U32)),
    Extension("CheckWeight", f"{_FRAME}::check_weight::CheckWeight"),
    Extension("ChargeTransactionPayment", "pallet_transaction_payment::ChargeTransactionPayment", Compact(U128)),
)


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed an extrinsic and with what: sender, `MultiSignature`, era, nonce, tip."""

    account: bytes
    signature: tuple[str, bytes]
    era: t.Era
    nonce: int
    tip: int


@dataclass(frozen=True, slots=True)
class Extrinsic:
    """An extrinsic: a call (pallet, (name, arguments)), signed or not; `raw` is all of it without its length."""

    call: tuple[str, Any]
    call_data: bytes
    signed: Signed | None
    raw: bytes

    @property
    def encoded(self) -> bytes:
        """The extrinsic with its length, as it is hashed and sent."""
        return encode(BYTES, self.raw)

    @property
    def hash(self) -> bytes:
        """The extrinsic's hash."""
        return blake2_256(self.encoded)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a signature is bound to beside the extrinsic itself: versions, genesis, and the era's first block."""

    spec_version: int
    transaction_version: int
    genesis: bytes
    birth: bytes


def payload(call_data: bytes, era: t.Era, nonce: int, tip: int, around: Surroundings) -> bytes:
    """Return what is signed: call, extra, additional; hashed if it is longer than 256 bytes."""
    data = (
        call_data
        + encode(t.ERA, era)
        + compact(nonce)
        + compact(tip)
        + encode(U32, around.spec_version)
        + encode(U32, around.transaction_version)
        + around.genesis
        + around.birth
    )
    return blake2_256(data) if len(data) > 256 else data


def unsigned(call: tuple[str, Any]) -> Extrinsic:
    """Return an extrinsic that nobody signed."""
    data = encode(CALL, call)
    return Extrinsic(call, data, None, bytes([VERSION]) + data)


def sign(
    pair: Keypair, call: tuple[str, Any], nonce: int, around: Surroundings, era: t.Era = t.IMMORTAL, tip: int = 0
) -> Extrinsic:
    """Return an extrinsic signed by `pair`; raise `ScaleError` if the call has no encoding."""
    data = encode(CALL, call)
    signature = pair.sign(payload(data, era, nonce, tip, around))
    head = encode(t.ADDRESS, ("Id", pair.account)) + encode(t.SIGNATURE, signature)
    extra = encode(t.ERA, era) + compact(nonce) + compact(tip)
    raw = bytes([_SIGNED | VERSION]) + head + extra + data
    return Extrinsic(call, data, Signed(pair.account, signature, era, nonce, tip), raw)


def read_extrinsic(data: bytes) -> Extrinsic:
    """Return the extrinsic that `data` encodes with its length; raise `ScaleError` that names the place."""
    raw = decode(BYTES, data)
    reader = Reader(raw)
    version = reader.byte()
    if version & ~_SIGNED != VERSION:
        raise ScaleError(f"extrinsics of version {version & ~_SIGNED} are not known, only {VERSION}", "version")
    signed = _read_signed(reader) if version & _SIGNED else None
    start = reader.position
    try:
        call = CALL.read(reader)
    except ScaleError as error:
        raise error.inside("call") from None
    if reader.left:
        raise ScaleError(f"{reader.left} bytes too many after the call")
    return Extrinsic(call, raw[start:], signed, raw)


def _read_signed(reader: Reader) -> Signed:
    found: list[Any] = []
    parts: tuple[tuple[str, ScaleType], ...] = (
        ("address", t.ADDRESS),
        ("signature", t.SIGNATURE),
        ("era", t.ERA),
        ("nonce", Compact(U32)),
        ("tip", Compact(U128)),
    )
    for name, kind in parts:
        try:
            found.append(kind.read(reader))
        except ScaleError as error:
            raise error.inside(name) from None
    (form, account), signature, era, nonce, tip = found
    if form not in ("Id", "Address32"):
        raise ScaleError(f"an address by {form} cannot be looked up; give an account id", "address")
    return Signed(account, signature, era, nonce, tip)


def signature_holds(extrinsic: Extrinsic, around: Surroundings) -> bool:
    """Tell whether a signed extrinsic was signed by its sender, for these surroundings."""
    signed = extrinsic.signed
    if signed is None:
        return False
    data = payload(extrinsic.call_data, signed.era, signed.nonce, signed.tip, around)
    return verify(signed.signature, data, signed.account)
