"""Metadata of versions 14 and 15: what clients build their types, calls and queries from.

After `frame-metadata` and `scale-info`. All of it is made of the tables in `types`, `pallets`, `apis` and `extrinsic`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from node.substrate import types as t
from node.substrate.apis import APIS, EXTRINSIC
from node.substrate.extrinsic import EXTENSIONS, VERSION
from node.substrate.hashing import HASHERS
from node.substrate.pallets import CALL, ERROR, EVENT, PALLETS, Constant, Item, Pallet
from node.substrate.scale import (
    BYTES,
    STR,
    Array,
    Compact,
    Enum,
    Field,
    Listed,
    Map,
    Option,
    Primitive,
    ScaleType,
    Sequence,
    Struct,
    Tuple,
    Variant,
    compact,
    encode,
)

VERSIONS: Final = (14, 15)

_MAGIC: Final = b"meta"
_PRIMITIVES: Final = (
    *("bool", "char", "str"),
    *("u8", "u16", "u32", "u64", "u128", "u256"),
    *("i8", "i16", "i32", "i64", "i128", "i256"),
)
_COMPOSITE, _VARIANT, _SEQUENCE, _ARRAY, _TUPLE, _PRIMITIVE, _COMPACT = range(7)
_CHECKED: Final = Struct(
    EXTRINSIC.path,
    EXTRINSIC.fields,
    (
        ("Address", t.ADDRESS),
        ("Call", CALL),
        ("Signature", t.SIGNATURE),
        ("Extra", Tuple(tuple(each.type for each in EXTENSIONS))),
    ),
)
"""The type of extrinsics, with the parameters in which clients look for what it is made of."""


def _text(value: str) -> bytes:
    return encode(STR, value)


def _list(items: Iterable[bytes]) -> bytes:
    found = list(items)
    return compact(len(found)) + b"".join(found)


def _docs(*lines: str) -> bytes:
    return _list(_text(line) for line in lines if line)


def _maybe(value: bytes | None) -> bytes:
    return b"\0" if value is None else b"\1" + value


class Registry:
    """Types by number, in the order in which they are first met."""

    def __init__(self) -> None:
        self._numbers: dict[ScaleType, int] = {}
        self._types: list[bytes] = []

    def number(self, kind: ScaleType) -> int:
        """Return the number of a type, which is listed with all that it is made of."""
        kind = _as_listed(kind)
        known = self._numbers.get(kind)
        if known is not None:
            return known
        number = self._numbers[kind] = len(self._types)
        self._types.append(b"")
        self._types[number] = compact(number) + self._describe(kind)
        return number

    def id(self, kind: ScaleType) -> bytes:
        """Return the number of a type, encoded."""
        return compact(self.number(kind))

    def encode(self) -> bytes:
        """Return all types."""
        return _list(self._types)

    def _describe(self, kind: ScaleType) -> bytes:
        named = kind if isinstance(kind, Struct | Enum) else None
        path, params = (named.path, named.params) if named else ("", ())
        parameters = (_text(name) + _maybe(None if each is None else self.id(each)) for name, each in params)
        return (
            _list(_text(part) for part in path.split("::") if part)
            + _list(parameters)
            + self._definition(kind)
            + _docs()
        )

    def _definition(self, kind: ScaleType) -> bytes:
        match kind:
            case Struct(_, fields):
                return bytes([_COMPOSITE]) + self._fields(fields)
            case Enum(_, variants):
                return bytes([_VARIANT]) + _list(self._variant(each) for each in variants)
            case Sequence(inner):
                return bytes([_SEQUENCE]) + self.id(inner)
            case Array(length, inner):
                return bytes([_ARRAY]) + length.to_bytes(4, "little") + self.id(inner)
            case Tuple(items):
                return bytes([_TUPLE]) + _list(self.id(each) for each in items)
            case Primitive(name):
                return bytes([_PRIMITIVE, _PRIMITIVES.index(name)])
            case Compact(inner):
                return bytes([_COMPACT]) + self.id(inner)
        raise TypeError(f"{type(kind).__name__} has no place in metadata")

    def _fields(self, fields: tuple[Field, ...]) -> bytes:
        return _list(
            _maybe(None if each.name is None else _text(each.name))
            + self.id(each.type)
            + _maybe(_text(each.type_name or rust_name(each.type)))
            + _docs()
            for each in fields
        )

    def _variant(self, each: Variant) -> bytes:
        return _text(each.name) + self._fields(each.fields) + bytes([each.index]) + _docs(each.doc)


def _as_listed(kind: ScaleType) -> ScaleType:
    """Return the type as which one is listed."""
    match kind:
        case Listed(_, listed):
            return listed
        case Option(inner):
            return Enum("Option", (Variant("None", 0), Variant("Some", 1, (Field(None, inner),))), (("T", inner),))
        case Map(key, value):
            pairs = Sequence(Tuple((key, value)))
            return Struct("BTreeMap", (Field(None, pairs),), (("K", key), ("V", value)))
    return kind


def rust_name(kind: ScaleType) -> str:
    """Return how a type is written in Rust; some clients go by that."""
    match _as_listed(kind):
        case Struct("BTreeMap" as path, _, params) | Enum("Option" | "Result" as path, _, params):
            return f"{path}<{', '.join(rust_name(each) for _, each in params if each is not None)}>"
        case Struct(path) | Enum(path):
            return path.rpartition("::")[2]
        case Sequence(inner):
            return f"Vec<{rust_name(inner)}>"
        case Array(length, inner):
            return f"[{rust_name(inner)}; {length}]"
        case Tuple(items):
            return f"({', '.join(map(rust_name, items))})"
        case Compact(inner):
            return f"Compact<{inner.name}>"
        case Primitive(name):
            return name
    raise TypeError(f"{type(kind).__name__} has no name in Rust")


def metadata(version: int, constants: Mapping[str, Any]) -> bytes:
    """Return metadata of a version; `constants` gives each as "Pallet.Name".

    Raise KeyError if a constant is missing, ValueError for another version.
    """
    if version not in VERSIONS:
        raise ValueError(f"there is metadata of versions {', '.join(map(str, VERSIONS))}, not {version}")
    registry = Registry()
    body = (_version_14 if version == 14 else _version_15)(registry, constants)
    return _MAGIC + bytes([version]) + registry.encode() + body


def _version_14(registry: Registry, constants: Mapping[str, Any]) -> bytes:
    pallets = _list(_pallet(registry, each, constants) for each in PALLETS)
    extrinsic = registry.id(_CHECKED) + bytes([VERSION]) + _extensions(registry)
    return pallets + extrinsic + registry.id(Struct("ewasm_runtime::Runtime"))


def _version_15(registry: Registry, constants: Mapping[str, Any]) -> bytes:
    pallets = _list(_pallet(registry, each, constants) + _docs() for each in PALLETS)
    parts = b"".join(registry.id(kind) for _, kind in _CHECKED.params if kind is not None)
    extrinsic = bytes([VERSION]) + parts + _extensions(registry)
    outer = registry.id(CALL) + registry.id(EVENT) + registry.id(ERROR)
    runtime = registry.id(Struct("ewasm_runtime::Runtime"))
    return pallets + extrinsic + runtime + _apis(registry) + outer + _list(())


def _extensions(registry: Registry) -> bytes:
    return _list(_text(each.name) + registry.id(each.type) + registry.id(each.additional) for each in EXTENSIONS)


def _apis(registry: Registry) -> bytes:
    return _list(
        _text(api.name)
        + _list(
            _text(method.name)
            + _list(
                _text(name) + registry.id(_CHECKED if kind is EXTRINSIC else kind) for name, kind in method.arguments
            )
            + registry.id(method.answer)
            + _docs(method.doc)
            for method in api.methods
        )
        + _docs()
        for api in APIS
    )


def _pallet(registry: Registry, pallet: Pallet, constants: Mapping[str, Any]) -> bytes:
    storage = None
    if pallet.storage:
        storage = _text(pallet.name) + _list(_item(registry, each) for each in pallet.storage)

    def type_of(kind: Enum | None) -> bytes:
        return _maybe(None if kind is None else registry.id(kind))

    def constant(each: Constant) -> bytes:
        value = encode(each.type, constants[f"{pallet.name}.{each.name}"])
        return _text(each.name) + registry.id(each.type) + encode(BYTES, value) + _docs(each.doc)

    return (
        _text(pallet.name)
        + _maybe(storage)
        + type_of(pallet.call_type)
        + type_of(pallet.event_type)
        + _list(constant(each) for each in pallet.constants)
        + type_of(pallet.error_type)
        + bytes([pallet.index])
    )


def _item(registry: Registry, item: Item) -> bytes:
    if item.keys:
        kinds = [kind for _, kind in item.keys]
        hashers = _list(bytes([HASHERS[name][0]]) for name, _ in item.keys)
        key = registry.id(kinds[0] if len(kinds) == 1 else Tuple(tuple(kinds)))
        shape = b"\1" + hashers + key + registry.id(item.value)
    else:
        shape = b"\0" + registry.id(item.value)
    optional = item.default is None
    default = b"\0" if optional else encode(item.value, item.default)
    return _text(item.name) + bytes([0 if optional else 1]) + shape + encode(BYTES, default) + _docs(item.doc)
