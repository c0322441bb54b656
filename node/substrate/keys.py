"""Accounts of Substrate: SS58 addresses, the three kinds of keys, derivation paths, signatures.

`//Alice` and friends are derived from the development phrase that every Substrate node knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal, TypeAlias

import coincurve

from evmc import Address
from node.extras import needed_by
from node.substrate.hashing import blake2_256
from node.substrate.scale import compact
from state import keccak256

with needed_by("the Substrate side"):
    import sr25519  # type: ignore[import-untyped]  # it has no types
    from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
    from nacl.exceptions import CryptoError

SS58_PREFIX: Final = 42
"""The prefix of addresses that are for no chain in particular."""

DEV_SEED: Final = bytes.fromhex("fac7959dbfe72f052e5a0c3c8d6530f202b02fd8f9f5ca3580ec8deb7797479e")
"""The seed of the phrase "bottom drive obey lake curtain smoke basket hold race lonely fit walk"."""

Scheme: TypeAlias = Literal["sr25519", "ed25519", "ecdsa"]

_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}


class InvalidKey(ValueError):
    """Text that is no address, or no secret, of Substrate."""


def h160(account: bytes) -> Address:
    """Return the contract-side address of an account: the last 20 bytes of the Keccak-256 of its id."""
    return Address(keccak256(account)[12:])


# SS58


def _base58(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def _from_base58(text: str) -> bytes:
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise InvalidKey(f"{letter!r} is no letter of an SS58 address")
        number = number * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _checksum(data: bytes) -> bytes:
    return blake2b(b"SS58PRE" + data).digest()[:2]


def ss58_encode(account: bytes, prefix: int = SS58_PREFIX) -> str:
    """Return the address of an account id of 32 bytes; raise ValueError for a prefix outside 0 … 16383."""
    if len(account) != 32:
        raise ValueError(f"an account id has 32 bytes, not {len(account)}")
    if not 0 <= prefix < 1 << 14:
        raise ValueError(f"{prefix} is no SS58 prefix: they go from 0 to 16383")
    two = prefix >> 2 & 0x3F | 0x40, prefix >> 8 | (prefix & 3) << 6
    head = bytes([prefix] if prefix < 64 else two)
    return _base58(head + account + _checksum(head + account))


def ss58_decode(text: str) -> tuple[bytes, int]:
    """Return account id and prefix of an address; raise `InvalidKey` that says what is wrong with it."""
    if not 35 <= len(text) <= 50:
        raise InvalidKey(f"an SS58 address has 35 to 50 letters, not {len(text)}")
    data = _from_base58(text)
    size = 1 if data[0] < 64 else 2
    if data[0] >= 128 or len(data) != size + 34:
        raise InvalidKey("this is no SS58 address of an account")
    if _checksum(data[:-2]) != data[-2:]:
        raise InvalidKey("the checksum of the SS58 address is wrong: a letter was changed")
    prefix = data[0] if size == 1 else (data[0] & 0x3F) << 2 | data[1] >> 6 | (data[1] & 0x3F) << 8
    return data[size:-2], prefix


# Keys


@dataclass(frozen=True, slots=True)
class Keypair:
    """A pair of keys of one scheme; `secret` is what the scheme signs with."""

    scheme: Scheme
    public: bytes
    secret: bytes = field(repr=False)

    @property
    def account(self) -> bytes:
        """The account id: the public key, hashed where it is longer."""
        return account_id(self.scheme, self.public)

    @property
    def address(self) -> str:
        """The SS58 address without a chain."""
        return ss58_encode(self.account)

    def sign(self, payload: bytes) -> tuple[str, bytes]:
        """Return a `MultiSignature` of a payload."""
        return _SCHEMES[self.scheme].name, _SCHEMES[self.scheme].sign(self, payload)


def account_id(scheme: Scheme, public: bytes) -> bytes:
    """Return the account id of a public key."""
    return blake2_256(public) if scheme == "ecdsa" else public


@dataclass(frozen=True, slots=True)
class _Scheme:
    """What differs between the schemes."""

    name: str
    pair: Callable[[bytes], tuple[bytes, bytes]]
    sign: Callable[[Keypair, bytes], bytes]
    verify: Callable[[bytes, bytes, bytes], bool]


def _ecdsa_pair(seed: bytes) -> tuple[bytes, bytes]:
    return coincurve.PrivateKey(seed).public_key.format(), seed


def _ecdsa_sign(pair: Keypair, payload: bytes) -> bytes:
    return coincurve.PrivateKey(pair.secret).sign_recoverable(blake2_256(payload), hasher=None)


def _ed25519_sign(pair: Keypair, payload: bytes) -> bytes:
    return crypto_sign(payload, pair.secret)[:crypto_sign_BYTES]


def _sr25519_sign(pair: Keypair, payload: bytes) -> bytes:
    return bytes(sr25519.sign((pair.public, pair.secret), payload))


def _ecdsa_verify(signature: bytes, payload: bytes, account: bytes) -> bool:
    try:
        public = coincurve.PublicKey.from_signature_and_message(signature, blake2_256(payload), hasher=None)
    except Exception:  # noqa: BLE001  # the library has an exception of its own for each way to be no signature
        return False
    return blake2_256(public.format()) == account


def _ed25519_verify(signature: bytes, payload: bytes, account: bytes) -> bool:
    try:
        crypto_sign_open(signature + payload, account)
    except CryptoError:
        return False
    return True


def _sr25519_verify(signature: bytes, payload: bytes, account: bytes) -> bool:
    try:
        return bool(sr25519.verify(signature, payload, account))
    except ValueError:
        return False


_SCHEMES: Final[dict[Scheme, _Scheme]] = {
    "sr25519": _Scheme("Sr25519", sr25519.pair_from_seed, _sr25519_sign, _sr25519_verify),
    "ed25519": _Scheme("Ed25519", crypto_sign_seed_keypair, _ed25519_sign, _ed25519_verify),
    "ecdsa": _Scheme("Ecdsa", _ecdsa_pair, _ecdsa_sign, _ecdsa_verify),
}


def verify(signature: tuple[str, bytes], payload: bytes, account: bytes) -> bool:
    """Tell whether a `MultiSignature` of a payload was made by the owner of an account."""
    kind, data = signature
    return next(each for each in _SCHEMES.values() if each.name == kind).verify(data, payload, account)


# Derivation

_JUNCTION: Final = re.compile(r"//([^/]+)")


def _chain_code(junction: str) -> bytes:
    """Return the 32 bytes of a junction: the number or the text in SCALE, hashed if it is longer."""
    data = junction.encode()
    code = int(junction).to_bytes(8, "little") if junction.isdecimal() else compact(len(data)) + data
    return blake2_256(code) if len(code) > 32 else code.ljust(32, b"\0")


def keypair(uri: str, scheme: Scheme = "sr25519", seed: bytes = DEV_SEED) -> Keypair:
    """Return the keys at a path of hard junctions below a seed, as `//Alice` or `//Alice//stash`.

    Raise `InvalidKey` for any other path.
    """
    if not re.fullmatch(f"(?:{_JUNCTION.pattern})*", uri):
        raise InvalidKey(f"{uri!r} is no path of hard junctions, as //Alice")
    codes = [_chain_code(found[1]) for found in _JUNCTION.finditer(uri)]
    if scheme == "sr25519":
        public, secret = sr25519.pair_from_seed(seed)
        for code in codes:
            _, public, secret = sr25519.hard_derive_keypair((code, public, secret), b"")
        return Keypair(scheme, bytes(public), bytes(secret))
    domain = b"\x2cEd25519HDKD" if scheme == "ed25519" else b"\x34Secp256k1HDKD"
    for code in codes:
        seed = blake2_256(domain + seed + code)
    public, secret = _SCHEMES[scheme].pair(seed)
    return Keypair(scheme, bytes(public), bytes(secret))
