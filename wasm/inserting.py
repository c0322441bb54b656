"""Instructions that passes put into functions, and what several of them insert alike."""

from __future__ import annotations

from typing import Any

from wasm.instructions import BY_NAME
from wasm.module import Instr


def assembled(*given: str | tuple[str, Any]) -> list[Instr]:
    """Return instructions by their names, each with its immediate where it has one; they have no place in a binary."""
    return [Instr(BY_NAME[i], None, 0) if isinstance(i, str) else Instr(BY_NAME[i[0]], i[1], 0) for i in given]


def operand_price(unit: int, shift: int) -> list[Instr]:
    """Return what turns an i32 into the i64 that `charge_operand` takes for it, both on the stack.

    That is `unit` for every 2^`shift` of the operand, rounded up.
    """
    rounded = (("i64.const", (1 << shift) - 1), "i64.add", ("i64.const", shift), "i64.shr_u") if shift else ()
    return assembled("i64.extend_i32_u", *rounded, ("i64.const", unit), "i64.mul")
