"""The report of a profile: on the terminal, as JSON, and in files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from evmc import Gas, Status
from ewasm.cache import CodeCache
from ewasm.vm import make_engine
from gas.page import page
from gas.profile import SHARES, Failure, Profile
from gas.report import Labels, amount, by_line, folded, speedscope
from node.abi import revert_reason
from node.cli import show
from node.cli.execute import artefacts
from node.cli.files import write
from node.cli.options import FILE_OR_DASH, MessageOptions
from node.measure import Executed, Measurable, document, gas_required, profiled
from node.witness import MissingBlockHash
from state import MissingEntry

F = TypeVar("F", bound=Callable[..., Any])

STDOUT: Final = Path("-")

ROWS: Final = 15
"""Rows of a table on the terminal, unless all are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(MessageOptions):
    """The options that every measurement has."""

    folded: Path | None
    speedscope: Path | None
    html: Path | None
    all_rows: bool
    no_required: bool
    quick: bool


def report_options(function: F) -> F:
    """Add what decides about the report."""
    for option in reversed(
        (
            click.option("--all", "all_rows", is_flag=True, help=f"Show all rows of each table, not the first {ROWS}."),
            click.option("--no-required", is_flag=True, help="Do not search for the least gas that suffices."),
            click.option(
                "--folded",
                type=FILE_OR_DASH,
                help="Write folded stacks, for flame graph tools, to this file.",
            ),
            click.option(
                "--speedscope",
                type=FILE_OR_DASH,
                help="Write a speedscope file.",
            ),
            click.option(
                "--html",
                type=FILE_OR_DASH,
                help="Write a page to look at in a browser.",
            ),
            click.option(
                "--quick",
                is_flag=True,
                help="Profile on --engine, for long runs: without the paths of calls.",
            ),
        )
    ):
        function = option(function)
    return function


def report(
    call: Measurable,
    given: Options,
    name: str,
    *,
    most: Gas,
    elsewhere: Callable[[Exception], Gas | None] | None = None,
) -> None:
    """Measure a call, write what is asked for, and exit as it ended.

    `most` is the greatest limit that is tried for the gas required. Where the state for that is not here, `elsewhere`
    is asked.
    """
    if (given.folded, given.speedscope, given.html).count(STDOUT) > 1:
        raise click.UsageError("only one of --folded, --speedscope and --html can be -")
    debug = (lambda text: click.echo(f"debug: {text}", err=True)) if given.debug else None
    quick = make_engine(given.engine) if given.quick else None
    profile, done = profiled(call, given.ruleset, quick=quick, debug=debug)
    required = None
    if not given.no_required and given.ruleset.metered:
        cache = CodeCache(artefacts=artefacts(given.cache, no_cache=given.no_cache))
        try:
            required = gas_required(
                call, given.ruleset, most=most, engine=make_engine(given.engine), cache=cache, debug=given.debug
            )
        except (MissingEntry, MissingBlockHash) as error:
            if elsewhere is None:
                raise
            required = elsewhere(error)
    labels = Labels(profile)
    if given.folded:
        _write(given.folded, "".join(f"{line}\n" for line in folded(profile, labels)))
    if given.speedscope:
        _write(given.speedscope, json.dumps(speedscope(profile, labels, name)))
    if given.html:
        facts = [
            *_head(profile, done, required, given, most),
            ("gas limit", f"{call.gas:,}"),
            ("ruleset", given.ruleset.name),
        ]
        _write(given.html, page(profile, labels, name, facts))
    if given.as_json:
        show.emit_json(document(profile, labels, done, gas=call.gas, required=required))
    elif STDOUT not in (given.folded, given.speedscope, given.html):
        _show(profile, labels, done, required, given, call.gas, most)
    sys.exit(0 if done.succeeded else 1)


def _write(path: Path, text: str) -> None:
    """Write a file, or to standard output for `-`."""
    if path == STDOUT:
        click.echo(text, nl=False)
        return
    write(path, text, "name another file")


# The report on the terminal


def _show(
    profile: Profile, labels: Labels, done: Executed, required: Gas | None, given: Options, limit: Gas, most: Gas
) -> None:
    """Print the report."""
    show.emit_rows(_head(profile, done, required, given, most), style=show.GOOD if done.succeeded else show.BAD)
    for failure in profile.failures[-1:] if not done.succeeded else ():
        show.emit_rows(_failure(failure, labels, limit, required), style=show.BAD)
        if failure.last:
            calls = [[labels.call(each), amount(each.particles)] for each in failure.last]
            show.emit_table("Last calls before the failure", ["call", "gas"], calls)
    all_gas = profile.particles
    show.emit_table(
        "Parts",
        ["part", "gas", "share"],
        [
            [f"{share}: {SHARES[share]}", amount(part), _percent(part, all_gas)]
            for share, part in profile.shares.items()
        ],
    )
    bound = None if given.all_rows else ROWS
    rows = profile.summary
    title = "Functions" if bound is None or len(rows) <= bound else f"Functions: the first {bound} of {len(rows)}"
    show.emit_table(
        title,
        ["function", "calls", "self", "share", "total", "share", "instructions"],
        [
            [
                labels.node(row.node),
                f"{row.calls:,}",
                amount(row.self.particles),
                _percent(row.self.particles, all_gas),
                amount(row.total.particles),
                _percent(row.total.particles, all_gas),
                f"{row.self.count:,}",
            ]
            for row in rows[:bound]
        ],
    )
    show.emit_table(
        "Instructions",
        ["class", "executed", "gas", "share"],
        [
            [name, f"{spent.count:,}", amount(spent.particles), _percent(spent.particles, all_gas)]
            for name, spent in list(profile.classes.items())[:bound]
        ],
    )
    lines = list(by_line(profile, labels).items())[:bound]
    if lines:
        show.emit_table(
            "Lines of the source",
            ["line", "executed", "gas", "share"],
            [
                [str(line), f"{spent.count:,}", amount(spent.particles), _percent(spent.particles, all_gas)]
                for (_, line), spent in lines
            ],
        )


def _head(
    profile: Profile, done: Executed, required: Gas | None, given: Options, most: Gas
) -> Iterator[tuple[str, str]]:
    yield "status", done.result.status.name
    if done.result.status is Status.REVERT:
        yield "reason", revert_reason(done.result.output) or "none given"
    yield "gas used", f"{done.gas_used:,}"
    if required is not None:
        yield "gas required", f"{required:,}"
    elif not given.no_required and given.ruleset.metered:
        yield "gas required", f"more than {most:,}, or no amount suffices"
    yield "instructions", f"{profile.instructions:,}"
    if given.quick:
        yield "profile", "quick: totals of functions are without what they call"


def _failure(failure: Failure, labels: Labels, limit: Gas, required: Gas | None) -> Iterator[tuple[str, str]]:
    """Explain a failure: why, where, and how much more would have done."""
    yield "failed", failure.reason + (f" in {failure.host}" if failure.host else "")
    if failure.place is not None:
        yield "where", labels.place(failure.place)
        names = [labels.function(step.contract, step.function) for step in failure.path]
        yield "called by", " > ".join([f"({failure.above} more)"] * bool(failure.above) + names)
    if failure.depth:
        yield "depth", f"{failure.depth}, given {failure.gas:,} gas"
    if required is not None and required > limit:
        yield "missing", f"{required - limit:,} gas: with {required:,} the call succeeds"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"
