"""Nonsense to put into documents that are read."""

from __future__ import annotations

from typing import Any


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a document."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))][0 if path else 1 :]


NONSENSE: list[Any] = [
    None,
    5,
    -1,
    "",
    "x",
    "0x",
    "-0x1",
    "0x1" + "0" * 64,
    "0x" + "ff" * 33,
    [],
    {},
    [None],
    True,
    1.5,
]
