"""Output: a readable table on a terminal, plain lines in a pipe, JSON where asked."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click
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


def emit_line(text: str, style: str = "") -> None:
    """Print a line."""
    text = one_line(text)
    if is_terminal():
        Console().print(Text(text, style=style), soft_wrap=True)
    else:
        click.echo(text)
