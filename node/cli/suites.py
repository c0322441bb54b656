"""`ewasm statetest` and `spectest`: run published tests."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ewasm.ruleset import Ruleset
from ewasm.vm import EwasmVM, make_engine
from node import spectest as spec
from node import statetest as states
from node.cli import show
from node.cli.options import InputError, RulesetParam, engine_option, json_option

_PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))


def _files(paths: tuple[Path, ...], *suffixes: str) -> Iterator[Path]:
    """Yield files, and the files of directories whose names end as wanted."""
    for path in paths:
        if path.is_dir():
            found = sorted(p for suffix in suffixes for p in path.rglob(f"*{suffix}"))
            if not found:
                raise InputError(f"{path}: no {' or '.join(suffixes)} files in it")
            yield from found
        elif path.exists():
            yield path
        else:
            raise InputError(f"{path}: there is no such file or directory")


def _end(counts: Counter[str], results: list[dict[str, Any]], summary: str, *, as_json: bool) -> None:
    """Print totals, or everything as JSON, and exit as the tests went."""
    if as_json:
        show.emit_json({kind: counts[kind] for kind in ("passed", "failed", "refused")} | {"results": results})
    else:
        show.emit_line(summary, show.BAD if counts["failed"] else show.GOOD)
    sys.exit(1 if counts["failed"] else 0)


@click.command(short_help="Run Ethereum-style state tests.")
@_PATHS
@click.option(
    "--ruleset", type=RulesetParam(), default="hera", show_default=True, help="Rules that the tests were filled with."
)
@engine_option
@json_option
def statetest(paths: tuple[Path, ...], ruleset: Ruleset, engine: str, as_json: bool) -> None:  # noqa: FBT001  # click's
    """Run Ethereum-style state tests: filled JSON files, or directories of them.

    \b
    Example:
      ewasm statetest ../shared/conformance/ewasm-state-tests --ruleset hera
    """  # noqa: D301  # \b is click's
    vm = EwasmVM(ruleset, make_engine(engine))
    counts: Counter[str] = Counter()
    results = []
    try:
        for path in _files(paths, ".json"):
            for outcome in states.run_file(path, ruleset, vm):
                status = "passed" if outcome.passed else "failed"
                counts[status] += 1
                results.append({"name": outcome.name, "status": status})
                if not outcome.passed:
                    results[-1] |= {"expected": " ".join(outcome.expected), "got": " ".join(outcome.got)}
                if not as_json:
                    show.emit_line(f"{status} {outcome.name} ({outcome.note})", "" if outcome.passed else show.BAD)
                    if not outcome.passed:
                        show.emit_line(f"  expected {' '.join(outcome.expected)}")
                        show.emit_line(f"  got      {' '.join(outcome.got)}")
    except states.TestFileError as error:
        raise InputError(str(error)) from error
    _end(counts, results, f"{counts['passed']} passed, {counts['failed']} failed", as_json=as_json)


@click.command(short_help="Run WebAssembly test scripts.")
@_PATHS
@engine_option
@json_option
def spectest(paths: tuple[Path, ...], engine: str, as_json: bool) -> None:  # noqa: FBT001  # click's
    """Run WebAssembly test scripts: .wast files (through wast2json of wabt), their JSON, or directories.

    Specification features and limits apply. Floats are type-checked and do not run: what needs them counts as refused,
    by feature. Modules in text format that must be malformed are counted apart: this machine reads binaries.

    \b
    Example:
      ewasm spectest ../shared/conformance/wasm-spec
    """  # noqa: D301  # \b is click's
    machine = make_engine(engine)
    counts: Counter[str] = Counter()
    features: Counter[str] = Counter()
    executed = 0
    results = []
    try:
        for path in _files(paths, ".wast", ".json"):
            here: Counter[str] = Counter()
            for outcome in spec.run_file(path, machine):
                here[outcome.status] += 1
                executed += outcome.executed
                features[outcome.feature] += outcome.status == "refused"
                result = {"name": outcome.name, "status": outcome.status}
                if outcome.status in ("failed", "refused"):
                    result |= {"expected": outcome.expected, "got": outcome.got}
                results.append(result)
                if outcome.status == "failed" and not as_json:
                    show.emit_line(f"failed {outcome.name}: expected {outcome.expected}, got {outcome.got}", show.BAD)
            counts += here
            if not as_json:
                show.emit_line(f"{path.name}: {_totals(here)}", show.BAD if here["failed"] else "")
    except states.TestFileError as error:
        raise InputError(str(error)) from error
    refused = ", ".join(f"{count} for {feature}" for feature, count in features.most_common() if count)
    summary = f"{_totals(counts)}; {executed} assertions executed and passed"
    _end(counts, results, summary + (f"; refused: {refused}" if refused else ""), as_json=as_json)


def _totals(counts: Counter[str]) -> str:
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['refused']} refused, {counts['text']} text"
