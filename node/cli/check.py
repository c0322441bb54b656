"""`ewasm check` and `meter`: judge modules, and rewrite one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ewasm.contract import Verdict
from ewasm.contract import check as check_code
from ewasm.ruleset import Ruleset
from gas.emission import write_out
from node.cli import show
from node.cli.files import read_code, write
from node.cli.options import FILE_PATH, json_option, ruleset_option
from wasm.encode import encode


@click.command(short_help="Say whether the rules accept modules.")
@click.argument("files", nargs=-1, required=True, type=FILE_PATH)
@ruleset_option
@click.option("--debug", is_flag=True, help="Allow imports of the debug functions.")
@json_option
def check(files: tuple[Path, ...], ruleset: Ruleset, debug: bool, as_json: bool) -> None:  # noqa: FBT001  # click's
    """Say of each FILE whether the rules accept it, and print every finding.

    \b
    Example:
      ewasm check contract.wasm --ruleset ewasm
    """  # noqa: D301  # \b is click's
    verdicts = [(path, check_code(code, ruleset, debug=debug)) for path, code in [(f, read_code(f)) for f in files]]
    if as_json:
        show.emit_json([_as_json(path, verdict, ruleset) for path, verdict in verdicts])
    else:
        for path, verdict in verdicts:
            if verdict.accepted:
                show.emit_line(f"{path}: accepted by ruleset {ruleset.name}", show.GOOD)
            else:
                count = len(verdict.findings)
                show.emit_line(
                    f"{path}: refused by ruleset {ruleset.name}, {count} finding{'s' * (count > 1)}", show.BAD
                )
                for finding in verdict.findings:
                    show.emit_line(f"  {finding.message}")
    sys.exit(0 if all(verdict.accepted for _, verdict in verdicts) else 1)


def _as_json(path: Path, verdict: Verdict, ruleset: Ruleset) -> dict[str, Any]:
    return {
        "file": str(path),
        "ruleset": ruleset.name,
        "accepted": verdict.accepted,
        "findings": [
            {"rule": f.rule, "message": f.message, "offset": f.offset, "function": f.function} for f in verdict.findings
        ],
    }


@click.command(short_help="Write the metered module of FILE.")
@click.argument("file", type=FILE_PATH)
@click.option("-o", "--output", required=True, type=FILE_PATH, help="File to write.")
@ruleset_option
def meter(file: Path, output: Path, ruleset: Ruleset) -> None:
    """Write the metered module of FILE: it counts gas and stack by itself, on any engine.

    The counters are the last two globals, exported as ewasm:gas (particles, 1/10,000 gas) and ewasm:stack (words).

    \b
    Example:
      ewasm meter counter.wasm -o counter.metered.wasm
    """  # noqa: D301  # \b is click's
    code = read_code(file)
    verdict = check_code(code, ruleset)
    if verdict.module is None:
        for finding in verdict.findings:
            click.echo(f"{file}: {finding.message}", err=True)
        sys.exit(1)
    metered = ruleset.meter(verdict.module)
    binary = encode(write_out(metered))
    write(output, binary)
    charges = sum(op.code < 0 for function in metered.functions for op, _, _ in function.body)
    show.emit_line(f"{output}: {len(binary):,} bytes (from {len(code):,}), {charges:,} charges", show.GOOD)
