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


def decode_strings(data: bytes, count: int) -> list[bytes]:
    """Return the items of a flat list of `count` byte strings; raise CodecError for anything else."""
    items = decode(data)
    if isinstance(items, bytes) or len(items) != count or not all(isinstance(item, bytes) for item in items):
        raise CodecError(f"expected a list of {count} byte strings")
    return cast("list[bytes]", items)


def scalar(value: int) -> bytes:
    """Return a number as the bytes that are encoded for it: big-endian, no leading zero; OverflowError below 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def decode_scalar(data: bytes) -> int:
    """Return the number that `scalar` writes as `data`; raise CodecError on a leading zero."""
    if data.startswith(b"\0"):
        raise CodecError("number with a leading zero")
    return int.from_bytes(data, "big")
