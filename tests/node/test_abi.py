"""Call data from text and output back to text, held against eth-abi; bad signatures, arguments and outputs."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from node.abi import AbiError, Signature, decode_output, encode_call, parse_signature, revert_reason, shorten
from state import keccak256

ADDRESS = "0x41dccbd49b26c50d34355ed86ff0fa9e489d1e01"
ERROR, PANIC = bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


# Signatures


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("transfer(address,uint256)", "a9059cbb"),
        ("transfer( address , uint )", "a9059cbb"),
        ("balanceOf(address)(uint256)", "70a08231"),
        ("balanceOf(address) returns (uint256)", "70a08231"),
        ("balanceOf(address) -> (uint)", "70a08231"),
        ("totalSupply()", "18160ddd"),
        ("sequence(bytes[])(uint256[])", "5b33d095"),
        ("call(address,uint256,uint256,bytes)", "849f9415"),
    ],
)
def test_published_selectors(text: str, selector: str) -> None:
    assert parse_signature(text).selector.hex() == selector


@pytest.mark.parametrize(
    ("text", "params", "results"),
    [
        ("f()", (), None),
        ("f()()", (), ()),
        ("f(uint,int)(uint)", ("uint256", "int256"), ("uint256",)),
        ("f(uint[],int[2][])", ("uint256[]", "int256[2][]"), None),
        ("f((uint,(int,bool)[]))", ("(uint256,(int256,bool)[])",), None),
        ("f(fixed)", ("fixed128x18",), None),
        ("f((uint8))((bytes4,string))", ("(uint8)",), ("(bytes4,string)",)),
        (" f ( uint8 ) ( bool ) ", ("uint8",), ("bool",)),
    ],
)
def test_canonical_types(text: str, params: tuple[str, ...], results: tuple[str, ...] | None) -> None:
    signature = parse_signature(text)
    assert (signature.name, signature.params, signature.results) == ("f", params, results)
    assert signature.selector == keccak256(f"f({','.join(params)})".encode())[:4]


@pytest.mark.parametrize(
    "text",
    [
        "", "f", "f(", "f)", "(uint256)", "f(uint256", "f uint256", "f(uint256,)", "f(,)", "f(uint256 amount)",
        "f(uint7)", "f(uint0)", "f(uint257)", "f(uint08)", "f(bytes0)", "f(bytes33)", "f(byte)", "f(foo)", "f(address8)",
        "f(uint256[0])", "f(uint256[-1])", "f((uint256,foo))", "f(())", "f(()[])", "f()(foo)", "f(uint256)(string)(bool)",
        "f(uint256)[]", "f-g(uint256)", "f(uint256)x", "f(" + "(" * 500 + ")" * 500 + ")", "f(" * 3000,
    ],
)  # fmt: skip
def test_bad_signatures(text: str) -> None:
    with pytest.raises(AbiError) as raised:
        parse_signature(text)
    message = str(raised.value)
    assert message.startswith(f"signature {shorten(text)!r}: ")
    assert len(message) < 300


# Arguments


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("uint256", "0", 0),
        ("uint256", str(2**256 - 1), 2**256 - 1),
        ("uint8", "0xff", 255),
        ("int8", "-128", -128),
        ("int256", "-0x1", -1),
        ("bool", "true", True),
        ("bool", "False", False),
        ("bool", "1", True),
        ("address", ADDRESS, ADDRESS),
        ("address", ADDRESS.removeprefix("0x"), ADDRESS),
        ("bytes", "0x", b""),
        ("bytes", "c0de", b"\xc0\xde"),
        ("bytes4", "0xdeadbeef", b"\xde\xad\xbe\xef"),
        ("bytes32", "0x" + "00" * 32, bytes(32)),
        ("string", "text with\nlines", "text with\nlines"),
        ("string", "", ""),
        ("string", "0x12", "0x12"),
        ("fixed128x18", "-1.5", Decimal("-1.5")),
        ("uint256[]", "[]", []),
        ("uint256[]", '[1, "0x02", "3"]', [1, 2, 3]),
        ("uint256[2]", "[1,2]", [1, 2]),
        ("uint8[2][]", "[[1,2],[3,4]]", [[1, 2], [3, 4]]),
        ("string[]", '["a", "b,c"]', ["a", "b,c"]),
        ("bool[]", "[true, false]", [True, False]),
        ("address[]", f'["{ADDRESS}"]', [ADDRESS]),
        ("(uint256,bool)", "[7, true]", (7, True)),
        ("(uint256,(bytes,string)[])", '[7, [["0x01", "a"]]]', (7, [(b"\1", "a")])),
        ("(uint8,uint8)[2]", "[[1,2],[3,4]]", [(1, 2), (3, 4)]),
    ],
)
def test_arguments_as_eth_abi_has_them(type_: str, text: str, value: Any) -> None:
    signature = parse_signature(f"f({type_})")
    assert encode_call(signature, [text]) == signature.selector + encode([type_], [value])


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("uint256", ""), ("uint256", "x"), ("uint256", "-1"), ("uint256", "1.0"), ("uint256", "1e3"),
        ("uint256", str(2**256)), ("uint256", "9" * 5000), ("uint8", "256"), ("int8", "128"), ("int8", "-129"),
        ("uint256", "true"), ("bool", "yes"), ("bool", "2"), ("bool", ""),
        ("address", "0x41"), ("address", ""), ("address", "0x" + "zz" * 20), ("address", ADDRESS + "00"),
        ("bytes", "0x1"), ("bytes", "zz"), ("bytes4", "0x01"), ("bytes4", "0x0102030405"), ("bytes32", "0x01"),
        ("string", "\udcff"), ("fixed128x18", "x"), ("fixed128x18", "NaN"),
        ("uint256[]", ""), ("uint256[]", "1"), ("uint256[]", "[1"), ("uint256[]", '{"a": 1}'), ("uint256[]", "[1.5]"),
        ("uint256[]", "[1e3]"), ("uint256[]", "[NaN]"), ("uint256[]", "[null]"), ("uint256[]", "[" * 100_000),
        ("uint256[2]", "[1]"), ("uint256[2]", "[1,2,3]"), ("uint256[][]", "[1]"), ("string[]", '["\\ud800"]'),
        ("(uint256,bool)", "[1]"), ("(uint256,bool)", "[1,true,2]"), ("(uint256,bool)", "1"),
        ("(uint256,bool)", '{"0": 1, "1": true}'),
    ],
)  # fmt: skip
def test_bad_arguments(type_: str, text: str) -> None:
    signature = parse_signature(f"f(bool,{type_})")
    with pytest.raises(AbiError) as raised:
        encode_call(signature, ["true", text])
    message = str(raised.value)
    assert message == f"argument 2 of f, {shorten(text)!r}, is not of type {type_}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], r"f takes 2 arguments \(uint256, bool\), not 0"),
        (["1"], "not 1"),
        (["1", "true", "x"], "not 3"),
    ],
)
def test_the_number_of_arguments(arguments: list[str], said: str) -> None:
    with pytest.raises(AbiError, match=said):
        encode_call(parse_signature("f(uint256,bool)"), arguments)
    with pytest.raises(AbiError, match=r"g takes 0 arguments \(none\), not 1"):
        encode_call(parse_signature("g()"), ["1"])


LEAVES = st.one_of(
    st.tuples(st.just("uint256"), st.integers(0, 2**256 - 1)),
    st.tuples(st.just("int64"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("bool"), st.booleans()),
    st.tuples(st.just("bytes"), st.binary(max_size=70)),
    st.tuples(st.just("bytes3"), st.binary(min_size=3, max_size=3)),
    st.tuples(st.just("string"), st.text(max_size=40)),
    st.tuples(st.just("address"), st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(1, 3)).map(lambda pair: (pair[0][0] + "[]", [pair[0][1]] * pair[1])),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: (f"({','.join(t for t, _ in parts)})", tuple(v for _, v in parts))
        ),
    ),
    max_leaves=6,
)


def as_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [as_json(item) for item in value] if isinstance(value, list | tuple) else value


def test_a_signature_has_a_length() -> None:
    """The time to read one grows with the square of its brackets."""
    with pytest.raises(AbiError, match="longer than 4096 characters"):
        parse_signature("f(uint256" + "[]" * 100_000 + ")")


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=4))
def test_any_value_goes_there_and_back(pairs: list[tuple[str, Any]]) -> None:
    types, values = [type_ for type_, _ in pairs], [value for _, value in pairs]
    signature = parse_signature(f"f({','.join(types)})({','.join(types)})")
    texts = [v if isinstance(v, str) else json.dumps(as_json(v)).strip('"') for v in values]
    data = encode(types, values)
    assert encode_call(signature, texts) == signature.selector + data
    assert decode_output(signature, data) == ([shown(value) for value in values] or None)


def shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    return value if isinstance(value, str) else json.dumps(as_json(value)).strip('"')


# Outputs


@pytest.mark.parametrize(
    ("results", "values", "shown"),
    [
        ("uint256,bool", (7, True), ["7", "true"]),
        ("int8", (-5,), ["-5"]),
        ("address", (ADDRESS,), [ADDRESS]),
        ("bytes,string", (b"\xc0\xde", "text"), ["0xc0de", "text"]),
        ("uint256[],(bool,bytes4)", ([1, 2], (False, b"abcd")), ["[1,2]", "[false,0x61626364]"]),
    ],
)
def test_outputs(results: str, values: tuple[Any, ...], shown: list[str]) -> None:
    signature = parse_signature(f"f()({results})")
    assert decode_output(signature, encode(list(signature.results or ()), values)) == shown


@pytest.mark.parametrize("text", ["f()", "f()()"])
def test_no_results_to_show(text: str) -> None:
    assert decode_output(parse_signature(text), word(1)) is None


HOSTILE = [
    ("uint256", b""),
    ("uint256", bytes(31)),
    ("bool", word(2)),
    ("int8", word(300)),
    ("address", b"\xff" * 32),
    ("bytes4", b"\1" * 32),
    ("string", word(32) + word(3) + b"\xff\xfe\xfd" + bytes(29)),
    ("string", word(32) + word(3) + b"abc"),
    ("string", word(32) + word(3) + b"abc" + b"\1" * 29),
    ("string", word(2**255)),
    ("string", word(2**63 - 1)),
    ("string", word(32) + word(2**256 - 1)),
    ("string", word(32) + word(2**63 - 1)),
    ("bytes", word(32) + word(2**64)),
    ("uint256[]", word(32) + word(2**40)),
    ("uint256[]", word(32) + word(2**200)),
    ("uint256[][]", word(32) + word(100) + word(0) * 100),
    ("(string,uint256)[]", word(32) + word(2) + word(0) * 2),
]


@pytest.mark.parametrize(("results", "output"), HOSTILE)
def test_outputs_that_do_not_fit(results: str, output: bytes) -> None:
    """A contract may return anything; that is not the fault of whoever looks at it."""
    assert decode_output(Signature("f", (), (results,)), output) is None


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*dict(HOSTILE)]), st.lists(st.one_of(st.sampled_from([0, 1, 32, 64, 2**63, 2**255]).map(word), st.binary(min_size=32, max_size=32)), max_size=6), st.binary(max_size=31))  # fmt: skip
def test_any_output_can_be_looked_at(results: str, words: list[bytes], rest: bytes) -> None:
    decode_output(Signature("f", (), (results,)), b"".join(words) + rest)
    revert_reason(ERROR + b"".join(words) + rest)
    revert_reason(PANIC + b"".join(words) + rest)


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (ERROR + encode(["string"], ["no money"]), "no money"),
        (ERROR + encode(["string"], [""]), ""),
        (ERROR + encode(["string"], ["{} {0}"]), "{} {0}"),
        (PANIC + word(0x11), "panic 0x11"),
        (b"", None),
        (b"\x08\xc3\x79", None),
        (ERROR, None),
        (ERROR + word(2**255), None),
        (ERROR + word(32) + word(1) + b"\xff" + bytes(31), None),
        (PANIC + bytes(31), None),
        (word(1), None),
    ],
)
def test_revert_reasons(output: bytes, reason: str | None) -> None:
    assert revert_reason(output) == reason
