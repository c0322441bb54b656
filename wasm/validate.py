"""Type-checking (specification, chapter 3 and appendix 7.3): `Module` to `ValidModule`.

Covers what the machine runs, and floats, so that a module with float functions can be told from a wrong one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from wasm.errors import Invalid, Unsupported
from wasm.instructions import BY_NAME, Op
from wasm.module import Expr, Function, Module, ValidModule
from wasm.proposals import PROPOSALS, TYPE_CHECKED
from wasm.types import MAX_PAGES, NUMERIC, REFERENCES, FuncType, GlobalType, Limits, MemoryType, TableType, ValType

MAX_LOCALS: Final = 50_000
"""Parameters and locals of a function: a limit of this implementation (appendix 7.2), as browsers have it."""

MAX_VALUES: Final = 1_000
"""Parameters, and results, of a type: the same; without it the time to check a call would grow with the module."""

Operand: TypeAlias = ValType | None
"""The type of an operand; None in unreachable code, where it can be anything."""

_LOCAL_GET: Final = BY_NAME["local.get"]
_CONSTANT: Final = frozenset({"i32.const", "i64.const", "f32.const", "f64.const", "ref.null", "ref.func", "global.get"})


def validate(module: Module) -> ValidModule:
    """Check a module and note each function's greatest operand height; raise `Invalid` or `Unsupported`."""
    for use in module.uses:
        if use.feature not in TYPE_CHECKED:
            raise Unsupported(use.feature, f"{PROPOSALS[use.feature].title}: {use.what}", use.offset, use.function)
    return ValidModule(_Validator(module).module())


class _Frame:
    """An entry of the control stack."""

    __slots__ = ("height", "kind", "label", "results", "type", "unreachable")

    def __init__(self, kind: str, type_: FuncType, height: int) -> None:
        self.kind = kind
        self.type = type_
        self.results: list[ValType] = list(type_.results)
        self.label: list[ValType] = list(type_.params) if kind == "loop" else self.results
        self.height = height
        self.unreachable = False


class _Validator:
    """The index spaces of a module, and the stacks of the function that is being checked."""

    def __init__(self, module: Module) -> None:
        self.source = module
        self.types = module.types
        imported = module.imported
        self.functions: list[int] = module.func_types
        self.tables: list[TableType] = [*imported("table"), *module.tables]
        self.memories: list[MemoryType] = [*imported("memory"), *module.memories]
        self.imported_globals: list[GlobalType] = list(imported("global"))
        self.globals: list[GlobalType] = [*self.imported_globals, *(g.type for g in module.globals)]
        self.declared: set[int] = set()
        self.locals: list[ValType] = []
        self.vals: list[Operand] = []
        self.frames: list[_Frame] = []
        self.at: int | None = None
        self.function: int | None = None

    def fail(self, message: str) -> Invalid:
        """Return the error for the current place."""
        return Invalid(message, self.at, self.function)

    # Module level (3.4)

    def module(self) -> Module:
        """Check everything."""
        module = self.source
        for number, type_ in enumerate(self.types):
            if max(len(type_.params), len(type_.results)) > MAX_VALUES:
                raise self.fail(f"too many parameters or results: type {number}, at most {MAX_VALUES}")
        for index in self.functions:
            self.index("type", index, self.types)
        for table in self.tables:
            self.limits(table.limits, None, "table")
        for memory in self.memories:
            self.limits(memory.limits, MAX_PAGES, "memory")
        if len(self.memories) > 1:
            raise self.fail(f"multiple memories: {len(self.memories)}")
        self.collect_declared()
        for global_ in module.globals:
            self.constant(global_.init, global_.type.value)
        self.exports()
        self.segments()
        if module.start is not None:
            self.at = None
            self.index("function", module.start, self.functions)
            if self.types[self.functions[module.start]] != FuncType():
                raise self.fail(f"start function {module.start} must be of type [] -> []")
        first = len(self.functions) - len(module.functions)
        checked = []
        for number, function in enumerate(module.functions, first):
            self.function = number
            checked.append(replace(function, height=self.body(function)))
        return replace(module, functions=tuple(checked))

    def index(self, what: str, index: int, space: Sequence[Any]) -> None:
        """Check that an index is in its space."""
        if index >= len(space):
            raise self.fail(f"unknown {what} {index}")

    def limits(self, limits: Limits, bound: int | None, what: str) -> None:
        """Check limits (3.2.1)."""
        if limits.maximum is not None and limits.minimum > limits.maximum:
            raise self.fail(f"size minimum must not be greater than maximum: {limits.minimum} > {limits.maximum}")
        if bound is not None and max(limits.minimum, limits.maximum or 0) > bound:
            raise self.fail(f"{what} size must be at most {bound} pages (4GiB)")

    def exports(self) -> None:
        """Check exports: their indices, their names unique."""
        spaces: dict[str, Sequence[Any]] = {
            "func": self.functions,
            "table": self.tables,
            "memory": self.memories,
            "global": self.globals,
        }
        seen = set()
        for export in self.source.exports:
            self.at = export.offset
            self.index("function" if export.kind == "func" else export.kind, export.index, spaces[export.kind])
            if export.name in seen:
                raise self.fail(f'duplicate export name "{export.name}"')
            seen.add(export.name)

    def segments(self) -> None:
        """Check element and data segments."""
        for element in self.source.elements:
            self.at = element.offset
            if element.at is not None:
                self.index("table", element.table, self.tables)
                if self.tables[element.table].element != element.type:
                    raise self.fail(f"type mismatch: segment of {element.type} in another table")
                self.constant(element.at, "i32")
            for item in element.items:
                if isinstance(item, int):
                    self.at = element.offset
                    self.index("function", item, self.functions)
                else:
                    self.constant(item, element.type)
        for data in self.source.data:
            self.at = data.offset
            if data.at is not None:
                self.index("memory", data.memory, self.memories)
                self.constant(data.at, "i32")

    def collect_declared(self) -> None:
        """Collect the functions that `ref.func` may name in bodies: those that occur outside of them."""
        module = self.source
        exprs: list[Expr] = [g.init for g in module.globals]
        for element in module.elements:
            for item in element.items:
                if isinstance(item, int):
                    self.declared.add(item)
                else:
                    exprs.append(item)
        self.declared.update(e.index for e in module.exports if e.kind == "func")
        self.declared.update(imm for expr in exprs for op, imm, _ in expr if op.name == "ref.func")

    def constant(self, expr: Expr, wanted: ValType) -> None:
        """Check a constant expression (3.3.13): it may read imported constants only."""
        for op, imm, at in expr[:-1]:
            self.at = at
            if op.name not in _CONSTANT:
                raise self.fail(f"constant expression required, not {op.name}")
            if op.name == "global.get":
                self.index("global", imm, self.imported_globals)
                if self.imported_globals[imm].mutable:
                    raise self.fail(f"constant expression required: global {imm} is mutable")
        self.code(FuncType((), (wanted,)), expr)

    # Functions (3.4.1)

    def body(self, function: Function) -> int:
        """Check a function; return its greatest operand height."""
        self.at = function.offset
        type_ = self.types[function.type]
        total = len(type_.params) + function.local_count
        if total > MAX_LOCALS:
            raise self.fail(f"too many locals: {total}, at most {MAX_LOCALS}")
        self.locals = list(type_.params)
        for count, local in function.locals:
            self.locals += [local] * count
        return self.code(FuncType((), type_.results), function.body)

    def code(self, type_: FuncType, expr: Expr) -> int:
        """Check a sequence of instructions; return the greatest operand height."""
        vals: list[Operand] = []
        frame = _Frame("func", type_, 0)
        self.vals = vals
        self.frames = [frame]
        locals_ = self.locals
        memory_forms = _MEMORY_FORMS
        top = 0
        for op, imm, at in expr:
            self.at = at
            params = op.params
            if op is _LOCAL_GET:
                if imm >= len(locals_):
                    raise self.fail(f"unknown local {imm}")
                vals.append(locals_[imm])
            elif params is not None:
                if count := len(params):
                    frame = self.frames[-1]
                    if len(vals) - count >= frame.height and vals[-count:] == params:
                        del vals[-count:]
                    else:
                        self.pops(params)
                if op.immediate in memory_forms:
                    self.memory_access(op, imm)
                vals += op.results or ()
            else:
                _RULES[op.name](self, imm)
            top = max(top, len(vals))
        return top

    # Operand and control stacks (7.3.1)

    def pop(self) -> Operand:
        """Pop an operand of any type."""
        frame = self.frames[-1]
        if len(self.vals) == frame.height:
            if frame.unreachable:
                return None
            raise self.fail("type mismatch: an operand is missing")
        return self.vals.pop()

    def pop_of(self, wanted: Operand) -> Operand:
        """Pop an operand of the type wanted."""
        found = self.pop()
        if found is not None and wanted is not None and found != wanted:
            raise self.fail(f"type mismatch: {wanted} wanted, {found} found")
        return found

    def pops(self, wanted: Sequence[Operand]) -> list[Operand]:
        """Pop operands of the types wanted, the last first; return them in order."""
        vals, frame = self.vals, self.frames[-1]
        start = len(vals) - len(wanted)
        missing = max(frame.height - start, 0) if frame.unreachable else 0
        if start >= frame.height and vals[start:] == [*wanted]:
            del vals[start:]
            return [*wanted]
        return [None] * missing + [self.pop_of(type_) for type_ in reversed(wanted[missing:])][::-1]

    def push_frame(self, kind: str, type_: FuncType) -> None:
        """Open a block."""
        self.pops(type_.params)
        self.frames.append(_Frame(kind, type_, len(self.vals)))
        self.vals += type_.params

    def pop_frame(self) -> _Frame:
        """Close a block."""
        frame = self.frames[-1]
        self.pops(frame.results)
        if len(self.vals) != frame.height:
            raise self.fail(f"type mismatch: {len(self.vals) - frame.height} values remain at the end of a block")
        return self.frames.pop()

    def set_unreachable(self) -> None:
        """Note that what follows in this block cannot be reached."""
        frame = self.frames[-1]
        del self.vals[frame.height :]
        frame.unreachable = True

    def label(self, depth: int) -> list[ValType]:
        """Return the operand types of a branch target."""
        if depth >= len(self.frames):
            raise self.fail(f"unknown label {depth}")
        return self.frames[-1 - depth].label

    def block_type(self, imm: ValType | int | None) -> FuncType:
        """Return the type of a block."""
        if isinstance(imm, int):
            self.index("type", imm, self.types)
            return self.types[imm]
        return FuncType((), () if imm is None else (imm,))

    # Instructions with a rule of their own (3.3)

    def memory_access(self, op: Op, imm: Any) -> None:
        """Check that there is a memory, the alignment of an access, and that a data segment exists."""
        self.index("memory", 0, self.memories)
        if op.immediate == "memarg":
            if 1 << imm[0] > op.width:
                raise self.fail("alignment must not be larger than natural")
        elif op.immediate == "data_memory":
            self.data_drop(imm[0])

    def block(self, imm: ValType | int | None) -> None:
        """`block`."""
        self.push_frame("block", self.block_type(imm))

    def loop(self, imm: ValType | int | None) -> None:
        """`loop`."""
        self.push_frame("loop", self.block_type(imm))

    def if_(self, imm: ValType | int | None) -> None:
        """`if`."""
        self.pop_of("i32")
        self.push_frame("if", self.block_type(imm))

    def else_(self, _: None) -> None:
        """`else`."""
        frame = self.pop_frame()
        if frame.kind != "if":
            raise self.fail("else without if")
        self.frames.append(_Frame("else", frame.type, frame.height))
        self.vals += frame.type.params

    def end(self, _: None) -> None:
        """`end`; an `if` without `else` must leave what it took."""
        frame = self.pop_frame()
        if frame.kind == "if" and frame.type.params != frame.type.results:
            raise self.fail("type mismatch: if without else")
        self.vals += frame.results

    def unreachable(self, _: None) -> None:
        """`unreachable`."""
        self.set_unreachable()

    def br(self, depth: int) -> None:
        """`br`."""
        self.pops(self.label(depth))
        self.set_unreachable()

    def br_if(self, depth: int) -> None:
        """`br_if`."""
        self.pop_of("i32")
        types = self.label(depth)
        self.pops(types)
        self.vals += types

    def br_table(self, labels: tuple[int, ...]) -> None:
        """`br_table`; every target takes as many operands as the default, of fitting types."""
        self.pop_of("i32")
        default = self.label(labels[-1])
        for types in {tuple(self.label(depth)) for depth in labels[:-1]}:
            if len(types) != len(default):
                raise self.fail("type mismatch: targets of br_table take different numbers of operands")
            self.vals += self.pops(types)
        self.pops(default)
        self.set_unreachable()

    def return_(self, _: None) -> None:
        """`return`."""
        self.pops(self.frames[0].results)
        self.set_unreachable()

    def call(self, function: int) -> None:
        """`call`."""
        self.index("function", function, self.functions)
        self.apply(self.types[self.functions[function]])

    def apply(self, type_: FuncType) -> None:
        """Take the parameters, give the results."""
        self.pops(type_.params)
        self.vals += type_.results

    def call_indirect(self, imm: tuple[int, int]) -> None:
        """`call_indirect`."""
        type_, table = imm
        self.index("table", table, self.tables)
        if self.tables[table].element != "funcref":
            raise self.fail("type mismatch: an indirect call needs a table of funcref")
        self.index("type", type_, self.types)
        self.pop_of("i32")
        self.apply(self.types[type_])

    def drop(self, _: None) -> None:
        """`drop`."""
        self.pop()

    def select(self, _: None) -> None:
        """`select` without a type: two numbers of one type."""
        self.pop_of("i32")
        one, two = self.pop(), self.pop()
        if not {one, two} - {None} <= NUMERIC or (one and two and one != two):
            raise self.fail(f"type mismatch: select of {one} and {two}")
        self.vals.append(one or two)

    def select_t(self, types: tuple[ValType, ...]) -> None:
        """`select` with a type."""
        if len(types) != 1:
            raise self.fail("invalid result arity")
        self.pop_of("i32")
        self.pops([*types, *types])
        self.vals += types

    def local_type(self, local: int) -> ValType:
        """Return the type of a local."""
        self.index("local", local, self.locals)
        return self.locals[local]

    def local_set(self, local: int) -> None:
        """`local.set`."""
        self.pop_of(self.local_type(local))

    def local_tee(self, local: int) -> None:
        """`local.tee`."""
        type_ = self.local_type(local)
        self.pop_of(type_)
        self.vals.append(type_)

    def global_get(self, index: int) -> None:
        """`global.get`."""
        self.index("global", index, self.globals)
        self.vals.append(self.globals[index].value)

    def global_set(self, index: int) -> None:
        """`global.set`."""
        self.index("global", index, self.globals)
        if not self.globals[index].mutable:
            raise self.fail(f"global is immutable: {index}")
        self.pop_of(self.globals[index].value)

    def data_drop(self, index: int) -> None:
        """`data.drop`."""
        if index >= (self.source.data_count or 0):
            raise self.fail(f"unknown data segment {index}")

    def elem_drop(self, index: int) -> None:
        """`elem.drop`."""
        self.index("elem segment", index, self.source.elements)

    def table_init(self, imm: tuple[int, int]) -> None:
        """`table.init`."""
        segment, table = imm
        self.index("table", table, self.tables)
        self.elem_drop(segment)
        if self.source.elements[segment].type != self.tables[table].element:
            raise self.fail("type mismatch: segment and table hold different references")
        self.pops(["i32", "i32", "i32"])

    def table_copy(self, imm: tuple[int, int]) -> None:
        """`table.copy`."""
        for table in imm:
            self.index("table", table, self.tables)
        if self.tables[imm[0]].element != self.tables[imm[1]].element:
            raise self.fail("type mismatch: the tables hold different references")
        self.pops(["i32", "i32", "i32"])

    def table_op(self, params: Iterable[ValType | str], results: Iterable[ValType | str]) -> Callable[[int], None]:
        """Return the rule of an instruction on one table, `ref` standing for the table's references."""

        def rule(table: int) -> None:
            self.index("table", table, self.tables)
            element = self.tables[table].element
            self.pops([element if p == "ref" else p for p in params])  # type: ignore[misc]  # names of types
            self.vals += [element if r == "ref" else r for r in results]  # type: ignore[misc]  # the same

        return rule

    def ref_null(self, heap: ValType) -> None:
        """`ref.null`."""
        self.vals.append(heap)

    def ref_is_null(self, _: None) -> None:
        """`ref.is_null`."""
        type_ = self.pop()
        if type_ is not None and type_ not in REFERENCES:
            raise self.fail(f"type mismatch: a reference wanted, {type_} found")
        self.vals.append("i32")

    def ref_func(self, function: int) -> None:
        """`ref.func`; in a body only of a function that occurs outside of bodies too."""
        self.index("function", function, self.functions)
        if self.function is not None and function not in self.declared:
            raise self.fail(f"undeclared function reference {function}")
        self.vals.append("funcref")


_MEMORY_FORMS: Final = frozenset({"memarg", "memory", "memory_memory", "data_memory"})

_RULES: Final[dict[str, Callable[[_Validator, Any], None]]] = {
    "block": _Validator.block,
    "loop": _Validator.loop,
    "if": _Validator.if_,
    "else": _Validator.else_,
    "end": _Validator.end,
    "unreachable": _Validator.unreachable,
    "br": _Validator.br,
    "br_if": _Validator.br_if,
    "br_table": _Validator.br_table,
    "return": _Validator.return_,
    "call": _Validator.call,
    "call_indirect": _Validator.call_indirect,
    "drop": _Validator.drop,
    "select": _Validator.select,
    "select_t": _Validator.select_t,
    "local.set": _Validator.local_set,
    "local.tee": _Validator.local_tee,
    "global.get": _Validator.global_get,
    "global.set": _Validator.global_set,
    "data.drop": _Validator.data_drop,
    "elem.drop": _Validator.elem_drop,
    "table.init": _Validator.table_init,
    "table.copy": _Validator.table_copy,
    "table.get": lambda v, imm: v.table_op(["i32"], ["ref"])(imm),
    "table.set": lambda v, imm: v.table_op(["i32", "ref"], [])(imm),
    "table.size": lambda v, imm: v.table_op([], ["i32"])(imm),
    "table.grow": lambda v, imm: v.table_op(["ref", "i32"], ["i32"])(imm),
    "table.fill": lambda v, imm: v.table_op(["i32", "ref", "i32"], [])(imm),
    "ref.null": _Validator.ref_null,
    "ref.is_null": _Validator.ref_is_null,
    "ref.func": _Validator.ref_func,
}
