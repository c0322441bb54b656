"""`Module` to bytes (specification, chapter 5).

Encoding a decoded module gives its bytes again, integers that were written longer than need be included; custom
sections come back where they were kept. A module that a pass has changed (it drops `widths`) is written in the shortest
form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from wasm.binary import DATA_COUNT, KINDS, MAGIC, ORDER, TAG, VERSION
from wasm.errors import Unsupported
from wasm.instructions import Op
from wasm.module import Custom, Data, Element, Export, Expr, Function, Global, Import, Module
from wasm.proposals import PROPOSALS, TYPE_CHECKED
from wasm.types import FuncType, GlobalType, Limits, MemoryType, TableType, ValType

T = TypeVar("T")

_BYTE: Final[dict[str, int]] = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C, "funcref": 0x70, "externref": 0x6F}
_MODULE_FIELDS: Final = {
    1: "types",
    2: "imports",
    3: "functions",
    4: "tables",
    5: "memories",
    6: "globals",
    7: "exports",
    8: "start",
    9: "elements",
    10: "functions",
    11: "data",
    12: "data_count",
}


def encode(module: Module) -> bytes:
    """Encode a module; raise `Unsupported` for one with features that the machine does not type-check."""
    for use in module.uses:
        if use.feature not in TYPE_CHECKED:
            title = PROPOSALS[use.feature].title
            raise Unsupported(use.feature, f"{title} cannot be encoded: {use.what}", use.offset, use.function)
    return _Encoder(module).encode()


def leb_u(value: int, width: int = 0) -> bytes:
    """Return an unsigned integer in LEB128, in at least `width` bytes."""
    out = bytearray()
    while value > 0x7F or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def leb_s(value: int, width: int = 0) -> bytes:
    """Return a signed integer in LEB128, in at least `width` bytes."""
    out = bytearray()
    while not -0x40 <= value < 0x40 or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


class _Encoder:
    """One encoding: the bytes so far, and the widths of sizes and padded integers by position."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.out = bytearray()
        self.widths: Mapping[int, int] = module.widths

    def encode(self) -> bytes:
        """Write the whole."""
        self.out += MAGIC + VERSION
        module = self.module
        self.customs(0)
        for section in ORDER:
            if section == TAG:
                continue
            content = getattr(module, _MODULE_FIELDS[section])
            if content is not None and (content != () or section in module.sections):
                self.out.append(section)
                self.sized(partial(self.section, section, content))
                self.customs(section)
        return bytes(self.out)

    def customs(self, after: int) -> None:
        """Write the custom sections that follow a section."""
        for custom in self.module.customs:
            if custom.after == after:
                self.out.append(0)
                self.sized(partial(self.custom, custom))

    def custom(self, custom: Custom) -> None:
        """Write the content of a custom section."""
        self.name(custom.name)
        self.raw(custom.bytes)

    def sized(self, content: Callable[[], object]) -> None:
        """Write content behind its size."""
        start = len(self.out)
        width = self.widths.get(start, 0)
        self.raw(bytes(width))
        content()
        self.out[start : start + width] = leb_u(len(self.out) - start - width, width)

    def raw(self, data: bytes) -> None:
        """Write bytes."""
        self.out += data

    def u(self, value: int) -> None:
        """Write an unsigned integer."""
        self.out += leb_u(value, self.widths.get(len(self.out), 0))

    def s(self, value: int) -> None:
        """Write a signed integer."""
        self.out += leb_s(value, self.widths.get(len(self.out), 0))

    def name(self, name: str) -> None:
        """Write a name."""
        raw = name.encode()
        self.u(len(raw))
        self.raw(raw)

    def vector(self, items: Iterable[T], item: Callable[[T], None]) -> None:
        """Write a vector."""
        items = tuple(items)
        self.u(len(items))
        for each in items:
            item(each)

    def section(self, section: int, content: Any) -> None:
        """Write the content of one section."""
        if section == 3:
            self.vector(content, lambda f: self.u(f.type))
        elif section in (8, DATA_COUNT):
            self.u(content)
        else:
            self.vector(content, _ITEMS[section].__get__(self))

    def functype(self, type_: FuncType) -> None:
        """Write a function type."""
        self.out.append(0x60)
        self.vector(type_.params, self.valtype)
        self.vector(type_.results, self.valtype)

    def valtype(self, type_: ValType) -> None:
        """Write a value type."""
        self.out.append(_BYTE[type_])

    def limits(self, limits: Limits) -> None:
        """Write limits."""
        self.out.append(limits.flags & ~1 | (limits.maximum is not None))
        self.u(limits.minimum)
        if limits.maximum is not None:
            self.u(limits.maximum)

    def table(self, table: TableType) -> None:
        """Write a table type."""
        self.valtype(table.element)
        self.limits(table.limits)

    def memory(self, memory: MemoryType) -> None:
        """Write a memory type."""
        self.limits(memory.limits)

    def globaltype(self, type_: GlobalType) -> None:
        """Write a global's type."""
        self.valtype(type_.value)
        self.out.append(type_.mutable)

    def import_(self, item: Import) -> None:
        """Write an import."""
        self.name(item.module)
        self.name(item.name)
        self.out.append(KINDS.index(item.kind))
        if isinstance(item.type, TableType):
            self.table(item.type)
        elif isinstance(item.type, MemoryType):
            self.memory(item.type)
        elif isinstance(item.type, GlobalType):
            self.globaltype(item.type)
        else:
            self.u(item.type)

    def export(self, item: Export) -> None:
        """Write an export."""
        self.name(item.name)
        self.out.append(KINDS.index(item.kind))
        self.u(item.index)

    def global_(self, item: Global) -> None:
        """Write a global."""
        self.globaltype(item.type)
        self.expr(item.init)

    def element(self, item: Element) -> None:
        """Write an element segment in its own form."""
        self.u(item.flags)
        if item.at is not None:
            if item.flags & 2:
                self.u(item.table)
            self.expr(item.at)
        if item.flags & 3:
            if item.flags & 4:
                self.valtype(item.type)
            else:
                self.out.append(0)
        self.vector(item.items, self.element_item)

    def element_item(self, item: Any) -> None:
        """Write a function index or an expression."""
        if isinstance(item, int):
            self.u(item)
        else:
            self.expr(item)

    def data(self, item: Data) -> None:
        """Write a data segment in its own form."""
        self.u(item.flags)
        if item.flags == 2:
            self.u(item.memory)
        if item.at is not None:
            self.expr(item.at)
        self.u(len(item.bytes))
        self.raw(item.bytes)

    def function(self, function: Function) -> None:
        """Write a function body."""
        self.sized(lambda: self.body(function))

    def body(self, function: Function) -> None:
        """Write runs of locals, then instructions."""
        self.u(len(function.locals))
        for count, type_ in function.locals:
            self.u(count)
            self.valtype(type_)
        self.expr(function.body)

    def expr(self, expr: Expr) -> None:
        """Write instructions."""
        for op, imm, _ in expr:
            self.opcode(op)
            if op.immediate != "-":
                _IMMEDIATES[op.immediate](self, imm)

    def opcode(self, op: Op) -> None:
        """Write an opcode."""
        if op.code > 0xFF:
            self.out.append(op.code >> 16)
            self.u(op.code & 0xFFFF)
        else:
            self.out.append(op.code)

    def block(self, imm: ValType | int | None) -> None:
        """Write a block type."""
        if imm is None:
            self.out.append(0x40)
        elif isinstance(imm, int):
            self.s(imm)
        else:
            self.valtype(imm)

    def labels(self, imm: tuple[int, ...]) -> None:
        """Write the labels of a `br_table`."""
        self.u(len(imm) - 1)
        for label in imm:
            self.u(label)

    def pair(self, imm: tuple[int, int]) -> None:
        """Write two indices."""
        self.u(imm[0])
        self.u(imm[1])


_ITEMS: Final[dict[int, Any]] = {
    1: _Encoder.functype,
    2: _Encoder.import_,
    4: _Encoder.table,
    5: _Encoder.memory,
    6: _Encoder.global_,
    7: _Encoder.export,
    9: _Encoder.element,
    10: _Encoder.function,
    11: _Encoder.data,
}

_IMMEDIATES: Final[dict[str, Callable[[_Encoder, Any], None]]] = {
    **dict.fromkeys(("local", "global", "label", "func", "table", "elem", "memory", "data"), _Encoder.u),
    **dict.fromkeys(("type_table", "elem_table", "table_table", "memory_memory"), _Encoder.pair),
    "data_memory": _Encoder.pair,
    "memarg": lambda e, imm: e.pair(imm[:2]),
    "i32": _Encoder.s,
    "i64": _Encoder.s,
    "f32": _Encoder.raw,
    "f64": _Encoder.raw,
    "block": _Encoder.block,
    "labels": _Encoder.labels,
    "types": lambda e, imm: e.vector(imm, e.valtype),
    "heap": lambda e, imm: e.valtype(imm),
}
