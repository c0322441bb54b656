from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import codec
from state.codec import CodecError, decode, encode
from tests.state.conformance_data import cases, load, unhex

ITEMS = st.recursive(st.binary(max_size=70), lambda items: st.lists(items, max_size=20), max_leaves=40)


def item_of(value: Any) -> Any:
    """Return what the vectors' `in` stands for."""
    if isinstance(value, list):
        return [item_of(each) for each in value]
    if isinstance(value, int):
        return codec.scalar(value)
    return codec.scalar(int(value[1:])) if value.startswith("#") else value.encode()


@pytest.mark.parametrize("case", cases("rlp/rlptest.json"))
def test_published_encodings(case: dict[str, Any]) -> None:
    item = item_of(case["in"])
    assert encode(item) == unhex(case["out"])
    assert decode(unhex(case["out"])) == item


@pytest.mark.parametrize("case", cases("rlp/invalidRLPTest.json"))
def test_published_malformed_encodings(case: dict[str, Any]) -> None:
    with pytest.raises(CodecError):
        decode(unhex(case["out"]))


@pytest.mark.parametrize("case", cases("rlp/RandomRLPTests/example.json"))
def test_published_random_encoding(case: dict[str, Any]) -> None:
    assert case["in"] == "VALID"
    assert decode(unhex(case["out"])) == [[], [[]], [[], [[]]]]


def test_published_counts() -> None:
    counts = [len(load(f"rlp/{name}.json")) for name in ("rlptest", "invalidRLPTest", "RandomRLPTests/example")]
    assert counts == [28, 26, 1]


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (b"", "80"),
        (b"\x00", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        (b"a" * 55, "b7" + "61" * 55),
        (b"a" * 56, "b838" + "61" * 56),
        (b"a" * 1024, "b90400" + "61" * 1024),
        ([], "c0"),
        ([b"cat", b"dog"], "c88363617483646f67"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
        ([b"a"] * 56, "f838" + "61" * 56),
    ],
)
def test_appendix_b(item: codec.Item, encoded: str) -> None:
    assert encode(item).hex() == encoded
    assert decode(unhex(encoded)) == item


@settings(deadline=None)
@given(ITEMS)
def test_decoding_inverts_encoding(item: Any) -> None:
    assert decode(encode(item)) == item


@st.composite
def almost_encodings(draw: st.DrawFn) -> bytes:
    """Draw an encoding in which a few bytes are overwritten."""
    data = encode(draw(ITEMS))
    patch, start = draw(st.binary(max_size=3)), draw(st.integers(0, len(data)))
    return data[:start] + patch + data[start + len(patch) :]


@settings(deadline=None)
@given(st.binary(max_size=80) | almost_encodings())
def test_only_canonical_encodings_decode(data: bytes) -> None:
    try:
        item = decode(data)
    except CodecError:
        return
    assert encode(item) == data


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=70), st.integers(0, 70_000).map(bytes)))
def test_parts_join_to_the_same_encoding(data: bytes) -> None:
    assert codec.encode_string(data) == encode(data)
    assert codec.encode_list(codec.encode_string(data) * 3) == encode([data] * 3)


def test_nesting_deeper_than_the_stack_is_refused() -> None:
    data = b"\xc0"
    for _ in range(20_000):
        data = codec.encode_list(data)
    with pytest.raises(CodecError, match="too deep"):
        decode(data)


@pytest.mark.parametrize("item", [5, "text", None, [b"", 5], {}])
def test_only_bytes_and_sequences_are_encoded(item: Any) -> None:
    with pytest.raises(CodecError):
        encode(item)


def test_flat_lists() -> None:
    assert codec.decode_strings(encode([b"a", b""]), 2) == [b"a", b""]
    for item in (b"ab", [b"a"], [b"a", [b"b"]], [b"a", b"b", b"c"]):
        with pytest.raises(CodecError, match=r"list of 2|not one"):
            codec.decode_strings(encode(item), 2)


@settings(deadline=None)
@given(ITEMS | st.binary(max_size=80))
def test_lists_are_split_like_they_are_decoded(item: Any) -> None:
    data = item if isinstance(item, bytes) else encode(item)
    try:
        expected = decode(data)
    except CodecError:
        expected = b""
    if isinstance(expected, bytes):
        # Inside of items splitting does not look, so it may accept a list that is bad further down.
        try:
            parts = codec.split(data)
        except CodecError:
            return
        assert codec.encode_list(b"".join(parts)) == data
        return
    assert [decode(part) for part in codec.split(data)] == expected


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_strings_are_decoded_alike(data: bytes) -> None:
    assert codec.decode_string(encode(data)) == data
    try:
        expected = decode(data)
    except CodecError:
        expected = []
    if isinstance(expected, bytes):
        assert codec.decode_string(data) == expected
    else:
        with pytest.raises(CodecError):
            codec.decode_string(data)


@pytest.mark.parametrize("case", cases("rlp/invalidRLPTest.json"))
def test_published_malformed_encodings_do_not_split(case: dict[str, Any]) -> None:
    data = unhex(case["out"])
    with pytest.raises(CodecError):
        split_twice(data)
    with pytest.raises(CodecError):
        codec.decode_string(data)


def split_twice(data: bytes) -> None:
    for part in codec.split(data):
        codec.split(part) if part >= b"\xc0" else codec.decode_string(part)


@settings(deadline=None)
@given(st.integers(0, 1 << 300))
def test_scalars(value: int) -> None:
    assert codec.decode_scalar(codec.scalar(value)) == value


def test_scalars_have_one_form() -> None:
    assert codec.scalar(0) == b""
    assert codec.scalar(256) == b"\x01\x00"
    with pytest.raises(CodecError, match="leading zero"):
        codec.decode_scalar(b"\x00\x01")
    with pytest.raises(OverflowError):
        codec.scalar(-1)
