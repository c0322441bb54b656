"""The types of WebAssembly (specification, section 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ValType: TypeAlias = Literal["i32", "i64", "f32", "f64", "v128", "funcref", "externref", "other"]
"""A value type; `other` stands for one of a refused proposal."""

NUMERIC: frozenset[str] = frozenset({"i32", "i64", "f32", "f64"})
REFERENCES: frozenset[str] = frozenset({"funcref", "externref"})

PAGE = 65_536
"""Bytes in a page of memory."""

MAX_PAGES = 65_536
MAX_TABLE = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class FuncType:
    """Parameters and results of a function or block."""

    params: tuple[ValType, ...] = ()
    results: tuple[ValType, ...] = ()

    def __str__(self) -> str:
        return f"[{' '.join(self.params)}] -> [{' '.join(self.results)}]"


@dataclass(frozen=True, slots=True)
class Limits:
    """Least size and greatest, if declared, of a memory (pages) or table (entries)."""

    minimum: int
    maximum: int | None = None
    flags: int = 0

    def admits(self, other: Limits) -> bool:
        """Tell whether something of limits `other` may be imported where these are declared (section 3.4.9)."""
        if other.minimum < self.minimum:
            return False
        return self.maximum is None or (other.maximum is not None and other.maximum <= self.maximum)


@dataclass(frozen=True, slots=True)
class MemoryType:
    """A memory, its limits in pages."""

    limits: Limits


@dataclass(frozen=True, slots=True)
class TableType:
    """A table of references, its limits in entries."""

    element: ValType
    limits: Limits


@dataclass(frozen=True, slots=True)
class GlobalType:
    """A global variable."""

    value: ValType
    mutable: bool
