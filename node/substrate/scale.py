"""SCALE, the encoding of Substrate: descriptions of types that encode, decode, and are what metadata lists.

After the reference on docs.polkadot.com ("SCALE codec") and `parity-scale-codec`. Decoding is strict: lengths in their
shortest form, flags 0 or 1, maps in ascending order, nothing left over. An error names the place in the value.

| type | value in Python |
|---|---|
| `Primitive` | int, bool or str |
| `Sequence`, `Array` of u8 | bytes |
| other `Sequence`, `Array` | list |
| `Tuple` | tuple |
| `Struct` | dict by field; of one field without a name: that field's value |
| `Enum` | (name, value), the value being None without fields, else as of a struct; several without names: a tuple |
| `Option` | the value, or None |
| `Map` | dict |
| `Listed` | as of its codec |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self


class ScaleError(ValueError):
    """Bytes that are not the encoding of a type, or a value that has none; the message begins with the place."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(f"{place}: {what}" if place else what)
        self.what = what
        self.place = place

    def inside(self, name: object) -> Self:
        """Return the error as seen from one level further out."""
        rest = self.place if not self.place or self.place.startswith("[") else f".{self.place}"
        return type(self)(self.what, f"{name}{rest}")


class Reader:
    """Bytes that are read from front to back."""

    __slots__ = ("_data", "_end", "position")

    def __init__(self, data: bytes) -> None:
        self._data = bytes(data)
        self._end = len(data)
        self.position = 0

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self.position

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; raise `ScaleError` if there are fewer."""
        if size > self.left:
            raise ScaleError(f"ends at byte {self._end}, {size} bytes are expected from byte {self.position}")
        start = self.position
        self.position += size
        return self._data[start : self.position]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)


class ScaleType(Protocol):
    """A type that can be encoded; `write` and `read` raise `ScaleError`."""

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""


def encode(kind: ScaleType, value: Any) -> bytes:
    """Return the encoding of a value; raise `ScaleError`."""
    out = bytearray()
    kind.write(value, out)
    return bytes(out)


def decode(kind: ScaleType, data: bytes) -> Any:
    """Return the value that `data` encodes, all of it; raise `ScaleError`."""
    reader = Reader(data)
    value = kind.read(reader)
    if reader.left:
        raise ScaleError(f"{reader.left} bytes too many from byte {reader.position}")
    return value


# Numbers

_COMPACT_LIMIT: Final = 1 << 536
"""A compact number has at most 67 bytes."""


def _whole(value: Any, low: int, high: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ScaleError(f"{name} is expected, not {type(value).__name__}")
    if not low <= value < high:
        raise ScaleError(f"{value} does not fit into {name}")
    return value


def compact(value: int) -> bytes:
    """Return the compact form of a number: 1, 2, 4 or more bytes, whichever is the first to hold it."""
    _whole(value, 0, _COMPACT_LIMIT, "a compact number")
    for size, mode in ((1, 0), (2, 1), (4, 2)):
        if value < 1 << (8 * size - 2):
            return (value << 2 | mode).to_bytes(size, "little")
    data = value.to_bytes((value.bit_length() + 7) // 8, "little")
    return bytes([len(data) - 4 << 2 | 3]) + data


def read_compact(reader: Reader) -> int:
    """Read a compact number; raise `ScaleError` if a shorter form would have done."""
    start = reader.position
    first = reader.byte()
    mode = first & 3
    if mode == 3:
        data = reader.take((first >> 2) + 4)
        value = int.from_bytes(data, "little")
        if not data[-1] or value < 1 << 30:
            raise ScaleError(f"a compact number in more bytes than it needs at byte {start}")
        return value
    size = 1 << mode
    value = int.from_bytes(bytes([first]) + reader.take(size - 1), "little") >> 2
    if mode and value < 1 << (8 * (size >> 1) - 2):
        raise ScaleError(f"a compact number in more bytes than it needs at byte {start}")
    return value


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive by its name: bool, str, u8 … u256, i8 … i256."""

    name: str

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        if self.name == "bool":
            if not isinstance(value, bool):
                raise ScaleError(f"bool is expected, not {type(value).__name__}")
            out.append(value)
        elif self.name == "str":
            if not isinstance(value, str):
                raise ScaleError(f"str is expected, not {type(value).__name__}")
            try:
                data = value.encode()
            except UnicodeEncodeError as error:
                raise ScaleError(f"text without an encoding in UTF-8: {error.reason}") from error
            out += compact(len(data)) + data
        else:
            bits, signed = int(self.name[1:]), self.name[0] == "i"
            low, high = (-1 << bits - 1, 1 << bits - 1) if signed else (0, 1 << bits)
            out += _whole(value, low, high, self.name).to_bytes(bits // 8, "little", signed=signed)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        if self.name == "bool":
            return _flag(reader)
        if self.name == "str":
            try:
                return reader.take(read_compact(reader)).decode()
            except UnicodeDecodeError as error:
                raise ScaleError(f"text that is not UTF-8: {error.reason}") from error
        return int.from_bytes(reader.take(int(self.name[1:]) // 8), "little", signed=self.name[0] == "i")


def _flag(reader: Reader) -> bool:
    flag = reader.byte()
    if flag > 1:
        raise ScaleError(f"{flag} at byte {reader.position - 1} is neither 0 nor 1")
    return flag == 1


BOOL: Final = Primitive("bool")
STR: Final = Primitive("str")
U8: Final = Primitive("u8")
U16: Final = Primitive("u16")
U32: Final = Primitive("u32")
U64: Final = Primitive("u64")
U128: Final = Primitive("u128")


@dataclass(frozen=True, slots=True)
class Compact:
    """A number of a primitive type in compact form."""

    inner: Primitive

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        _whole(value, 0, 1 << int(self.inner.name[1:]), f"compact {self.inner.name}")
        out += compact(value)

    def read(self, reader: Reader) -> int:
        """Return the value that begins where the reader stands."""
        return _whole(read_compact(reader), 0, 1 << int(self.inner.name[1:]), f"compact {self.inner.name}")


# Several of one type


def _write_items(inner: ScaleType, values: Iterable[Any], out: bytearray) -> None:
    for index, value in enumerate(values):
        try:
            inner.write(value, out)
        except ScaleError as error:
            raise error.inside(f"[{index}]") from None


def _read_items(inner: ScaleType, count: int, reader: Reader) -> list[Any]:
    values = []
    for index in range(count):
        try:
            values.append(inner.read(reader))
        except ScaleError as error:
            raise error.inside(f"[{index}]") from None
    return values


def _octets(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise ScaleError(f"bytes are expected, not {type(value).__name__}")
    return value


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ScaleError(f"a list is expected, not {type(value).__name__}")
    return value


@dataclass(frozen=True, slots=True)
class Sequence:
    """Any number of one type, `Vec<T>`; items of no size are refused, as their number would have no bound."""

    inner: ScaleType

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        if self.inner == U8:
            data = _octets(value)
            out += compact(len(data)) + data
            return
        items = _items(value)
        out += compact(len(items))
        _write_items(self.inner, items, out)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        count = read_compact(reader)
        if count > reader.left:
            raise ScaleError(f"{count} items are announced, {reader.left} bytes are left at byte {reader.position}")
        return reader.take(count) if self.inner == U8 else _read_items(self.inner, count, reader)


@dataclass(frozen=True, slots=True)
class Array:
    """A fixed number of one type, `[T; n]`."""

    length: int
    inner: ScaleType

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        items = _octets(value) if self.inner == U8 else _items(value)
        if len(items) != self.length:
            raise ScaleError(f"{self.length} items are expected, not {len(items)}")
        if isinstance(items, bytes):
            out += items
        else:
            _write_items(self.inner, items, out)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        return reader.take(self.length) if self.inner == U8 else _read_items(self.inner, self.length, reader)


BYTES: Final = Sequence(U8)


@dataclass(frozen=True, slots=True)
class Map:
    """Keys in ascending order with their values, `BTreeMap<K, V>`."""

    key: ScaleType
    value: ScaleType

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        if not isinstance(value, Mapping):
            raise ScaleError(f"a mapping is expected, not {type(value).__name__}")
        out += compact(len(value))
        for key in sorted(value):
            try:
                self.key.write(key, out)
                self.value.write(value[key], out)
            except ScaleError as error:
                raise error.inside(f"[{key!r}]") from None

    def read(self, reader: Reader) -> dict[Any, Any]:
        """Return the value that begins where the reader stands."""
        pairs = Sequence(Tuple((self.key, self.value))).read(reader)
        found: dict[Any, Any] = {}
        for index, (key, value) in enumerate(pairs):
            if index and not pairs[index - 1][0] < key:
                raise ScaleError("keys are not in ascending order", f"[{index}]")
            found[key] = value
        return found


# Several of different types


@dataclass(frozen=True, slots=True)
class Tuple:
    """Some values in order; without any, the unit `()`, which is encoded as nothing."""

    items: tuple[ScaleType, ...] = ()

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        values = _items(value)
        if len(values) != len(self.items):
            raise ScaleError(f"{len(self.items)} values are expected, not {len(values)}")
        for index, (kind, item) in enumerate(zip(self.items, values, strict=True)):
            try:
                kind.write(item, out)
            except ScaleError as error:
                raise error.inside(f"[{index}]") from None

    def read(self, reader: Reader) -> tuple[Any, ...]:
        """Return the value that begins where the reader stands."""
        values = []
        for index, kind in enumerate(self.items):
            try:
                values.append(kind.read(reader))
            except ScaleError as error:
                raise error.inside(f"[{index}]") from None
        return tuple(values)


UNIT: Final = Tuple()


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name if it has one, its type, and the type's name in Rust where a client looks at it."""

    name: str | None
    type: ScaleType
    type_name: str | None = None


def _write_fields(fields: tuple[Field, ...], value: Any, out: bytearray) -> None:
    if not fields:
        if value is not None:
            raise ScaleError(f"no fields, yet a value of {type(value).__name__}")
        return
    if fields[0].name is None:
        fields[0].type.write(value, out) if len(fields) == 1 else Tuple(tuple(f.type for f in fields)).write(value, out)
        return
    if not isinstance(value, Mapping):
        raise ScaleError(f"a mapping of fields is expected, not {type(value).__name__}")
    names = [str(each.name) for each in fields]
    if set(value) != set(names):
        raise ScaleError(f"fields {', '.join(names)} are expected, not {', '.join(map(str, value)) or 'none'}")
    for name, each in zip(names, fields, strict=True):
        try:
            each.type.write(value[name], out)
        except ScaleError as error:
            raise error.inside(name) from None


def _read_fields(fields: tuple[Field, ...], reader: Reader) -> Any:
    if not fields:
        return None
    if fields[0].name is None:
        return fields[0].type.read(reader) if len(fields) == 1 else Tuple(tuple(f.type for f in fields)).read(reader)
    found: dict[str, Any] = {}
    for each in fields:
        try:
            found[str(each.name)] = each.type.read(reader)
        except ScaleError as error:
            raise error.inside(each.name) from None
    return found


@dataclass(frozen=True, slots=True)
class Struct:
    """Fields in order; `path` and `params` are the type's name in Rust, which clients go by."""

    path: str
    fields: tuple[Field, ...] = ()
    params: tuple[tuple[str, ScaleType | None], ...] = ()

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        _write_fields(self.fields, value, out)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        return _read_fields(self.fields, reader)


@dataclass(frozen=True, slots=True)
class Variant:
    """One of an enum: name, index, fields and what it is for."""

    name: str
    index: int
    fields: tuple[Field, ...] = ()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Enum:
    """One of several variants, told by a byte before it."""

    path: str
    variants: tuple[Variant, ...]
    params: tuple[tuple[str, ScaleType | None], ...] = ()
    _by_index: dict[int, Variant] = field(init=False, repr=False, compare=False, hash=False)
    _by_name: dict[str, Variant] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_index", {each.index: each for each in self.variants})
        object.__setattr__(self, "_by_name", {each.name: each for each in self.variants})
        if not len(self.variants) == len(self._by_index) == len(self._by_name):
            raise ValueError(f"two variants of {self.path} share a name or an index")

    @property
    def label(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("::")[2]

    def variant(self, name: str) -> Variant:
        """Return a variant by name; raise `ScaleError` if there is none."""
        found = self._by_name.get(name)
        if found is None:
            raise ScaleError(f"{self.label} has no variant {name!r}")
        return found

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        if not isinstance(value, tuple) or len(value) != 2 or not isinstance(value[0], str):
            raise ScaleError(f"a variant of {self.label} and its value are expected, not {type(value).__name__}")
        variant = self.variant(value[0])
        out.append(variant.index)
        try:
            _write_fields(variant.fields, value[1], out)
        except ScaleError as error:
            raise error.inside(variant.name) from None

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        index = reader.byte()
        variant = self._by_index.get(index)
        if variant is None:
            raise ScaleError(f"{self.label} has no variant {index}, which is at byte {reader.position - 1}")
        try:
            return variant.name, _read_fields(variant.fields, reader)
        except ScaleError as error:
            raise error.inside(variant.name) from None


@dataclass(frozen=True, slots=True)
class Option:
    """A value or None; an option of an option could not tell its two Nones apart and is refused."""

    inner: ScaleType

    def __post_init__(self) -> None:
        if isinstance(self.inner, Option):
            raise TypeError("an option of an option")

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        out.append(value is not None)
        if value is not None:
            self.inner.write(value, out)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        return self.inner.read(reader) if _flag(reader) else None


@dataclass(frozen=True, slots=True)
class Listed:
    """A type that is encoded in one way and listed in metadata as another with the same bytes."""

    codec: ScaleType
    listed: ScaleType

    def write(self, value: Any, out: bytearray) -> None:
        """Append the encoding of a value."""
        self.codec.write(value, out)

    def read(self, reader: Reader) -> Any:
        """Return the value that begins where the reader stands."""
        return self.codec.read(reader)


def result(ok: ScaleType, error: ScaleType) -> Enum:
    """Return the type `Result<T, E>`."""
    variants = Variant("Ok", 0, (Field(None, ok),)), Variant("Err", 1, (Field(None, error),))
    return Enum("Result", variants, (("T", ok), ("E", error)))
