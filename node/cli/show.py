"""Output: a readable table on a terminal, plain lines in a pipe, JSON where asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

GOOD, BAD, NOTE = "green", "bold red", "yellow"


def one_line(text: str) -> str:
    """Return text that fits one line and cannot steer a terminal, whoever wrote it."""
    return "".join(c if c.isprintable() else " " for c in text)


def emit_json(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2))


def is_terminal() -> bool:
    """Tell whether a person reads the output."""
    return Console().is_terminal


def emit_rows(rows: Iterable[tuple[str, str]], *, style: str) -> None:
    """Print names and values; the style is that of the first value."""
    rows = [(name, one_line(value)) for name, value in rows]
    if not is_terminal():
        for name, value in rows:
            click.echo(f"{name}: {value}")
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, (name, value) in enumerate(rows):
        table.add_row(name, Text(value, style=style if number == 0 else ""))
    Console().print(table)


def emit_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with a title: its first column is text, the others are numbers."""
    cells = [[one_line(cell) for cell in row] for row in rows]
    if not is_terminal():
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        click.echo(f"\n{title}")
        for row in (columns, *cells):
            first, *others = row
            line = [
                first.ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
            ]
            click.echo("  ".join(["", *line]).rstrip())
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold", no_wrap=bool(number))
    for row in cells:
        table.add_row(*map(Text, row))
    Console().print(table)


def emit_line(text: str, style: str = "") -> None:
    """Print a line."""
    text = one_line(text)
    if is_terminal():
        Console().print(Text(text, style=style), soft_wrap=True)
    else:
        click.echo(text)
