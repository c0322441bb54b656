"""Call data from a signature and arguments as text, and output back to text (Solidity contract ABI)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eth_abi.abi import decode, encode, is_encodable_type
from eth_abi.exceptions import ABITypeError, DecodingError, EncodingError, ParseError
from eth_abi.grammar import ABIType, BasicType, TupleType, parse

from evmc.reading import read_json
from state import keccak256

MAX_SIGNATURE = 4_096
"""Characters of a signature: the time to read one grows with the square of its brackets."""

_FULL = {"uint": "uint256", "int": "int256", "fixed": "fixed128x18", "ufixed": "ufixed128x18"}
_SHORT = re.compile(rf"\b({'|'.join(_FULL)})\b")
_SIGNATURE = re.compile(r"\s*(\w+)\s*(\(.*?\))\s*(?:(?:returns|->)?\s*(\(.*\)))?\s*", re.DOTALL)


class AbiError(Exception):
    """A signature or argument that cannot be: the message names it."""


def shorten(text: str) -> str:
    """Return text cut to what fits a message."""
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(frozen=True, slots=True)
class Signature:
    """A function: its name, the types of its parameters and, if given, of its results."""

    name: str
    params: tuple[str, ...]
    results: tuple[str, ...] | None

    @property
    def selector(self) -> bytes:
        """The first four bytes of the hash of the canonical signature."""
        return keccak256(f"{self.name}({','.join(self.params)})".encode())[:4]


def parse_signature(text: str) -> Signature:
    """Parse `transfer(address,uint256)`, with results as in `balanceOf(address)(uint256)`; raise `AbiError`."""
    if len(text) > MAX_SIGNATURE:
        raise AbiError(f"signature {shorten(text)!r}: longer than {MAX_SIGNATURE} characters")
    match = _SIGNATURE.fullmatch(text)
    if match is None or not match[1]:
        raise AbiError(f"signature {shorten(text)!r}: expected NAME(TYPE,…) or NAME(TYPE,…)(TYPE,…)")
    params = _types(text, match[2])
    return Signature(match[1], params, None if match[3] is None else _types(text, match[3]))


def _types(signature: str, text: str) -> tuple[str, ...]:
    """Return the canonical types in a tuple."""
    inner = _SHORT.sub(lambda match: _FULL[match[0]], re.sub(r"\s+", "", text))
    if inner == "()":
        return ()
    try:
        tuple_ = parse(inner)
        if not isinstance(tuple_, TupleType):
            raise AbiError(f"signature {shorten(signature)!r}: {shorten(text)} is no list of types")
        types = tuple(str(part.to_type_str()) for part in tuple_.components)
        unknown = next((type_ for type_ in types if not is_encodable_type(type_)), None)
    except (ParseError, ABITypeError, ValueError, RecursionError) as error:
        raise AbiError(f"signature {shorten(signature)!r}: unknown type in {shorten(text)}") from error
    if unknown is not None:
        raise AbiError(f"signature {shorten(signature)!r}: unknown type {shorten(unknown)}")
    return types


def encode_call(signature: Signature, arguments: Sequence[str]) -> bytes:
    """Return call data; raise `AbiError` that names the argument."""
    if len(arguments) != len(signature.params):
        wanted = ", ".join(signature.params) or "none"
        raise AbiError(f"{signature.name} takes {len(signature.params)} arguments ({wanted}), not {len(arguments)}")
    values = []
    for number, (type_, text) in enumerate(zip(signature.params, arguments, strict=True), 1):
        try:
            value = _value(parse(type_), text)
            encode([type_], [value])
        except (EncodingError, ValueError, TypeError, KeyError, ArithmeticError, RecursionError) as error:
            raise AbiError(
                f"argument {number} of {signature.name}, {shorten(text)!r}, is not of type {shorten(type_)}"
            ) from error
        values.append(value)
    return signature.selector + bytes(encode(signature.params, values))


def _value(type_: ABIType, given: Any) -> Any:
    """Return the value that text, or a piece of JSON, means as a type."""
    if type_.arrlist or isinstance(type_, TupleType):
        items = read_json(given) if isinstance(given, str) else given
        if not isinstance(items, list):
            raise ValueError("a JSON list is expected")
        if type_.arrlist:
            return [_value(type_.item_type, item) for item in items]
        assert isinstance(type_, TupleType)
        return tuple(_value(part, item) for part, item in zip(type_.components, items, strict=True))
    assert isinstance(type_, BasicType)
    text = str(given)
    if type_.base in ("uint", "int"):
        return int(text, 0)
    if type_.base in ("fixed", "ufixed"):
        return Decimal(text)
    if type_.base == "bool":
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    if type_.base == "string":
        return text
    if type_.base == "address" and len(text.removeprefix("0x")) != 40:
        raise ValueError("an address has 40 hex digits")
    if type_.base == "address":
        return text
    data = bytes.fromhex(text.removeprefix("0x"))
    if type_.sub is not None and len(data) != type_.sub:
        raise ValueError(f"{type_.sub} bytes are expected")
    return data


def decode_output(signature: Signature, output: bytes) -> list[str] | None:
    """Return the results as text, None if the signature gives no result types or they do not fit the output."""
    values = _decode(signature.results, output) if signature.results else None
    return None if values is None else [_text(value) for value in values]


def _decode(types: Sequence[str], data: bytes) -> tuple[Any, ...] | None:
    """Return the values of ABI data, None for what a contract made up: bad offsets, lengths, padding or text."""
    try:
        return decode(types, data)
    except (DecodingError, UnicodeDecodeError, OverflowError):
        return None


def _text(value: Any) -> str:
    """Return a decoded value as text."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(_text, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def revert_reason(output: bytes) -> str | None:
    """Return the text of `Error(string)` or `Panic(uint256)` revert data, None for anything else."""
    for selector, type_, shown in (
        (b"\x08\xc3\x79\xa0", "string", "{}"),
        (b"\x4e\x48\x7b\x71", "uint256", "panic {:#x}"),
    ):
        if output[:4] == selector:
            values = _decode([type_], output[4:])
            return None if values is None else shown.format(*values)
    return None
