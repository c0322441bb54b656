"""`ewasm state`: what a state directory keeps, and carrying a state from one to another."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ewasm.ruleset import Ruleset
from node.cli import show
from node.cli.options import FILE_OR_DASH, InputError, json_option, ruleset_option, state_option
from node.statedir import StateError, check_ruleset, held, made_with, ruleset_record, unpruned
from state import Changes, Database, Table
from state.history import UnknownRoot, latest_root, recorded_roots, world_at
from state.prune import PruneError, Pruning, prune, unfinished
from state.transfer import (
    StateHeader,
    TransferError,
    Transferred,
    export_state,
    import_state,
    is_packed,
    packing,
    unpacking,
)

STDIO: Final = Path("-")
_NONE_YET: Final = "there is no state here yet; an import that was ended is to be repeated"
_DRAFT: Final = ".part"
_REFRESH: Final = 0.1
"""Seconds between two changes of what is shown of a long command."""


@click.group()
def state() -> None:
    """List, prune, export and import the states of a directory.

    \b
    Example:
      ewasm state roots --state ./chain
    """  # noqa: D301  # \b is click's


@state.command()
@state_option
@json_option
def roots(folder: Path, as_json: bool) -> None:  # noqa: FBT001  # click's
    """List the states that a directory keeps.

    Each is the state after a block: its number stands before the root.

    \b
    Example:
      ewasm state roots --state ./chain
    """  # noqa: D301  # \b is click's
    with _said(), held(folder, readonly=True) as store:
        if latest_root(store) is None:
            raise StateError(f"{folder}: {_NONE_YET}")
        if as_json:
            show.emit_json([{"number": number, "root": str(root)} for number, root in recorded_roots(store)])
            return
        for number, root in recorded_roots(store):
            show.emit_line(f"{number}: {root}")
        if unfinished(store) is not None:
            show.emit_line("a pruning has not ended; the next one continues it", show.NOTE)


@state.command("prune")
@state_option
@click.option("--keep", required=True, type=click.IntRange(min=1), help="How many states to keep, the last.")
@json_option
def prune_(folder: Path, keep: int, as_json: bool) -> None:  # noqa: FBT001  # click's
    """Remove all but the last states.

    It may be ended at any moment: the states to keep stay whole, and the next pruning continues it.

    \b
    Example:
      ewasm state prune --state ./chain --keep 100
    """  # noqa: D301  # \b is click's
    with _said(), held(folder) as store, _progress("Pruning") as shown:

        def on_step(pruning: Pruning) -> None:
            shown(None, f"{pruning.marked:,} in use, {sum(pruning.removed.values()):,} removed")

        done = prune(Database(store), keep, on_step=on_step)
        last = latest_root(store)
    assert last is not None
    removed = {str(table): count for table, count in done.removed.items()}
    if as_json:
        show.emit_json({"first": done.first, "last": last[0], "dropped": done.dropped, "removed": removed})
        return
    rows = [("kept", f"blocks {done.first:,} to {last[0]:,}"), ("states dropped", f"{done.dropped:,}")]
    rows += [(f"{name} removed", f"{count:,}") for name, count in removed.items()]
    show.emit_rows(rows, style=show.GOOD)


@state.command()
@click.argument("file", type=FILE_OR_DASH)
@state_option
@click.option("--block", type=click.IntRange(min=0), help="Export the state after this block.  [default: the last]")
def export(file: Path, folder: Path, block: int | None) -> None:
    """Write a state to FILE as JSON lines.

    It goes through gzip if the name of FILE ends with .gz; - is standard output.

    \b
    Example:
      ewasm state export backup.jsonl.gz --state ./chain
    """  # noqa: D301  # \b is click's
    with _said(), held(folder, readonly=True) as store:
        latest = latest_root(store)
        if latest is None:
            raise StateError(f"{folder}: {_NONE_YET}")
        number = latest[0] if block is None else block
        try:
            world = world_at(Database(store), number)
        except UnknownRoot as error:
            raise StateError(f"{folder}: {error}") from error
        made = made_with(store, folder)
        with unpruned(store, folder, number), _writing(file) as stream, _progress("Exporting") as shown:
            done = export_state(world, number, stream, made, listener=_listener(shown))
    if file != STDIO:
        _emit(file, number, str(world.root), done)


@state.command("import")
@click.argument("file", type=FILE_OR_DASH)
@state_option
@ruleset_option
def import_(file: Path, folder: Path, ruleset: Ruleset) -> None:
    """Read a state that was exported to FILE.

    The directory must be new or empty; - is standard input. Everything is checked, against the root too, before the
    directory counts as a state.

    \b
    Example:
      ewasm state import backup.jsonl.gz --state ./copy
    """  # noqa: D301  # \b is click's

    def accept(header: StateHeader) -> Changes:
        if header.ruleset is not None:
            check_ruleset(file, header.ruleset, ruleset)
        return ruleset_record(ruleset)

    with _said(), _reading(file) as stream, held(folder, create=True) as store:
        if store.last(Table.ROOTS) is not None:
            raise StateError(f"{folder}: holds a state already; import into a new directory")
        with _progress("Importing") as shown:
            try:
                header, done = import_state(Database(store), stream, accept, listener=_listener(shown))
            except (TransferError, OSError) as error:
                raise InputError(f"{file}: {error}; nothing was imported") from error
    _emit(folder, header.number, str(header.root), done)


def _emit(where: Path, number: int, root: str, done: Transferred) -> None:
    rows = (str(where), f"the state after block {number:,}"), ("accounts", f"{done.accounts:,}")
    show.emit_rows([*rows, ("slots", f"{done.slots:,}"), ("state root", root)], style=show.GOOD)


@contextmanager
def _said() -> Iterator[None]:
    """Turn what is wrong with what the user named into errors of the command line."""
    try:
        yield
    except (StateError, PruneError) as error:
        raise InputError(str(error)) from error


@contextmanager
def _reading(file: Path) -> Iterator[IO[bytes]]:
    """Open a file to read, through gzip where its name says so."""
    try:
        raw: AbstractContextManager[IO[bytes]] = nullcontext(sys.stdin.buffer) if file == STDIO else file.open("rb")
    except OSError as error:
        raise InputError(f"{file}: {error.strerror or error}") from error
    with raw as stream:
        if is_packed(file):
            with unpacking(stream) as unpacked:
                yield unpacked
        else:
            yield stream


@contextmanager
def _writing(file: Path) -> Iterator[IO[bytes]]:
    """Open a file to write, through gzip where its name says so; it takes the name once it is whole."""
    if file == STDIO:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    special = file.exists() and not file.is_file()
    draft = file if special else file.with_name(file.name + _DRAFT)
    try:
        with draft.open("wb") as raw:
            if is_packed(file):
                with packing(raw) as packed:
                    yield packed
            else:
                yield raw
            if not special:
                raw.flush()
                os.fsync(raw.fileno())
                draft.replace(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be written ({error.strerror or error})") from error
    finally:
        if not special:
            draft.unlink(missing_ok=True)


_Shown = Callable[[float | None, str], object]


@contextmanager
def _progress(title: str) -> Iterator[_Shown]:
    """Show a bar on a terminal, and give what moves it: a share of the whole, None if that is unknown, and a text."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _share, _text: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[text]}")
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, text="")
        due = 0.0

        def move(share: float | None, text: str) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + _REFRESH
                bar.update(task, total=None if share is None else 1.0, completed=share or 0.0, text=text)

        yield move


def _listener(shown: _Shown) -> Callable[[Transferred], Any]:
    return lambda done: shown(done.fraction, f"{done.accounts:,} accounts, {done.slots:,} slots")
