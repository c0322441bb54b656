"""Bytes to modules: each malformed form with its message and place, each use of a proposal by its name."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import suppress
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures import hostile
from fixtures.hostile import (
    AT_ZERO,
    BLOCK,
    CODE,
    DATA,
    DATA_COUNT,
    DROP,
    ELEMENT,
    END,
    EXPORT,
    FUNCTION,
    GLOBAL,
    I32,
    I64,
    IMPORT,
    MEMORY,
    NOP,
    NOTHING,
    PREAMBLE,
    TABLE,
    TYPE,
    ZERO,
    body,
    contract,
    custom,
    main,
    section,
    sized,
    unsigned,
    vector,
)
from tests.helpers import wat
from tests.wasm.generate import generate
from tests.wasm.mutate import mutate
from wasm.decode import decode
from wasm.errors import Malformed, Unsupported
from wasm.module import Custom, Use
from wasm.proposals import PROPOSALS

MARK = b"\x42\xd5\xaa\xd5\xaa\xd5\x2a\x1a"
"""A constant that is dropped: it stands for itself, so that a place behind it can be found."""


def marked(code: bytes, **around: bytes) -> tuple[bytes, int]:
    """Return a contract whose main has these instructions behind a mark, and their offset."""
    sections = {getattr(hostile, name): content for name, content in around.items()}
    binary = contract({CODE: vector(body(MARK + code)), **sections})
    return binary, binary.index(MARK) + len(MARK)


def refused(binary: bytes) -> Malformed:
    with pytest.raises(Malformed) as error:
        decode(binary)
    return error.value


def readable(data: bytes) -> bool:
    """Tell whether bytes can be decoded; whatever is said of them has its place in them."""
    places: list[int | None]
    try:
        places = [use.offset for use in decode(data).uses]
        found = True
    except (Malformed, Unsupported) as error:
        places = [error.offset]
        found = False
    assert all(place is not None and 0 <= place <= len(data) for place in places)
    return found


# Malformed modules


@pytest.mark.parametrize("case", [*hostile.cases("malformed")], ids=lambda case: case.name)
def test_malformed_fixtures(case: hostile.Case) -> None:
    error = refused(case.binary)
    for text in case.says:
        assert text.lower() in str(error).lower()
    assert error.offset is not None
    assert 0 <= error.offset <= len(case.binary)
    assert f"at offset {error.offset:#x}" in str(error)


@pytest.mark.parametrize("case", [*hostile.cases("accepted", "invalid", "import", "form")], ids=lambda case: case.name)
def test_fixtures_that_are_wrong_in_another_way_are_decoded(case: hostile.Case) -> None:
    try:
        decode(case.binary)
    except Unsupported as error:
        pytest.fail(str(error))


@pytest.mark.parametrize(
    ("content", "message", "offset"),
    [
        (b"", "magic header not detected", 0),
        (b"\0as", "magic header not detected", 0),
        (b"\0asM\1\0\0\0", "magic header not detected", 0),
        (b"\0asm", r"unknown binary version \(none\)", 4),
        (b"\0asm\1\0", "unknown binary version 01 00", 4),
        (b"\0asm\2\0\0\0", "unknown binary version 02 00 00 00", 4),
        (PREAMBLE + b"\x0e\0", "malformed section id 14", 8),
        (PREAMBLE + b"\1", "unexpected end", 9),
        (PREAMBLE + b"\1\2\0", "length out of bounds: 2 bytes, 1 remain", 9),
        (PREAMBLE + b"\1\1\0\1\1\0", "type section out of order", 11),
        (PREAMBLE + b"\2\1\0\1\1\0", "type section out of order", 11),
        (PREAMBLE + b"\x0a\1\0\x0c\1\0", "data count section out of order", 11),
        (PREAMBLE + b"\1\2\0\0", "size mismatch: 1 bytes are left at the end of the type section", 11),
        (PREAMBLE + b"\1\2\1\x61", "malformed form 0x61 of type 0", 11),
        (PREAMBLE + b"\1\5\1\x60\1\x40", "length out of bounds: 5 bytes, 4 remain", 9),
        (PREAMBLE + b"\1\5\1\x60\1\x79\0", "malformed value type 0x79", 13),
        (PREAMBLE + b"\2\5\1\1a\0\5", "malformed import kind 5", 14),
        (PREAMBLE + b"\2\4\1\1\xff\0", "malformed UTF-8", 11),
        (PREAMBLE + b"\4\4\1\x7f\0\0", "malformed reference type i32", 11),
        (PREAMBLE + b"\4\4\1\x70\x08\0", "malformed limits flags 0x8", 12),
        (PREAMBLE + b"\5\3\1\x10\0", "malformed limits flags 0x10", 11),
        (PREAMBLE + b"\6\6\1\x7f\4\x41\0\x0b", "malformed mutability 4", 12),
        (PREAMBLE + b"\6\5\1\x7f\0\x41\0", "END opcode expected", 15),
        (PREAMBLE + b"\7\5\1\1a\5\0", "malformed export kind 5", 13),
        (PREAMBLE + b"\x09\2\1\x08", "malformed elements segment kind 8", 11),
        (PREAMBLE + b"\x09\4\1\1\1\0", "malformed element kind 1", 12),
        (PREAMBLE + b"\x09\4\1\5\x7f\0", "malformed reference type i32", 12),
        (PREAMBLE + b"\x0b\2\1\3", "malformed data segment kind 3", 11),
        (PREAMBLE + b"\x0c\1\1", "data count and data section have inconsistent lengths", 11),
        (PREAMBLE + b"\3\2\1\0", "function and code section have inconsistent lengths", 12),
        (PREAMBLE + b"\x0a\2\1\0", "function and code section have inconsistent lengths", 11),
        (PREAMBLE + b"\0\0", "unexpected end", 10),
        (PREAMBLE + b"\0\2\2a", "length out of bounds: 2 items, 1 bytes remain", 10),
    ],
)
def test_malformed_with_message_and_place(content: bytes, message: str, offset: int) -> None:
    error = refused(content)
    assert error.offset == offset
    with pytest.raises(Malformed, match=message):
        raise error


@pytest.mark.parametrize(
    ("code", "message", "at"),
    [
        (b"\x27", "illegal opcode 0x27", 0),
        (b"\xff", "illegal opcode 0xff", 0),
        (NOP + b"\xfc\x80\x02", "illegal opcode 0xfc 0x100", 1),
        (b"\x02\x41" + END, "malformed block type -63", 1),
        (b"\x02\xff\xff\xff\xff\x7f" + END, "malformed block type -1", 1),
        (ZERO + b"\x28\x80\x01\0" + DROP, "malformed memop flags", 3),
        (b"\x3f\x80\0" + DROP, "zero byte expected", 1),
        (ZERO * 3 + b"\xfc\x0a\0\x80\0", "zero byte expected", 9),
        (ZERO * 3 + b"\xfc\x08\0\0", "data count section required by memory.init", 8),
        (b"\xfc\x09\0", "data count section required by data.drop", 2),
        (b"\xd0\x7f" + DROP, "malformed heap type -1", 1),
        (b"\xd0\xf0\x7f" + DROP, "malformed heap type -16", 1),
        (b"\x1c\1\x79", "malformed value type 0x79", 2),
        (b"\x41\x80\x80\x80\x80\x80\0" + DROP, "integer representation too long", 1),
        (b"\x41\xff\xff\xff\xff\x0f" + DROP, "integer too large", 1),
        (b"\x0e\x7f\0", "length out of bounds: 127 items", 1),
    ],
)
def test_malformed_code_with_message_and_place(code: bytes, message: str, at: int) -> None:
    binary, offset = marked(code)
    error = refused(binary)
    assert message in str(error)
    assert error.offset == offset + at
    assert error.function in (0, None)


@pytest.mark.parametrize("code", [b"", BLOCK, BLOCK + END, b"\x41", b"\x0c", b"\x0e\1\0", b"\x28\0", b"\xfc"])
def test_code_that_ends_too_soon(code: bytes) -> None:
    inside = b"\0" + code
    binary = contract({CODE: vector(sized(inside))})
    error = refused(binary)
    assert error.offset == len(binary)
    assert "unexpected end" in str(error)


def test_code_behind_the_end() -> None:
    binary = contract({CODE: vector(sized(b"\0" + END + NOP + END))})
    error = refused(binary)
    assert "size mismatch: 2 bytes are left at the end of function 0" in str(error)
    assert error.offset == len(binary) - 2


def test_the_function_of_an_error_counts_imports() -> None:
    entry = sized(b"ethereum") + sized(b"finish") + b"\0\0"
    binary = contract({IMPORT: vector(entry, entry), CODE: vector(body(b"\x27"))})
    assert refused(binary).function == 2


@pytest.mark.parametrize("binary", [contract(), hostile.padded_everywhere()])
def test_a_module_that_ends_too_soon(binary: bytes) -> None:
    """Only behind the preamble and behind the types is there nothing missing."""
    complete = [len(part) for part in hostile.truncations(binary) if readable(part)]
    assert complete == [len(PREAMBLE), binary.index(bytes([FUNCTION]), len(PREAMBLE) + 1)]


# Uses of proposals


@pytest.mark.parametrize("case", [*hostile.cases("proposal")], ids=lambda case: case.name)
def test_every_proposal_is_recognised(case: hostile.Case) -> None:
    if case.name == "reference_two_tables":
        assert len(decode(case.binary).tables) == 2
        return
    if case.name == "two_memories":
        assert len(decode(case.binary).memories) == 2
        return
    try:
        features = {use.feature for use in decode(case.binary).uses}
    except Unsupported as error:
        features = {error.feature}
    titles = " | ".join(PROPOSALS[feature].title for feature in features).lower()
    for text in case.says:
        assert text.lower() in titles


def test_modules_of_the_mvp_use_nothing() -> None:
    source = """(module (import "m" "f" (func (param i32))) (import "m" "t" (table 1 funcref))
        (import "m" "m" (memory 1 2)) (import "m" "g" (global i64)) (global (mut i32) (i32.const 1))
        (elem (i32.const 0) 0) (data (i32.const 0) "x") (start 2) (export "e" (func 1))
        (func (param i32) (result i32) (local i64) (if (result i32) (local.get 0) (then (i32.const 1)) (else
            (block (result i32) (br_table 0 0 (i32.const 0) (i32.load offset=5 (i32.const 7)))))))
        (func (call_indirect (param i32) (i32.const 1) (i32.const 0)) (drop (memory.grow (memory.size)))))"""
    assert decode(wat(source)).uses == ()


def test_uses_say_what_and_where() -> None:
    code = b"\x43" + bytes(4) + DROP + ZERO * 3 + b"\xfc\x0b\0" + b"\x41\1\xc0" + DROP
    binary, at = marked(code)
    assert decode(binary).uses == (
        Use("floating-point", "f32.const", at, 0),
        Use("memory-copy-fill", "memory.fill", at + 12, 0),
        Use("sign-extension", "i32.extend8_s", at + 17, 0),
    )


@pytest.mark.parametrize(
    ("changes", "feature", "what", "back"),
    [
        ({TYPE: vector(b"\x60\0" + vector(I32, I32))}, "multi-value", "type 0 with 2 results", 5),
        ({TYPE: vector(b"\x60\0" + vector(b"\x7c"))}, "floating-point", "type f64", 1),
        ({TYPE: vector(b"\x60\0" + vector(b"\x7b"))}, "simd", "type v128", 1),
        ({TYPE: vector(b"\x60\0" + vector(b"\x6f"))}, "reference-types", "type externref", 1),
        ({TYPE: vector(b"\x5f" + vector(I32 + b"\0"))}, "gc", "struct type", 4),
        ({TYPE: vector(b"\x5e" + I32 + b"\0")}, "gc", "array type", 3),
        ({TYPE: vector(b"\x4e" + vector(NOTHING))}, "gc", "rec type", 5),
        ({TYPE: vector(b"\x50\0" + NOTHING)}, "gc", "sub type", 5),
        ({TYPE: vector(b"\x5d\0")}, "stack-switching", "cont type", 2),
        ({IMPORT: vector(b"\1m\1g\3\x7f\1")}, "mutable-globals", "import of a mutable global", 3),
        ({IMPORT: vector(b"\1m\1t\4\0\0")}, "exceptions", "import of a tag", 3),
        ({TABLE: vector(b"\x6f\0\0")}, "reference-types", "type externref", 3),
        ({TABLE: vector(b"\x70\4\0")}, "memory64", "64-bit table", 2),
        ({TABLE: vector(b"\x40\0\x70\0\0\xd0\x70\x0b")}, "function-references", "table with an initial value", 8),
        ({MEMORY: vector(b"\4\1")}, "memory64", "64-bit memory", 2),
        ({MEMORY: vector(b"\3\1\1")}, "threads", "shared memory", 3),
        ({MEMORY: vector(b"\x08\1\0")}, "custom-page-sizes", "memory", 3),
        ({GLOBAL: vector(I32 + b"\2" + AT_ZERO)}, "shared-everything-threads", "shared global", 4),
        ({GLOBAL: vector(I32 + b"\0" + ZERO + ZERO + b"\x6a" + END)}, "extended-const", "i32.add", 2),
        ({EXPORT: vector(b"\1t\4\0")}, "exceptions", 'export of a tag "t"', 4),
        ({ELEMENT: vector(b"\1\0\0")}, "bulk-memory", "element segment of form 1", 3),
        ({ELEMENT: vector(b"\2\0" + AT_ZERO + b"\0\0")}, "bulk-memory", "element segment of form 2", 7),
        ({ELEMENT: vector(b"\7\x70\0")}, "reference-types", "element segment of form 7", 3),
        ({DATA: vector(b"\1\0")}, "bulk-memory", "data segment of form 1", 2),
        ({DATA: vector(b"\2\0" + AT_ZERO + b"\0")}, "bulk-memory", "data segment of form 2", 6),
    ],
)
def test_uses_outside_of_code(changes: dict[int, bytes], feature: str, what: str, back: int) -> None:
    ((kind, content),) = changes.items()
    binary = PREAMBLE + section(kind, content)
    assert Use(feature, what, len(binary) - back) in decode(binary).uses


def test_call_indirect_through_another_table() -> None:
    binary, at = marked(ZERO + b"\x11\0\1")
    assert decode(binary).uses == (Use("reference-types", "call_indirect through table 1", at + 4, 0),)
    binary, _ = marked(ZERO + b"\x11\0\x80\x80\x80\x80\0")
    assert decode(binary).uses == ()


@pytest.mark.parametrize(
    ("binary", "feature", "offset"),
    [
        (b"\0asm\x0d\0\1\0", "component-model", 4),
        (marked(b"\xfc\x30\0\0")[0], "half-precision", marked(b"")[1]),
        (marked(b"\xfd\xa0\x02")[0], "half-precision", marked(b"")[1]),
        (marked(b"\xfb\x80\1\0")[0], "stringref", marked(b"")[1]),
        (marked(b"\xfe\x4f\0")[0], "shared-everything-threads", marked(b"")[1]),
        (PREAMBLE + section(IMPORT, vector(sized(b"m") + b"\0\x7f\0")), "compact-imports", 14),
    ],
)
def test_what_cannot_be_read_further_is_named(binary: bytes, feature: str, offset: int) -> None:
    with pytest.raises(Unsupported, match=PROPOSALS[feature].title) as error:
        decode(binary)
    assert (error.value.feature, error.value.offset) == (feature, offset)


# What is decoded


def test_offsets_are_those_of_the_bytes() -> None:
    binary, at = marked(ZERO + BLOCK + b"\x0c\0" + END + DROP)
    function = decode(binary).functions[0]
    assert [(op.name, imm, offset - at) for op, imm, offset in function.body[2:]] == [
        ("i32.const", 0, 0),
        ("block", None, 2),
        ("br", 0, 4),
        ("end", None, 6),
        ("drop", None, 7),
        ("end", None, 8),
    ]
    assert function.body[0].offset == at - len(MARK)
    assert function.size == len(b"\0" + MARK) + 9
    assert binary[function.offset] == function.size


def test_locals_are_runs_however_long() -> None:
    runs = vector(unsigned(2**32 - 2) + I32, b"\1" + I64)
    function = decode(main(b"", runs)).functions[0]
    assert function.locals == ((2**32 - 2, "i32"), (1, "i64"))
    assert function.local_count == 2**32 - 1


def test_custom_sections_are_kept_on_request() -> None:
    binary = hostile.custom_sections()
    assert decode(binary).customs == ()
    customs = decode(binary, keep_customs=True).customs
    assert customs[:2] == (Custom("", b"", 0), Custom("\N{OWL}", b"", 0))
    assert [custom.after for custom in customs if custom.name == "between"] == [0, 1, 3, 5, 7]
    assert [custom.after for custom in customs if custom.name == "name"] == [10, 10]


def test_sections_that_are_present_and_empty() -> None:
    empty = {kind: vector() for kind in (IMPORT, TABLE, GLOBAL, ELEMENT, DATA)}
    assert decode(contract(empty)).sections == {1, 2, 3, 4, 5, 6, 7, 9, 10, 11}
    assert decode(PREAMBLE).sections == frozenset()


# Hostile sizes

MANY = unsigned(2**32 - 1)


def measured(binary: bytes) -> tuple[float, int]:
    """Return seconds and peak memory of a decoding that may fail."""
    tracemalloc.start()
    start = time.process_time()
    with suppress(Malformed):
        decode(binary)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak


@pytest.mark.parametrize("kind", [k for k in range(1, 14) if k not in (8, 12)])
def test_a_lying_count_costs_nothing(kind: int) -> None:
    """Neither one that is too great for the bytes, nor one that just fits them."""
    filler = bytes(50_000)
    before = section(FUNCTION, MANY[:0] + unsigned(0)) if kind == CODE else b""
    assert measured(PREAMBLE + before + section(kind, MANY + filler))[1] < 2_000_000
    seconds, peak = measured(PREAMBLE + section(kind, unsigned(len(filler)) + filler))
    assert seconds < 5
    assert peak < 50_000_000


@pytest.mark.parametrize(
    "binary",
    [
        main(b"", vector(*[unsigned(2**32 - 1) + I32])),
        main(BLOCK * 50_000 + END * 50_000),
        main(b"\x0e" + unsigned(50_000) + bytes(50_001)),
        PREAMBLE + section(TYPE, vector(b"\x4e" + unsigned(2) + b"\x4e\0" * 2) + b""),
        PREAMBLE + section(TYPE, b"\x01" + b"\x4e\x01" * 50_000 + NOTHING),
        PREAMBLE + section(TYPE, vector(b"\x50\0" * 50_000 + NOTHING)),
        PREAMBLE + section(GLOBAL, vector(I32 + b"\0" + BLOCK * 50_000 + END * 50_001)),
        contract(before=custom(b"name", b"\1" + sized(MANY + bytes(1000)))),
        contract(before=custom(b"name", b"\1" + sized(unsigned(30_000) + b"\0\0" * 30_000))),
    ],
    ids=["locals", "blocks", "labels", "groups", "nested groups", "subtypes", "constant", "lying names", "many names"],
)
def test_deep_and_wide_modules_are_read_in_linear_time(binary: bytes) -> None:
    seconds, peak = measured(binary)
    assert seconds < 3
    assert peak < 40_000_000


# Any bytes at all


@given(st.binary(max_size=200))
@example(b"\0asm\1\0\0\0")
def test_random_bytes(data: bytes) -> None:
    readable(data)
    readable(PREAMBLE + data)


@given(st.integers(0, 13), st.binary(max_size=80))
def test_random_sections(kind: int, data: bytes) -> None:
    readable(PREAMBLE + section(kind, data))
    readable(PREAMBLE + section(kind, b"\1" + data))


@given(st.binary(max_size=80))
def test_random_code(data: bytes) -> None:
    readable(main(data))
    readable(contract({DATA_COUNT: b"\1", CODE: vector(body(data)), DATA: vector(b"\1\0")}))


@given(st.sampled_from([0xFB, 0xFC, 0xFD, 0xFE]), st.integers(0, 0x180), st.binary(max_size=40))
def test_random_prefixed_instructions(prefix: int, sub: int, data: bytes) -> None:
    readable(main(bytes([prefix]) + unsigned(sub) + data))


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_damaged_modules(seed: int) -> None:
    rng = Random(seed)
    binary = generate(rng)
    for _ in range(8):
        readable(mutate(rng, binary))


@pytest.mark.parametrize("case", [*hostile.cases("proposal")], ids=lambda case: case.name)
def test_damaged_proposals(case: hostile.Case) -> None:
    rng = Random(case.name)
    if len(case.binary) > 8:
        for _ in range(25):
            readable(mutate(rng, case.binary))
