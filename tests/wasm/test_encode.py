"""Modules to bytes: what was decoded comes out as it was, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import hostile
from fixtures.hostile import CODE, DROP, FUNCTION, GLOBAL, I32, NOP, TYPE, body, contract, custom, main, vector
from tests.helpers import wat
from tests.wasm import published
from tests.wasm.generate import MACHINE, generate
from tests.wasm.mutate import mutate
from tests.wasm.oracle import objection
from wasm.decode import decode
from wasm.encode import encode
from wasm.errors import Malformed, Unsupported
from wasm.proposals import PROPOSALS, TYPE_CHECKED


def comes_back(binary: bytes) -> bool:
    """Hold a module against its decoded and encoded self; tell whether it can be encoded at all."""
    try:
        module = decode(binary, keep_customs=True)
    except (Malformed, Unsupported):
        return False
    if {use.feature for use in module.uses} <= TYPE_CHECKED:
        assert encode(module) == binary
        return True
    with pytest.raises(Unsupported, match="cannot be encoded"):
        encode(module)
    return False


def test_our_fixtures_come_back() -> None:
    results = {name: comes_back(binary) for name, binary in published.ours().items()}
    assert sum(results.values()) > 200
    assert not results["hostile text"]


def test_published_state_tests_come_back() -> None:
    assert sum(comes_back(binary) for binary in published.state_tests().values()) > 150


def test_published_contracts_come_back() -> None:
    assert all(comes_back(binary) for binary in published.contracts().values())


def test_modules_of_the_specification_come_back(tmp_path: Path) -> None:
    modules = published.specification(tmp_path)
    assert sum(comes_back(binary) for _, binary in modules.values()) > 2_000


@pytest.mark.parametrize("seed", range(60))
def test_generated_modules_come_back(seed: int) -> None:
    """Every other one with many integers written longer than need be."""
    shape = replace(MACHINE, padding=0.5) if seed % 2 else MACHINE
    assert comes_back(generate(Random(seed), shape))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_modules_come_back_if_they_are_modules(seed: int) -> None:
    rng = Random(seed)
    binary = generate(rng)
    for _ in range(8):
        comes_back(mutate(rng, binary))


@pytest.mark.parametrize(
    "binary",
    [
        hostile.padded_everywhere(),
        hostile.custom_sections(),
        main(b"\x41\xff\xff\xff\xff\x7f" + DROP + b"\x41\x80\x80\0" + DROP),
        main(b"\x42\xff\xff\x7f" + DROP + b"\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\0" + DROP),
        main(b"\x41\0\x28\x82\0\x83\x80\0" + DROP),
        main(b"\x02\x80\0\x0b"),
        main(b"\x41\0\x0e\x81\0\x80\0\x80\x80\0"),
        main(b"", vector(b"\x83\x80\0\x7f", b"\x80\0\x7e")),
        main(b"\x41\0\x41\0\x41\0\xfc\x8b\x80\0\0"),
        contract({GLOBAL: b"\x81\x80\0\x7f\x01\x41\x80\x80\0\x0b"}),
        contract(before=b"\0\x85\x80\0\x81\0nxx"),
    ],
)
def test_integers_keep_their_width(binary: bytes) -> None:
    assert objection(binary) is None
    assert comes_back(binary)


@pytest.mark.parametrize(
    "source",
    [
        "(module)",
        "(module (type (func (param i32 i64 f32 f64) (result i32 i64))))",
        """(module (import "m" "f" (func)) (import "m" "t" (table 1 2 externref)) (import "m" "m" (memory 1 2))
            (import "m" "g" (global (mut f64))))""",
        "(module (table 1 funcref) (table 2 3 externref))",
        """(module (memory 1) (data (i32.const 3) "abc") (data "def")
            (func (memory.init 1 (i32.const 0) (i32.const 0) (i32.const 0)) (data.drop 1)))""",
        """(module (table 4 funcref) (func) (elem (i32.const 1) 0 0) (elem func 0) (elem declare func 0)
            (elem funcref (ref.func 0) (ref.null func)) (elem (i32.const 0) funcref (ref.null func))
            (elem (table 0) (i32.const 0) func 0) (elem (table 0) (i32.const 0) funcref (ref.func 0)))""",
        """(module (func (param i32) (result f64) (if (result f64) (local.get 0)
            (then (f64.const 1.5)) (else (f64.const -0x1p-1074)))))""",
        "(module (func (drop (select (result externref) (ref.null extern) (ref.null extern) (i32.const 0)))))",
        "(module (func $f) (start $f) (global (mut i64) (i64.const -9223372036854775808)))",
        "(module (func (br_table 0 0 0 (i32.const 1))) (func (block (br_table 0 1 0 (i32.const 7)))))",
    ],
)
def test_text_comes_back(source: str) -> None:
    assert comes_back(wat(source))


def test_a_module_without_its_custom_sections_is_written_shortest() -> None:
    """Found by hand: widths noted by offset hit other integers once a section before them was gone."""

    def code(constant: bytes) -> bytes:
        return vector(body(b"\x41\0\x1a" * 8 + constant + DROP + b"\x41\0\x1a" * 30))

    padded, shortest = code(b"\x42" + b"\x80" * 9 + b"\0"), contract({CODE: code(b"\x42\0")})
    for length in range(30):
        assert encode(decode(contract({CODE: padded}, before=custom(b"x" * length)))) == shortest


def test_a_changed_module_is_written_in_the_shortest_form() -> None:
    """Passes drop the widths; empty sections go too when their ids are dropped."""
    module = decode(hostile.padded_everywhere())
    assert encode(replace(module, widths={})) == contract()
    empty = decode(contract({GLOBAL: vector()}))
    assert encode(empty) == contract({GLOBAL: vector()})
    assert encode(replace(empty, sections=frozenset())) == contract()


def test_a_start_function_that_a_pass_took_away_leaves_no_section() -> None:
    """Found by a generated module on the compiled engine: the section was still noted as present."""
    module = decode(wat("(module (func $f) (start $f))"))
    changed = encode(replace(module, start=None, widths={}))
    assert decode(changed).sections == module.sections - {8}
    assert objection(changed) is None


def test_a_longer_body_gets_a_longer_size() -> None:
    module = decode(main(NOP))
    (function,) = module.functions
    longer = replace(function, body=(*(function.body[:1] * 200), *function.body[1:]))
    assert encode(replace(module, functions=(longer,), widths={})) == main(NOP * 200)


@pytest.mark.parametrize("feature", sorted(set(PROPOSALS) - TYPE_CHECKED))
def test_what_is_not_type_checked_is_not_encoded(feature: str) -> None:
    """The refusal names the feature; features that the decoder itself stops at have no module."""
    for case in hostile.cases("proposal"):
        try:
            module = decode(case.binary)
        except Unsupported:
            continue
        features = [use.feature for use in module.uses if use.feature not in TYPE_CHECKED]
        if features[:1] == [feature]:
            with pytest.raises(Unsupported, match="cannot be encoded") as error:
                encode(module)
            assert error.value.feature == feature
            assert PROPOSALS[feature].title in str(error.value)
            return
    assert feature in {"compact-imports", "component-model", "half-precision", "stringref", "shared-everything-threads"}


def test_types_of_a_module_can_be_changed() -> None:
    """Encoding writes what the module says, not what it once was."""
    module = decode(contract({TYPE: vector(b"\x60\0\0", b"\x60" + vector(I32) + b"\0"), FUNCTION: vector(b"\0")}))
    changed = replace(module, types=module.types[:1], widths={})
    assert encode(changed) == contract()
