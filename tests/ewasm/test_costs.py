"""Cost tables by opcode as rulesets; counts are WasmEdge's published ones where they are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ewasm.costs import as_toml, opcode, read_costs
from ewasm.ruleset import EWASM, Ruleset, RulesetError, read_ruleset
from wasm.instructions import BY_NAME


def ruleset(tmp_path: Path, table: object, unit: int = 100) -> Ruleset:
    path = tmp_path / "mine.toml"
    path.write_text(as_toml(read_costs(json.dumps(table)), "mine", unit))
    return read_ruleset(path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("i32.add", 0x6A),
        ("local.get", 0x20),
        ("memory.copy", 0xFC0A),
        ("memory.fill", 0xFC0B),
        ("i64.extend32_s", 0xC4),
    ],
)
def test_places_are_the_opcodes(name: str, code: int) -> None:
    assert opcode(BY_NAME[name]) == code


def test_a_whole_table(tmp_path: Path) -> None:
    """Each opcode costs its own number, so that a shift by one would show."""
    mine = ruleset(tmp_path, list(range(1 << 16)))
    assert mine.name == "mine"
    assert mine.metered
    assert mine.schedule.instructions["i32.add"] == 0x6A * 100
    assert mine.schedule.instructions["memory.copy"] == 0xFC0A * 100
    assert mine.schedule.instructions["end"] == mine.schedule.instructions["else"] == 0
    assert mine.schedule.instructions.keys() == EWASM.schedule.instructions.keys()
    assert (mine.schedule.local, mine.schedule.page) == (0, 0)
    assert all(unit == 0 for unit, _ in mine.schedule.operands.values())
    assert (mine.host, mine.limits, mine.features) == (EWASM.host, EWASM.limits, EWASM.features)


def test_an_object_and_a_short_array(tmp_path: Path) -> None:
    some = ruleset(tmp_path, {"0x6a": 7, "16": 1, "0x11": 1, "0x03": 1}, unit=1)
    assert some.schedule.instructions["i32.add"] == 7
    assert some.schedule.instructions["i32.sub"] == 0
    assert some.metered
    short = ruleset(tmp_path, [1, 1, 1], unit=1)
    assert short.schedule.instructions["block"] == 1
    assert short.schedule.instructions["loop"] == 0
    assert not short.metered, "loops are free"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "an array of costs by opcode"),
        ("[1, -1]", "cost of opcode 0x01: a whole number"),
        ("[1, 1.5]", "cost of opcode 0x01: a whole number"),
        ("[true]", "cost of opcode 0x00: a whole number"),
        ('{"nop": 1}', "opcode nop: a number from 0 to 65535"),
        ('{"0x10000": 1}', "opcode 0x10000: a number from 0 to 65535"),
        ("[" + "1," * 65_536 + "1]", "65,537 costs"),
    ],
)
def test_what_is_no_table(text: str, message: str) -> None:
    with pytest.raises(RulesetError, match=message):
        read_costs(text)


def test_a_price_that_is_too_high() -> None:
    with pytest.raises(RulesetError, match=r"cost of i32\.add: .* give a smaller --unit"):
        as_toml({0x6A: 1 << 20}, "mine", 10_000)
