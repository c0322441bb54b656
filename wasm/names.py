"""The name section (specification, appendix, section 7.4): for people, never for execution."""

from __future__ import annotations

from typing import Final

from wasm.errors import Malformed
from wasm.reader import Reader

FUNCTIONS: Final = 1
SHOWN: Final = 128
"""Characters of a name that are shown."""


def function_names(section: bytes, shown: int = SHOWN) -> dict[int, str]:
    """Return the names of functions by index, cut to `shown` characters; what is damaged is left out."""
    names: dict[int, str] = {}
    reader = Reader(section, 0, {})
    try:
        while reader.left:
            kind = reader.byte()
            part = reader.sized()
            if kind == FUNCTIONS:
                for _ in range(part.count()):
                    index = part.u32()
                    raw = part.take(part.count())
                    names[index] = printable(raw.decode(errors="replace"), shown)
    except Malformed:
        pass
    return names


def printable(name: str, most: int = SHOWN) -> str:
    """Return a name as it may be shown: no control characters, not too long."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
