"""Integer semantics (specification, section 4.3.2), written once for both widths.

Values are unsigned: an i32 is 0 … 2^32 - 1, an i64 0 … 2^64 - 1. Every function takes and gives such values; divisions
may trap. The tables `UNARY` and `BINARY` are keyed by instruction name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from wasm.errors import Trap, TrapKind

Unary: TypeAlias = Callable[[int], int]
Binary: TypeAlias = Callable[[int, int], int]


def signed(value: int, bits: int) -> int:
    """Return the signed reading of an unsigned value (`signed_N`)."""
    return value - (1 << bits) if value >> bits - 1 else value


def extend(bits: int, to: int) -> Unary:
    """Return the sign extension from the low `bits` of a value to the width `to`."""
    low, half, full = (1 << bits) - 1, 1 << bits - 1, (1 << to) - 1
    return lambda a: ((a & low ^ half) - half) & full


def _unary(bits: int) -> dict[str, Unary]:
    """Return the operations on one operand, by name without type."""
    return {
        "eqz": lambda a: int(a == 0),
        "clz": lambda a: bits - a.bit_length(),
        "ctz": lambda a: (a & -a).bit_length() - 1 if a else bits,
        "popcnt": int.bit_count,
        **{f"extend{width}_s": extend(width, bits) for width in (8, 16, 32) if width < bits},
    }


def _binary(bits: int) -> dict[str, Binary]:
    """Return the operations on two operands, by name without type."""
    mask = (1 << bits) - 1
    half = 1 << bits - 1
    shift = bits - 1

    def div_s(a: int, b: int) -> int:
        if b == 0:
            raise Trap(TrapKind.DIVISION_BY_ZERO)
        a, b = signed(a, bits), signed(b, bits)
        quotient = abs(a) // abs(b)
        if (a < 0) != (b < 0):
            quotient = -quotient
        elif quotient == half:
            raise Trap(TrapKind.INTEGER_OVERFLOW)
        return quotient & mask

    def div_u(a: int, b: int) -> int:
        if b == 0:
            raise Trap(TrapKind.DIVISION_BY_ZERO)
        return a // b

    def rem_s(a: int, b: int) -> int:
        if b == 0:
            raise Trap(TrapKind.DIVISION_BY_ZERO)
        a = signed(a, bits)
        remainder = abs(a) % abs(signed(b, bits))
        return (-remainder if a < 0 else remainder) & mask

    def rem_u(a: int, b: int) -> int:
        if b == 0:
            raise Trap(TrapKind.DIVISION_BY_ZERO)
        return a % b

    def rotl(a: int, b: int) -> int:
        b &= shift
        return (a << b | a >> bits - b) & mask

    def rotr(a: int, b: int) -> int:
        b &= shift
        return (a >> b | a << bits - b) & mask

    # A signed comparison is an unsigned one of the values with their sign bits flipped.
    return {
        "add": lambda a, b: a + b & mask,
        "sub": lambda a, b: a - b & mask,
        "mul": lambda a, b: a * b & mask,
        "div_s": div_s,
        "div_u": div_u,
        "rem_s": rem_s,
        "rem_u": rem_u,
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "shl": lambda a, b: a << (b & shift) & mask,
        "shr_u": lambda a, b: a >> (b & shift),
        "shr_s": lambda a, b: ((a ^ half) - half >> (b & shift)) & mask,
        "rotl": rotl,
        "rotr": rotr,
        "eq": lambda a, b: int(a == b),
        "ne": lambda a, b: int(a != b),
        "lt_u": lambda a, b: int(a < b),
        "gt_u": lambda a, b: int(a > b),
        "le_u": lambda a, b: int(a <= b),
        "ge_u": lambda a, b: int(a >= b),
        "lt_s": lambda a, b: int(a ^ half < b ^ half),
        "gt_s": lambda a, b: int(a ^ half > b ^ half),
        "le_s": lambda a, b: int(a ^ half <= b ^ half),
        "ge_s": lambda a, b: int(a ^ half >= b ^ half),
    }


UNARY: Final[dict[str, Unary]] = {
    **{f"i{bits}.{name}": operation for bits in (32, 64) for name, operation in _unary(bits).items()},
    "i32.wrap_i64": lambda a: a & 0xFFFF_FFFF,
    "i64.extend_i32_s": extend(32, 64),
    "i64.extend_i32_u": lambda a: a,
}

BINARY: Final[dict[str, Binary]] = {
    f"i{bits}.{name}": operation for bits in (32, 64) for name, operation in _binary(bits).items()
}

TRAPPING: Final = frozenset(name for name in BINARY if ".div_" in name or ".rem_" in name)
"""Operations that may trap."""
