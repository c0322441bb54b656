"""Transactions as they are signed and sent: legacy, EIP-2930 and EIP-1559."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

from coincurve import PublicKey

from evmc import U256, Address, Bytes32, Gas
from node.chain.errors import InvalidSignature, MalformedTransaction, UnsupportedType
from node.transaction import AccessList
from state import CodecError, decode, encode, keccak256
from state.codec import decode_scalar, decode_string, encode_list, encode_string, scalar, split

LEGACY: Final = 0
ACCESS_LIST: Final = 1
DYNAMIC_FEE: Final = 2

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The order of the curve secp256k1; a greater s than its half is malleable (EIP-2)."""

_UNPROTECTED: Final = (27, 28)
_FIRST_PROTECTED: Final = 35
_WIDTH: Final = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a sender signs. Fees are prices of whole gas in the smallest unit.

    `max_fee` is the gas price of types 0 and 1, whose `max_tip` is the same. `chain_id` is None for a legacy
    transaction without EIP-155. `to` is None for a creation.
    """

    type: int = DYNAMIC_FEE
    chain_id: int | None
    nonce: int
    max_fee: U256
    max_tip: U256
    gas_limit: Gas
    to: Address | None
    value: U256 = U256(0)
    data: bytes = b""
    access_list: AccessList = ()

    @property
    def signing_hash(self) -> Bytes32:
        """The hash that is signed."""
        fields = self._fields()
        if self.type == LEGACY and self.chain_id is not None:
            fields += encode_string(scalar(self.chain_id)) + b"\x80\x80"
        return keccak256(_typed(self.type, encode_list(fields)))

    def effective_price(self, base_fee: int) -> int:
        """Return the price of gas in a block with this base fee (EIP-1559)."""
        return min(self.max_fee, base_fee + self.max_tip)

    def effective_tip(self, base_fee: int) -> int:
        """Return what of the price goes to the coinbase; negative if the fee is below the base fee."""
        return min(self.max_tip, self.max_fee - base_fee)

    def _fields(self) -> bytes:
        """Return the fields before the signature, each encoded, strung together."""
        fields: list[bytes] = []
        if self.type != LEGACY:
            fields.append(scalar(self.chain_id or 0))
        fields.append(scalar(self.nonce))
        if self.type == DYNAMIC_FEE:
            fields.append(scalar(self.max_tip))
        fields += [
            scalar(self.max_fee),
            scalar(self.gas_limit),
            self.to or b"",
            scalar(self.value),
            self.data,
        ]
        encoded = b"".join(map(encode_string, fields))
        return encoded if self.type == LEGACY else encoded + encode(self.access_list)

    def with_signature(self, y_parity: int, r: int, s: int) -> bytes:
        """Return the raw transaction with a signature, whatever it is worth."""
        v = y_parity
        if self.type == LEGACY:
            v += _UNPROTECTED[0] if self.chain_id is None else _FIRST_PROTECTED + 2 * self.chain_id
        end = b"".join(encode_string(scalar(number)) for number in (v, r, s))
        return _typed(self.type, encode_list(self._fields() + end))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction(Payload):
    """A transaction with its signature, or of an impersonated sender without one: then r is the sender and s is 0."""

    y_parity: int
    r: int
    s: int
    sender: Address
    raw: bytes
    """The canonical encoding: RLP, after the type's byte unless that is 0 (EIP-2718)."""
    hash: Bytes32

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Decode a raw transaction and recover its sender.

        Raise MalformedTransaction, UnsupportedType or InvalidSignature. The chain id is not looked at.
        """
        fields, signed = _parse(raw)
        return cls(**fields, sender=_recover(signed, fields["y_parity"], fields["r"], fields["s"]))

    @classmethod
    def signed(cls, payload: Payload, y_parity: int, r: int, s: int) -> Self:
        """Return a payload with its signature; raise InvalidSignature if it is nobody's."""
        return cls.decode(payload.with_signature(y_parity, r, s))

    @classmethod
    def impersonated(cls, payload: Payload, sender: Address) -> Self:
        """Return a payload as if `sender` had signed it; the hash differs by sender."""
        return cls.restore(payload.with_signature(0, int.from_bytes(sender, "big"), 0), sender)

    @classmethod
    def restore(cls, raw: bytes, sender: Address) -> Self:
        """Decode what the chain has stored, the sender being known; raise MalformedTransaction."""
        return cls(**_parse(raw)[0], sender=sender)

    @property
    def v(self) -> int:
        """The `v` of JSON-RPC: parity for typed transactions, with EIP-155's or the first chain's offset for others."""
        if self.type != LEGACY:
            return self.y_parity
        return self.y_parity + (_UNPROTECTED[0] if self.chain_id is None else _FIRST_PROTECTED + 2 * self.chain_id)

    @property
    def is_impersonated(self) -> bool:
        """Whether nobody signed it."""
        return self.s == 0


def _typed(type_: int, encoded: bytes) -> bytes:
    return encoded if type_ == LEGACY else bytes([type_]) + encoded


_COUNTS: Final = {LEGACY: 9, ACCESS_LIST: 11, DYNAMIC_FEE: 12}
"""How many fields a transaction has, by type."""


def _parse(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the fields of a transaction without its sender, and the bytes whose hash is signed."""
    if not raw:
        raise MalformedTransaction("typed transaction too short")
    type_ = LEGACY if raw[0] >= 0xC0 else raw[0]
    if type_ not in _COUNTS or raw[0] == LEGACY:
        raise UnsupportedType(f"transaction type not supported: {raw[0]}")
    try:
        return _parse_fields(raw, type_)
    except ValueError as error:  # CodecError is one, and so are addresses and numbers that do not fit
        raise MalformedTransaction(f"rlp: not a transaction of type {type_}: {error}") from error


def _parse_fields(raw: bytes, type_: int) -> tuple[dict[str, Any], bytes]:
    items = split(raw[1:] if type_ else raw)
    if len(items) != _COUNTS[type_]:
        raise CodecError(f"{len(items)} fields, not {_COUNTS[type_]}")
    v, r, s = (decode_scalar(decode_string(item)) for item in items[-3:])
    unsigned = items[:-3]
    chain_id: int | None = None
    access_list: AccessList = ()
    rest = unsigned
    if type_:
        chain_id, y_parity = decode_scalar(decode_string(items[0])), v
        access_list = _access_list(rest[-1])
        rest = rest[1:-1]
        if v > 1:
            raise InvalidSignature(f"invalid transaction v, r, s values: parity {v}")
    elif v in _UNPROTECTED:
        y_parity = v - _UNPROTECTED[0]
    elif v >= _FIRST_PROTECTED:
        chain_id, y_parity = divmod(v - _FIRST_PROTECTED, 2)
        unsigned = [*unsigned, encode_string(scalar(chain_id)), b"\x80\x80"]
    else:
        raise InvalidSignature(f"invalid transaction v, r, s values: v {v}")
    strings = [decode_string(item) for item in rest]
    max_tip = U256(decode_scalar(strings.pop(1))) if type_ == DYNAMIC_FEE else None
    nonce, price, gas, to, value, data = strings
    max_fee = U256(decode_scalar(price))
    fields = {
        "type": type_,
        "chain_id": chain_id,
        "nonce": _narrow("nonce", nonce),
        "max_fee": max_fee,
        "max_tip": max_fee if max_tip is None else max_tip,
        "gas_limit": _narrow("gas limit", gas),
        "to": Address(to) if to else None,
        "value": U256(decode_scalar(value)),
        "data": data,
        "access_list": access_list,
        "y_parity": y_parity,
        "r": r,
        "s": s,
        "raw": raw,
        "hash": keccak256(raw),
    }
    return fields, _typed(type_, encode_list(b"".join(unsigned)))


def _narrow(name: str, data: bytes) -> int:
    value = decode_scalar(data)
    if value >= _WIDTH:
        raise CodecError(f"{name} beyond 64 bits")
    return value


def _access_list(item: bytes) -> AccessList:
    if item == b"\xc0":
        return ()
    entries = []
    for entry in split(item):
        parts = split(entry)
        if len(parts) != 2:
            raise CodecError("an entry of the access list is not an address and its slots")
        slots = decode(parts[1])
        if isinstance(slots, bytes):
            raise CodecError("the slots of an access list are a list")
        keys = tuple(Bytes32(slot) if isinstance(slot, bytes) else _no_slot() for slot in slots)
        entries.append((Address(decode_string(parts[0])), keys))
    return tuple(entries)


def _no_slot() -> Bytes32:
    raise CodecError("a slot of the access list is a list")


def _recover(signed: bytes, y_parity: int, r: int, s: int) -> Address:
    """Return who signed; raise InvalidSignature."""
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        raise InvalidSignature("invalid transaction v, r, s values")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    try:
        key = PublicKey.from_signature_and_message(signature, keccak256(signed), hasher=None)
    except Exception as error:  # the library raises Exception itself where no point fits
        raise InvalidSignature("invalid sender: the signature is nobody's") from error
    return Address(keccak256(key.format(compressed=False)[1:])[12:])
