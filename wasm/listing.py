"""Functions as text, for people: one instruction a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wasm.instructions import Op
from wasm.module import Function, Module

TARGETS = 16
"""Targets of a `br_table` that are shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """An instruction: its offset in the module, how deep it stands in blocks, its text."""

    offset: int
    depth: int
    text: str


def listing(module: Module, function: Function, names: Mapping[int, str]) -> Iterator[Line]:
    """Yield the lines of a function as the text format writes them; `names` are the functions' by index."""
    depth = 0
    for op, imm, offset in function.body:
        depth -= op.name in ("else", "end")
        yield Line(offset, max(0, depth), f"{op.name} {_immediate(module, op, imm, names)}".rstrip())
        depth += op.immediate == "block" or op.name == "else"


def _immediate(module: Module, op: Op, imm: Any, names: Mapping[int, str]) -> str:
    """Return an immediate as text."""
    match op.immediate:
        case "-":
            return ""
        case "block":
            return _block(module, imm)
        case "func":
            return f"{imm} {names[imm]}" if imm in names else str(imm)
        case "memarg":
            align, offset, _ = imm
            natural = op.width.bit_length() - 1
            parts = [f"offset={offset}" if offset else "", f"align={1 << align}" if align != natural else ""]
            return " ".join(part for part in parts if part)
        case "type_table":
            return f"(type {imm[0]})" if imm[1] == 0 else f"{imm[1]} (type {imm[0]})"
        case "labels":
            shown = " ".join(map(str, imm[:TARGETS]))
            return shown if len(imm) <= TARGETS else f"{shown} … {imm[-1]}"
        case "memory" | "memory_memory":
            return ""
        case _:
            return _plain(imm)


def _block(module: Module, imm: Any) -> str:
    """Return a block's type."""
    if imm is None:
        return ""
    if isinstance(imm, str):
        return f"(result {imm})"
    type_ = module.types[imm]
    params = f"(param {' '.join(type_.params)})" if type_.params else ""
    results = f"(result {' '.join(type_.results)})" if type_.results else ""
    return f"{params} {results}".strip()


def _plain(imm: Any) -> str:
    if isinstance(imm, bytes):
        return f"0x{imm[::-1].hex()}"
    return " ".join(map(str, imm)) if isinstance(imm, tuple) else str(imm)
