"""The pairing-friendly curve of EIP-196 and EIP-197 (bn128, also alt_bn128 or BN254).

What is a valid point is decided here, in exact integers; the arithmetic on valid points is a `Curve`: mcl where its
package `mclbn256` can be loaded, else py_ecc, which gives the same answers but takes 0.4 s for what mcl does in 1 ms.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from ctypes import CFUNCTYPE, Array, byref, c_char_p, c_int, c_size_t, c_uint64, c_void_p, create_string_buffer
from functools import cache
from threading import Lock
from typing import Any, Protocol, TypeAlias

P = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The prime of the field that coordinates are in."""

ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""The prime order of the three groups."""

PAIR_SIZE = 192
"""Bytes of one pair: x, y of the first point, then x, y of the second, imaginary part first."""

G1: TypeAlias = tuple[int, int]
"""A point x, y of y² = x³ + 3; (0, 0) is the point at infinity."""

G2: TypeAlias = tuple[int, int, int, int]
"""A point of the twist y² = x³ + 3 / (9 + i): real and imaginary part of x, then of y; all 0 is infinity."""

_TWIST = (27 * pow(82, -1, P) % P, -3 * pow(82, -1, P) % P)


class InvalidPointError(Exception):
    """The input is not what the EIP asks for: its size, a coordinate, or a point outside its group."""


class Curve(Protocol):
    """Arithmetic on points already known to be valid; safe to use from several threads at once."""

    name: str

    def add(self, p: G1, q: G1) -> G1:
        """Return p + q."""

    def mul(self, p: G1, scalar: int) -> G1:
        """Return p added to itself `scalar` times, 0 <= scalar < ORDER."""

    def in_group(self, q: G2) -> bool:
        """Tell whether a finite point of the twist is in the subgroup of order ORDER."""

    def pairs_to_one(self, pairs: Sequence[tuple[G1, G2]]) -> bool:
        """Tell whether the product of the pairings of finite points is 1."""


def add(data: bytes) -> bytes:
    """Return the sum of two points (EIP-196); raise InvalidPointError."""
    data = data[:128].ljust(128, b"\0")
    return _encode(curve().add(_g1(data[:64]), _g1(data[64:])))


def mul(data: bytes) -> bytes:
    """Return a point times a 256-bit scalar (EIP-196); raise InvalidPointError."""
    data = data[:96].ljust(96, b"\0")
    return _encode(curve().mul(_g1(data[:64]), int.from_bytes(data[64:]) % ORDER))


def pairing(data: bytes) -> bytes:
    """Return 1 if the pairings of all pairs multiply to one, else 0, in 32 bytes (EIP-197); raise InvalidPointError."""
    if len(data) % PAIR_SIZE:
        raise InvalidPointError(f"{len(data)} bytes are not a number of pairs")
    points = [(_g1(data[at : at + 64]), _g2(data[at + 64 : at + 192])) for at in range(0, len(data), PAIR_SIZE)]
    return int(curve().pairs_to_one([(p, q) for p, q in points if any(p) and any(q)])).to_bytes(32)


def _coordinates(data: bytes) -> list[int]:
    """Read 32-byte numbers; each must be below P, so that a point has one encoding."""
    numbers = [int.from_bytes(data[at : at + 32]) for at in range(0, len(data), 32)]
    if max(numbers) >= P:
        raise InvalidPointError("a coordinate is not below the prime")
    return numbers


def _g1(data: bytes) -> G1:
    x, y = _coordinates(data)
    if (x or y) and (y * y - x * x * x - 3) % P:
        raise InvalidPointError(f"({x}, {y}) is not on the curve")
    return x, y


def _g2(data: bytes) -> G2:
    b, a, d, c = _coordinates(data)
    point = a, b, c, d
    if not any(point):
        return point
    # y² and x³ of x = a + b i, y = c + d i
    real = c * c - d * d - (a * a * a - 3 * a * b * b) - _TWIST[0]
    imaginary = 2 * c * d - (3 * a * a * b - b * b * b) - _TWIST[1]
    if real % P or imaginary % P:
        raise InvalidPointError(f"{point} is not on the twist")
    if not curve().in_group(point):
        raise InvalidPointError(f"{point} is not in the subgroup")
    return point


def _encode(point: G1) -> bytes:
    return point[0].to_bytes(32) + point[1].to_bytes(32)


_loading = Lock()


def curve() -> Curve:
    """Return the arithmetic in use, loaded at the first call (0.15 s); a node calls this before it needs it.

    Raise ImportError where neither library can be loaded: a fault of the node, never a verdict about a contract.
    """
    with _loading:
        return _load()


@cache
def _load() -> Curve:
    try:
        return _Mcl()
    except (ImportError, OSError) as error:  # OSError: a temporary directory that forbids execution, a wrong machine
        fast = error
    try:
        slow = _PyEcc()
    except ImportError:
        raise ImportError(
            f"precompiles 6 to 8 (bn128) need the package mclbn256, or py_ecc, which is slow; mclbn256: {fast}"
        ) from fast
    warnings.warn(
        f"bn128 runs on py_ecc, 0.4 s a pairing; mclbn256, which takes 1 ms, cannot be loaded: {fast}",
        RuntimeWarning,
        stacklevel=4,
    )
    return slow


_SNARK1 = 4
_COMPILED = 44  # mcl's check that caller and library agree on the width of its numbers, in words: 4 + 10 * 4
_WORDS = 4
_GT_ELEMENTS = 12


class _Mcl:
    """mcl through the shared library that `mclbn256` carries.

    The package's own classes are for another curve: its import chooses Fp254BNb for the whole process, and this
    class chooses again, so nothing else in the process can use `mclbn256` as that package means it. After that choice
    the library has no state; ctypes releases the interpreter lock during a call.
    """

    name = "mcl"

    def __init__(self) -> None:
        from mclbn256 import mclbn256  # type: ignore[import-untyped]  # noqa: PLC0415  no stubs; takes 0.15 s

        def function(name: str, result: Any, *arguments: Any) -> Any:
            """Make our own prototype: those on the library object belong to the package."""
            return CFUNCTYPE(result, *arguments)(("mclBn" + name, mclbn256.lib))

        text = (c_void_p, c_size_t)
        point = c_void_p
        self._set_coordinate = function("Fp_setLittleEndian", c_int, point, c_char_p, c_size_t)
        self._get_coordinate = function("Fp_getLittleEndian", c_size_t, *text, point)
        self._set_scalar = function("Fr_setLittleEndian", c_int, point, c_char_p, c_size_t)
        self._add = function("G1_add", None, point, point, point)
        self._mul = function("G1_mul", None, point, point, point)
        self._normalize = function("G1_normalize", None, point, point)
        self._is_infinity = function("G1_isZero", c_int, point)
        self._in_group = function("G2_isValidOrder", c_int, point)
        self._miller_loop = function("_millerLoopVec", None, point, point, point, c_size_t)
        self._final_power = function("_finalExp", None, point, point)
        self._is_one = function("GT_isOne", c_int, point)
        if function("_init", c_int, c_int, c_int)(_SNARK1, _COMPILED):
            raise ImportError("mcl was not built for bn128")
        for name, expected in (("_getFieldOrder", P), ("_getCurveOrder", ORDER)):
            digits = create_string_buffer(100)
            function(name, c_size_t, *text)(digits, len(digits))
            if digits.value != str(expected).encode():
                raise ImportError(f"mcl computes on another curve: {name} {digits.value!r}")

    def add(self, p: G1, q: G1) -> G1:
        result = self._g1(p)
        self._add(result, result, self._g1(q))
        return self._affine(result)

    def mul(self, p: G1, scalar: int) -> G1:
        result = self._g1(p)
        factor = (c_uint64 * _WORDS)()
        self._set_scalar(factor, scalar.to_bytes(32, "little"), 32)
        self._mul(result, result, factor)
        return self._affine(result)

    def in_group(self, q: G2) -> bool:
        return bool(self._in_group(self._elements(*q, 1, 0)))

    def pairs_to_one(self, pairs: Sequence[tuple[G1, G2]]) -> bool:
        if not pairs:
            return True
        first = self._elements(*(number for p, _ in pairs for number in (*p, 1)))
        second = self._elements(*(number for _, q in pairs for number in (*q, 1, 0)))
        product = (c_uint64 * (_WORDS * _GT_ELEMENTS))()
        self._miller_loop(product, first, second, len(pairs))
        self._final_power(product, product)
        return bool(self._is_one(product))

    def _elements(self, *numbers: int) -> Array[c_uint64]:
        """Lay out field elements as mcl keeps them: one after the other, in Montgomery form."""
        words = (c_uint64 * (_WORDS * len(numbers)))()
        for index, number in enumerate(numbers):
            self._set_coordinate(byref(words, 32 * index), number.to_bytes(32, "little"), 32)
        return words

    def _g1(self, point: G1) -> Array[c_uint64]:
        return self._elements(*point, int(any(point)))

    def _affine(self, words: Array[c_uint64]) -> G1:
        if self._is_infinity(words):
            return 0, 0
        self._normalize(words, words)
        x, y = create_string_buffer(32), create_string_buffer(32)
        self._get_coordinate(x, 32, words)
        self._get_coordinate(y, 32, byref(words, 32))
        return int.from_bytes(x.raw, "little"), int.from_bytes(y.raw, "little")


class _PyEcc:
    """The pure Python library of the Ethereum project."""

    name = "py_ecc"

    def __init__(self) -> None:
        from py_ecc import optimized_bn128  # noqa: PLC0415  not a dependency where mcl runs

        self._library: Any = optimized_bn128

    def add(self, p: G1, q: G1) -> G1:
        return self._affine(self._library.add(self._g1(p), self._g1(q)))

    def mul(self, p: G1, scalar: int) -> G1:
        return self._affine(self._library.multiply(self._g1(p), scalar))

    def in_group(self, q: G2) -> bool:
        return bool(self._library.is_inf(self._library.multiply(self._g2(q), ORDER)))

    def pairs_to_one(self, pairs: Sequence[tuple[G1, G2]]) -> bool:
        product = self._library.FQ12.one()
        for p, q in pairs:
            product *= self._library.pairing(self._g2(q), self._g1(p), final_exponentiate=False)
        return bool(self._library.final_exponentiate(product) == self._library.FQ12.one())

    def _g1(self, point: G1) -> Any:
        field = self._library.FQ
        return (field(point[0]), field(point[1]), field(1)) if any(point) else self._library.Z1

    def _g2(self, point: G2) -> Any:
        field = self._library.FQ2
        return field(point[:2]), field(point[2:]), field((1, 0))

    def _affine(self, point: Any) -> G1:
        if self._library.is_inf(point):
            return 0, 0
        x, y = self._library.normalize(point)
        return int(x), int(y)
