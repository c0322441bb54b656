"""Integers, bytes and names of the binary format: every edge of LEB128, with the place of each error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasm.encode import leb_s, leb_u
from wasm.errors import Malformed
from wasm.reader import Reader

BASE = 100
KINDS: dict[str, tuple[int, bool]] = {
    "u32": (32, False),
    "s32": (32, True),
    "s33": (33, True),
    "s64": (64, True),
    "u64": (64, False),
}


def reader(data: bytes) -> Reader:
    return Reader(data, BASE, {})


def read(kind: str, data: bytes) -> int:
    """Read all of some bytes as an integer."""
    r = reader(data)
    value: int = getattr(r, kind)()
    assert r.left == 0
    return value


def bounds(kind: str) -> tuple[int, int]:
    bits, signed = KINDS[kind]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def naive(data: bytes, *, signed: bool) -> int:
    """Decode LEB128 as the specification defines it, recursively and without bounds (5.2.2)."""
    n, rest = data[0], data[1:]
    if n < 0x80:
        return n - 0x80 if signed and n >= 0x40 else n
    return (naive(rest, signed=signed) << 7) + n - 0x80


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("u32", "00", 0),
        ("u32", "7f", 127),
        ("u32", "80 01", 128),
        ("u32", "e5 8e 26", 624485),
        ("u32", "ff ff ff ff 0f", 2**32 - 1),
        ("u32", "80 00", 0),
        ("u32", "83 80 80 80 00", 3),
        ("u64", "ff ff ff ff ff ff ff ff ff 01", 2**64 - 1),
        ("u64", "80 80 80 80 80 80 80 80 80 00", 0),
        ("s32", "7f", -1),
        ("s32", "40", -64),
        ("s32", "3f", 63),
        ("s32", "c0 00", 64),
        ("s32", "bf 7f", -65),
        ("s32", "ff ff ff ff 07", 2**31 - 1),
        ("s32", "80 80 80 80 78", -(2**31)),
        ("s32", "ff ff ff ff 7f", -1),
        ("s32", "c0 bb 78", -123456),
        ("s33", "ff ff ff ff 0f", 2**32 - 1),
        ("s33", "80 80 80 80 70", -(2**32)),
        ("s64", "80 80 80 80 80 80 80 80 80 7f", -(2**63)),
        ("s64", "ff ff ff ff ff ff ff ff ff 00", 2**63 - 1),
        ("s64", "ff ff ff ff ff ff ff ff ff 7f", -1),
    ],
)
def test_integers(kind: str, data: str, value: int) -> None:
    assert read(kind, bytes.fromhex(data)) == value


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("u32", "ff ff ff ff 1f"),
        ("u32", "80 80 80 80 10"),
        ("u32", "80 80 80 80 70"),
        ("u64", "80 80 80 80 80 80 80 80 80 02"),
        ("s32", "ff ff ff ff 0f"),
        ("s32", "80 80 80 80 08"),
        ("s32", "80 80 80 80 70"),
        ("s32", "ff ff ff ff 77"),
        ("s33", "80 80 80 80 10"),
        ("s33", "ff ff ff ff 6f"),
        ("s64", "80 80 80 80 80 80 80 80 80 01"),
        ("s64", "80 80 80 80 80 80 80 80 80 7e"),
        ("s64", "ff ff ff ff ff ff ff ff ff 40"),
    ],
)
def test_bits_that_do_not_fit(kind: str, data: str) -> None:
    with pytest.raises(Malformed, match="integer too large") as error:
        read(kind, bytes.fromhex(data))
    assert error.value.offset == BASE


@pytest.mark.parametrize(("kind", "longest"), [("u32", 5), ("s32", 5), ("s33", 5), ("s64", 10), ("u64", 10)])
def test_bytes_beyond_the_longest(kind: str, longest: int) -> None:
    assert read(kind, b"\x80" * (longest - 1) + b"\0") == 0
    with pytest.raises(Malformed, match="integer representation too long") as error:
        read(kind, b"\x80" * longest + b"\0")
    assert error.value.offset == BASE


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", range(5))
def test_an_integer_that_ends_too_soon(kind: str, length: int) -> None:
    with pytest.raises(Malformed, match="unexpected end") as error:
        read(kind, b"\x80" * length)
    assert error.value.offset == BASE + length


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_is_written_is_read(kind: str, data: st.DataObject) -> None:
    bits, signed = KINDS[kind]
    value = data.draw(st.integers(*bounds(kind)))
    write = leb_s if signed else leb_u
    shortest = len(write(value))
    width = data.draw(st.integers(shortest, -(-bits // 7)))
    encoded = write(value, width)
    assert len(encoded) == width
    assert read(kind, encoded) == naive(encoded, signed=signed) == value
    r = reader(encoded)
    getattr(r, kind)()
    assert r.widths == ({BASE: width} if width > shortest else {})


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(min_size=1, max_size=12))
def test_any_bytes(kind: str, data: bytes) -> None:
    """Bytes are read as defined, or refused for the reason defined."""
    bits, signed = KINDS[kind]
    end = next((n for n, byte in enumerate(data) if byte < 0x80), None)
    longest = -(-bits // 7)
    low, high = bounds(kind)
    r = reader(data)
    read_it: Callable[[], int] = getattr(r, kind)
    if end is None and len(data) < longest:
        with pytest.raises(Malformed, match="unexpected end"):
            read_it()
    elif end is None or end >= longest:
        with pytest.raises(Malformed, match="representation too long"):
            read_it()
    elif low <= (value := naive(data[: end + 1], signed=signed)) <= high:
        assert read_it() == value
        assert r.offset == BASE + end + 1
    else:
        with pytest.raises(Malformed, match="too large"):
            read_it()


@given(st.integers(0, 2**64), st.integers(0, 12))
def test_unsigned_integers_are_written_shortest_unless_asked(value: int, width: int) -> None:
    encoded = leb_u(value, width)
    assert naive(encoded, signed=False) == value
    assert len(encoded) == max(width, 1, -(-value.bit_length() // 7))


def test_bytes_are_taken() -> None:
    r = reader(b"abc")
    assert r.peek() == ord("a")
    assert (r.byte(), r.offset, r.left) == (ord("a"), BASE + 1, 2)
    assert (r.take(0), r.take(2), r.left) == (b"", b"bc", 0)
    r.finish("the end")
    for operation in (r.byte, r.peek, lambda: r.take(1)):
        with pytest.raises(Malformed, match="unexpected end") as error:
            operation()
        assert error.value.offset == BASE + 3


def test_a_count_is_held_against_the_bytes_that_remain() -> None:
    assert reader(b"\2ab").count() == 2
    for data in (b"\3ab", b"\xff\xff\xff\xff\x0fab"):
        with pytest.raises(Malformed, match=r"length out of bounds: \d+ items, 2 bytes remain") as error:
            reader(data).count()
        assert error.value.offset == BASE


@pytest.mark.parametrize("text", ["", "memory", "ünïcödé", "\0", "\U0010ffff", "a\nb"])
def test_names(text: str) -> None:
    raw = text.encode()
    assert reader(leb_u(len(raw)) + raw).name() == text


@pytest.mark.parametrize("raw", ["ff", "c0 80", "ed a0 80", "f4 90 80 80", "80", "c3", "f8 88 80 80 80", "e0 80 80"])
def test_names_that_are_no_text(raw: str) -> None:
    data = bytes.fromhex(raw)
    with pytest.raises(Malformed, match="malformed UTF-8 encoding") as error:
        reader(leb_u(len(data)) + data).name()
    assert error.value.offset == BASE


def test_a_name_longer_than_the_bytes() -> None:
    with pytest.raises(Malformed, match="length out of bounds: 5 items, 4 bytes remain"):
        reader(b"\5four").name()


def test_sized_content_has_its_own_offsets() -> None:
    r = reader(b"\x83\x00abcd")
    part = r.sized()
    assert (part.offset, part.left, r.offset) == (BASE + 2, 3, BASE + 5)
    assert part.widths is r.widths
    assert r.widths == {BASE: 2}
    with pytest.raises(Malformed, match="size mismatch: 3 bytes are left at the end of the part") as error:
        part.finish("the part")
    assert error.value.offset == BASE + 2


def test_sized_content_that_is_not_there() -> None:
    with pytest.raises(Malformed, match="length out of bounds: 5 bytes, 2 remain") as error:
        reader(b"\5ab").sized()
    assert error.value.offset == BASE
