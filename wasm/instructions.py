"""THE table of instructions: one row each, read from `instructions.tsv` beside this file.

Everything that is known of an instruction by itself (opcode, immediate, type, proposal) is in its row; decoder,
encoder, validator, metering and interpreter look there. `tests/wasm/test_instructions.py` holds the table against an
assembler that is not ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wasm.types import ValType

_LETTERS: Final[dict[str, ValType]] = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """An instruction's row. Rows are compared by identity; there is one for each instruction.

    `immediate` names its form: `-` none, `block`, `label`, `labels`, `func`, `local`, `global`, `memarg`, `i32`, … ;
    `width` is the bytes a memory access touches, or the length of a `bytes` immediate. `params` and `results` are None
    where the validator has a rule of its own.
    """

    code: int
    name: str
    immediate: str
    width: int
    params: list[ValType] | None
    results: list[ValType] | None
    proposal: str

    def __repr__(self) -> str:
        return self.name


def _rows(text: str) -> list[Op]:
    """Parse the table."""
    rows = []
    proposal = ""
    for line in text.splitlines():
        if line.startswith("["):
            proposal = line.strip("[]")
        elif line and not line.startswith("#"):
            code, name, immediate, signature = line.split() + ["-"] * (4 - len(line.split()))
            form, _, width = immediate.partition(":")
            params, _, results = signature.partition(":")
            typed = signature != "-"
            number = int(code[:2], 16) if len(code) == 2 else int(code[:2], 16) << 16 | int(code[2:], 16)
            rows.append(
                Op(
                    code=number,
                    name=name,
                    immediate=form,
                    width=int(width or 0),
                    params=[_LETTERS[c] for c in params] if typed else None,
                    results=[_LETTERS[c] for c in results] if typed else None,
                    proposal=proposal,
                )
            )
    return rows


ROWS: Final = tuple(_rows(Path(__file__).with_name("instructions.tsv").read_text("ascii")))
BY_CODE: Final = {row.code: row for row in ROWS}
BY_NAME: Final = {row.name: row for row in ROWS}

ONE_BYTE: Final = tuple(BY_CODE.get(code) for code in range(256))
"""Rows of the opcodes of one byte, None where there is none."""

PREFIXES: Final = frozenset(code >> 16 for code in BY_CODE if code > 0xFF)

UNLISTED: Final[tuple[tuple[int, int, int, str], ...]] = (
    (0xFC, 0x30, 0x31, "half-precision"),
    (0xFD, 0x120, 0x15F, "half-precision"),
    (0xFB, 0x80, 0xB7, "stringref"),
    (0xFE, 0x4F, 0x72, "shared-everything-threads"),
)
"""Ranges (prefix, first, last sub-opcode) of proposals whose instructions are known by number only."""

CHARGE: Final = Op(-1, "charge", "charge", 0, [], [], "metering")
"""Inserted by metering: take the immediate, a number of units, from the gas counter."""

CHARGE_OPERAND: Final = Op(-2, "charge_operand", "charge_operand", 0, ["i32"], ["i32"], "metering")
"""Inserted by metering: take `unit` for every 2^`shift` of the i32 on top of the stack; immediate (unit, shift)."""

INSERTED: Final = frozenset({CHARGE, CHARGE_OPERAND})
