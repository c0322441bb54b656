"""The table of instructions against Wasmtime: its assembler for opcodes, its validator for types and proposals."""

from __future__ import annotations

import re
from itertools import product

import pytest
import wasmtime

from fixtures.hostile import CODE, DATA, DATA_COUNT, PREAMBLE, body, contract, main, section, unsigned, vector
from tests.helpers import wat
from tests.wasm.mutate import bodies, sections
from tests.wasm.oracle import make_oracle, objection
from wasm import decode as decoder
from wasm import encode as encoder
from wasm import lower, numeric, steps, validate
from wasm.decode import decode
from wasm.errors import Malformed, Unsupported
from wasm.instructions import BY_CODE, BY_NAME, INSERTED, ONE_BYTE, PREFIXES, ROWS, UNLISTED, Op
from wasm.proposals import MACHINE, PROPOSALS, TYPE_CHECKED
from wasm.types import ValType

MACHINE_ROWS = [row for row in ROWS if row.proposal in MACHINE | {"mvp"}]
TYPED_ROWS = [row for row in ROWS if row.params is not None]
CHECKED_ROWS = [row for row in ROWS if row.proposal in TYPE_CHECKED | {"mvp"}]

# What stands behind a name in text format, by the form of the immediate.
IMMEDIATES = {
    "-": "",
    "block": "end",
    "try_table": "end",
    "labels": "0 0",
    "type_table": "(type 0)",
    "memarg": "offset=1",
    "memarg_lane": "offset=1 0",
    "memory": "",
    "memory_memory": "",
    "table_table": "",
    "types": "(result i32)",
    "heap": "func",
    "type_index": "0 0",
    "type_type": "0 0",
    "type_tag": "0 0",
    "tag_handlers": "0 0",
    "cast": "0 (ref null func) (ref func)",
    "f32": "1.5",
    "f64": "1.5",
}
# Instructions whose text is not their name and immediate.
TEXTS = {
    "else": "if else end",
    "end": "",
    "catch": "try catch 0 end",
    "catch_all": "try catch_all end",
    "delegate": "try delegate 0",
    "select_t": "select (result i32)",
    "atomic.fence": "atomic.fence",
    "v128.const": "v128.const i32x4 1 2 3 4",
    "i8x16.shuffle": "i8x16.shuffle" + " 0" * 16,
    "ref.test": "ref.test (ref func)",
    "ref.test_null": "ref.test (ref null func)",
    "ref.cast": "ref.cast (ref func)",
    "ref.cast_null": "ref.cast (ref null func)",
    "ref.cast_desc_eq": "ref.cast_desc_eq (ref 0)",
    "ref.cast_desc_eq_null": "ref.cast_desc_eq (ref null 0)",
}


def text(row: Op) -> str:
    return TEXTS.get(row.name) or f"{row.name} {IMMEDIATES.get(row.immediate, '0')}"


def assembled(row: Op) -> bytes:
    """Return a function body that another assembler made of an instruction, without locals."""
    source = "" if row.name == "end" else text(row)
    binary = wat(f"(module (type (func)) (func {source}))")
    code = next(content for kind, content in sections(binary) if kind == CODE)
    (found,) = bodies(code)
    return found[1:]


def opcode(row: Op) -> bytes:
    """Return the bytes of an opcode as the specification writes them."""
    return bytes([row.code]) if row.code < 0x100 else bytes([row.code >> 16]) + unsigned(row.code & 0xFFFF)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_assembler_writes_the_opcode_of_the_table(row: Op) -> None:
    code = assembled(row)
    opened = {"else": 2, "catch": 2, "catch_all": 2, "delegate": 2}.get(row.name, 0)
    assert code[opened:].startswith(opcode(row))


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_immediate_is_read_to_its_end(row: Op) -> None:
    code = b"\0" + assembled(row)[:-1]
    module = decode(contract({DATA_COUNT: unsigned(0), CODE: vector(body(code)), DATA: vector()}))
    names = [op.name for op, _, _ in module.functions[0].body]
    around = {"else": ["if", "else", "end"], "catch": ["try", "catch", "end"], "catch_all": ["try", "catch_all", "end"]}
    around |= {"delegate": ["try", "delegate"], "end": []}
    opening = ("block", "loop", "if", "try", "try_table")
    expected = around.get(row.name, [row.name] + ["end"] * (row.name in opening))
    assert names == ["unreachable", *expected, "end"]


def test_rows_are_unique() -> None:
    assert len(BY_CODE) == len(BY_NAME) == len(ROWS)


def test_the_specification_of_1_0_has_172_opcodes() -> None:
    """The index of instructions of WebAssembly 1.0, `else` and `end` included."""
    assert len([row for row in ROWS if row.proposal in ("mvp", "floating-point")]) == 172


# What Wasmtime says of an instruction whose proposal is switched off.
OFF = {
    "tail-call": "tail calls support is not enabled",
    "function-references": "function references support is not enabled",
    "exceptions": "exceptions support is not enabled",
    "legacy-exceptions": "legacy.exceptions (support is not enabled|feature required)",
    "memory-control": "memory control support is not enabled",
    "wide-arithmetic": "wide arithmetic support is not enabled",
    "stack-switching": "stack switching support is not enabled",
    "gc": "gc support is not enabled",
    "custom-descriptors": "custom descriptors operations support is not enabled",
    "simd": "^SIMD support is not enabled",
    "relaxed-simd": "relaxed SIMD support is not enabled",
    "threads": "threads support is not enabled",
}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_proposal_is_the_one_wasmtime_knows(row: Op) -> None:
    said = objection(contract({CODE: vector(body(b"\0" + assembled(row)[:-1]))})) or "valid"
    if row.proposal in OFF:
        assert re.search(OFF[row.proposal], said)
    else:
        assert row.proposal in TYPE_CHECKED | {"mvp"}
        assert not re.search("not enabled|feature required", said)


def test_every_proposal_of_the_table_has_a_name() -> None:
    assert {row.proposal for row in ROWS} <= set(PROPOSALS) | {"mvp"}
    assert MACHINE < TYPE_CHECKED < set(PROPOSALS)


def unknown_codes() -> list[bytes]:
    """Return opcodes without a row: of one byte, and of each prefix far beyond the last."""
    found = [bytes([code]) for code in range(256) if ONE_BYTE[code] is None and code not in PREFIXES]
    for prefix, sub in product(sorted(PREFIXES), range(0x200)):
        if prefix << 16 | sub not in BY_CODE:
            found.append(bytes([prefix]) + unsigned(sub))
    return found


def test_what_has_no_row_is_known_to_nobody_else() -> None:
    """Save the proposals that are known by number only, and what is in no proposal of phase 3 or above."""
    others = []
    for code in unknown_codes():
        binary = main(code + bytes(24))
        try:
            decode(binary)
        except Malformed as error:
            assert "illegal opcode" in str(error)  # noqa: PT017
            said = objection(binary) or ""
            if "illegal" not in said and "unknown" not in said and "invalid" not in said:
                others.append((code.hex(), said))
        except Unsupported as error:
            assert any(error.feature == proposal for *_, proposal in UNLISTED)  # noqa: PT017
        else:
            pytest.fail(f"{code.hex()} was decoded")
    assert others == []


# Types

LETTERS: tuple[ValType, ...] = ("i32", "i64", "f32", "f64")
WITH_WIDE = make_oracle("wide_arithmetic")


def applied(row: Op, params: list[ValType], results: list[ValType]) -> str | None:
    """Return what Wasmtime says of an instruction used at a type."""
    type_bytes = {"i32": b"\x7f", "i64": b"\x7e", "f32": b"\x7d", "f64": b"\x7c"}
    types = vector(b"\x60" + vector(*(type_bytes[t] for t in params)) + vector(*(type_bytes[t] for t in results)))
    gets = b"".join(b"\x20" + unsigned(n) for n in range(len(params)))
    sections_ = {1: types, 3: vector(b"\0"), 5: vector(b"\0\1"), 12: unsigned(1)}
    sections_ |= {10: vector(body(gets + assembled(row)[:-1])), 11: vector(b"\1\0")}
    return objection(PREAMBLE + b"".join(section(kind, content) for kind, content in sections_.items()), WITH_WIDE)


@pytest.mark.parametrize("row", TYPED_ROWS, ids=str)
def test_the_type_is_the_one_wasmtime_checks(row: Op) -> None:
    assert row.params is not None
    assert row.results is not None
    assert applied(row, row.params, row.results) is None
    for types in (row.params, row.results):
        for position, type_ in enumerate(types):
            for other in LETTERS:
                if other == type_:
                    continue
                types[position] = other
                try:
                    assert "type mismatch" in (applied(row, row.params, row.results) or "")
                finally:
                    types[position] = type_
    if row.params:
        assert "type mismatch" in (applied(row, row.params[1:], row.results) or "")
    assert "type mismatch" in (applied(row, row.params, [*row.results, "i32"]) or "")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.immediate == "memarg" and row.proposal in ("mvp", "floating-point")], ids=str
)
def test_the_width_is_the_natural_alignment(row: Op) -> None:
    operands = {"i32": b"\x41\0", "i64": b"\x42\0", "f32": b"\x43" + bytes(4), "f64": b"\x44" + bytes(8)}
    before = b"".join(operands[t] for t in row.params or ())
    after = b"\x1a" if row.results else b""
    natural = row.width.bit_length() - 1
    assert 1 << natural == row.width
    assert objection(main(before + bytes([row.code, natural, 0]) + after)) is None
    assert "alignment must not be larger than natural" in str(
        objection(main(before + bytes([row.code, natural + 1, 0]) + after))
    )


# Completeness: whatever has a row has its rule, encoding and step


def test_what_is_type_checked_has_a_rule_and_an_encoding() -> None:
    without_type = {row.name for row in CHECKED_ROWS if row.params is None}
    assert without_type == {*validate._RULES, "local.get"}
    assert {row.immediate for row in CHECKED_ROWS} - {"-"} <= set(encoder._IMMEDIATES)


def test_every_form_of_immediate_can_be_decoded() -> None:
    assert {row.immediate for row in ROWS} - {"-"} == set(decoder._IMMEDIATES)


def test_what_the_machine_runs_has_its_own_step() -> None:
    for row in MACHINE_ROWS:
        method = lower._LOWER[row.name]
        if method is lower._Lowering.plain:
            assert row.name in {*numeric.UNARY, *numeric.BINARY, "nop"}
        elif method is lower._Lowering.access:
            assert row.name in steps.ACCESS


def test_there_are_no_steps_without_a_row() -> None:
    assert set(lower._LOWER) <= set(BY_NAME) | {op.name for op in INSERTED}
    assert set(validate._RULES) <= set(BY_NAME)
    assert set(numeric.UNARY) | set(numeric.BINARY) <= set(BY_NAME)
    assert set(steps.ACCESS) <= set(BY_NAME)
    assert set(lower._OPERANDS) <= set(BY_NAME)


def test_the_tracer_shows_as_many_operands_as_the_instruction_takes() -> None:
    """Rows without a type have their number of operands beside the lowering; control instructions take none."""
    without = {"block", "loop", "else", "end", "br", "return", "unreachable", "call", "call_indirect"}
    without |= {"local.get", "global.get", "table.size", "elem.drop", "data.drop", "ref.null", "ref.func"}
    assert {row.name for row in MACHINE_ROWS if row.params is None} == without | set(lower._OPERANDS)


def test_numeric_operations_are_those_of_the_table() -> None:
    plain = [row for row in MACHINE_ROWS if row.immediate == "-" and row.params is not None and row.name != "nop"]
    assert {row.name for row in plain if len(row.params or ()) == 1} == set(numeric.UNARY)
    assert {row.name for row in plain if len(row.params or ()) == 2} == set(numeric.BINARY)


def test_wasmtime_is_the_one_with_the_right_features() -> None:
    """The oracle must know floats and refuse what the machine refuses, or comparisons would compare nothing."""
    assert objection(wat("(module (func (result f32) (f32.const 1)))")) is None
    assert objection(wat("(module (func (result i32 i32) (i32.const 1) (i32.const 1)))")) is None
    assert "SIMD" in str(objection(wat("(module (func (drop (v128.const i32x4 0 0 0 0))))")))
    with pytest.raises(wasmtime.WasmtimeError):
        wat("(module (func i32.nothing))")
