"""A contract's interface: functions, events and errors of its ABI JSON, values in and out (Solidity contract ABI)."""

from __future__ import annotations

from collections import defaultdict, namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from evmc import Address, Bytes32, Log
from evmc.reading import read_json
from node.abi import AbiError, shorten
from state import keccak256

Source: TypeAlias = str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""An ABI: its JSON read already, a file of it, or its text; or an artefact that has it under `abi`."""

_READS: Final = ("view", "pure")
_BAD_DATA: Final = (DecodingError, UnicodeDecodeError, OverflowError)
"""What a decoder raises for data that a contract made up."""


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter, result or field: its name, which may be empty, its type with `tuple` spelt out, and its fields."""

    name: str
    type: str
    fields: tuple[Param, ...]
    indexed: bool = False

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """Read an entry of `inputs`, `outputs` or `components`."""
        fields = tuple(Param.read(each) for each in row.get("components", ()))
        kind = row["type"]
        if kind.startswith("tuple"):
            kind = f"({','.join(each.type for each in fields)}){kind.removeprefix('tuple')}"
        return cls(row.get("name") or "", kind, fields, bool(row.get("indexed")))

    @property
    def item(self) -> Param | None:
        """What an array has in it, None for anything else."""
        return Param("", self.type[: self.type.rindex("[")], self.fields) if self.type.endswith("]") else None

    def write(self, value: Any) -> Any:
        """Return a value as the encoder takes it; raise ValueError or TypeError for what it cannot be."""
        item = self.item
        if item is not None:
            return [item.write(each) for each in value]
        if self.type.startswith("("):
            if isinstance(value, Mapping):
                value = [value[field.name] for field in self.fields]
            return tuple(field.write(each) for field, each in zip(self.fields, value, strict=True))
        if self.type == "address":
            return address_of(value)
        if self.type.startswith("bytes") and isinstance(value, str):
            return bytes.fromhex(value.removeprefix("0x"))
        return value

    def read_value(self, value: Any) -> Any:
        """Return a decoded value as users get it: addresses as `Address`, structs as named tuples."""
        item = self.item
        if item is not None:
            return [item.read_value(each) for each in value]
        if self.type.startswith("("):
            return _row(self.fields, value)
        return Address.from_hex(value) if self.type == "address" else value

    @property
    def hashed(self) -> bool:
        """Whether an event has only a hash of it when it is indexed."""
        return self.type in ("string", "bytes") or self.type[-1] in ")]"


def address_of(value: Any) -> Address:
    """Return the address that a value is or has; raise ValueError if it is none."""
    value = getattr(value, "address", value)
    try:
        if isinstance(value, str):
            return Address.from_hex(value)
        if isinstance(value, bytes | bytearray):
            return Address(bytes(value))
    except ValueError:
        pass
    raise ValueError(f"{value!r:.80} is no address: 40 hex digits, 20 bytes or a contract is expected")


@cache
def _row_type(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields, rename=True)  # noqa: PYI024  # the fields are known at run time only


def _row(fields: tuple[Param, ...], values: Sequence[Any]) -> Any:
    """Return values together: a named tuple where all have names."""
    read = [field.read_value(value) for field, value in zip(fields, values, strict=True)]
    if fields and all(field.name for field in fields):
        return _row_type("Values", tuple(field.name for field in fields))(*read)
    return tuple(read)


@dataclass(frozen=True)
class Entry:
    """A function, event or error: its name, what it takes and gives, and whether it only reads."""

    name: str
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...] = ()
    reads: bool = False
    anonymous: bool = False

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Self:
        """Read an entry of an ABI."""
        return cls(
            row["name"],
            tuple(map(Param.read, row.get("inputs", ()))),
            tuple(map(Param.read, row.get("outputs", ()))),
            row.get("stateMutability") in _READS or row.get("constant") is True,
            bool(row.get("anonymous")),
        )

    @cached_property
    def signature(self) -> str:
        """The canonical signature."""
        return f"{self.name}({','.join(self._types)})"

    @cached_property
    def topic(self) -> Bytes32:
        """The hash of the signature: an event's first topic."""
        return keccak256(self.signature.encode())

    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of that hash: how a function or error is told from others."""
        return self.topic[:4]

    @cached_property
    def _types(self) -> tuple[str, ...]:
        return tuple(param.type for param in self.inputs)

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Return call data; raise `AbiError` that names the argument."""
        if len(arguments) != len(self.inputs):
            wanted = ", ".join(self._types) or "none"
            raise AbiError(f"{self.name} takes {len(self.inputs)} arguments ({wanted}), not {len(arguments)}")
        values = []
        for number, (param, argument) in enumerate(zip(self.inputs, arguments, strict=True), 1):
            try:
                value = param.write(argument)
                values.append(value)
                if param.type != "address":
                    encode([param.type], [value])
            except (EncodingError, ValueError, TypeError, KeyError, ArithmeticError) as error:
                what = f"argument {number} of {self.name}" + (f" ({param.name})" if param.name else "")
                raise AbiError(f"{what}, {shorten(repr(argument))}, is not of type {param.type}") from error
        return self.selector + encode(self._types, values)

    def decode_output(self, output: bytes) -> Any:
        """Return what a function gave: None, a value, or several; raise `AbiError` if the output is something else."""
        try:
            values = decode([param.type for param in self.outputs], output)
        except _BAD_DATA as error:
            types = ", ".join(param.type for param in self.outputs)
            shown = "no output" if not output else f"0x{shorten(output.hex())}"
            raise AbiError(f"{self.name} returned {shown}, which is not ({types})") from error
        if len(values) == 1:
            return self.outputs[0].read_value(values[0])
        return _row(self.outputs, values) if values else None

    def decode_inputs(self, data: bytes) -> Mapping[str, Any] | None:
        """Return the values after a selector by name (`arg0` where one has none), None for other data."""
        try:
            values = decode(self._types, data)
        except _BAD_DATA:
            return None
        return _named(self.inputs, [p.read_value(value) for p, value in zip(self.inputs, values, strict=True)])

    def decode_log(self, log: Log) -> Mapping[str, Any] | None:
        """Return an event's values by name, None if the log is not one of it; of long indexed ones only the hash."""
        topics = list(log.topics if self.anonymous else log.topics[1:])
        kept = [param for param in self.inputs if not param.indexed]
        if len(topics) != len(self.inputs) - len(kept):
            return None
        try:
            plain = list(decode([param.type for param in kept], log.data))
            values = [self._from_topic(param, topics.pop(0)) if param.indexed else param.read_value(plain.pop(0))
                      for param in self.inputs]  # fmt: skip
        except _BAD_DATA:
            return None
        return _named(self.inputs, values)

    @staticmethod
    def _from_topic(param: Param, topic: Bytes32) -> Any:
        return topic if param.hashed else param.read_value(decode([param.type], topic)[0])


def _named(params: Iterable[Param], values: Sequence[Any]) -> dict[str, Any]:
    return {param.name or f"arg{index}": value for index, (param, value) in enumerate(zip(params, values, strict=True))}


class Interface:
    """What an ABI says: functions by name, and functions, events and errors by what is seen of them on the chain."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.functions: defaultdict[str, list[Entry]] = defaultdict(list)
        self.by_selector: dict[bytes, Entry] = {}
        self.events: dict[Bytes32, Entry] = {}
        self.errors: dict[bytes, Entry] = {}
        self.takes_arguments = False
        for row in rows:
            kind = row.get("type", "function")
            if kind == "constructor":
                self.takes_arguments = bool(row.get("inputs"))
            elif kind in ("function", "event", "error"):
                self._add(kind, Entry.read(row))

    def _add(self, kind: str, entry: Entry) -> None:
        if kind == "function":
            self.functions[entry.name].append(entry)
            self.by_selector[entry.selector] = entry
        elif kind == "event":
            self.events[entry.topic] = entry
        else:
            self.errors[entry.selector] = entry

    @classmethod
    def load(cls, source: Source) -> Interface:
        """Read an ABI; raise `AbiError` that names the file and what is wrong with it."""
        where, found = "ABI", source
        try:
            if isinstance(found, Path) or (isinstance(found, str) and not found.lstrip().startswith(("[", "{"))):
                where = f"ABI file {found}"
                found = Path(found).read_text("utf-8")
            if isinstance(found, str):
                found = read_json(found)
            if isinstance(found, Mapping):
                found = found["abi"]
            return cls(found)
        except OSError as error:
            raise AbiError(f"{where}: {error.strerror}") from error
        except KeyError as error:
            raise AbiError(f"{where}: {error} is missing") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise AbiError(f"{where}: no ABI in JSON ({error})") from error

    def shown(self, data: bytes) -> str:
        """Return which function call data is for: its name, its signature if it has namesakes, or the selector."""
        entry = self.by_selector.get(data[:4])
        if entry is None:
            return f"0x{data[:4].hex()}" if len(data) >= 4 else "receive" if not data else "fallback"
        return entry.name if len(self.functions[entry.name]) == 1 else entry.signature
