"""JSON from outside, read without recursing deeper than a bound."""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_LEVELS: Final = 200
"""Arrays and objects inside each other; nothing that is read here has more than a few."""

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b"[]{}"))


def read_json(data: str | bytes, levels: int = MAX_LEVELS, **options: Any) -> Any:
    """Return the value of a JSON text; raise ValueError if it is none, or nested deeper than so many levels.

    `options` are those of `json.loads`. The parser recurses in C as deep as Python's recursion limit lets it, which
    libraries raise: deep enough to end the process on a thread's stack.
    """
    text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
    if nested_deeper(text, levels):
        raise ValueError(f"nested deeper than {levels} levels")
    return json.loads(text, **options)


def nested_deeper(text: str, levels: int) -> bool:
    """Tell whether more brackets of a JSON text are open at once, before anything is parsed.

    Every round takes away what is innermost, so that no bracket costs a step of Python.
    """
    if text.count("[") + text.count("{") <= levels:
        return False
    brackets = _brackets(text)
    for _ in range(levels):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return brackets.count(b"[") > levels
        brackets = inner
    return b"[]" in brackets


def more_brackets(text: str, number: int) -> bool:
    """Tell whether a JSON text has more arrays and objects."""
    return text.count("[") + text.count("{") > number and _brackets(text).count(b"[") > number


def _brackets(text: str) -> bytes:
    """Return the brackets of a text outside its strings, all made square."""
    return _STRING.sub("", text).encode(errors="replace").translate(_SQUARE, _OTHERS)
