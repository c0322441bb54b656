"""Calibration: what is measured is complete and priced right, whatever the clock says; what is proposed can be used."""

from __future__ import annotations

import tomllib
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ewasm.contract import check
from ewasm.eei import EEI
from ewasm.ruleset import EWASM, HostPrices, read_ruleset
from gas.programs import programs
from node.calibrate import HOST_CALLS, UNMEASURED, Measurement, calibrate, host_pairs, instruction_pairs
from node.chart import Bar, svg
from node.proposal import Proposal, propose
from tests.node.commands import run
from wasm.engine import Engine

SVG = "{http://www.w3.org/2000/svg}"


def instruction(name: str, nanoseconds: float, particles: float = 45) -> Measurement:
    return Measurement("instruction", name, nanoseconds, 0, particles)


def function(name: str, nanoseconds: float, gas: float) -> Measurement:
    return Measurement("host function", name, nanoseconds, 0, gas * 10_000 + 90)


# What is measured


def test_every_host_function_has_a_program_or_an_excuse() -> None:
    assert HOST_CALLS.keys() | UNMEASURED.keys() == EEI.keys()
    assert not HOST_CALLS.keys() & UNMEASURED.keys()
    assert {pair.name.partition(",")[0] for pair in host_pairs(EWASM)} == HOST_CALLS.keys()


def test_functions_that_a_ruleset_lacks_are_left_out() -> None:
    bare = EWASM.replace(name="bare", extra_functions=frozenset(), features=frozenset())
    names = {pair.name.partition(",")[0] for pair in (*host_pairs(bare), *instruction_pairs(bare))}
    assert not names & {"create2", "getChainId", "memory.fill", "i32.extend8_s"}


def test_prices_follow_fields_that_exist() -> None:
    fields = {way.field for ways in HOST_CALLS.values() for way in ways}
    assert fields - {None} <= asdict(HostPrices()).keys()


def test_programs_are_contracts() -> None:
    for pair in (*host_pairs(EWASM), *instruction_pairs(EWASM)):
        for code in (pair.code, pair.reference):
            assert check(code, EWASM).accepted, pair.name


# Prices of the Ethereum Interface's functions as the design has them; a call is charged beside.
PRICES = {
    "useGas": 0,
    "getAddress": 2,
    "getCodeSize": 2,
    "callDataCopy": 3,
    "callDataCopy, 72 bytes": 3 + 3 * 3,
    "getBlockHash": 800,
    "getExternalBalance": 400,
    "externalCodeCopy": 700,
    "storageLoad, another slot each time": 200,
    "storageStore": 5_000,
    "storageStore, a new slot each time": 20_000,
    "log, 4 topics and 32 bytes": 375 + 4 * 375 + 32 * 8,
    "call": 700,
    "callStatic": 700,
    "create2": 32_000,
}


def test_host_functions_are_held_against_what_they_cost(engine: Engine) -> None:
    measured = {m.name: m for m in calibrate(EWASM, engine, 0.1, chosen=PRICES.__contains__)}
    measured.pop("call", None)  # the name of an instruction too
    found = {name: m.particles for name, m in measured.items() if m.kind == "host function"}
    assert found == {name: gas * 10_000 + 90 for name, gas in PRICES.items() if name != "call"}


def test_call_is_an_instruction_and_a_function(engine: Engine) -> None:
    found = {m.kind: m.particles for m in calibrate(EWASM, engine, 0.1, chosen="call".__eq__)}
    assert found == {"instruction": 90, "host function": 7_000_090}


def test_instructions_are_held_against_their_own_price(engine: Engine) -> None:
    names = {"i64.mul": 45, "i32.store8": 120, "memory.fill": 1_000, "memory.fill, 1 MiB": 1_000 + 16_384 * 1_000}
    told: list[tuple[int, int]] = []
    found = calibrate(EWASM, engine, 0.1, chosen=names.__contains__, progress=lambda *step: told.append(step))
    assert {m.name: m.particles for m in found} == names
    assert all(m.nanoseconds >= 0 and m.spread >= 0 for m in found)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_rate_is_gas_for_a_microsecond() -> None:
    assert instruction("i32.add", 1.0, 45).rate == pytest.approx(4.5)
    assert instruction("i32.add", 0.0, 45).rate is None
    assert function("useGas", 2_000, 0).rate == pytest.approx(0.0045)


# What is proposed


def loaded(proposal: Proposal, path: Path) -> tuple[dict[str, int], dict[str, tuple[int, int]], HostPrices]:
    """Return the prices of the file that a proposal makes, as everybody reads it."""
    path.write_text(proposal.toml(path.stem), "utf-8")
    ruleset = read_ruleset(path)
    assert ruleset.name == path.stem
    return dict(ruleset.schedule.instructions), dict(ruleset.schedule.operands), ruleset.host


def test_prices_are_raised_to_the_rate(tmp_path: Path) -> None:
    # At 10 gas for a microsecond, a nanosecond is worth 100 particles.
    found = propose(EWASM, [instruction("i32.mul", 1.234), instruction("i32.add", 0.3)], 10)
    instructions, operands, host = loaded(found, tmp_path / "mine.toml")
    assert instructions == {**EWASM.schedule.instructions, "i32.mul": 130}
    assert (operands, host) == (EWASM.schedule.operands, EWASM.host)


def test_prices_are_lowered_where_asked(tmp_path: Path) -> None:
    found = propose(EWASM, [instruction("i32.add", 0.3), instruction("drop", 0)], 10, lower=True)
    instructions, _, _ = loaded(found, tmp_path / "mine.toml")
    assert (instructions["i32.add"], instructions["drop"]) == (30, 1)


def test_the_slowest_variant_counts_for_all_alike() -> None:
    loads = [instruction(name, 1) for name in ("i32.load", "i64.load8_u")]
    found = propose(EWASM, [*loads, instruction("i64.load, scattered", 50), instruction("i64.store", 1)], 10)
    assert found.instructions == dict.fromkeys(("i32.load", "i64.load", "i64.load8_u"), 5_000)


def test_prices_by_operand_are_for_each_unit(tmp_path: Path) -> None:
    # 1 MiB are 16,384 units of 64 bytes: at 20 ns each, 2,000 particles.
    found = propose(EWASM, [instruction("memory.fill", 5), instruction("memory.fill, 1 MiB", 16_384 * 20 + 10)], 10)
    instructions, operands, _ = loaded(found, tmp_path / "mine.toml")
    assert instructions["memory.fill"] == EWASM.schedule.instructions["memory.fill"]
    assert operands == {**EWASM.schedule.operands, "memory.fill": (2_000, 6)}


def test_a_host_price_follows_its_slowest_function(tmp_path: Path) -> None:
    # 2 µs are worth 20 gas; the call's own 90 particles pay for a little of it.
    found = propose(EWASM, [function("getAddress", 2_000, 2), function("getCaller", 1_000, 2)], 10)
    assert loaded(found, tmp_path / "mine.toml")[2] == HostPrices(base=20, init_code_byte=20)


def test_what_is_free_by_the_interface_stays_free() -> None:
    assert propose(EWASM, [function("useGas", 2_000, 0)], 10).host == {}


def test_a_ruleset_of_ones_own_is_not_extended() -> None:
    with pytest.raises(ValueError, match="mine is a ruleset of its own"):
        propose(EWASM.replace(name="mine"), [], 10)


# The command and its picture


def test_the_command_writes_a_ruleset_and_a_picture(tmp_path: Path) -> None:
    rules, picture = tmp_path / "ewasm.toml", tmp_path / "bars.svg"
    done = run("gas", "calibrate", "--only", "i64.div_*", "--seconds", "0.1", "--engine", "interpreter", "--json",
               "--write-ruleset", rules, "--svg", picture, "--rate", "1000", "--lower")  # fmt: skip
    assert done.status == 0, done.stderr
    assert {each["name"] for each in done.json["interpreter"]} == {"i64.div_s", "i64.div_u"}
    assert read_ruleset(rules).name == "ewasm-calibrated"
    assert set(tomllib.loads(rules.read_text())["instructions"]) <= {"i64.div_s", "i64.div_u"}
    assert ET.fromstring(picture.read_text()).tag == f"{SVG}svg"


def test_the_command_shows_the_worst() -> None:
    done = run("gas", "calibrate", "--only", "getC*", "--seconds", "0.1", "--worst", "3", "--rate", "1e9")
    assert done.status == 0
    head, _, *rows = done.stdout.splitlines()
    assert head.startswith("compiled engine, ruleset ewasm: 5 measured,")
    assert len(rows) == 3
    assert all(row.startswith("getC") and "█" in row for row in rows)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ruleset", "hera"), "instructions are free"),
        (("--only", "nothing"), "no instruction or host function matches"),
        (("--rate", "0"), "not in the range"),
        (("--seconds", "0"), "not in the range"),
        (("--only", "nop", "--seconds", "0.1", "--svg", "/nowhere/bars.svg"), "/nowhere/bars.svg: No such file"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = run("gas", "calibrate", *arguments)
    assert (done.status, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_bars_are_as_long_as_their_values_say() -> None:
    picture = svg("<gas>", [("a & b", [Bar("one", 1, "x"), Bar("hundred", 100, "y"), Bar("<b>", 10, "z")])], mark=5)
    root = ET.fromstring(picture)
    widths = [float(rect.get("width", 0)) for rect in root.iter(f"{SVG}rect")]
    assert widths[1] == pytest.approx(2 * widths[2])
    assert [rect.get("class") for rect in root.iter(f"{SVG}rect")] == ["b", "g", "g"]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"<b>", "a & b", "<gas>"} <= set(texts)


def test_every_program_has_a_name_of_its_own() -> None:
    names = [program.name for program in programs(EWASM.features)]
    assert len(set(names)) == len(names)
