"""The documentation against the code: commands and programs are run, tables are compared, links are followed."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from string import Template
from typing import Any

import click
import pytest
from click.testing import CliRunner

from evmc import Status
from ewasm.eei import DEBUG, EEI, EEIFunction
from ewasm.frame import ContractFailure
from ewasm.precompiles import BYZANTIUM, ROWS
from ewasm.ruleset import EWASM, HERA, RULESETS, SSVM, HostPrices, ModuleLimits, Ruleset
from ewasm.system import SENTINEL_BASE, SENTINEL_BYTE
from ewasm.vm import _TRAPS
from gas.meter import STACK_BUDGET
from gas.metering import meter
from gas.schedule import FREE
from node import defaults, transaction
from node.cli import cli
from tests.helpers import CONFORMANCE, ROOT, conformance, wat
from wasm.decode import decode
from wasm.instructions import CHARGE
from wasm.proposals import MACHINE, PROPOSALS
from wasm.validate import validate

DOCS = ROOT / "docs"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
ENTRANCE = "../README.md"


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def tables(text: str, *header: str) -> list[list[list[str]]]:
    """Return the rows of every table whose header begins so."""
    found = []
    for part in re.findall(r"(?:^\|.*\|$\n)+", text, re.MULTILINE):
        first, _, *rows = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in part.splitlines()]
        if tuple(first[: len(header)]) == header:
            found.append(rows)
    return found


def table(name: str, *header: str) -> list[list[str]]:
    """Return the rows of the one table of a page whose header begins so."""
    (rows,) = tables(page(name), *header)
    return rows


def code(cell: str) -> list[str]:
    """Return what a cell has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def number(cell: str) -> int:
    """Return the number that a cell begins with."""
    match = re.match(r"[\d,]+", cell)
    assert match, cell
    return int(match[0].replace(",", ""))


# Commands and programs


class Reader:
    """Someone who does what a page says, in a directory beside the fixtures."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.space: dict[str, Any] = {"__name__": "docs"}
        self.status = 0

    def read(self, text: str) -> None:
        shown = blocks(text)
        for (language, block), (following, output) in zip(shown, [*shown[1:], ("", "")], strict=True):
            if match := re.match(r"(?:#|;;) ([\w.]+\.(?:toml|wat))\n", block):
                Path(match[1]).write_text(block, "utf-8")
            elif language == "console":
                self.console(block)
            elif language == "python":
                with redirect_stdout(StringIO()) as printed:
                    exec(compile(block, "docs", "exec"), self.space)
                assert printed.getvalue() == (output if following == "text" else "")

    def console(self, block: str) -> None:
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            printed = self.run(command)
            shown = output.rstrip("\n").splitlines()
            lines = (r"(?:.*\n)*?" if line == "..." else re.escape(line) + "\n" for line in shown)
            assert re.fullmatch("".join(lines), printed), f"$ {command}\n{printed}"

    def run(self, command: str) -> str:
        if match := re.fullmatch(r"(\w+)=(\S+)", command):
            self.names[match[1]] = match[2]
            return ""
        if command == "echo $?":
            return f"{self.status}\n"
        program, *arguments = [Template(part).substitute(self.names) for part in shlex.split(command)]
        if program == "ewasm":
            result = CliRunner().invoke(cli, arguments, prog_name="ewasm")
            self.status = result.exit_code
            return result.output
        module = {"python": [], "pytest": ["-m", "pytest"]}.get(program)
        command = [program] if module is None else [sys.executable, *module]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, env=environment)
        self.status = done.returncode
        return done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [name for name in (ENTRANCE, *PAGES) if {"console", "python"} & {language for language, _ in blocks(page(name))}],
)
def test_what_a_page_shows_is_what_happens(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(name)
    shown = [block for language, block in blocks(text) if language == "console"]
    if any("../shared/" in block for block in shown):
        conformance("")
        (tmp_path / "shared").symlink_to(CONFORMANCE.parent)
    if any("ewasm spectest" in block for block in shown) and not shutil.which("wast2json"):
        pytest.skip("wast2json is absent: install wabt")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for folder in ("fixtures", "examples"):
        (checkout / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(checkout)
    Reader().read(text)


# Links


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", [ENTRANCE, *PAGES])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page(name))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (DOCS / name).parent / path if path else DOCS / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text("utf-8")), target


def test_the_indexes_list_every_page() -> None:
    assert {*re.findall(r"\(docs/(\w+\.md)\)", page(ENTRANCE))} == {*PAGES} - {"README.md"}
    assert {code for row in table("README.md", "page") for code in re.findall(r"\((.*?)\)", row[0])} == {
        *PAGES,
    } - {"README.md"}


# Rules


def bound(value: int | None) -> str:
    return "no bound" if value is None else f"{value:,}"


def names(values: frozenset[str]) -> str:
    return ", ".join(f"`{value}`" for value in sorted(values)) or "none"


def hash_price(ruleset: Ruleset, name: str, address: int) -> str:
    base, word = (getattr(ruleset.precompiles, f"{name}_{part}") for part in ("base", "word"))
    if ruleset.system_contracts < address:
        return "none"
    return " + ".join(part for part in (f"{base}" if base else "", f"{word} a word" if word else "") if part) or "free"


def test_rulesets() -> None:
    (shown,) = tables(page("rules.md"), "", "`ewasm` (default)", "`hera`", "`ssvm`")
    rows = {name: cells for name, *cells in shown}
    wanted = {
        "init code, gas a byte": lambda r: str(r.host.init_code_byte),
        "features beyond the integer MVP": lambda r: names(r.features),
        "deployed code, bytes": lambda r: bound(r.max_code),
        "init code, bytes": lambda r: bound(r.max_init_code),
        "extra host functions": lambda r: names(r.extra_functions),
        "precompiled and system contracts at addresses": lambda r: f"1 to {r.system_contracts}",
        "SHA-256": lambda r: hash_price(r, "sha256", 2),
        "Keccak-256": lambda r: hash_price(r, "keccak256", 9),
    }
    for name, cell in wanted.items():
        assert rows[name] == [cell(EWASM), cell(HERA), cell(SSVM)], name
    assert RULESETS.keys() == {"ewasm", "hera", "ssvm"}
    for ruleset in (HERA, SSVM):
        assert (ruleset.schedule, ruleset.host, ruleset.limits) == (FREE, HostPrices(), ModuleLimits())


def test_features() -> None:
    shown = {code(slug)[0]: tuple(cells) for slug, *cells in table("rules.md", "slug")}
    yes = {True: "yes", False: "no"}
    assert shown == {
        slug: (proposal.title, proposal.why, yes[slug in MACHINE], yes[slug in EWASM.features])
        for slug, proposal in PROPOSALS.items()
    }


def test_limits() -> None:
    shown = {code(name)[0]: number(value) for name, value, _ in table("rules.md", "limit")}
    assert shown == asdict(EWASM.limits)


def test_ends() -> None:
    shown = {code(row[1])[0]: row[2] for row in table("rules.md", "end", "status")}
    assert shown.keys() <= Status.__members__.keys()
    given = {*_TRAPS.values(), *(failure.status for failure in ContractFailure.__subclasses__())}
    assert {status.name for status in given} <= shown.keys()
    assert {name for name, gas in shown.items() if gas == "kept"} == {
        "SUCCESS",
        "REVERT",
        "CALL_DEPTH_EXCEEDED",
        "INSUFFICIENT_BALANCE",
    }


def evaluate(price: str, arguments: dict[str, int]) -> int:
    """Evaluate a price as the table has it, such as 375 + 375 a topic + 8 a byte."""
    length = arguments.get("length", 0)
    units = {"": 1, "word": -(-length // 32), "topic": arguments.get("topics", 0), "byte": length}
    return sum(number(term) * units[term.partition(" a ")[2]] for term in price.split(" + "))


def compare_function(function: EEIFunction, params: str, results: str) -> dict[str, int]:
    """Compare a signature; return arguments to try a price with."""
    shown = [part.partition(": ") for part in code(params)]
    assert tuple(type_ for *_, type_ in shown) == function.type.params, function.name
    assert tuple(code(results)) == function.type.results, function.name
    written = list(inspect.signature(function.call).parameters.values())[1:]
    for (name, *_), parameter in zip(shown, written, strict=False):
        assert parameter.kind is parameter.VAR_POSITIONAL or name == parameter.name, function.name
    return {name: 65 + index for index, (name, *_) in enumerate(shown)}


def test_host_functions() -> None:
    shown = {code(row[0])[0]: row[1:] for row in table("rules.md", "function", "parameters", "result")}
    assert shown.keys() == EEI.keys()
    for name, (params, results, price, changes, does) in shown.items():
        function = EEI[name]
        arguments = compare_function(function, params, results)
        assert evaluate(price, arguments) == function.price(EWASM.host, tuple(arguments.values())), name
        assert changes == ("yes" if function.changes else "no"), name
        assert does.endswith("only where the ruleset has it") is function.extra, name


def test_debug_functions() -> None:
    shown = {code(row[0])[0]: row[1] for row in table("rules.md", "function", "parameters", "prints")}
    assert shown.keys() == DEBUG.keys()
    for name, params in shown.items():
        compare_function(DEBUG[name], params, "")


def test_host_prices() -> None:
    shown = {code(name)[0]: number(value) for name, value, _ in table("rules.md", "key", "gas")}
    assert shown == asdict(EWASM.host)


def test_transactions() -> None:
    shown = [number(cells[0]) for _, *cells in table("rules.md", "intrinsic gas")[:-1]]
    wanted = [transaction.TX_BASE, transaction.TX_ZERO_BYTE, transaction.TX_BYTE, transaction.TX_CREATE]
    assert shown == wanted


def test_precompiled_contracts() -> None:
    *shown, sentinel = table("rules.md", "address", "contract")
    assert [(int(row[0]), row[1].lower().replace("-", "")) for row in shown] == [(r.address[-1], r.name) for r in ROWS]
    pairs = [pair for row in shown for pair in re.findall(r"`(\w+)` ([\d,]+)", row[2])]
    assert {name: number(value) for name, value in pairs} == asdict(BYZANTIUM)
    assert sentinel[2] == f"{SENTINEL_BASE:,} + {SENTINEL_BYTE} a byte"


# Gas


def expand(name: str) -> Iterator[str]:
    yield from (name.replace("*", width) for width in ("32", "64")) if "*" in name else (name,)


def test_prices() -> None:
    shown: dict[str, int] = {}
    for cell, price, _ in table("gas.md", "instructions", "particles"):
        for name in (full for short in code(cell) for full in expand(short)):
            assert name not in shown, name
            shown[name] = number(price)
    assert shown == dict(EWASM.schedule.instructions)


def test_other_prices() -> None:
    shown = {
        code(row[0])[0]: (number(row[1]), number(row[2])) for row in table("gas.md", "instruction", "unit, particles")
    }
    assert shown == dict(EWASM.schedule.operands)
    local, page_ = table("gas.md", "charge")
    assert number(local[1]) == EWASM.schedule.local
    assert number(page_[1]) == EWASM.schedule.page
    assert f"first {EWASM.schedule.free_pages}" in page_[0]
    assert f"{STACK_BUDGET:,}" in table("gas.md", "", "words")[0][1]


def test_worked_example() -> None:
    (source,) = [block for language, block in blocks(page("gas.md")) if language == "wat"]
    main = meter(validate(decode(wat(source))), EWASM.schedule).functions[0]
    charges = [(hex(offset), imm) for op, imm, offset in main.body if op is CHARGE]
    shown = table("gas.md", "point", "before")
    assert [(row[1].rpartition(" ")[2], number(row[2])) for row in shown] == charges
    for row in shown:
        parts = re.findall(r" (\d+)", row[3])
        assert sum(map(int, parts)) == number(row[2]), row
        for name, price in re.findall(r"`([\w.]+)` (\d+)", row[3]):
            assert EWASM.schedule.instructions[name] == int(price), name
    assert f"{main.weight} words" in page("gas.md").replace("\n", " ")


# Command line and architecture


def default(option: click.Option) -> str:
    """Return an option's default as the page writes it."""
    if option.name == "sender":
        return f"`{defaults.SENDER}`"
    if option.required:
        return "required"
    return "off" if option.is_flag else str(option.default) if isinstance(option.default, str) else "none"


def command(name: str) -> click.Command:
    """Return a command, or one of a group's."""
    group, _, inner = name.partition(" ")
    found = cli.commands[group]
    return found.commands[inner] if isinstance(found, click.Group) else found


def test_options() -> None:
    shown = tables(page("cli.md"), "option", "default")
    measured = {"gas run", "gas call"}
    users = (
        {"run", "deploy", "call"} | measured,
        {"witness"},
        {"verify"},
        {"check"},
        {"meter"},
        measured,
        {"gas compare"},
        {"gas import"},
        {"gas snapshot"},
        {"statetest", "spectest"},
    )
    described: dict[str, set[str]] = {}
    for rows, commands in zip(shown, users, strict=True):
        for name in commands:
            options = {o.opts[-1]: o for o in command(name).params if isinstance(o, click.Option)}
            described.setdefault(name, options.keys() - {"--help"})
            for flags, value, _ in rows:
                option = code(flags)[0]
                if option in options:
                    assert value == default(options[option]), (name, option)
                    described[name].discard(option)
    assert described["run"] == described["gas run"] == {"--address"}
    assert described["deploy"] == described["gas call"] == {"--state"}
    assert described["call"] == {"--state", "--dry-run"}
    partly = {"run", "deploy", "call", "gas run", "gas call"}
    assert [name for name in described.keys() - partly if described[name]] == []
    assert {code(row[0])[0] for row in table("cli.md", "command")} == cli.commands.keys()
    group = cli.commands["state"]
    assert isinstance(group, click.Group)
    options = {o.opts[-1]: o for each in group.commands.values() for o in each.params if isinstance(o, click.Option)}
    described_state = {code(row[0])[0]: row[1] for row in table("cli.md", "option of `state`")}
    assert described_state == {name: default(option) for name, option in options.items()}


def test_options_of_mined_transactions() -> None:
    options = {o.opts[-1]: default(o) for o in command("gas tx").params if isinstance(o, click.Option)}
    shown = {code(row[0])[0]: row[1] for row in table("cli.md", "option of `gas tx`")}
    of_reports, *_ = (rows for rows in tables(page("cli.md"), "option", "default") if code(rows[0][0]) == ["--all"])
    elsewhere = {code(row[0])[0] for row in of_reports} | {"--engine", "--cache", "--no-cache", "--json"}
    assert shown == {name: value for name, value in options.items() if name not in elsewhere}
    assert elsewhere <= options.keys()


def test_options_of_calibrate() -> None:
    options = {o.opts[-1]: o for o in command("gas calibrate").params if isinstance(o, click.Option)}
    shown = {code(flag)[0]: value for flag, value, _ in table("measuring.md", "option", "default")}
    assert shown.keys() == options.keys()
    for name, value in shown.items():
        assert value == ("compiled" if name == "--engine" else default(options[name])), name


def test_prices_of_the_calibration() -> None:
    """The times were measured; the gas beside them is the ruleset's."""
    shown = table("measuring.md", "what", "ns")
    prices = EWASM.schedule.instructions
    for what, _, gas, _ in shown:
        names = [name for name in code(what) if name in prices and name != "call"]
        if what.startswith("memory.") or "MiB" in what:
            continue
        for name in names:
            assert float(gas) == pytest.approx(prices[name] / 10_000), what
    assert len(shown) > 20


def test_defaults() -> None:
    shown = dict(table("cli.md", "", "value"))
    block = defaults.block(7, 1)
    assert re.findall(r"[\d,]+", shown["timestamp"]) == [f"{defaults.FIRST_TIMESTAMP:,}", str(defaults.BLOCK_SECONDS)]
    assert shown["gas limit"].startswith(f"{block.gas_limit:,}")
    assert shown["chain id"] == str(int(block.chain_id))
    (row,) = [row for row in table("cli.md", "", "run") if row[0] == "sender's balance"]
    assert re.findall(r"[\d,]+", row[1]) == [f"{defaults.BALANCE // 10**18:,}", "10", "18"]


def imported(package: str) -> set[str]:
    """Return the packages that a package's files import, but for those that look up."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        if path.relative_to(ROOT).as_posix() in ("ewasm/__main__.py", "ewasm/client.py", "ewasm/testing.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_imports_are_as_the_table_says() -> None:
    shown = {code(row[0])[0]: set(code(row[2])) for row in table("architecture.md", "package", "holds")}
    for package, allowed in shown.items():
        assert imported(package) & (shown.keys() - {package}) <= allowed, package


def test_files_that_are_named_exist() -> None:
    packages = "evmc|wasm|gas|state|ewasm|node|tests|fixtures|examples|docs"
    for name in PAGES:
        for path in re.findall(rf"`((?:{packages})/[\w/.]+)`", without_blocks(page(name))):
            elsewhere = re.search(rf"\]\(https://[^|]*`{re.escape(path)}`", page(name))
            assert elsewhere or (ROOT / path).exists(), f"{name}: {path}"


def test_suites() -> None:
    suites = json.loads((conformance("ssvm") / "ewasm_vectors.json").read_text("utf-8"))["suites"]
    shown = {code(name)[0]: number(steps) for name, steps, _ in table("conformance.md", "suite")}
    assert shown == {suite["name"]: len(suite["steps"]) for suite in suites}
    (row,) = [row for row in table("conformance.md", "oracle") if row[2] == "`tests/conformance/test_ssvm.py`"]
    assert re.findall(r"\d+", row[3]) == [str(len(shown)), str(sum(shown.values()))]
