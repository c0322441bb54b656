"""`ewasm gas snapshot`: write, check and compare what a list of calls uses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ewasm.ruleset import Ruleset
from ewasm.vm import make_engine
from node.cli import show
from node.cli.files import read_code, read_text, write
from node.cli.options import FILE_PATH, InputError, engine_option, json_option, ruleset_option
from node.snapshot import FILE, Difference, SnapshotError, compare, measure, parse, read_scripts, render


@click.command(short_help="Write or compare what a list of calls uses.")
@click.argument("calls", type=FILE_PATH)
@click.option(
    "--snap",
    type=FILE_PATH,
    default=FILE,
    show_default=True,
    help="Snapshot to write, or to compare with.",
)
@click.option("--check", "is_check", is_flag=True, help="Compare with the snapshot, write nothing; fail on a change.")
@click.option("--diff", "is_diff", is_flag=True, help="Show the changes since the snapshot, write nothing.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    help="Percent that a call may change by; with --diff, fail above it.  [default: 0 for --check]",
)
@engine_option
@ruleset_option
@json_option
def snapshot(
    calls: Path,
    snap: Path,
    is_check: bool,  # noqa: FBT001  # click's
    is_diff: bool,  # noqa: FBT001  # click's
    tolerance: float | None,
    engine: str,
    ruleset: Ruleset,
    as_json: bool,  # noqa: FBT001  # click's
) -> None:
    """Measure the calls that CALLS, a TOML file, lists, and write what each used.

    \b
    Example:
      ewasm gas snapshot calls.toml --check --tolerance 1
    """  # noqa: D301  # \b is click's
    if is_check and is_diff:
        raise click.UsageError("give either --check or --diff, not both")
    try:
        scripts = read_scripts(read_text(calls))
        codes = {script.file: read_code(calls.parent / script.file) for script in scripts}
        measured = measure(scripts, codes, ruleset, make_engine(engine))
    except SnapshotError as error:
        raise InputError(f"{calls}: {error}") from error
    if not (is_check or is_diff):
        write(snap, render(measured), "name another with --snap")
        if as_json:
            show.emit_json({"gas": dict(sorted(measured.items()))})
        else:
            show.emit_line(f"{snap}: {len(measured)} calls, {sum(measured.values()):,} gas")
        return
    if not snap.exists():
        raise InputError(f"{snap}: there is no snapshot yet; without --check and --diff, one is written")
    try:
        found = compare(parse(read_text(snap)), measured)
    except SnapshotError as error:
        raise InputError(f"{snap}: {error}") from error
    allowed = tolerance if tolerance is not None else (0.0 if is_check else None)
    exceeding = [] if allowed is None else [change for change in found.changes if change.exceeds(allowed)]
    if as_json:
        show.emit_json(_document(found, [change.name for change in exceeding]))
    elif is_diff:
        for line in found.lines():
            show.emit_line(line)
    else:
        for change in exceeding:
            name = change.name.replace(":", "::", 1)
            before, after = (
                "nothing" if gas is None else f'"(gas: {gas})" gas' for gas in (change.before, change.after)
            )
            show.emit_line(f'Diff in "{name}": consumed {after}, expected {before}', show.BAD)
    sys.exit(1 if exceeding else 0)


def _document(found: Difference, exceeding: list[str]) -> dict[str, Any]:
    return {
        "changes": [{"name": change.name, "before": change.before, "after": change.after} for change in found.changes],
        "exceeding": exceeding,
    }
