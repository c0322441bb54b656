"""Bytes to `Module` (specification, chapter 5).

Everything that any proposal defines is decoded, so that it can be named: each use of something beyond the integer MVP
is listed in `Module.uses`, and the caller judges. Only what nobody defines is malformed. Decoding is iterative, linear
in the size of the module, and allocates nothing whose length was not checked against the bytes that remain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from wasm.binary import (
    ELEMENT_PROPOSAL,
    EXTENDED_CONST,
    FORMS,
    KINDS,
    MAGIC,
    ORDER,
    SECTIONS,
    TYPES,
    VERSION,
)
from wasm.errors import Malformed, Unsupported
from wasm.instructions import BY_CODE, ONE_BYTE, PREFIXES, UNLISTED, Op
from wasm.module import (
    Custom,
    Data,
    Element,
    Export,
    Expr,
    ExternKind,
    ExternType,
    Function,
    Global,
    Import,
    Instr,
    Module,
    Use,
)
from wasm.names import function_names
from wasm.proposals import PROPOSALS
from wasm.reader import Reader
from wasm.types import FuncType, GlobalType, Limits, MemoryType, TableType, ValType

T = TypeVar("T")


def decode(data: bytes, *, keep_customs: bool = False) -> Module:
    """Decode a module.

    Custom sections are kept only where asked; the function names of the name section are always read, leniently.
    Raise `Malformed` for bytes that are no module, `Unsupported` for one whose rest cannot be read because a proposal
    known by number only stands in the way.
    """
    return _Decoder(data, keep_customs=keep_customs).module()


class _Decoder:
    """One decoding: the parts found so far."""

    def __init__(self, data: bytes, *, keep_customs: bool) -> None:
        self.data = bytes(data)
        self.keep_customs = keep_customs
        self.uses: list[Use] = []
        self.widths: dict[int, int] = {}
        self.parts: dict[str, Any] = {}
        self.customs: list[Custom] = []
        self.customs_kept = True
        self.names: dict[int, str] = {}
        self.type_indices: tuple[int, ...] = ()
        self.imported_functions = 0
        self.memory64 = False
        self.function: int | None = None

    def use(self, proposal: str, what: str, offset: int) -> None:
        """Record a use of something beyond the integer MVP."""
        self.uses.append(Use(proposal, what, offset, self.function))

    def unsupported(self, proposal: str, what: str, offset: int) -> Unsupported:
        """Return the error for something whose rest cannot be read."""
        return Unsupported(proposal, f"{PROPOSALS[proposal].title}: {what}", offset, self.function)

    def module(self) -> Module:
        """Decode the whole."""
        data = self.data
        if data[:4] != MAGIC:
            raise Malformed("magic header not detected: a module begins with 00 61 73 6d", 0)
        if data[6:8] == b"\1\0":
            raise self.unsupported("component-model", "a component, not a module", 4)
        if data[4:8] != VERSION:
            raise Malformed(f"unknown binary version {data[4:8].hex(' ') or '(none)'}", 4)
        reader = Reader(data, 0, self.widths)
        reader.pos = 8
        last = -1
        present: list[int] = []
        while reader.left:
            at = reader.offset
            section = reader.byte()
            if section and section not in SECTIONS:
                raise Malformed(f"malformed section id {section}", at)
            content = reader.sized()
            if section == 0:
                self.custom(content, present[-1] if present else 0)
                continue
            order = ORDER.index(section)
            if order <= last:
                raise Malformed(f"unexpected content after last section: {SECTIONS[section]} section out of order", at)
            last = order
            present.append(section)
            getattr(self, "section_" + SECTIONS[section].replace(" ", "_"))(content)
            content.finish(f"the {SECTIONS[section]} section")
        if len(self.type_indices) != len(self.parts.get("functions", ())):
            raise Malformed("function and code section have inconsistent lengths", len(data))
        count = self.parts.get("data_count")
        if count is not None and count != len(self.parts.get("data", ())):
            raise Malformed("data count and data section have inconsistent lengths", len(data))
        return Module(
            **self.parts,
            customs=tuple(self.customs),
            uses=tuple(self.uses),
            sections=frozenset(present),
            widths=self.widths if self.customs_kept else {},
            names=self.names,
        )

    # Sections: chapter 5.5

    def custom(self, r: Reader, after: int) -> None:
        """Read a custom section; what follows its name cannot be wrong."""
        name = r.name()
        content = r.take(r.left)
        if name == "name":
            self.names = function_names(content)
        if self.keep_customs:
            self.customs.append(Custom(name, content, after))
        else:
            self.customs_kept = False  # what follows will stand elsewhere, so offsets say nothing

    def vector(self, r: Reader, item: Callable[[Reader], T]) -> tuple[T, ...]:
        """Read a vector of items."""
        return tuple(item(r) for _ in range(r.count()))

    def section_type(self, r: Reader) -> None:
        """Read the types; a recursive group counts as its members."""
        types: list[FuncType] = []
        pending = r.count()
        while pending:
            pending -= 1
            at = r.offset
            form = r.byte()
            if form == 0x60:
                types.append(FuncType(self.vector(r, self.valtype), self.vector(r, self.valtype)))
                if len(types[-1].results) > 1:
                    self.use("multi-value", f"type {len(types) - 1} with {len(types[-1].results)} results", at)
            elif form in FORMS:
                name, proposal = FORMS[form]
                self.use(proposal, f"{name} type", at)
                pending += self.composite(r, form)
                if form in (0x5F, 0x5E, 0x5D):
                    types.append(FuncType())
            else:
                raise Malformed(f"malformed form {form:#x} of type {len(types)}", at)
        self.parts["types"] = tuple(types)

    def composite(self, r: Reader, form: int) -> int:
        """Skip the rest of a type that is not a function's; return how many type definitions follow inside."""
        if form == 0x5F:
            self.vector(r, self.field)
        elif form == 0x5E:
            self.field(r)
        elif form in (0x50, 0x4F):
            self.vector(r, Reader.u32)
            return 1
        elif form == 0x4E:
            return r.count()
        elif form == 0x5D:
            r.s33()
        elif form in (0x4D, 0x4C):
            r.u32()
            return 1
        else:
            return 1
        return 0

    def field(self, r: Reader) -> None:
        """Skip a field of a structure or array: packed or value type, mutability."""
        if r.peek() in (0x78, 0x77):
            r.byte()
        else:
            self.valtype(r)
        self.flag(r)

    def section_import(self, r: Reader) -> None:
        """Read the imports."""
        imports: list[Import] = []
        for _ in range(r.count()):
            at = r.offset
            module, name = r.name(), r.name()
            if not name and r.peek() in (0x7F, 0x7E):
                raise self.unsupported("compact-imports", "import group", r.offset)
            kind, type_ = self.extern(r)
            imports.append(Import(module, name, kind, type_, at))
        self.parts["imports"] = tuple(imports)
        self.imported_functions = sum(i.kind == "func" for i in imports)

    def extern(self, r: Reader) -> tuple[ExternKind, ExternType]:
        """Read the kind and type of an import."""
        at = r.offset
        kind = r.byte()
        if kind == 0:
            return "func", r.u32()
        if kind == 1:
            return "table", self.table_type(r)
        if kind == 2:
            return "memory", self.memory_type(r)
        if kind == 3:
            type_ = self.global_type(r)
            if type_.mutable:
                self.use("mutable-globals", "import of a mutable global", at)
            return "global", type_
        if kind == 4:
            self.use("exceptions", "import of a tag", at)
            return "tag", self.tag(r)
        raise Malformed(f"malformed import kind {kind}", at)

    def section_function(self, r: Reader) -> None:
        """Read the type index of each function."""
        self.type_indices = self.vector(r, Reader.u32)

    def section_table(self, r: Reader) -> None:
        """Read the tables."""
        self.parts["tables"] = self.vector(r, self.table)

    def table(self, r: Reader) -> TableType:
        """Read a table, which may have an initial value."""
        at = r.offset
        if r.peek() == 0x40:
            r.take(2)
            self.use("function-references", "table with an initial value", at)
            type_ = self.table_type(r)
            self.constant(r)
            return type_
        return self.table_type(r)

    def section_memory(self, r: Reader) -> None:
        """Read the memories."""
        self.parts["memories"] = self.vector(r, self.memory_type)

    def section_tag(self, r: Reader) -> None:
        """Skip the tags of exception handling."""
        self.use("exceptions", "tag section", r.offset)
        self.vector(r, self.tag)

    def tag(self, r: Reader) -> int:
        """Read a tag's attribute and type index."""
        r.byte()
        return r.u32()

    def section_global(self, r: Reader) -> None:
        """Read the globals."""
        self.parts["globals"] = self.vector(r, self.global_)

    def global_(self, r: Reader) -> Global:
        """Read a global and its initial value."""
        at = r.offset
        return Global(self.global_type(r), self.constant(r), at)

    def section_export(self, r: Reader) -> None:
        """Read the exports."""
        self.parts["exports"] = self.vector(r, self.export)

    def export(self, r: Reader) -> Export:
        """Read an export."""
        at = r.offset
        name = r.name()
        kind = r.byte()
        if kind >= len(KINDS):
            raise Malformed(f"malformed export kind {kind}", r.offset - 1)
        if kind == 4:
            self.use("exceptions", f'export of a tag "{name}"', at)
        return Export(name, KINDS[kind], r.u32(), at)

    def section_start(self, r: Reader) -> None:
        """Read the index of the start function."""
        self.parts["start"] = r.u32()

    def section_element(self, r: Reader) -> None:
        """Read the element segments."""
        self.parts["elements"] = self.vector(r, self.element)

    def element(self, r: Reader) -> Element:
        """Read an element segment in any of its eight forms."""
        offset = r.offset
        flags = r.u32()
        if flags > 7:
            raise Malformed(f"malformed elements segment kind {flags}", offset)
        if flags:
            self.use(ELEMENT_PROPOSAL[flags], f"element segment of form {flags}", offset)
        active = not flags & 1
        table = r.u32() if flags & 2 and active else 0
        at = self.constant(r) if active else None
        type_: ValType = "funcref"
        if flags & 3:
            if flags & 4:
                type_ = self.reftype(r)
            elif (kind := r.byte()) != 0:
                raise Malformed(f"malformed element kind {kind}", r.offset - 1)
        items = self.vector(r, self.constant if flags & 4 else Reader.u32)
        return Element(flags, type_, cast("tuple[int, ...] | tuple[Expr, ...]", items), table, at, offset)

    def section_data_count(self, r: Reader) -> None:
        """Read the number of data segments, which is there to be known before the code."""
        self.parts["data_count"] = r.u32()

    def section_code(self, r: Reader) -> None:
        """Read the function bodies."""
        count = r.count()
        if count != len(self.type_indices):
            raise Malformed("function and code section have inconsistent lengths", r.offset)
        functions = []
        for number, type_ in enumerate(self.type_indices, self.imported_functions):
            self.function = number
            at = r.offset
            body = r.sized()
            functions.append(self.body(body, type_, at))
        self.function = None
        self.parts["functions"] = tuple(functions)

    def body(self, r: Reader, type_: int, at: int) -> Function:
        """Read one function body: runs of locals, then instructions."""
        size = r.left
        runs = []
        total = 0
        for _ in range(r.count()):
            count = r.u32()
            total += count
            if total > 0xFFFF_FFFF:
                raise Malformed("too many locals", r.offset, self.function)
            runs.append((count, self.valtype(r)))
        code = self.expr(r)
        r.finish(f"function {self.function}")
        return Function(type_, tuple(runs), code, at, size)

    def section_data(self, r: Reader) -> None:
        """Read the data segments."""
        self.parts["data"] = self.vector(r, self.segment)

    def segment(self, r: Reader) -> Data:
        """Read a data segment in any of its three forms."""
        offset = r.offset
        flags = r.u32()
        if flags > 2:
            raise Malformed(f"malformed data segment kind {flags}", offset)
        if flags:
            self.use("bulk-memory", f"data segment of form {flags}", offset)
        memory = r.u32() if flags == 2 else 0
        at = self.constant(r) if flags != 1 else None
        return Data(flags, r.take(r.count()), memory, at, offset)

    # Types: chapter 5.3

    def valtype(self, r: Reader) -> ValType:
        """Read a value type."""
        at = r.offset
        byte = r.byte()
        row = TYPES.get(byte)
        if row is None:
            raise Malformed(f"malformed value type {byte:#x}", at)
        name, type_, proposal = row
        if proposal != "mvp":
            self.use(proposal, f"type {name}", at)
        if byte in (0x63, 0x64):
            self.heap(r)
        return type_

    def heap(self, r: Reader) -> int | str:
        """Read a heap type: an index, or one of the abstract ones by name."""
        at = r.offset
        if r.peek() in (0x62, 0x65):
            exact = r.byte() == 0x62
            self.use("custom-descriptors" if exact else "shared-everything-threads", "heap type", at)
        name, type_, proposal = TYPES.get(r.peek(), ("", "other", "mvp"))
        if proposal not in ("mvp", "floating-point", "simd", "function-references"):
            r.byte()
            if proposal != "reference-types":
                self.use(proposal, f"heap type of {name}", at)
            return type_
        index = r.s33()
        if index < 0:
            raise Malformed(f"malformed heap type {index}", at)
        self.use("function-references", f"heap type {index}", at)
        return index

    def reftype(self, r: Reader) -> ValType:
        """Read the element type of a table: `funcref` is part of the MVP here."""
        if r.peek() == 0x70:
            r.byte()
            return "funcref"
        at = r.offset
        type_ = self.valtype(r)
        if type_ in ("i32", "i64", "f32", "f64", "v128"):
            raise Malformed(f"malformed reference type {type_}", at)
        return type_

    def table_type(self, r: Reader) -> TableType:
        """Read a table's element type and limits."""
        return TableType(self.reftype(r), self.limits(r, memory=False))

    def memory_type(self, r: Reader) -> MemoryType:
        """Read a memory's limits."""
        return MemoryType(self.limits(r, memory=True))

    def limits(self, r: Reader, *, memory: bool) -> Limits:
        """Read limits: bit 0 has a maximum, 1 shared, 2 64-bit, 3 page size."""
        at = r.offset
        flags = r.byte()
        if flags > (0x0F if memory else 0x07):
            raise Malformed(f"malformed limits flags {flags:#x}", at)
        if flags & 2:
            self.use("threads" if memory else "shared-everything-threads", "shared memory" if memory else "table", at)
        if flags & 4:
            self.use("memory64", "64-bit memory" if memory else "64-bit table", at)
            self.memory64 |= memory
        if flags & 8:
            self.use("custom-page-sizes", "memory", at)
        read = r.u64 if flags & 4 else r.u32
        limits = Limits(read(), read() if flags & 1 else None, flags)
        if flags & 8:
            r.u32()
        return limits

    def global_type(self, r: Reader) -> GlobalType:
        """Read a global's type and mutability."""
        return GlobalType(self.valtype(r), self.flag(r))

    def flag(self, r: Reader) -> bool:
        """Read a mutability."""
        at = r.offset
        byte = r.byte()
        if byte & 2:
            self.use("shared-everything-threads", "shared global", at)
            byte &= 1
        if byte > 1:
            raise Malformed(f"malformed mutability {byte}", at)
        return bool(byte)

    # Instructions: chapter 5.4

    def constant(self, r: Reader) -> Expr:
        """Read a constant expression."""
        expr = self.expr(r)
        for op, _, at in expr:
            if op.name in EXTENDED_CONST:
                self.use("extended-const", op.name, at)
        return expr

    def expr(self, r: Reader) -> Expr:
        """Read instructions up to the `end` that closes them."""
        data, base, pos = r.data, r.base, r.pos
        rows, immediates, new = ONE_BYTE, _IMMEDIATES, tuple.__new__
        code: list[Instr] = []
        append = code.append
        depth = 1
        try:
            while depth:
                at = pos
                op = rows[data[pos]]
                pos += 1
                if op is None:
                    r.pos = at
                    op = self.opcode(r)
                    pos = r.pos
                form = op.immediate
                if form == "-":
                    imm = None
                    name = op.name
                    if name == "end":
                        depth -= 1
                elif data[pos] < 0x40 and form in _SMALL:
                    imm = data[pos]
                    pos += 1
                else:
                    r.pos = pos
                    imm = immediates[form](self, r, op)
                    pos = r.pos
                    if form in _OPENS:
                        depth += 1
                if op.proposal != "mvp":
                    self.use(op.proposal, op.name, base + at)
                    depth -= op.name == "delegate"
                append(new(Instr, (op, imm, base + at)))
        except IndexError:
            raise Malformed("unexpected end of code: END opcode expected", base + pos, self.function) from None
        r.pos = pos
        return tuple(code)

    def opcode(self, r: Reader) -> Op:
        """Read an opcode that is not one known byte: prefixed, known by number only, or of nobody."""
        at = r.offset
        prefix = r.byte()
        if prefix not in PREFIXES:
            raise Malformed(f"illegal opcode {prefix:#x}", at, self.function)
        sub = r.u32()
        op = BY_CODE.get(prefix << 16 | sub)
        if op is not None:
            return op
        for known, first, last, proposal in UNLISTED:
            if prefix == known and first <= sub <= last:
                raise self.unsupported(proposal, f"instruction {prefix:#x} {sub:#x}", at)
        raise Malformed(f"illegal opcode {prefix:#x} {sub:#x}", at, self.function)

    def imm_block(self, r: Reader, _op: Op) -> ValType | int | None:
        """Read a block type: None for no values, a type for one result, or the index of a function type."""
        at = r.offset
        byte = r.peek()
        if byte == 0x40:
            r.pos += 1
            return None
        if byte in TYPES:
            return self.valtype(r)
        index = r.s33()
        if index < 0:
            raise Malformed(f"malformed block type {index}", at, self.function)
        self.use("multi-value", f"block of type {index}", at)
        return index

    def imm_labels(self, r: Reader, _op: Op) -> tuple[int, ...]:
        """Read the labels of a `br_table`, the default last."""
        return tuple([r.u32() for _ in range(r.count() + 1)])

    def imm_call_indirect(self, r: Reader, op: Op) -> tuple[int, int]:
        """Read type and table of an indirect call; the table index may be padded."""
        type_ = r.u32()
        at = r.offset
        table = r.u32()
        if table:
            self.use("reference-types", f"{op.name} through table {table}", at)
        return type_, table

    def imm_memarg(self, r: Reader, op: Op) -> tuple[int, int, int]:
        """Read alignment (its logarithm), offset and memory of an access."""
        at = r.offset
        align = r.u32()
        if align > 0x7F:
            raise Malformed("malformed memop flags", at, self.function)
        memory = 0
        if align & 0x40:
            memory = r.u32()
            self.use("multi-memory", f"{op.name} of memory {memory}", at)
        return align & 0x3F, r.u64() if self.memory64 else r.u32(), memory

    def imm_memory(self, r: Reader, op: Op) -> int:
        """Read a memory index: a zero byte, unless there are several memories."""
        at = r.offset
        if r.peek() == 0:
            r.pos += 1
            return 0
        memory = r.u32()
        if memory == 0:
            raise Malformed("zero byte expected", at, self.function)
        self.use("multi-memory", f"{op.name} of memory {memory}", at)
        return memory

    def imm_data(self, r: Reader, op: Op) -> int:
        """Read the index of a data segment; their number must be known by now."""
        if "data_count" not in self.parts:
            raise Malformed(f"data count section required by {op.name}", r.offset, self.function)
        return r.u32()

    def imm_handlers(self, r: Reader, _op: Op) -> tuple[int, ...]:
        """Skip the type and handlers of a `resume`."""
        type_ = r.u32()
        for _ in range(r.count()):
            if r.byte() == 0:
                r.u32()
            r.u32()
        return (type_,)

    def imm_try_table(self, r: Reader, op: Op) -> ValType | int | None:
        """Read a block type and skip the catch clauses."""
        block = self.imm_block(r, op)
        for _ in range(r.count()):
            if r.byte() < 2:
                r.u32()
            r.u32()
        return block

    def imm_types(self, r: Reader, _op: Op) -> tuple[ValType, ...]:
        """Read the types of a typed `select`."""
        return self.vector(r, self.valtype)

    def imm_cast(self, r: Reader, _op: Op) -> tuple[int, int]:
        """Read a cast's flags and label, and skip its two heap types."""
        flags, label = r.byte(), r.u32()
        self.heap(r)
        self.heap(r)
        return flags, label


_OPENS: Final = frozenset({"block", "try_table"})
_SMALL: Final = frozenset({"local", "global", "label", "func", "i32", "i64", "table", "elem", "type", "tag"})


def _u32(_: _Decoder, r: Reader, _op: Op) -> int:
    return r.u32()


_IMMEDIATES: Final[dict[str, Callable[[_Decoder, Reader, Op], Any]]] = {
    **dict.fromkeys(_SMALL - {"i32", "i64"}, _u32),
    "i32": lambda _, r, _op: r.s32(),
    "i64": lambda _, r, _op: r.s64(),
    "f32": lambda _, r, _op: r.take(4),
    "f64": lambda _, r, _op: r.take(8),
    "bytes": lambda _, r, op: r.take(op.width),
    "block": _Decoder.imm_block,
    "try_table": _Decoder.imm_try_table,
    "labels": _Decoder.imm_labels,
    "type_table": _Decoder.imm_call_indirect,
    "memarg": _Decoder.imm_memarg,
    "memarg_lane": lambda d, r, op: (d.imm_memarg(r, op), r.byte()),
    "memory": _Decoder.imm_memory,
    "memory_memory": lambda d, r, op: (d.imm_memory(r, op), d.imm_memory(r, op)),
    "data": _Decoder.imm_data,
    "data_memory": lambda d, r, op: (d.imm_data(r, op), d.imm_memory(r, op)),
    "elem_table": lambda _, r, _op: (r.u32(), r.u32()),
    "table_table": lambda _, r, _op: (r.u32(), r.u32()),
    "types": _Decoder.imm_types,
    "heap": lambda d, r, _op: d.heap(r),
    "type_index": lambda _, r, _op: (r.u32(), r.u32()),
    "type_type": lambda _, r, _op: (r.u32(), r.u32()),
    "type_tag": lambda _, r, _op: (r.u32(), r.u32()),
    "handlers": _Decoder.imm_handlers,
    "tag_handlers": lambda d, r, op: (r.u32(), d.imm_handlers(r, op)),
    "cast": _Decoder.imm_cast,
}
