"""`ewasm gas compare` and `ewasm gas import`: the same call under several rulesets, and rulesets from cost tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from evmc import Address, Gas
from ewasm.costs import as_toml, read_costs
from ewasm.ruleset import RULESETS, Ruleset, RulesetError
from gas.meter import PARTICLES
from gas.profile import SHARES, Profile
from gas.report import Labels, amount
from node.cli import show
from node.cli.files import read_text, write
from node.cli.fresh import fresh_call
from node.cli.options import ADDRESS, FILE_PATH, InputError, RulesetParam, call_data, comparing_options, input_options
from node.measure import Call, Executed, gas_required, profiled

ROWS: Final = 15
"""Functions that are compared on the terminal."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A call under one ruleset."""

    ruleset: Ruleset
    profile: Profile
    done: Executed
    required: Gas | None


@click.command(short_help="Measure a call under several rulesets.")
@click.argument("file", type=FILE_PATH)
@input_options
@comparing_options
@click.option("--address", type=ADDRESS, help="Address of the contract.  [default: the sender's first]")
@click.option(
    "--ruleset",
    "rulesets",
    type=RulesetParam(),
    multiple=True,
    required=True,
    help=f"Rules to compare, each given so: {', '.join(RULESETS)}, or a TOML file.",
)
def compare(
    file: Path,
    arguments: tuple[str, ...],
    data: bytes | None,
    sig: str | None,
    address: Address | None,
    rulesets: tuple[Ruleset, ...],
    **options: Any,
) -> None:
    """Measure FILE, run as `ewasm run` does, under several rulesets; differences are from the first.

    \b
    Example:
      ewasm gas compare counter.wasm --sig 'add(uint256)' 5 --ruleset ewasm --ruleset ssvm
    """  # noqa: D301  # \b is click's
    if len({ruleset.name for ruleset in rulesets}) < max(2, len(rulesets)):
        raise click.UsageError("give --ruleset at least twice, each time another")
    call_input, _ = call_data(data, sig, arguments)
    as_json = options.pop("as_json")
    call = fresh_call(file, data=call_input, address=address, rulesets=rulesets, **options)
    found = [_measure(call, ruleset) for ruleset in rulesets]
    if as_json:
        show.emit_json({"rulesets": [_document(each) for each in found]})
    else:
        _show(found)
    sys.exit(0 if all(each.done.succeeded for each in found) else 1)


def _measure(call: Call, ruleset: Ruleset) -> Measured:
    profile, done = profiled(call, ruleset)
    required = gas_required(call, ruleset, most=call.gas) if ruleset.metered else None
    return Measured(ruleset, profile, done, required)


def _functions(each: Measured) -> dict[str, int]:
    """Return what each function cost by itself, by name; functions of one name together."""
    labels = Labels(each.profile)
    found: dict[str, int] = {}
    for row in each.profile.summary:
        name = labels.node(row.node)
        found[name] = found.get(name, 0) + row.self.particles
    return found


def _document(each: Measured) -> dict[str, Any]:
    return {
        "name": each.ruleset.name,
        "hash": each.ruleset.hash,
        "status": each.done.result.status.name,
        "gas_used": each.done.gas_used,
        "gas_required": each.required,
        "shares": each.profile.shares,
        "functions": _functions(each),
    }


def _show(found: list[Measured]) -> None:
    """Print one column for each ruleset, and for each but the first its difference."""
    names = [each.ruleset.name for each in found]
    columns = [names[0], *(column for name in names[1:] for column in (name, "change"))]
    show.emit_table("Rulesets", ["", *names], [["status", *(each.done.result.status.name for each in found)]])
    used = [each.done.gas_used * PARTICLES for each in found]
    show.emit_table("Gas", ["gas", *columns], [["used", *_cells(used)], *_required(found)])
    shares = [share for share in SHARES if any(share in each.profile.shares for each in found)]
    show.emit_table(
        "Parts",
        ["part", *columns],
        [[share, *_cells([each.profile.shares.get(share, 0) for each in found])] for share in shares],
    )
    functions = [_functions(each) for each in found]
    known = sorted({name for each in functions for name in each}, key=lambda name: (-functions[0].get(name, 0), name))
    rows = [[name, *_cells([each.get(name, 0) for each in functions])] for name in known[:ROWS]]
    show.emit_table("Functions, by themselves", ["function", *columns], rows)


def _required(found: list[Measured]) -> list[list[str]]:
    values = [each.required * PARTICLES for each in found if each.required is not None]
    return [["required", *_cells(values)]] if len(values) == len(found) else []


def _cells(values: list[int]) -> list[str]:
    """Return amounts, each but the first with its difference from the first."""
    first, *others = values
    cells = [amount(first)]
    for other in others:
        cells += [amount(other), f"{100 * (other - first) / first:+.1f} %" if first else "-"]
    return cells


@click.command("import", short_help="Make a ruleset of a cost table by opcode.")
@click.argument("file", type=FILE_PATH)
@click.option("-o", "--output", required=True, type=FILE_PATH, help="TOML to write.")
@click.option("--name", help="Name of the ruleset.  [default: that of the output without its ending]")
@click.option(
    "--unit",
    type=click.IntRange(1, 1 << 30),
    default="10000",
    show_default=True,
    help="Particles (1/10,000 gas) of a cost of 1.",
)
def import_(file: Path, output: Path, name: str | None, unit: int) -> None:
    """Turn a cost table by opcode, as WasmEdge takes it, into a ruleset: FILE is a JSON array or object.

    \b
    Example:
      ewasm gas import costs.json -o costs.toml
    """  # noqa: D301  # \b is click's
    try:
        toml = as_toml(read_costs(read_text(file)), name or output.stem, unit)
    except RulesetError as error:
        raise InputError(f"{file}: {error}") from error
    if output.suffix != ".toml" or output.stem in RULESETS:
        raise click.UsageError("--output must end in .toml, and have no name that a ruleset has already")
    write(output, toml)
    show.emit_line(f"{output}: use it with --ruleset {output}")
