"""The contracts at addresses 1 to 9 in native code (Yellow Paper appendix E; EIP-196, 197, 198)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import chain
from math import isqrt, lcm
from typing import TypeAlias

from coincurve import PublicKey
from Crypto.Hash import RIPEMD160
from eth_hash.auto import keccak

from evmc import Address, Gas, Precompile, Result, Status
from ewasm import bn128


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecompilePrices:
    """What the precompiled contracts cost, in gas: a base and, where the input may grow, so much a unit.

    `_word` is for 32 bytes of input, rounded up; `_pair` for 192. `modexp_divisor` is `GQUADDIVISOR` of EIP-198.
    A negative price or a divisor below 1 raises ValueError.
    """

    ecrecover: Gas
    sha256_base: Gas
    sha256_word: Gas
    ripemd160_base: Gas
    ripemd160_word: Gas
    identity_base: Gas
    identity_word: Gas
    modexp_divisor: int
    bn128_add: Gas
    bn128_mul: Gas
    bn128_pairing_base: Gas
    bn128_pairing_pair: Gas
    keccak256_base: Gas
    keccak256_word: Gas

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < (name == "modexp_divisor"):
                raise ValueError(f"{name} cannot be {value}")


BYZANTIUM = PrecompilePrices(
    ecrecover=3_000,
    sha256_base=60,
    sha256_word=12,
    ripemd160_base=600,
    ripemd160_word=120,
    identity_base=15,
    identity_word=3,
    modexp_divisor=20,
    bn128_add=500,
    bn128_mul=40_000,
    bn128_pairing_base=100_000,
    bn128_pairing_pair=80_000,
    keccak256_base=30,
    keccak256_word=6,
)
"""The prices of the Byzantium fork; Keccak-256, an instruction there, at that instruction's price."""


@dataclass(frozen=True, slots=True)
class Row:
    """One precompiled contract: where it is, what it is called, what it costs, what it does.

    The price depends on the input alone; `run` begins when it is paid, and refuses its input by InvalidPointError.
    """

    address: Address
    name: str
    price: Callable[[PrecompilePrices, bytes], Gas]
    run: Callable[[bytes], bytes]


def precompiles(prices: PrecompilePrices) -> dict[Address, Precompile]:
    """Return the contracts 1 to 9 at these prices, each safe to call from several threads."""
    return {row.address: _bind(row, prices) for row in ROWS}


def _bind(row: Row, prices: PrecompilePrices) -> Precompile:
    def call(data: bytes, gas: Gas) -> Result:
        price = row.price(prices, data)
        if price > gas:
            return Result(Status.OUT_OF_GAS)
        try:
            output = row.run(data)
        except bn128.InvalidPointError:
            return Result(Status.PRECOMPILE_FAILURE)
        return Result(Status.SUCCESS, gas - price, output)

    return call


def _words(data: bytes) -> int:
    return -(-len(data) // 32)


def _ecrecover(data: bytes) -> bytes:
    data = data[:128].ljust(128, b"\0")
    recovery = int.from_bytes(data[32:64]) - 27
    if recovery not in (0, 1):
        return b""
    try:
        key = PublicKey.from_signature_and_message(data[64:] + bytes([recovery]), data[:32], hasher=None)
    except ValueError:  # r or s out of range, or no such point
        return b""
    return keccak(key.format(compressed=False)[1:])[12:].rjust(32, b"\0")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _ripemd160(data: bytes) -> bytes:
    return RIPEMD160.new(data).digest().rjust(32, b"\0")


def _identity(data: bytes) -> bytes:
    return data


_Sizes: TypeAlias = tuple[int, int, int]
_HEADER = 96


def _sizes(data: bytes) -> _Sizes:
    """Return the declared sizes of base, exponent and modulus; whatever the input lacks is zero."""
    header = data[:_HEADER].ljust(_HEADER, b"\0")
    return int.from_bytes(header[:32]), int.from_bytes(header[32:64]), int.from_bytes(header[64:])


def _present(data: bytes, start: int, size: int) -> tuple[int, int]:
    """Return the number in the bytes that are there, and how many zero bytes the input lacks after them."""
    part = data[start : start + size]
    return int.from_bytes(part), size - len(part)


def _modexp_price(prices: PrecompilePrices, data: bytes) -> Gas:
    """Price by declared sizes and the exponent's first word (EIP-198), before anything of those sizes is built."""
    base, exponent, modulus = _sizes(data)
    head_size = min(exponent, 32)
    head, missing = _present(data, _HEADER + base, head_size)
    bits = max((head << 8 * missing).bit_length() - 1, 0) + 8 * (exponent - head_size)
    size = max(base, modulus)
    if size <= 64:
        work = size * size
    elif size <= 1_024:
        work = size * size // 4 + 96 * size - 3_072
    else:
        work = size * size // 16 + 480 * size - 199_680
    return work * max(bits, 1) // prices.modexp_divisor


def _modexp(data: bytes) -> bytes:
    base_size, exponent_size, modulus_size = _sizes(data)
    start = _HEADER + base_size
    modulus, missing = _present(data, start + exponent_size, modulus_size)
    if not modulus:
        return bytes(modulus_size)
    # The modulus is last: where some of it is there, nothing before it is missing.
    base, _ = _present(data, _HEADER, base_size)
    exponent, _ = _present(data, start, exponent_size)
    return _power(base, exponent, modulus << 8 * missing).to_bytes(modulus_size)


def _power(base: int, exponent: int, modulus: int) -> int:
    """Return base to the power of exponent modulo `modulus`, in time bounded in proportion to the price.

    Under a modulus of a few bytes an exponent costs next to nothing a bit, far less than a step of `pow` takes.
    There a shorter exponent does the same: powers repeat with the modulus's period, once past the greatest exponent
    of a prime in it. Finding the period takes sqrt(modulus) / 2 steps, so it is done where that is the shorter way.
    """
    bits = exponent.bit_length()
    if bits > 64 and modulus < (2 * (bits - 64)) ** 2:
        period = _period(modulus)
        exponent = exponent % period + period * modulus.bit_length()
    return pow(base, exponent, modulus)


def _period(modulus: int) -> int:
    """Return a number that every power of a unit modulo `modulus` repeats with (a multiple of Carmichael's)."""
    period, rest = 1, modulus
    for prime in chain((2,), range(3, isqrt(modulus) + 1, 2)):
        if rest % prime == 0:
            rest //= prime
            power = prime - 1
            while rest % prime == 0:
                rest //= prime
                power *= prime
            period = lcm(period, power)
    return lcm(period, rest - 1) if rest > 1 else period


ROWS = (
    Row(Address.from_int(1), "ecrecover", lambda prices, _: prices.ecrecover, _ecrecover),
    Row(
        Address.from_int(2),
        "sha256",
        lambda prices, data: prices.sha256_base + prices.sha256_word * _words(data),
        _sha256,
    ),
    Row(
        Address.from_int(3),
        "ripemd160",
        lambda prices, data: prices.ripemd160_base + prices.ripemd160_word * _words(data),
        _ripemd160,
    ),
    Row(
        Address.from_int(4),
        "identity",
        lambda prices, data: prices.identity_base + prices.identity_word * _words(data),
        _identity,
    ),
    Row(Address.from_int(5), "modexp", _modexp_price, _modexp),
    Row(Address.from_int(6), "bn128 add", lambda prices, _: prices.bn128_add, bn128.add),
    Row(Address.from_int(7), "bn128 mul", lambda prices, _: prices.bn128_mul, bn128.mul),
    Row(
        Address.from_int(8),
        "bn128 pairing",
        lambda prices, data: prices.bn128_pairing_base + prices.bn128_pairing_pair * (len(data) // bn128.PAIR_SIZE),
        bn128.pairing,
    ),
    Row(
        Address.from_int(9),
        "keccak256",
        lambda prices, data: prices.keccak256_base + prices.keccak256_word * _words(data),
        keccak,
    ),
)
"""The precompiled contracts, in order of address. The tenth is not native code and is added by the host."""
