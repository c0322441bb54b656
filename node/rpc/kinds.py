"""Kinds of parameters and results: how each is read from JSON and written to it, and its JSON schema.

Quantities and data are encoded as in the Ethereum execution API; reading is as lenient as the common nodes are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from evmc import U256, Address, Bytes32

_HEX: Final = re.compile(r"0x[0-9a-fA-F]*")
_SHOWN: Final = 60


class Unreadable(ValueError):
    """A value that is not of its kind; the message says what is expected."""


def shown(value: Any) -> str:
    """Return a value cut to what fits a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Json:
    """A result that is JSON text already."""

    text: str


def compact(value: Any) -> str:
    """Return a result as JSON without spaces."""
    return value.text if isinstance(value, Json) else json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Kind:
    """What a parameter or a result is; `read` raises `Unreadable`."""

    name: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any] = _same
    write: Callable[[Any], Any] = _same


def hex_quantity(value: int) -> str:
    """Return a number as clients read it."""
    return hex(value)


def hex_data(value: bytes) -> str:
    """Return bytes as clients read them."""
    return "0x" + value.hex()


def _digits(value: Any, expected: str) -> str:
    """Return the digits after 0x."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise Unreadable(f"{expected} is expected, not {shown(value)}")
    return value[2:]


def read_quantity(value: Any) -> U256:
    """Read a number below 2^256: hex with 0x, or a number of JSON."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        digits = _digits(value, "a number in hex with 0x")
        if not digits or len(digits) > 66:
            raise Unreadable(f"a number in hex with 0x is expected, not {shown(value)}")
        number = int(digits, 16)
    try:
        return U256(number)
    except ValueError:
        raise Unreadable(f"{shown(value)} is not between 0 and 2^256 - 1") from None


def read_small(value: Any) -> int:
    """Read a number below 2^63: gas, a time, a count, the number of a block."""
    number = int(read_quantity(value))
    if number >= 1 << 63:
        raise Unreadable(f"{shown(value)} is not below 2^63")
    return number


def read_data(value: Any) -> bytes:
    """Read bytes in hex."""
    digits = _digits(value, "hex data with 0x")
    if len(digits) % 2:
        raise Unreadable(f"an even number of hex digits is expected, not {len(digits)}")
    return bytes.fromhex(digits)


def _exactly(value: Any, length: int, what: str) -> bytes:
    digits = _digits(value, f"{what}, {2 * length} hex digits with 0x,")
    if len(digits) != 2 * length:
        raise Unreadable(f"{what} has {2 * length} hex digits, not {len(digits)}")
    return bytes.fromhex(digits)


def read_address(value: Any) -> Address:
    """Read an address, in whatever case its letters are."""
    return Address(_exactly(value, Address.length, "an address"))


def read_hash(value: Any) -> Bytes32:
    """Read 32 bytes."""
    return Bytes32(_exactly(value, Bytes32.length, "a hash"))


def read_slot(value: Any) -> Bytes32:
    """Read the key of a slot: hex of up to 32 bytes, or a number."""
    if isinstance(value, str) and len(digits := _digits(value, "the key of a slot in hex with 0x")) > 64:
        raise Unreadable(f"the key of a slot has at most 64 hex digits, not {len(digits)}")
    return Bytes32.from_int(read_quantity(value))


def read_flag(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise Unreadable(f"true or false is expected, not {shown(value)}")
    return value


def read_text(value: Any) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise Unreadable(f"a string is expected, not {shown(value)}")
    return value


def read_object(value: Any) -> dict[str, Any]:
    """Read an object."""
    if not isinstance(value, dict):
        raise Unreadable(f"an object is expected, not {shown(value)}")
    return value


def read_list(value: Any) -> list[Any]:
    """Read an array."""
    if not isinstance(value, list):
        raise Unreadable(f"an array is expected, not {shown(value)}")
    return value


Tag: TypeAlias = Literal["earliest", "latest", "pending", "safe", "finalized"]
BlockId: TypeAlias = int | Bytes32 | Tag
"""A number, a hash, or a tag."""

TAGS: Final[tuple[Tag, ...]] = get_args(Tag)


def read_block(value: Any) -> BlockId:
    """Read a block: a tag, a number, or the object of EIP-1898."""
    for tag in TAGS:
        if value == tag:
            return tag
    if isinstance(value, dict):
        if "blockHash" in value:
            return read_hash(value["blockHash"])
        if "blockNumber" in value:
            return read_small(value["blockNumber"])
        raise Unreadable("an object with blockHash or blockNumber is expected")
    if isinstance(value, str) and value.startswith("0x") and len(value) == 66:
        return read_hash(value)
    if isinstance(value, str) and not value.startswith("0x"):
        raise Unreadable(f"a block number in hex or one of {', '.join(TAGS)} is expected, not {shown(value)}")
    return read_small(value)


def field(value: Mapping[str, Any], name: str, read: Callable[[Any], Any], default: Any = None) -> Any:
    """Read a field of an object; absent and null are the default. Raise `Unreadable` that names the field."""
    given = value.get(name)
    if given is None:
        return default
    try:
        return read(given)
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from None


def each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads an array of one kind."""

    def read_all(value: Any) -> tuple[Any, ...]:
        found = []
        for index, item in enumerate(read_list(value)):
            try:
                found.append(read(item))
            except Unreadable as error:
                raise Unreadable(f"[{index}]: {error}") from None
        return tuple(found)

    return read_all


def optional(kind: Kind) -> Kind:
    """Return the kind whose values may be null."""

    def write(value: Any) -> Any:
        return None if value is None else kind.write(value)

    def read(value: Any) -> Any:
        return None if value is None else kind.read(value)

    return Kind(f"{kind.name} or null", {"oneOf": [kind.schema, {"type": "null"}]}, read, write)


def array(kind: Kind) -> Kind:
    """Return the kind of arrays of a kind."""
    return Kind(
        f"array of {kind.name}",
        {"type": "array", "items": kind.schema},
        each(kind.read),
        lambda values: [kind.write(value) for value in values],
    )


def _hex_schema(title: str, pattern: str) -> dict[str, Any]:
    return {"title": title, "type": "string", "pattern": pattern}


QUANTITY: Final = Kind("quantity", _hex_schema("quantity", "^0x[0-9a-f]+$"), read_quantity, hex_quantity)
SMALL: Final = Kind("quantity", QUANTITY.schema, read_small, hex_quantity)
DATA: Final = Kind("data", _hex_schema("data", "^0x([0-9a-f]{2})*$"), read_data, hex_data)
ADDRESS: Final = Kind("address", _hex_schema("address", "^0x[0-9a-fA-F]{40}$"), read_address, hex_data)
HASH: Final = Kind("hash", _hex_schema("hash", "^0x[0-9a-f]{64}$"), read_hash, hex_data)
SLOT: Final = Kind("slot", _hex_schema("slot", "^0x[0-9a-f]{1,64}$"), read_slot, hex_data)
FLAG: Final = Kind("boolean", {"type": "boolean"}, read_flag)
TEXT: Final = Kind("string", {"type": "string"}, read_text)
NUMBER: Final = Kind("number", {"type": "integer", "minimum": 0}, read_small)
OBJECT: Final = Kind("object", {"type": "object"}, read_object)
ANY: Final = Kind("anything", {})
NOTHING: Final = Kind("null", {"type": "null"})
BLOCK: Final = Kind(
    "block",
    {"title": "block", "oneOf": [{"enum": list(TAGS)}, QUANTITY.schema, HASH.schema, OBJECT.schema]},
    read_block,
)
