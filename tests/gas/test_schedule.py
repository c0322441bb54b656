"""Prices: the published table, written down a second time by the numbers, and what a schedule refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from ewasm.ruleset import EWASM as RULES
from ewasm.ruleset import RULESETS
from gas.metering import meter
from gas.schedule import EWASM, FREE, MAX_PRICE, Schedule, Unpriced
from tests.helpers import wat
from wasm.decode import decode
from wasm.instructions import BY_CODE, BY_NAME, INSERTED, ROWS
from wasm.validate import validate

# By opcode, so that no pattern of names is used twice: the price in particles of every instruction there is.
PUBLISHED: Final[dict[int, list[int]]] = {
    0: [0x05, 0x0B],
    1: [0x00, 0x01, 0x02, 0x03, 0x41, 0x42],
    45: [
        *range(0x45, 0x5B),  # eqz and comparisons
        *(0x67, 0x68, 0x69, 0x79, 0x7A, 0x7B),  # clz, ctz, popcnt
        *(0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E),  # add, sub, mul
        *(0x71, 0x72, 0x73, 0x83, 0x84, 0x85),  # and, or, xor
    ],
    67: [0x74, 0x75, 0x76, 0x86, 0x87, 0x88],  # shl, shr_s, shr_u
    90: [0x04, 0x0C, 0x0D, 0x0F, 0x10, 0x77, 0x78, 0x89, 0x8A],  # if, br, br_if, return, call, rotl, rotr
    100: [0x3F],  # memory.size
    120: [
        *(0x0E, 0x1A, 0x1B, 0x20, 0x21, 0x22, 0x23, 0x24),  # br_table, drop, select, locals and globals
        *(0x28, 0x29, *range(0x2C, 0x38), *range(0x3A, 0x3F)),  # loads and stores
        *(0xA7, 0xAC, 0xAD),  # wrap and extend
        *range(0xC0, 0xC5),  # sign extension
    ],
    1_000: [0xFC << 16 | 0x0A, 0xFC << 16 | 0x0B],  # memory.copy, memory.fill
    3_600: [*range(0x6D, 0x71), *range(0x7F, 0x83)],  # div and rem
    10_000: [0x11, 0x40],  # call_indirect, memory.grow
}


def test_published_prices() -> None:
    expected = {BY_CODE[code].name: price for price, codes in PUBLISHED.items() for code in codes}
    assert dict(EWASM.instructions) == expected


def test_published_table_names_no_instruction_twice() -> None:
    codes = [code for codes in PUBLISHED.values() for code in codes]
    assert len(codes) == len(set(codes)) == 111


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("i64.const", 1),
        ("unreachable", 1),
        ("else", 0),
        ("end", 0),
        ("if", 90),
        ("br_if", 90),
        ("br_table", 120),
        ("call", 90),
        ("call_indirect", 10_000),
        ("local.tee", 120),
        ("i64.load32_u", 120),
        ("i32.store8", 120),
        ("i64.mul", 45),
        ("i32.shr_s", 67),
        ("i64.rotr", 90),
        ("i64.popcnt", 45),
        ("i32.eqz", 45),
        ("i64.rem_u", 3_600),
        ("i32.wrap_i64", 120),
        ("i64.extend32_s", 120),
        ("memory.size", 100),
        ("memory.grow", 10_000),
        ("memory.fill", 1_000),
    ],
)
def test_prices_by_name(name: str, price: int) -> None:
    assert EWASM.price(BY_NAME[name]) == price


def test_prices_beside_instructions() -> None:
    assert EWASM.local == 1
    assert (EWASM.page, EWASM.free_pages) == (10_000_000, 2)
    assert dict(EWASM.operands) == {
        "memory.grow": (10_000_000, 0),
        "memory.fill": (1_000, 6),
        "memory.copy": (1_000, 6),
    }


@pytest.mark.parametrize(("pages", "gas"), [(0, 0), (1, 0), (2, 0), (3, 1_000), (17, 15_000), (128, 126_000)])
def test_initial_pages(pages: int, gas: int) -> None:
    assert EWASM.initial_pages(pages) == gas * 10_000


def test_the_fee_schedule_document_as_a_ruleset_value() -> None:
    """14,336 gas a page without free ones makes the document's 243,712 gas of 17 pages."""
    assert replace(EWASM, page=143_360_000, free_pages=0).initial_pages(17) == 243_712 * 10_000


@pytest.mark.parametrize("rules", RULESETS.values(), ids=lambda rules: rules.name)
def test_every_instruction_that_a_ruleset_allows_has_a_price(rules: Any) -> None:
    allowed = [row for row in ROWS if row.proposal == "mvp" or row.proposal in rules.features]
    assert len(allowed) > 100
    for row in allowed:
        rules.schedule.price(row)


def test_no_price_for_what_the_ruleset_does_not_allow() -> None:
    """A feature that is switched on without prices is refused, not free."""
    for row in ROWS:
        if row.proposal != "mvp" and row.proposal not in RULES.features:
            with pytest.raises(Unpriced, match=f"^{row.name} has no price$"):
                EWASM.price(row)


def test_free_names_every_instruction() -> None:
    assert dict(FREE.instructions) == {row.name: 0 for row in ROWS}
    assert (FREE.local, FREE.page, FREE.initial_pages(65_536), dict(FREE.operands)) == (0, 0, 0, {})


def test_inserted_instructions_cost_nothing() -> None:
    assert [Schedule({}, {}, 0, 0).price(op) for op in INSERTED] == [0, 0]


@pytest.mark.parametrize("name", ["nop", "end", "else", "block", "i32.const"])
def test_what_has_no_price_is_refused(name: str) -> None:
    prices = {n: p for n, p in EWASM.instructions.items() if n != name}
    schedule = Schedule(prices, {}, local=0, page=0)
    with pytest.raises(Unpriced, match=f"^{name} has no price$"):
        schedule.price(BY_NAME[name])
    module = validate(decode(wat("(module (func (if (i32.const 1) (then (block nop)) (else))))")))
    with pytest.raises(Unpriced, match=name):
        meter(module, schedule)


# Bounds


@pytest.mark.parametrize("price", [0, 1, MAX_PRICE - 1])
def test_prices_below_the_bound(price: int) -> None:
    schedule = Schedule({"nop": price}, {"memory.grow": (price, 0)}, local=price, page=price)
    assert schedule.price(BY_NAME["nop"]) == price
    assert MAX_PRICE == 2_147_483_648


@pytest.mark.parametrize("price", [-1, MAX_PRICE, 1 << 63])
@pytest.mark.parametrize("where", ["instruction", "operand", "local", "page"])
def test_prices_outside_the_bounds(where: str, price: int) -> None:
    given: dict[str, Any] = {"instructions": {}, "operands": {}, "local": 0, "page": 0}
    given |= {
        "instruction": {"instructions": {"nop": price}},
        "operand": {"operands": {"memory.fill": (price, 6)}},
        "local": {"local": price},
        "page": {"page": price},
    }[where]
    with pytest.raises(ValueError, match="price of"):
        Schedule(**given)


@pytest.mark.parametrize("shift", [-1, 32, 64])
def test_shift_outside_the_bounds(shift: int) -> None:
    """2^shift is a part of the range of an i32; more could not be written out."""
    with pytest.raises(ValueError, match="shift"):
        Schedule({}, {"memory.fill": (1, shift)}, 0, 0)


@pytest.mark.parametrize("name", ["nop", "i64.add", "i32.add", "local.set", "call", "block", "memory.size", "br_if"])
def test_only_a_length_can_be_charged(name: str) -> None:
    """A charge by operand needs an i32 on top of the stack that says how much there is to do."""
    with pytest.raises(ValueError, match=name):
        Schedule({}, {name: (1, 0)}, 0, 0)


@pytest.mark.parametrize("where", ["instructions", "operands"])
def test_misspelled_names(where: str) -> None:
    given: dict[str, Any] = {"instructions": {}, "operands": {}, "local": 0, "page": 0}
    given[where] = {"i32.addd": 1 if where == "instructions" else (1, 0)}
    with pytest.raises(ValueError, match=r"i32\.addd"):
        Schedule(**given)


def test_a_schedule_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        EWASM.instructions["nop"] = 0  # type: ignore[index]  # that is the point
    with pytest.raises(AttributeError):
        EWASM.local = 0  # type: ignore[misc]  # the same
