"""SCALE: the reference's examples, round trips, strictness, places in errors, and an implementation not ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.substrate.scale import (
    BOOL,
    BYTES,
    STR,
    U8,
    U16,
    U32,
    U64,
    U128,
    UNIT,
    Array,
    Compact,
    Enum,
    Field,
    Map,
    Option,
    Primitive,
    Reader,
    ScaleError,
    ScaleType,
    Sequence,
    Struct,
    Tuple,
    Variant,
    compact,
    decode,
    encode,
    read_compact,
    result,
)

POINT = Struct("Point", (Field("x", Compact(U32)), Field("y", Option(BOOL)), Field("z", BYTES)))
CHOICE = Enum("my::Choice", (Variant("Nothing", 0), Variant("Number", 1, (Field(None, U64),)), Variant("Place", 2, (Field(None, POINT),))))  # fmt: skip
MIXED = Enum(
    "Mixed", (Variant("Pair", 3, (Field(None, U8), Field(None, U16))), Variant("Named", 9, (Field("n", STR),)))
)


# Examples of the reference (docs.polkadot.com, "Data encoding")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Primitive("i8"), 69, "45"),
        (Primitive("i8"), -1, "ff"),
        (U16, 42, "2a00"),
        (U32, 16777215, "ffffff00"),
        (U128, 1, "01" + "00" * 15),
        (Compact(U32), 0, "00"),
        (Compact(U32), 1, "04"),
        (Compact(U32), 42, "a8"),
        (Compact(U32), 63, "fc"),
        (Compact(U32), 64, "0101"),
        (Compact(U32), 69, "1501"),
        (Compact(U32), 65535, "feff0300"),
        (Compact(U128), 100000000000000, "0b00407a10f35a"),
        (BOOL, False, "00"),
        (BOOL, True, "01"),
        (result(U8, BOOL), ("Ok", 42), "002a"),
        (result(U8, BOOL), ("Err", False), "0100"),
        (Option(U8), None, "00"),
        (Option(U8), 1, "0101"),
        (Sequence(U16), [4, 8, 15, 16, 23, 42], "18040008000f00100017002a00"),
        (STR, "Hamlet", "1848616d6c6574"),
        (STR, "Война и мир", "50d092d0bed0b9d0bdd0b020d0b820d0bcd0b8d180"),
        (Tuple((Compact(U32), BOOL)), (3, False), "0c00"),
        (UNIT, (), ""),
        (Map(U16, BYTES), {5: b"b", 2: b"a"}, "08" + "0200" + "0461" + "0500" + "0462"),
        (Array(3, U8), b"abc", "616263"),
        (Array(2, U16), [1, 2], "01000200"),
        (POINT, {"x": 1, "y": True, "z": b"\xff"}, "04010104ff"),
        (CHOICE, ("Nothing", None), "00"),
        (CHOICE, ("Number", 2), "010200000000000000"),
        (MIXED, ("Pair", (1, 2)), "03010200"),
        (MIXED, ("Named", {"n": "a"}), "090461"),
        (Struct("Id", (Field(None, Array(2, U8)),)), b"ab", "6162"),
        (Struct("Empty"), None, ""),
    ],
)
def test_examples(kind: ScaleType, value: Any, expected: str) -> None:
    assert encode(kind, value).hex() == expected
    assert decode(kind, bytes.fromhex(expected)) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1 << 30) - 1, "feffffff"),
        (1 << 30, "0300000040"),
        ((1 << 32) - 1, "03ffffffff"),
        (1 << 32, "070000000001"),
        ((1 << 64) - 1, "13ffffffffffffffff"),
        ((1 << 536) - 1, "ff" + "ff" * 67),
    ],
)
def test_compact_numbers_of_each_size(value: int, expected: str) -> None:
    assert compact(value).hex() == expected
    assert read_compact(Reader(bytes.fromhex(expected))) == value


# Round trips

numbers = st.integers(0, 2**32 - 1)
points = st.fixed_dictionaries({"x": numbers, "y": st.none() | st.booleans(), "z": st.binary(max_size=300)})
choices = (
    st.just(("Nothing", None))
    | st.tuples(st.just("Number"), st.integers(0, 2**64 - 1))
    | st.tuples(st.just("Place"), points)
)
KINDS: dict[str, tuple[ScaleType, st.SearchStrategy[Any]]] = {
    "Compact<u32>": (Compact(U32), numbers),
    "Compact<u128>": (Compact(U128), st.integers(0, 2**128 - 1) | st.integers(0, 2**17)),
    "u8": (U8, st.integers(0, 255)),
    "u64": (U64, st.integers(0, 2**64 - 1)),
    "u128": (U128, st.integers(0, 2**128 - 1)),
    "i16": (Primitive("i16"), st.integers(-(2**15), 2**15 - 1)),
    "i128": (Primitive("i128"), st.integers(-(2**127), 2**127 - 1)),
    "bool": (BOOL, st.booleans()),
    "Text": (STR, st.text(max_size=80)),
    "Bytes": (BYTES, st.binary(max_size=300)),
    "Vec<u32>": (Sequence(U32), st.lists(numbers, max_size=100)),
    "Vec<Bytes>": (Sequence(BYTES), st.lists(st.binary(max_size=9), max_size=9)),
    "[u8; 4]": (Array(4, U8), st.binary(min_size=4, max_size=4)),
    "Option<u32>": (Option(U32), st.none() | numbers),
    "(u32, bool)": (Tuple((U32, BOOL)), st.tuples(numbers, st.booleans())),
    "Point": (POINT, points),
    "Choice": (CHOICE, choices),
    "BTreeMap<u32, Bytes>": (Map(U32, BYTES), st.dictionaries(numbers, st.binary(max_size=9), max_size=9)),
}


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@settings(max_examples=40)
def test_what_is_encoded_is_decoded_again(name: str, data: st.DataObject) -> None:
    kind, values = KINDS[name]
    value = data.draw(values)
    assert decode(kind, encode(kind, value)) == value


@pytest.mark.parametrize("name", KINDS)
@given(data=st.binary(max_size=40))
@settings(max_examples=100)
def test_bytes_decode_to_what_encodes_to_them_or_not_at_all(name: str, data: bytes) -> None:
    kind, _ = KINDS[name]
    try:
        value = decode(kind, data)
    except ScaleError:
        return
    assert encode(kind, value) == data


# An implementation not ours

PYTHON = os.environ.get("EWASM_SCALECODEC_PYTHON", "")


def plain(value: Any) -> Any:
    """Return a value as scalecodec takes it."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple) and value and isinstance(value[0], str):
        return {value[0]: plain(value[1])}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.skipif(not Path(PYTHON).is_file(), reason="EWASM_SCALECODEC_PYTHON names no Python with scalecodec")
def test_scalecodec_encodes_the_same() -> None:
    shared = [name for name in KINDS if name not in ("BTreeMap<u32, Bytes>", "Text")]
    drawn: list[tuple[str, Any]] = []

    @given(st.sampled_from(shared).flatmap(lambda name: st.tuples(st.just(name), KINDS[name][1])))
    @settings(max_examples=300, database=None)
    def draw(pair: tuple[str, Any]) -> None:
        drawn.append(pair)

    draw()
    asked = json.dumps([(name, plain(value)) for name, value in drawn])
    done = subprocess.run([PYTHON, Path(__file__).with_name("oracle.py")], input=asked, capture_output=True, text=True, check=True)  # fmt: skip
    answers = json.loads(done.stdout)
    assert len(answers) == len(drawn) >= 200
    for (name, value), answer in zip(drawn, answers, strict=True):
        assert "0x" + encode(KINDS[name][0], value).hex() == answer, (name, value)


# Strictness


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (U32, "000000", "ends at byte 3, 4 bytes are expected from byte 0"),
        (U8, "0102", "1 bytes too many from byte 1"),
        (BOOL, "02", "2 at byte 0 is neither 0 nor 1"),
        (Option(U8), "0201", "2 at byte 0 is neither 0 nor 1"),
        (Compact(U32), "0100", "a compact number in more bytes than it needs at byte 0"),
        (Compact(U32), "fe000000", "a compact number in more bytes than it needs at byte 0"),
        (Compact(U32), "0300000000", "a compact number in more bytes than it needs at byte 0"),
        (Compact(U64), "0700000000" + "00", "a compact number in more bytes than it needs at byte 0"),
        (Compact(U8), "0104", "256 does not fit into compact u8"),
        (STR, "04ff", "text that is not UTF-8: invalid start byte"),
        (BYTES, "feffffff00", "1073741823 items are announced, 1 bytes are left at byte 4"),
        (Sequence(BOOL), "0c010102", "[2]: 2 at byte 3 is neither 0 nor 1"),
        (Tuple((U8, BOOL)), "0003", "[1]: 3 at byte 1 is neither 0 nor 1"),
        (POINT, "0403", "y: 3 at byte 1 is neither 0 nor 1"),
        (Sequence(CHOICE), "0402040304", "[0].Place.y: 3 at byte 3 is neither 0 nor 1"),
        (CHOICE, "07", "Choice has no variant 7, which is at byte 0"),
        (Map(U8, U8), "0802000100", "[1]: keys are not in ascending order"),
        (Map(U8, U8), "0801000100", "[1]: keys are not in ascending order"),
    ],
)
def test_what_is_no_encoding_is_refused_by_place(kind: ScaleType, data: str, message: str) -> None:
    with pytest.raises(ScaleError) as error:
        decode(kind, bytes.fromhex(data))
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (U8, 256, "256 does not fit into u8"),
        (U8, -1, "-1 does not fit into u8"),
        (U8, True, "u8 is expected, not bool"),
        (U8, "1", "u8 is expected, not str"),
        (Compact(U8), 256, "256 does not fit into compact u8"),
        (BOOL, 1, "bool is expected, not int"),
        (STR, b"a", "str is expected, not bytes"),
        (STR, "\ud800", "text without an encoding in UTF-8: surrogates not allowed"),
        (BYTES, "00", "bytes are expected, not str"),
        (Sequence(U8), [1], "bytes are expected, not list"),
        (Sequence(U16), 5, "a list is expected, not int"),
        (Array(2, U8), b"a", "2 items are expected, not 1"),
        (Tuple((U8,)), (), "1 values are expected, not 0"),
        (Map(U8, U8), [], "a mapping is expected, not list"),
        (Map(U8, U8), {1: 999}, "[1]: 999 does not fit into u8"),
        (POINT, {"x": 1}, "fields x, y, z are expected, not x"),
        (POINT, {"x": 1, "y": None, "z": 3}, "z: bytes are expected, not int"),
        (CHOICE, ("Number", -1), "Number: -1 does not fit into u64"),
        (CHOICE, ("Nothing", 1), "Nothing: no fields, yet a value of int"),
        (CHOICE, ("None", 1), "Choice has no variant 'None'"),
        (CHOICE, "Nothing", "a variant of Choice and its value are expected, not str"),
    ],
)
def test_a_value_without_an_encoding_is_refused(kind: ScaleType, value: Any, message: str) -> None:
    with pytest.raises(ScaleError) as error:
        encode(kind, value)
    assert str(error.value) == message


def test_types_that_could_not_be_told_apart_are_refused() -> None:
    with pytest.raises(TypeError, match="an option of an option"):
        Option(Option(U8))
    with pytest.raises(ValueError, match="two variants of Twice share"):
        Enum("Twice", (Variant("A", 0), Variant("B", 0)))
