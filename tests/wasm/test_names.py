"""The name section is for people: whatever is in it, it is read leniently and shown safely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.hostile import MANY, contract, custom, sized, unsigned, vector
from tests.helpers import wat
from wasm.decode import decode
from wasm.names import SHOWN, function_names, printable


def part(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + sized(content)


def named(*names: tuple[int, bytes]) -> bytes:
    return part(1, vector(*(unsigned(index) + sized(name) for index, name in names)))


def test_names_of_functions() -> None:
    module = decode(wat('(module $m (import "a" "b" (func)) (func $one (param $x i32)) (func) (func $three))'))
    assert module.names == {1: "one", 3: "three"}
    assert [module.name_of(n) for n in range(5)] == ["a.b", "one", None, "three", None]


def test_exports_name_functions_that_have_no_name() -> None:
    module = decode(
        wat('(module (func (export "main")) (global (export "g") i32 (i32.const 0)) (func $x (export "y")))')
    )
    assert [module.name_of(n) for n in range(2)] == ["main", "x"]


def test_other_parts_are_passed_over() -> None:
    assert function_names(part(0, sized(b"module")) + named((0, b"f")) + part(2, b"\xff\xff")) == {0: "f"}


@pytest.mark.parametrize(
    ("section", "names"),
    [
        (b"", {}),
        (b"\1", {}),
        (b"\1\x7f\1\0\1a", {}),
        (part(1, MANY), {}),
        (part(1, b"\2\0\1a\1\x05b"), {0: "a"}),
        (named((0, b"a")) + b"\1\x80", {0: "a"}),
        (named((0, b"a"), (0, b"b")), {0: "b"}),
        (named((2**32 - 1, b"\xff\xc3")), {2**32 - 1: "\N{REPLACEMENT CHARACTER}" * 2}),
    ],
)
def test_damaged_sections_give_what_can_be_read(section: bytes, names: dict[int, str]) -> None:
    assert function_names(section) == names
    assert decode(contract(after=custom(b"name", section))).names == names


def test_names_are_shown_safely() -> None:
    assert printable("a\x1b[31m\n\u202eb") == "a\N{REPLACEMENT CHARACTER}[31m" + "\N{REPLACEMENT CHARACTER}" * 2 + "b"
    assert printable("x" * SHOWN) == "x" * SHOWN
    assert printable("x" * 5_000) == "x" * (SHOWN - 1) + "\N{HORIZONTAL ELLIPSIS}"
    assert function_names(named((0, b"y" * 100_000)))[0] == "y" * (SHOWN - 1) + "\N{HORIZONTAL ELLIPSIS}"


@given(st.binary(max_size=60))
def test_any_bytes(section: bytes) -> None:
    for name in function_names(section).values():
        assert len(name) <= SHOWN
        assert name.isprintable()


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= SHOWN
