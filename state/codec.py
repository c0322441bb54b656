"""Recursive Length Prefix, the encoding of all that is hashed (Yellow Paper appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, cast

import rlp  # type: ignore[import-untyped]  # the package ships no types
from rlp.codec import length_prefix  # type: ignore[import-untyped]  # the same

Item: TypeAlias = "bytes | Sequence[Item]"
"""What can be encoded: bytes, or a sequence of items."""

Decoded: TypeAlias = "bytes | list[Decoded]"
"""What decoding gives: bytes, or a list of the same."""

_STRING_PREFIXES: tuple[bytes, ...] = tuple(length_prefix(size, 0x80) for size in range(1024))
_LIST_PREFIXES: tuple[bytes, ...] = tuple(length_prefix(size, 0xC0) for size in range(1024))


class CodecError(ValueError):
    """Bytes that are not the one canonical encoding of anything, or not of what was expected."""


def encode(item: Item) -> bytes:
    """Return the encoding of bytes or of nested sequences of bytes; raise CodecError on any other type."""
    try:
        return cast("bytes", rlp.encode(item, infer_serializer=False))
    except rlp.EncodingError as error:
        raise CodecError(str(error)) from error


def encode_string(data: bytes) -> bytes:
    """Return `encode(data)`, sooner."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return (_STRING_PREFIXES[size] if size < 1024 else cast("bytes", length_prefix(size, 0x80))) + data


def encode_list(payload: bytes) -> bytes:
    """Return the list whose items, each encoded already, are strung together in `payload`."""
    size = len(payload)
    return (_LIST_PREFIXES[size] if size < 1024 else cast("bytes", length_prefix(size, 0xC0))) + payload


def decode(data: bytes) -> Decoded:
    """Return the item that `data` encodes.

    Raise CodecError unless `data` is exactly the canonical encoding of one item: nothing missing, nothing left over,
    no longer form where a shorter one exists. Lists nested deeper than the interpreter's stack are refused too.
    """
    try:
        return cast("Decoded", rlp.decode(data))
    except rlp.DecodingError as error:
        raise CodecError(f"bad RLP: {error}") from error
    except RecursionError as error:
        raise CodecError("bad RLP: lists nested too deep") from error


def decode_string(data: bytes) -> bytes:
    """Return the bytes that `data` encodes; raise CodecError for anything else."""
    start, end = _extent(data, 0)
    if end != len(data) or data[0] >= 0xC0:
        raise CodecError(f"bad RLP: 0x{data[:8].hex()}… is not one byte string")
    return data[start:end]


def split(data: bytes) -> list[bytes]:
    """Return the items of the list that `data` encodes, each as it is encoded, sooner than `decode` would.

    Raise CodecError unless the list and its items are in canonical form; what is inside of items is not looked at.
    """
    at, end = _extent(data, 0)
    if end != len(data) or data[0] < 0xC0:
        raise CodecError(f"bad RLP: 0x{data[:8].hex()}… is not one list")
    items = []
    while at < end:
        prefix = data[at]
        stop = at + 33 if prefix == 0xA0 else at + 1 if prefix == 0x80 else _extent(data, at)[1]
        items.append(data[at:stop])
        at = stop
    if at != end:
        raise CodecError("bad RLP: the last item is longer than its list")
    return items


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of the item at `at` begins and ends; raise CodecError if its prefix is bad."""
    if at >= len(data):
        raise CodecError("bad RLP: an item is missing")
    prefix = data[at]
    if prefix < 0x80:
        return at, at + 1
    base = 0x80 if prefix < 0xC0 else 0xC0
    size = prefix - base
    start = at + 1
    if size > 55:
        start += size - 55
        digits = data[at + 1 : start]
        size = int.from_bytes(digits, "big")
        if size < 56 or not digits[0]:
            raise CodecError("bad RLP: a length that has a shorter form")
    end = start + size
    if end > len(data):
        raise CodecError(f"bad RLP: {end - len(data)} bytes are missing")
    if prefix == 0x81 and data[start] < 0x80:
        raise CodecError("bad RLP: a byte that has a shorter form")
    return start, end


def decode_strings(data: bytes, count: int) -> list[bytes]:
    """Return the items of a flat list of `count` byte strings; raise CodecError for anything else."""
    items = split(data)
    if len(items) != count:
        raise CodecError(f"expected a list of {count} byte strings, not of {len(items)}")
    return [decode_string(item) for item in items]


def scalar(value: int) -> bytes:
    """Return a number as the bytes that are encoded for it: big-endian, no leading zero; OverflowError below 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_scalar(data: bytes) -> int:
    """Return the number that `scalar` writes as `data`; raise CodecError on a leading zero."""
    if data.startswith(b"\0"):
        raise CodecError("number with a leading zero")
    return int.from_bytes(data, "big")
