"""Cost tables as WasmEdge's statistics take them, turned into a ruleset's TOML.

Such a table is an array of costs by opcode, of 16 bits for the instructions behind the prefix bytes; whatever a shorter
array does not reach costs 0. Here it is JSON: the array, or an object from opcode to cost.
"""

from __future__ import annotations

import json
from typing import Any, Final

from evmc.reading import read_json
from ewasm.ruleset import RulesetError
from gas.schedule import EWASM, MAX_PRICE
from wasm.instructions import BY_NAME, ROWS, Op

OPCODES: Final = 1 << 16
"""Entries of a whole table."""

GROUPING: Final = ("else", "end")
"""What metering never charges, but WasmEdge counts."""


def opcode(op: Op) -> int:
    """Return an instruction's place in a table: its opcode, or the prefix byte and one byte behind it."""
    return op.code if op.code < 0x100 else (op.code >> 16) << 8 | op.code & 0xFF


def read_costs(text: str) -> dict[int, int]:
    """Return costs by opcode; raise `RulesetError` that says which entry is wrong."""
    try:
        given = read_json(text)
    except ValueError as error:
        raise RulesetError(f"not JSON: {error}") from error
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict):
        raise RulesetError("an array of costs by opcode, or an object from opcode to cost, is expected")
    if len(given) > OPCODES:
        raise RulesetError(f"{len(given):,} costs: a table has at most {OPCODES:,}")
    return dict(_cost(key, cost) for key, cost in given.items())


def _cost(key: Any, cost: Any) -> tuple[int, int]:
    try:
        code = int(key, 0) if isinstance(key, str) else key
    except ValueError:
        code = -1
    if not 0 <= code < OPCODES:
        raise RulesetError(f"opcode {key!s:.20}: a number from 0 to 65535 is expected, decimal or with 0x")
    if type(cost) is not int or cost < 0:
        raise RulesetError(f"cost of opcode {code:#04x}: a whole number from 0 is expected")
    return code, cost


def as_toml(costs: dict[int, int], name: str, unit: int) -> str:
    """Return a ruleset that has these costs as prices, each of `unit` particles; raise `RulesetError`.

    Everything else is as in `ewasm`, but that nothing is charged by operand or for pages and locals: a table has no
    such price. What the table prices at 0 is free; where loops or calls are, code can run for ever, and the ruleset is
    marked as not metered.
    """
    metered = all(costs.get(opcode(BY_NAME[looping])) for looping in ("loop", "call", "call_indirect"))
    lines = [
        f"name = {json.dumps(name)}",
        'extends = "ewasm"',
        f"metered = {str(metered).lower()}",
        "",
        "[memory]",
        "local = 0",
        "page = 0",
        "",
    ]
    lines += ["[operands]", *(f'"{operand}" = [0, 0]' for operand in EWASM.operands), "", "[instructions]"]
    for op in ROWS:
        if op.name not in EWASM.instructions:
            continue
        price = 0 if op.name in GROUPING else costs.get(opcode(op), 0) * unit
        if price >= MAX_PRICE:
            raise RulesetError(f"cost of {op.name}: {price:,} particles are 2^31 or more; give a smaller --unit")
        lines.append(f'"{op.name}" = {price}')
    return "\n".join(lines) + "\n"
