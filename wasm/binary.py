"""Facts of the binary format (specification, chapter 5): preamble, sections, bytes of types."""

from __future__ import annotations

from typing import Final

from wasm.module import ExternKind
from wasm.types import ValType

MAGIC: Final = b"\0asm"
VERSION: Final = b"\1\0\0\0"
DATA_COUNT: Final = 12
TAG: Final = 13

# Ids in the order in which sections stand (section 5.5.2; tags from exception handling).
ORDER: Final = (1, 2, 3, 4, 5, TAG, 6, 7, 8, 9, DATA_COUNT, 10, 11)
SECTIONS: Final = {
    1: "type",
    2: "import",
    3: "function",
    4: "table",
    5: "memory",
    6: "global",
    7: "export",
    8: "start",
    9: "element",
    10: "code",
    11: "data",
    12: "data count",
    13: "tag",
}
KINDS: Final[tuple[ExternKind, ...]] = ("func", "table", "memory", "global", "tag")

# Value and heap types by their byte (5.3.1 … 5.3.4): name for messages, type of the machine, proposal.
TYPES: Final[dict[int, tuple[str, ValType, str]]] = {
    0x7F: ("i32", "i32", "mvp"),
    0x7E: ("i64", "i64", "mvp"),
    0x7D: ("f32", "f32", "floating-point"),
    0x7C: ("f64", "f64", "floating-point"),
    0x7B: ("v128", "v128", "simd"),
    0x70: ("funcref", "funcref", "reference-types"),
    0x6F: ("externref", "externref", "reference-types"),
    **{
        byte: (name, "other", "gc")
        for byte, name in (
            (0x6E, "anyref"),
            (0x6D, "eqref"),
            (0x6C, "i31ref"),
            (0x6B, "structref"),
            (0x6A, "arrayref"),
            (0x71, "nullref"),
            (0x72, "nullexternref"),
            (0x73, "nullfuncref"),
        )
    },
    0x69: ("exnref", "other", "exceptions"),
    0x74: ("nullexnref", "other", "exceptions"),
    0x68: ("contref", "other", "stack-switching"),
    0x75: ("nullcontref", "other", "stack-switching"),
    0x63: ("ref null", "other", "function-references"),
    0x64: ("ref", "other", "function-references"),
    0x67: ("stringref", "other", "stringref"),
}
# Forms of type definitions other than functions: name, proposal.
FORMS: Final[dict[int, tuple[str, str]]] = {
    0x5F: ("struct", "gc"),
    0x5E: ("array", "gc"),
    0x50: ("sub", "gc"),
    0x4F: ("sub final", "gc"),
    0x4E: ("rec", "gc"),
    0x5D: ("cont", "stack-switching"),
    0x4D: ("descriptor", "custom-descriptors"),
    0x4C: ("describes", "custom-descriptors"),
    0x65: ("shared", "shared-everything-threads"),
}

ELEMENT_PROPOSAL: Final = ("mvp", *["bulk-memory"] * 3, *["reference-types"] * 4)
"""What an element segment of each form came with."""

EXTENDED_CONST: Final = frozenset({"i32.add", "i32.sub", "i32.mul", "i64.add", "i64.sub", "i64.mul"})
"""Instructions that constant expressions gained."""
