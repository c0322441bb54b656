"""Fixed-width values of the Ethereum client-VM connector.

Widths are in the types: a 19-byte address or a 257-bit number cannot be built, so code that holds an
`Address`, a `Bytes32` or a `U256` never checks again. Arithmetic on a `U256` gives a plain `int`; wrapping it
again is the overflow check.
"""

from __future__ import annotations

from typing import ClassVar, Self, TypeAlias

Gas: TypeAlias = int
"""Whole gas, the unit that contracts, callers and transactions see."""


class _FixedBytes(bytes):
    """Bytes of one exact length, shown as hex."""

    length: ClassVar[int]

    def __new__(cls, value: bytes) -> Self:
        """Check the length; raise ValueError if it is not the type's own."""
        if len(value) != cls.length:
            raise ValueError(f"{cls.__name__} takes {cls.length} bytes, not {len(value)}")
        return super().__new__(cls, value)

    @classmethod
    def from_hex(cls, text: str) -> Self:
        """Parse hex text, with or without `0x`; raise ValueError on bad digits or a wrong length."""
        return cls(bytes.fromhex(text.removeprefix("0x")))

    @classmethod
    def from_int(cls, value: int) -> Self:
        """Return the big-endian bytes of `value`; raise OverflowError if it does not fit."""
        return cls(value.to_bytes(cls.length, "big"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(0x{self.hex()})"

    def __str__(self) -> str:
        return f"0x{self.hex()}"


class Address(_FixedBytes):
    """The 20 bytes that name an account."""

    __slots__ = ()
    length = 20


class Bytes32(_FixedBytes):
    """32 bytes in memory order: a hash, a storage key or value, a log topic, a salt."""

    __slots__ = ()
    length = 32


class U256(int):
    """An unsigned 256-bit number: a balance, a value, a price."""

    __slots__ = ()

    def __new__(cls, value: int) -> Self:
        """Check the range; raise ValueError outside 0 … 2^256 - 1."""
        if not 0 <= value < 1 << 256:
            raise ValueError(f"{value} is not an unsigned 256-bit number")
        return super().__new__(cls, value)


ZERO_ADDRESS = Address(bytes(20))
ZERO_BYTES32 = Bytes32(bytes(32))
