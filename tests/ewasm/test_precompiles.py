"""The precompiled contracts against published vectors and an oracle nobody here wrote (py_ecc, where importable)."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import Address, Result, Status
from ewasm import bn128, precompiles
from ewasm.bn128 import ORDER, P
from ewasm.precompiles import BYZANTIUM, PrecompilePrices

CONTRACTS = precompiles.precompiles(BYZANTIUM)
PLENTY = 10**12
ONE = (1).to_bytes(32)
ZERO = bytes(32)


def call(number: int, data: bytes, gas: int = PLENTY) -> Result:
    return CONTRACTS[Address.from_int(number)](data, gas)


def output(number: int, data: bytes) -> bytes:
    result = call(number, data)
    assert result.status is Status.SUCCESS
    return result.output


def price(number: int, data: bytes, prices: PrecompilePrices = BYZANTIUM) -> int:
    return precompiles.ROWS[number - 1].price(prices, data)


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


def modexp(base: bytes, exponent: bytes, modulus: bytes) -> bytes:
    return words(len(base), len(exponent), len(modulus)) + base + exponent + modulus


def test_rows_are_the_addresses_one_to_nine() -> None:
    assert [int.from_bytes(row.address) for row in precompiles.ROWS] == list(range(1, 10))
    assert list(CONTRACTS) == [row.address for row in precompiles.ROWS]


# --- hashes and identity ---


@pytest.mark.parametrize(
    ("number", "data", "expected"),
    [
        (2, b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (2, b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (3, b"", "0000000000000000000000009c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (3, b"abc", "0000000000000000000000008eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (4, b"", ""),
        (4, b"abc", "616263"),
        (9, b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (9, b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_hashes_of_the_standards(number: int, data: bytes, expected: str) -> None:
    assert output(number, data).hex() == expected


# --- ecrecover ---

SIGNED = "18c547e4f7b0f325ad1e56f57e26c745b09a3e503d86e00e5255ff7f715d3d1c"
SIGNATURE = "73b1693892219d736caba55bdb67216e485557ea6b6af75f37096c9aa6a5a75feeb940b1d03b21e36b0e47e79769f095fe2ab855bd91e3a38756b7d75a9c4549"
SIGNER = "000000000000000000000000a94f5374fce5edbc8e2a8697c15331677e6ebf0b"
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def signature(v: int = 28) -> bytes:
    return bytes.fromhex(SIGNED) + v.to_bytes(32) + bytes.fromhex(SIGNATURE)


def test_ecrecover_published() -> None:
    assert output(1, signature()).hex() == SIGNER
    assert output(1, signature() + b"more").hex() == SIGNER


@pytest.mark.parametrize("v", [0, 1, 26, 29, 28 + (1 << 8), 28 + (1 << 68), 28 + (1 << 252)])
def test_ecrecover_takes_v_as_a_whole_word(v: int) -> None:
    assert call(1, signature(v), 3_000) == Result(Status.SUCCESS, 0, b"")


def test_ecrecover_of_our_own_signatures() -> None:
    for seed in range(1, 20):
        key = PrivateKey.from_int(seed**20)
        digest = output(9, bytes([seed]))
        signed = key.sign_recoverable(digest, hasher=None)
        address = output(9, key.public_key.format(compressed=False)[1:])[12:]
        r, s = int.from_bytes(signed[:32]), int.from_bytes(signed[32:64])
        assert output(1, digest + words(27 + signed[64], r, s)) == bytes(12) + address
        # the other of the two signatures, with a high s, is as good
        assert output(1, digest + words(28 - signed[64], r, SECP256K1_ORDER - s)) == bytes(12) + address


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 1),
        (1, 0),
        (0, 0),
        (SECP256K1_ORDER, 1),
        (1, SECP256K1_ORDER),
        (2**256 - 1, 2**256 - 1),
        (5, 1),  # no point has this x
    ],
)
def test_ecrecover_of_a_bad_signature_is_empty_success(r: int, s: int) -> None:
    assert call(1, ONE + words(27, r, s), 3_000) == Result(Status.SUCCESS, 0, b"")


def test_ecrecover_of_short_input() -> None:
    assert output(1, b"") == b""
    assert output(1, signature()[:-1]) == output(1, signature()[:-1] + b"\0")


# --- modexp ---

EIP198_PRIME = 2**256 - 2**32 - 977


def test_modexp_examples_of_the_eip() -> None:
    fermat = words(1, 32, 32) + b"\3" + words(EIP198_PRIME - 1, EIP198_PRIME)
    assert output(5, fermat) == ONE
    assert price(5, fermat) == 13_056
    of_nothing = words(0, 32, 32) + words(EIP198_PRIME - 1, EIP198_PRIME)
    assert output(5, of_nothing) == ZERO
    assert price(5, of_nothing) == 13_056
    expected = "3b01b01ac41f2d6e917c6d6a221ce793802469026d9ab7578fa2e79e4da6aaab"
    ignored_rest = words(1, 2, 32) + b"\3\xff\xff\x80" + bytes(31) + b"\7"
    assert output(5, ignored_rest).hex() == expected
    padded = words(1, 2, 32) + b"\3\xff\xff\x80"
    assert output(5, padded).hex() == expected
    endless = words(0, 32, 2**256 - 1) + words(2**256 - 2, 2**256 - 3)
    assert call(5, endless).status is Status.OUT_OF_GAS


@pytest.mark.parametrize(
    ("size", "exponent", "expected"),
    [
        (64, 2, 204),
        (64, 3, 204),
        (64, 0x10001, 3_276),
        (128, 2, 665),
        (128, 0x10001, 10_649),
        (256, 2, 1_894),
        (256, 0x10001, 30_310),
        (512, 2, 5_580),
        (512, 0x10001, 89_292),
        (1024, 2, 17_868),
        (1024, 0x10001, 285_900),
    ],
)
def test_modexp_prices_published_by_go_ethereum(size: int, exponent: int, expected: int) -> None:
    data = modexp(b"\xfe" * size, exponent.to_bytes(3).lstrip(b"\0"), b"\xff" * size)
    assert price(5, data) == expected


def test_modexp_prices_meet_where_the_formula_changes() -> None:
    assert [price(5, modexp(b"", b"\2", b"\5" * size)) for size in (64, 65, 1_024, 1_025)] == [204, 211, 17_868, 17_899]


def test_modexp_price_of_long_exponents() -> None:
    def bits(exponent: bytes) -> int:
        return price(5, modexp(b"", exponent, b"\1"), dataclasses.replace(BYZANTIUM, modexp_divisor=1))

    assert bits(b"") == bits(b"\0") == bits(b"\1") == bits(bytes(32)) == 1
    assert bits(b"\4") == 2
    assert bits(b"\xff" * 32) == 255
    assert bits(bytes(33)) == bits(bytes(32) + b"\xff") == 8
    assert bits(b"\xff" * 33) == 255 + 8
    assert bits(bytes(31) + b"\4" + bytes(100)) == 2 + 800
    # what the input lacks of the exponent's first word is zeros after it
    assert price(5, words(0, 32, 1) + b"\1") == 248 // 20
    assert price(5, words(1, 32, 1)) == price(5, b"") == 0


def test_modexp_price_is_exact_and_built_from_nothing_large() -> None:
    huge = 2**256 - 1
    assert price(5, words(huge, huge, huge)) == (huge * huge // 16 + 480 * huge - 199_680) * 8 * (huge - 32) // 20
    for sizes in ((huge, 0, 1), (0, 0, huge), (1, huge, 1), (2**62, 1, 0)):
        assert call(5, words(*sizes), 2**63 - 1).status is Status.OUT_OF_GAS
    # free, because nothing is computed: base and modulus have no bytes
    assert call(5, words(0, huge, 0), 0) == Result(Status.SUCCESS, 0, b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b""),
        (modexp(b"\3", b"\5", b""), b""),
        (modexp(b"\3", b"\5", b"\0"), b"\0"),
        (modexp(b"\3", b"\5", bytes(40)), bytes(40)),
        (modexp(b"\3", b"\5", b"\1"), b"\0"),
        (modexp(b"\3", b"\0", b"\1"), b"\0"),
        (modexp(b"\0", b"\0", b"\7"), b"\1"),
        (modexp(b"", b"", b"\0\7"), b"\0\1"),
        (modexp(b"\0", b"\5", b"\7"), b"\0"),
        (modexp(b"\3", b"\2", b"\0\5"), b"\0\4"),
        (modexp(b"\xff" * 100, b"\1", b"\x0a"), bytes([(256**100 - 1) % 10])),
        (words(2, 1, 2) + b"\3", b"\0\0"),
        (words(0, 2**60, 1)[:95], b""),
    ],
)
def test_modexp_corners(data: bytes, expected: bytes) -> None:
    assert output(5, data) == expected


def test_modexp_of_cut_input() -> None:
    # the modulus is last, so it is the first to be missing: zero if all of it is
    assert output(5, words(2, 1, 2) + b"\3") == b"\0\0"
    assert output(5, words(0, 1_000, 1) + b"\5") == b"\0"
    # cut after its first byte it is 0x0100
    assert output(5, words(1, 1, 2) + b"\3\6\1") == (3**6 % 256).to_bytes(2)


@given(
    st.integers(0, 2**64),
    st.one_of(st.binary(max_size=80), st.binary(min_size=300, max_size=3_000)),
    st.one_of(st.integers(1, 2**17), st.integers(1, 2**40), st.sampled_from([2**20, 3**12, 2**4 * 3**3 * 5**2 * 7, 1])),
)
@settings(deadline=None)
def test_power_equals_plain_power(base: int, exponent: bytes, modulus: int) -> None:
    number = int.from_bytes(exponent)
    assert precompiles._power(base, number, modulus) == pow(base, number, modulus)


def test_power_of_every_small_modulus() -> None:
    for exponent in (2**100 + 12_345, 2**600 - 1, 2**600):
        for modulus in range(1, 200):
            for base in (0, 1, 2, 3, 6, modulus - 1, modulus // 2, 210):
                assert precompiles._power(base, exponent, modulus) == pow(base, exponent, modulus)


# --- bn128 ---

G1 = (1, 2)
G2 = (
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
)
INFINITY = (0, 0)
TWIST_INFINITY = (0, 0, 0, 0)

# Published with go-ethereum (names as there).
CHFAST1_SUM = (
    "18b18acfb4c2c30276db5411368e7185b311dd124691610c5d3b74034e093dc9063c909c4720840cb5134cb9f59fa749755796819658d32efc0d288198f3726607c2b7f58a84bd6145f00c9c2bc0bb1a187f20ff2c92963a88019e7c6a014eed06614e20c147e940f2d70da3f74c9a17df361706a4485c742bd6788478fa17d7",
    "2243525c5efd4b9c3d3c45ac0ca3fe4dd85e830a4ce6b65fa1eeaee202839703301d1d33be6da8e509df21cc35964723180eed7532537db9ae5e7d48f195c915",
)
CDETRIO11_DOUBLE = (
    words(*G1, *G1).hex(),
    "030644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd315ed738c0e0a7c92e7845f96b2ae9c0a68a6a449e3538fc7ff3ebf7a5a18a2c4",
)
CHFAST1_PRODUCT = (
    "2bd3e6d0f3b142924f5ca7b49ce5b9d54c4703d7ae5648e61d02268b1a0a9fb721611ce0a6af85915e2f1d70300909ce2e49dfad4a4619c8390cae66cefdb20400000000000000000000000000000000000000000000000011138ce750fa15c2",
    "070a8d6a982153cae4be29d434e8faef8a47b274a053f5a4ee2a6c9c13c31e5c031b8ce914eba3a9ffb989f9cdd5b0f01943074bf4f0f315690ec3cec6981afc",
)
CDETRIO1_PRODUCT = (
    "1a87b0584ce92f4593d161480614f2989035225609f08058ccfa3d0f940febe31a2f3c951f6dadcc7ee9007dff81504b0fcd6d7cf59996efdc33d92bf7f9f8f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "2cde5879ba6f13c0b5aa4ef627f159a3347df9722efce88a9afbb20b763b4c411aa7e43076f6aee272755a7f9b84832e71559ba0d2e0b17d5f9f01755e5b0d11",
)
_JEFF1_FIRST = (
    "1c76476f4def4bb94541d57ebba1193381ffa7aa76ada664dd31c16024c43f593034dd2920f673e204fee2811c678745fc819b55d3e9d294e45c9b03a76aef41"
    "209dd15ebff5d46c4bd888e51a93cf99a7329636c63514396b4a452003a35bf704bf11ca01483bfa8b34b43561848d28905960114c8ac04049af4b6315a41678"
    "2bb8324af6cfc93537a2ad1a445cfd0ca2a71acd7ac41fadbf933c2a51be344d120a2a4cf30c1bf9845f20c6fe39e07ea2cce61f0c9bb048165fe5e4de877550"
    "111e129f1cf1097710d41c4ac70fcdfa5ba2023c6ff1cbeac322de49d1b6df7c"
)
_G2_PUBLISHED = (
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c21800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
JEFF1 = _JEFF1_FIRST + "2032c61a830e3c17286de9462bf242fca2883585b93870a73853face6a6bf411" + _G2_PUBLISHED
JEFF6 = _JEFF1_FIRST + "103188585e2364128fe25c70558f1560f4f9350baf3959e603cc91486e110936" + _G2_PUBLISHED


def twist_bytes(point: tuple[int, int, int, int]) -> bytes:
    real_x, imaginary_x, real_y, imaginary_y = point
    return words(imaginary_x, real_x, imaginary_y, real_y)


def pair(p: tuple[int, int], q: tuple[int, int, int, int]) -> bytes:
    return words(*p) + twist_bytes(q)


def negative(p: tuple[int, int]) -> tuple[int, int]:
    return p[0], -p[1] % P


@cache
def ecc() -> Any:
    return pytest.importorskip("py_ecc.optimized_bn128")


def g1(factor: int) -> tuple[int, int]:
    point = ecc().multiply(ecc().G1, factor % ORDER)
    if ecc().is_inf(point):
        return INFINITY
    x, y = ecc().normalize(point)
    return int(x), int(y)


def affine(point: Any) -> tuple[int, int, int, int]:
    if ecc().is_inf(point):
        return TWIST_INFINITY
    x, y = ecc().normalize(point)
    a, b, c, d = (int(part) for part in (*x.coeffs, *y.coeffs))
    return a, b, c, d


def g2(factor: int) -> tuple[int, int, int, int]:
    return affine(ecc().multiply(ecc().G2, factor % ORDER))


@pytest.mark.parametrize(
    ("number", "vector"), [(6, CHFAST1_SUM), (6, CDETRIO11_DOUBLE), (7, CHFAST1_PRODUCT), (7, CDETRIO1_PRODUCT)]
)
def test_bn128_sums_and_products_published(number: int, vector: tuple[str, str]) -> None:
    assert output(number, bytes.fromhex(vector[0])).hex() == vector[1]


def test_bn128_pairings_published() -> None:
    assert twist_bytes(G2).hex() == _G2_PUBLISHED
    assert output(8, bytes.fromhex(JEFF1)) == ONE
    assert output(8, bytes.fromhex(JEFF6)) == ZERO
    assert output(8, b"") == ONE  # empty_data
    assert output(8, pair(G1, G2)) == ZERO  # one_point
    match = pair(G1, G2) + pair(negative(G1), G2)
    assert output(8, match) == ONE  # two_point_match_2
    assert output(8, match * 5) == ONE  # ten_point_match_1
    assert output(8, match * 5 + pair(G1, G2)) == ZERO


def test_bn128_infinity_and_short_input() -> None:
    assert output(6, b"") == bytes(64)
    assert output(6, words(*G1)) == words(*G1)
    assert output(6, words(0, 0, *G1, 7)) == words(*G1)
    assert output(6, words(*G1, *negative(G1))) == bytes(64)
    assert output(7, b"") == bytes(64)
    assert output(7, words(*G1)) == bytes(64)
    assert output(7, words(*G1, 1, 99)) == words(*G1)
    assert output(7, words(*G1) + b"\0" * 30 + b"\1") == output(7, words(*G1, 256))
    assert output(7, words(0, 0, 2**256 - 1)) == bytes(64)
    for factor in (0, ORDER):
        assert output(7, words(*G1, factor)) == bytes(64)
    for factor, expected in ((1, G1), (ORDER + 1, G1), (ORDER - 1, negative(G1)), (2 * ORDER - 1, negative(G1))):
        assert output(7, words(*G1, factor)) == words(*expected)
    for finite in (pair(G1, TWIST_INFINITY), pair(INFINITY, G2), pair(INFINITY, TWIST_INFINITY)):
        assert output(8, finite) == ONE
        assert output(8, finite + pair(G1, G2)) == ZERO
        assert output(8, pair(G1, G2) + finite + pair(negative(G1), G2)) == ONE


OFF_CURVE = [(1, 1), (1, 0), (0, 1), (0, 2), (2, 1), (P - 1, P - 1)]
NOT_CANONICAL = [(1 + P, 2), (1, 2 + P), (P, 0), (0, P), (P, P), (1, 2**256 - 1), (2**256 - 1, 2)]


@pytest.mark.parametrize("bad", OFF_CURVE + NOT_CANONICAL)
def test_bn128_refuses_bad_first_points(bad: tuple[int, int]) -> None:
    for number, data in (
        (6, words(*bad)),
        (6, words(*G1, *bad)),
        (6, words(0, 0, *bad)),
        (7, words(*bad, 1)),
        (7, words(*bad, 0)),
        (8, pair(bad, G2)),
        (8, pair(bad, TWIST_INFINITY)),
        (8, pair(G1, G2) + pair(bad, G2)),
    ):
        assert call(number, data) == Result(Status.PRECOMPILE_FAILURE), (number, data.hex())


def test_bn128_refuses_bad_second_points() -> None:
    swapped = (G2[1], G2[0], G2[3], G2[2])
    bad = [swapped, (1, 0, 1, 0), (0, 0, 1, 0), (G2[0], G2[1], G2[3], G2[2])]
    bad += [tuple(value + P * (at == index) for at, value in enumerate(G2)) for index in range(4)]  # type: ignore[misc]  # its length is known
    bad += [tuple(P * (at == index) for at in range(4)) for index in range(4)]  # type: ignore[misc]  # the same
    for point in bad:
        assert call(8, pair(G1, point)) == Result(Status.PRECOMPILE_FAILURE), point
        assert call(8, pair(INFINITY, point)) == Result(Status.PRECOMPILE_FAILURE), point


def test_both_parts_of_the_twist_equation_count() -> None:
    real, imaginary = bn128._TWIST
    half = pow(2, -1, P)
    only_real = (0, 0, (real + 1) * half % P, (real - 1) * half % P)
    only_imaginary = (0, 0, 1, imaginary * half % P)
    for point in (only_real, only_imaginary):
        with pytest.raises(bn128.InvalidPointError, match="not on the twist"):
            bn128.pairing(pair(G1, point))


@pytest.mark.parametrize("size", [1, 32, 64, 191, 193, 383])
def test_pairing_refuses_half_a_pair(size: int) -> None:
    assert call(8, (pair(G1, G2) * 2)[:size]) == Result(Status.PRECOMPILE_FAILURE)


def _root(number: int) -> int | None:
    root = pow(number, (P + 1) // 4, P)
    return root if root * root % P == number % P else None


def _twist_point(rng: random.Random) -> Any:
    """Return a random point of the whole twist, of which the right subgroup is a vanishing part."""
    field, half = ecc().FQ2, pow(2, -1, P)
    while True:
        x = field((rng.randrange(P), rng.randrange(P)))
        a, b = (int(part) for part in (x * x * x + ecc().b2).coeffs)
        norm = _root(a * a + b * b)
        for signed in () if norm is None else (norm, -norm):
            real = _root((a + signed) * half)
            if real:
                y = field((real, b * pow(2 * real, -1, P) % P))
                assert ecc().is_on_curve((x, y, field.one()), ecc().b2)
                return x, y, field.one()


TWIST_COFACTOR = 2 * P - ORDER
COFACTOR_PRIMES = (
    10069,
    5864401,
    1875725156269,
    197620364512881247228717050342013327560683201906968909,
)


def test_pairing_refuses_points_outside_the_subgroup() -> None:
    rng = random.Random(1)
    for _ in range(20):
        point = _twist_point(rng)
        assert call(8, pair(G1, affine(point))) == Result(Status.PRECOMPILE_FAILURE)
        assert call(8, pair(INFINITY, affine(point))) == Result(Status.PRECOMPILE_FAILURE)
        inside = affine(ecc().multiply(point, TWIST_COFACTOR))
        assert output(8, pair(G1, inside) + pair(negative(G1), inside)) == ONE


def test_pairing_refuses_points_of_every_small_order() -> None:
    """A subgroup test is a homomorphism's kernel, so it is right when it refuses one point of each prime order."""
    assert prod(COFACTOR_PRIMES) == TWIST_COFACTOR
    rng = random.Random(2)
    for order in COFACTOR_PRIMES:
        point = ecc().multiply(_twist_point(rng), ORDER * (TWIST_COFACTOR // order))
        assert not ecc().is_inf(point)
        assert ecc().is_inf(ecc().multiply(point, order))
        assert call(8, pair(G1, affine(point))) == Result(Status.PRECOMPILE_FAILURE)
        shifted = affine(ecc().add(point, ecc().G2))
        assert call(8, pair(G1, shifted)) == Result(Status.PRECOMPILE_FAILURE)


def test_sums_and_products_agree_with_py_ecc() -> None:
    rng = random.Random(3)
    slow = bn128._PyEcc()
    edges = [0, 1, 2, ORDER - 1, ORDER - 2, ORDER // 2, 1 << 127, 1 << 128, (1 << 128) - 1]
    points = [g1(rng.randrange(ORDER)) for _ in range(150)] + [g1(factor) for factor in edges]
    for p in points:
        for q in (rng.choice(points), p, negative(p), INFINITY):
            expected = words(*slow.add(p, q))
            assert output(6, words(*p, *q)) == output(6, words(*q, *p)) == expected
        for factor in (rng.randrange(1 << 256), rng.choice(edges)):
            assert output(7, words(*p, factor)) == words(*slow.mul(p, factor % ORDER))


def test_pairings_agree_with_the_exponents() -> None:
    """By bilinearity the product of e(a G1, b G2) is 1 exactly when the sum of a b is 0 modulo the order."""
    rng = random.Random(4)
    first = {0: INFINITY} | {factor: g1(factor) for factor in (rng.randrange(ORDER) for _ in range(40))}
    second = {0: TWIST_INFINITY} | {factor: g2(factor) for factor in (rng.randrange(ORDER) for _ in range(25))}
    verdicts = []
    for number in range(200):
        factors = [
            (rng.choice(list(first)), rng.choice(list(second)))
            for _ in range(rng.choice([1, 2, 3, 5, 18] if number % 10 == 0 else [1, 2, 3]))
        ]
        points = [(first[a], second[b]) for a, b in factors]
        if number % 2:
            rest = -sum(a * b for a, b in factors) % ORDER
            last = rng.choice([b for b in second if b])
            factors.append((rest * pow(last, -1, ORDER), last))
            points.append((g1(factors[-1][0]), second[last]))
        rng.shuffle(points)
        expected = sum(a * b for a, b in factors) % ORDER == 0
        assert output(8, b"".join(pair(p, q) for p, q in points)) == (ONE if expected else ZERO)
        verdicts.append(expected)
    assert 90 < sum(verdicts) < 130


def test_pairings_agree_with_py_ecc() -> None:
    rng = random.Random(5)
    slow = bn128._PyEcc()
    for kind in range(4):
        a, b = rng.randrange(1, ORDER), rng.randrange(1, ORDER)
        pairs = [(g1(a), g2(b)), (g1(-a * b + kind % 2), G2)]
        assert slow.pairs_to_one(pairs) is (kind % 2 == 0)
        assert output(8, b"".join(pair(p, q) for p, q in pairs)) == (ZERO if kind % 2 else ONE)


def test_bn128_answers_the_same_on_eight_threads() -> None:
    match = pair(G1, G2) + pair(negative(G1), G2)
    jobs = [
        (6, bytes.fromhex(CHFAST1_SUM[0]), bytes.fromhex(CHFAST1_SUM[1])),
        (7, bytes.fromhex(CDETRIO1_PRODUCT[0]), bytes.fromhex(CDETRIO1_PRODUCT[1])),
        (8, bytes.fromhex(JEFF1), ONE),
        (8, bytes.fromhex(JEFF6), ZERO),
        (8, match * 10, ONE),
    ] * 60
    with ThreadPoolExecutor(8) as threads:
        for answer, (_, _, expected) in zip(threads.map(lambda job: output(*job[:2]), jobs), jobs, strict=True):
            assert answer == expected


def test_first_use_from_many_threads_at_once_in_a_fresh_process() -> None:
    script = f"""
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from ewasm import bn128, precompiles
assert "mclbn256" not in sys.modules and "py_ecc" not in sys.modules, "loaded before it is needed"
start = threading.Barrier(8)
def first(_):
    start.wait()
    return bn128.add(bytes.fromhex("{CDETRIO11_DOUBLE[0]}")).hex()
with ThreadPoolExecutor(8) as threads:
    assert set(threads.map(first, range(8))) == {{"{CDETRIO11_DOUBLE[1]}"}}
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])


@pytest.fixture
def fresh_choice(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let the next call choose the library again, in this test only."""
    monkeypatch.setattr(bn128, "_load", cache(bn128._load.__wrapped__))
    return monkeypatch


def test_without_mcl_py_ecc_takes_over(fresh_choice: pytest.MonkeyPatch) -> None:
    ecc()
    fresh_choice.setitem(sys.modules, "mclbn256", None)
    with pytest.warns(RuntimeWarning, match="py_ecc"):
        assert bn128.curve().name == "py_ecc"
    assert output(6, bytes.fromhex(CHFAST1_SUM[0])).hex() == CHFAST1_SUM[1]
    assert output(6, words(*G1, *negative(G1))) == output(6, b"") == bytes(64)
    assert output(7, bytes.fromhex(CDETRIO1_PRODUCT[0])).hex() == CDETRIO1_PRODUCT[1]
    assert output(7, words(0, 0, 5)) == output(7, words(*G1, ORDER)) == bytes(64)
    assert output(8, bytes.fromhex(JEFF1)) == output(8, b"") == ONE
    assert output(8, pair(G1, G2) + pair(G1, TWIST_INFINITY)) == ZERO
    assert call(8, pair(G1, affine(_twist_point(random.Random(6))))).status is Status.PRECOMPILE_FAILURE


def test_mcl_that_cannot_be_loaded_is_named_in_the_warning(fresh_choice: pytest.MonkeyPatch) -> None:
    ecc()

    def refuse() -> None:
        raise OSError("failed to map segment")

    fresh_choice.setattr(bn128, "_Mcl", refuse)
    with pytest.warns(RuntimeWarning, match="failed to map segment"):
        assert bn128.curve().name == "py_ecc"


def test_without_any_library_the_node_is_at_fault(fresh_choice: pytest.MonkeyPatch) -> None:
    fresh_choice.setitem(sys.modules, "mclbn256", None)
    fresh_choice.setitem(sys.modules, "py_ecc", None)
    for number, data in ((6, b""), (7, b""), (8, b""), (8, pair(G1, G2))):
        with pytest.raises(ImportError, match="need the package mclbn256"):
            call(number, data)
    # what no arithmetic is needed for is refused as ever
    assert call(6, b"", 499).status is Status.OUT_OF_GAS


# --- gas ---


@pytest.mark.parametrize(
    ("number", "data", "expected"),
    [
        (1, b"", 3_000),
        (1, bytes(1_000), 3_000),
        (2, b"", 60),
        (2, bytes(1), 72),
        (2, bytes(32), 72),
        (2, bytes(33), 84),
        (3, b"", 600),
        (3, bytes(32), 720),
        (3, bytes(33), 840),
        (4, b"", 15),
        (4, bytes(32), 18),
        (4, bytes(33), 21),
        (5, words(1, 32, 32) + b"\3" + words(EIP198_PRIME - 1, EIP198_PRIME), 13_056),
        (6, b"", 500),
        (6, bytes(1_000), 500),
        (7, b"", 40_000),
        (8, b"", 100_000),
        (8, pair(G1, G2), 180_000),
        (8, pair(G1, G2) * 2, 260_000),
        (9, b"", 30),
        (9, bytes(32), 36),
        (9, bytes(33), 42),
    ],
)
def test_exact_gas_is_enough_and_one_less_is_not(number: int, data: bytes, expected: int) -> None:
    assert price(number, data) == expected
    result = call(number, data, expected + 5)
    assert (result.status, result.gas_left) == (Status.SUCCESS, 5)
    assert call(number, data, expected) == Result(Status.SUCCESS, 0, result.output)
    assert call(number, data, expected - 1) == Result(Status.OUT_OF_GAS)
    assert call(number, data, 0) == Result(Status.OUT_OF_GAS)


def test_refused_input_takes_all_gas_but_out_of_gas_comes_first() -> None:
    for number, expected in ((6, 500), (7, 40_000)):
        assert call(number, words(1, 1), expected) == Result(Status.PRECOMPILE_FAILURE)
        assert call(number, words(1, 1), expected - 1) == Result(Status.OUT_OF_GAS)
    assert call(8, bytes(193), 180_000) == Result(Status.PRECOMPILE_FAILURE)
    assert call(8, bytes(193), 179_999) == Result(Status.OUT_OF_GAS)


def test_prices_of_another_ruleset() -> None:
    ssvm = dataclasses.replace(BYZANTIUM, sha256_base=0, sha256_word=0, keccak256_base=0, keccak256_word=3)
    contracts = precompiles.precompiles(ssvm)
    assert contracts[Address.from_int(2)](b"abc", 0) == Result(Status.SUCCESS, 0, output(2, b"abc"))
    assert contracts[Address.from_int(9)](bytes(64), 7) == Result(Status.SUCCESS, 1, output(9, bytes(64)))
    assert contracts[Address.from_int(9)](b"", 0).status is Status.SUCCESS
    assert price(3, b"", ssvm) == 600


@pytest.mark.parametrize("field", dataclasses.fields(PrecompilePrices), ids=lambda field: field.name)
def test_no_price_is_forgotten_or_negative(field: dataclasses.Field[int]) -> None:
    with pytest.raises(TypeError, match=field.name):
        PrecompilePrices(**{name: 1 for name in dataclasses.asdict(BYZANTIUM) if name != field.name})
    with pytest.raises(ValueError, match=field.name):
        dataclasses.replace(BYZANTIUM, **{field.name: -1})


def test_a_price_of_modexp_needs_a_divisor() -> None:
    with pytest.raises(ValueError, match="modexp_divisor"):
        dataclasses.replace(BYZANTIUM, modexp_divisor=0)


# --- anything at all ---

sizes = st.one_of(st.integers(0, 70), st.integers(0, 2_000), st.integers(0, 2**256 - 1))
coordinates = st.sampled_from([0, 1, 2, P - 2, P - 1, P, P + 1, P + 2, ORDER, 2**256 - 1, *G2])
inputs = st.one_of(
    st.binary(max_size=400),
    st.lists(coordinates, max_size=13).map(lambda numbers: words(*numbers)),
    st.tuples(sizes, sizes, sizes, st.binary(max_size=300)).map(lambda parts: words(*parts[:3]) + parts[3]),
)


@given(st.integers(1, 9), inputs, st.one_of(st.integers(0, 50_000), st.integers(0, 400_000)))
@settings(deadline=None, max_examples=400)
def test_no_input_raises_and_every_answer_is_repeated(number: int, data: bytes, gas: int) -> None:
    result = call(number, data, gas)
    assert result == call(number, data, gas)
    assert result.status in (Status.SUCCESS, Status.OUT_OF_GAS, Status.PRECOMPILE_FAILURE)
    assert 0 <= result.gas_left <= gas
    assert (result.status is Status.OUT_OF_GAS) == (price(number, data) > gas)
    if result.status is Status.SUCCESS:
        assert result.gas_left == gas - price(number, data)
        assert type(result.output) is bytes
    if result.status is Status.PRECOMPILE_FAILURE:
        assert number in (6, 7, 8)


@given(st.binary(max_size=200), st.binary(max_size=120), st.binary(max_size=80), st.integers(0, 400))
@settings(deadline=None, max_examples=300)
def test_modexp_of_any_input_cut_anywhere(base: bytes, exponent: bytes, modulus: bytes, cut: int) -> None:
    whole = modexp(base, exponent, modulus)
    short = whole[: 96 + cut]
    padded = short.ljust(len(whole), b"\0")
    at, end = 96 + len(base), 96 + len(base) + len(exponent)
    divisor = int.from_bytes(padded[end:])
    expected = pow(int.from_bytes(padded[96:at]), int.from_bytes(padded[at:end]), divisor) if divisor else 0
    assert output(5, short) == output(5, padded) == expected.to_bytes(len(modulus))
    assert price(5, short) == price(5, padded)
