"""`ewasm gas calibrate`: what instructions and host functions take on this machine, against what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from fnmatch import fnmatchcase
from math import log10
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress

from ewasm.ruleset import Ruleset
from ewasm.vm import ENGINES, make_engine
from gas.meter import PARTICLES
from node.calibrate import RATE, Measurement
from node.calibrate import calibrate as measure
from node.chart import Bar, svg
from node.cli import show
from node.cli.files import write
from node.cli.options import FILE_PATH, json_option, ruleset_option
from node.proposal import propose

_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_WIDTH: Final = 24
_DECADES: Final = 4


@click.command(short_help="Set what instructions take against their prices.")
@click.option(
    "--engine",
    "engines",
    type=click.Choice(sorted(ENGINES)),
    multiple=True,
    default=("compiled",),
    show_default=True,
    help="Engine to measure; can be given more than once.",
)
@ruleset_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3_600),
    default="30",
    show_default=True,
    help="Time to spend on each engine, roughly.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    default=f"{RATE:g}",
    show_default=True,
    help="Gas for a microsecond that everything should cost at least.",
)
@click.option("--only", metavar="PATTERN", help="Measure names that match, such as 'i64.*' or 'storage*'.")
@click.option("--worst", type=click.IntRange(1), default="20", show_default=True, help="How many to show.")
@click.option(
    "--write-ruleset",
    type=FILE_PATH,
    help="Write a ruleset with the prices that the rate asks for to this TOML file.",
)
@click.option("--lower", is_flag=True, help="In that ruleset, lower prices too.")
@click.option("--svg", "picture", type=FILE_PATH, help="Draw all of it to this file.")
@json_option
def calibrate(
    engines: tuple[str, ...],
    ruleset: Ruleset,
    seconds: float,
    rate: float,
    only: str | None,
    worst: int,
    write_ruleset: Path | None,
    lower: bool,  # noqa: FBT001  # click's
    picture: Path | None,
    as_json: bool,  # noqa: FBT001  # click's
) -> None:
    """Measure what instructions and host functions take on this machine, and set it against their prices.

    Shown are those that give least gas for a microsecond: those an attacker would use. A bar tells how many times too
    little, each quarter of it ten times. The machine should do nothing else meanwhile.

    \b
    Example:
      ewasm gas calibrate --only 'i64.div_*' --seconds 1 --write-ruleset calibrated.toml
    """  # noqa: D301  # \b is click's
    if not ruleset.metered:
        raise click.UsageError(f"--ruleset {ruleset.name}: its instructions are free, so that there is nothing to hold")
    found = {name: _measure(name, ruleset, seconds, only) for name in dict.fromkeys(engines)}
    if not any(found.values()):
        raise click.UsageError(f"--only {only!r}: no instruction or host function matches")
    first = next(iter(found.values()))
    if write_ruleset is not None:
        try:
            text = propose(ruleset, first, rate, lower=lower).toml(_name(write_ruleset))
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        write(write_ruleset, text)
    if picture is not None:
        write(picture, _picture(found, rate))
    if as_json:
        show.emit_json({name: [_as_json(each) for each in measured] for name, measured in found.items()})
        return
    for name, measured in found.items():
        _show(name, ruleset, measured, rate, worst)


def _measure(name: str, ruleset: Ruleset, seconds: float, only: str | None) -> list[Measurement]:
    """Measure on an engine, with a bar on a terminal."""
    console = Console(stderr=True)
    shown: AbstractContextManager[Progress | None] = (
        Progress(console=console, transient=True) if console.is_terminal else nullcontext()
    )
    with shown as progress:
        task = progress.add_task(f"measuring the {name} engine") if progress else None

        def tell(done: int, all_: int) -> None:
            if progress is not None and task is not None:
                progress.update(task, completed=done, total=all_)

        def chosen(candidate: str) -> bool:
            return only is None or fnmatchcase(candidate, only) or fnmatchcase(candidate.partition(",")[0], only)

        return measure(ruleset, make_engine(name), seconds, chosen=chosen, progress=tell)


def _name(path: Path) -> str:
    """Return a name for a ruleset in a file: one that is not taken, without what TOML would have escaped."""
    name = "".join(c for c in path.stem if c.isalnum() or c in "-_") or "proposed"
    return f"{name}-calibrated" if name in ("ewasm", "hera", "ssvm") else name


def _as_json(each: Measurement) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "name": each.name,
        "nanoseconds": round(each.nanoseconds, 4),
        "spread": round(each.spread, 4),
        "particles": each.particles,
        "gas_per_microsecond": None if each.rate is None else round(each.rate, 4),
    }


def _sorted(measured: Sequence[Measurement]) -> list[tuple[float, Measurement]]:
    """Return what could be measured, the least gas for a microsecond first."""
    return sorted(((m.rate, m) for m in measured if m.rate is not None), key=lambda pair: pair[0])


def _show(name: str, ruleset: Ruleset, measured: Sequence[Measurement], rate: float, worst: int) -> None:
    """Print the worst of an engine."""
    ranked = _sorted(measured)
    below = sum(found < rate for found, _ in ranked)
    click.echo(
        f"{name} engine, ruleset {ruleset.name}: {len(measured)} measured, "
        f"{len(measured) - len(ranked)} too short to measure, {below} below {rate:g} gas/µs"
    )
    width = max((len(each.name) for _, each in ranked[:worst]), default=0)
    click.echo(f"{'':{width}} {'ns':>10} {'±':>8} {'gas':>12} {'gas/µs':>9}")
    for found, each in ranked[:worst]:
        gas = each.particles / PARTICLES
        line = f"{each.name:{width}} {each.nanoseconds:>10,.2f} {each.spread:>8,.2f} {gas:>12,.4f} {found:>9,.4g}"
        click.echo(f"{line}  {_bar(rate / found)}".rstrip() if found else f"{line}  {_BLOCKS[-1] * _WIDTH}")


def _bar(times: float) -> str:
    """Return a bar for how many times too little, in decades."""
    eighths = round(min(1.0, max(0.0, log10(times) / _DECADES)) * _WIDTH * 8)
    return "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()


def _picture(found: dict[str, list[Measurement]], rate: float) -> str:
    """Return all of it as a picture."""
    groups = [
        (f"{name} engine", [Bar(each.name, value, f"{each.nanoseconds:,.2f} ns") for value, each in _sorted(measured)])
        for name, measured in found.items()
    ]
    return svg("Gas for a microsecond", groups, mark=rate)
