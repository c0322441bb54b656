"""A module as data (specification, section 2.5). Every value is frozen: a pass returns a new module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType, TypeAlias

from wasm.instructions import Op
from wasm.types import FuncType, GlobalType, MemoryType, TableType, ValType


class Instr(NamedTuple):
    """One instruction: its row, its immediate in the form that the row tells, its byte offset in the module."""

    op: Op
    imm: Any
    offset: int


Expr: TypeAlias = tuple[Instr, ...]
"""A sequence of instructions closed by `end`."""

ExternKind: TypeAlias = Literal["func", "table", "memory", "global", "tag"]
ExternType: TypeAlias = int | TableType | MemoryType | GlobalType
"""The type of an import; of a function (or tag) the index of its type."""


@dataclass(frozen=True, slots=True)
class Import:
    """Something the module wants from outside."""

    module: str
    name: str
    kind: ExternKind
    type: ExternType
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Export:
    """Something the module shows, by index in its kind's index space."""

    name: str
    kind: ExternKind
    index: int
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Function:
    """A function with a body. `locals` are runs (count, type), never expanded here.

    `height` is the greatest operand height in values, known after validation. `weight` is what a frame takes from the
    stack counter, in words; 0 means not counted.
    """

    type: int
    locals: tuple[tuple[int, ValType], ...]
    body: Expr
    offset: int = field(default=0, compare=False)
    size: int = field(default=0, compare=False)
    height: int = field(default=0, compare=False)
    weight: int = 0

    @property
    def local_count(self) -> int:
        """The number of declared locals, without parameters."""
        return sum(count for count, _ in self.locals)


@dataclass(frozen=True, slots=True)
class Global:
    """A global variable with its initial value."""

    type: GlobalType
    init: Expr
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Element:
    """An element segment; `flags` is its form: bit 0 passive or declarative, bit 1 explicit, bit 2 expressions."""

    flags: int
    type: ValType
    items: tuple[int, ...] | tuple[Expr, ...]
    table: int = 0
    at: Expr | None = None
    offset: int = field(default=0, compare=False)

    @property
    def is_declarative(self) -> bool:
        """Whether the segment only declares functions for `ref.func`."""
        return self.flags & 3 == 3


@dataclass(frozen=True, slots=True)
class Data:
    """A data segment; `flags` is its binary form: 0 active, 1 passive, 2 active with a memory index."""

    flags: int
    bytes: bytes
    memory: int = 0
    at: Expr | None = None
    offset: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Custom:
    """A custom section, and the id of the section it follows (0 at the start)."""

    name: str
    bytes: bytes
    after: int


@dataclass(frozen=True, slots=True)
class Use:
    """Where a module uses a feature beyond the integer MVP: `what` is the instruction, type or section."""

    feature: str
    what: str
    offset: int
    function: int | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """A module. `uses` lists every use of a feature beyond the integer MVP, in order.

    `sections` are the ids that were present and `widths` the widths, by offset, of sizes and of integers that were
    written longer than need be: with both, encoding a decoded module gives its bytes again.
    """

    types: tuple[FuncType, ...] = ()
    imports: tuple[Import, ...] = ()
    functions: tuple[Function, ...] = ()
    tables: tuple[TableType, ...] = ()
    memories: tuple[MemoryType, ...] = ()
    globals: tuple[Global, ...] = ()
    exports: tuple[Export, ...] = ()
    start: int | None = None
    elements: tuple[Element, ...] = ()
    data_count: int | None = None
    data: tuple[Data, ...] = ()
    customs: tuple[Custom, ...] = ()
    uses: tuple[Use, ...] = field(default=(), compare=False)
    sections: frozenset[int] = field(default=frozenset(), compare=False)
    widths: Mapping[int, int] = field(default_factory=dict, compare=False)
    names: Mapping[int, str] = field(default_factory=dict, compare=False)

    def imported(self, kind: ExternKind) -> tuple[Any, ...]:
        """Return the types of the imports of one kind, in index order."""
        return tuple(i.type for i in self.imports if i.kind == kind)

    @property
    def func_types(self) -> list[int]:
        """The type index of every function, imported ones first."""
        return [*self.imported("func"), *(f.type for f in self.functions)]

    def all_names(self) -> dict[int, str]:
        """Return the functions' names: from the name section, else the import name, else that of the first export."""
        exported = {e.index: e.name for e in reversed(self.exports) if e.kind == "func"}
        imports = (i for i in self.imports if i.kind == "func")
        return exported | {n: f"{i.module}.{i.name}" for n, i in enumerate(imports)} | dict(self.names)

    def name_of(self, function: int) -> str | None:
        """Return a function's name, None if it has none; who asks often keeps `all_names`."""
        return self.all_names().get(function)


ValidModule = NewType("ValidModule", Module)
"""A module that passed `validate`."""
