"""From a module with charges to WebAssembly that counts in registers.

Every function takes two more parameters, the gas and the stack left (both i64), and gives one more result, the gas
left. So the counters live where the optimiser wants them, a call passes them on, and nothing is written to memory on
the way. Each charge compares before it subtracts; a counter that is too small ends the run at one of two exits of the
function, which note why in a global. Imported functions get the same form, and the host sees the gas as an argument.

The rewritten module has more types, one i32 global (`STATUS`) and, where it grows memory, one function; all old indices
stay valid. A start function becomes the export `START`, to be called when the counters are known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from wasm.inserting import assembled, operand_price
from wasm.instructions import BY_NAME, CHARGE, CHARGE_OPERAND
from wasm.module import Export, Expr, Function, Global, Import, Instr, Module
from wasm.types import MAX_PAGES, FuncType, GlobalType, ValType

VERSION: Final = 1
"""Version of the form described above; part of the key of everything cached."""

STATUS: Final = "ewasm:status"
START: Final = "ewasm:start"

RUNNING, OUT_OF_GAS, STACK_OVERFLOW, GROW_FAILED, UNDEFINED_ELEMENT = range(5)
"""What the global `STATUS` says."""

COUNTERS: Final[tuple[ValType, ValType]] = ("i64", "i64")


def extended(type_: FuncType) -> FuncType:
    """Return a function's type with the counters: gas and stack in, gas out."""
    return FuncType((*type_.params, *COUNTERS), (*type_.results, "i64"))


def emit(module: Module) -> Module:
    """Rewrite a module; what the counters weigh and cost is unchanged."""
    return _Emission(module).module()


def accesses_tables(module: Module) -> bool:
    """Tell whether a module has table instructions: the library has one trap for them and for indirect calls."""
    return any(op.name in _TABLE_ACCESS for function in module.functions for op, _, _ in function.body)


_TABLE_ACCESS: Final = frozenset({"table.get", "table.set", "table.init", "table.copy", "table.fill"})


class _Emission:
    """The indices of what is added."""

    def __init__(self, module: Module) -> None:
        self.source = module
        self.types = [*module.types, *map(extended, module.types)]
        self.shift = len(module.types)
        self.func_types = module.func_types
        self.status = len(module.imported("global")) + len(module.globals)
        self.grow = len(self.func_types)
        self.grows = False
        # An imported memory has a maximum of its own, so that -1 may be right.
        maximum = module.memories[0].limits.maximum if module.memories else 0
        self.max_pages = MAX_PAGES if maximum is None else maximum
        self.tell_undefined = accesses_tables(module)

    def module(self) -> Module:
        """Rewrite everything."""
        module = self.source
        functions = [self.function(f) for f in module.functions]
        exports = [*module.exports, Export(STATUS, "global", self.status)]
        if module.start is not None:
            exports.append(Export(START, "func", module.start))
        if self.grows:
            functions.append(self.grow_function())
        status = Global(GlobalType("i32", mutable=True), tuple(assembled(("i32.const", RUNNING), "end")))
        return replace(
            module,
            types=tuple(self.types),
            imports=tuple(self.imported(i) for i in module.imports),
            functions=tuple(functions),
            globals=(*module.globals, status),
            exports=tuple(exports),
            start=None,
            widths={},
            customs=(),
        )

    def imported(self, item: Import) -> Import:
        """Give an imported function the counters."""
        if item.kind != "func":
            return item
        assert isinstance(item.type, int)
        return replace(item, type=item.type + self.shift)

    def type_index(self, type_: FuncType) -> int:
        """Return the index of a type, added if need be."""
        if type_ not in self.types:
            self.types.append(type_)
        return self.types.index(type_)

    def block_type(self, results: tuple[ValType, ...]) -> Any:
        """Return the immediate of a block that takes nothing."""
        if len(results) < 2:
            return results[0] if results else None
        return self.type_index(FuncType((), results))

    def function(self, function: Function) -> Function:
        """Rewrite a function; see the module's docstring for its form."""
        return _Body(self, function).rewritten()

    def grow_function(self) -> Function:
        """Return the function that grows memory, and notes a growth within the maximum that the host refused."""
        i32: FuncType = FuncType(("i32",), ("i32",))
        body = assembled(
            ("local.get", 0),
            ("memory.grow", 0),
            ("local.tee", 1),
            ("i32.const", -1),
            "i32.eq",
            ("if", None),
            ("memory.size", 0),
            "i64.extend_i32_u",
            ("local.get", 0),
            "i64.extend_i32_u",
            "i64.add",
            ("i64.const", self.max_pages),
            "i64.le_u",
            ("if", None),
            ("i32.const", GROW_FAILED),
            ("global.set", self.status),
            "unreachable",
            "end",
            "end",
            ("local.get", 1),
            "end",
        )
        return Function(self.type_index(i32), ((1, "i32"),), tuple(body))


class _Body:
    """One function's rewriting: its counters are parameters, two scratch locals follow its own."""

    def __init__(self, emission: _Emission, function: Function) -> None:
        self.emission = emission
        self.function = function
        self.type = emission.source.types[function.type]
        params = len(self.type.params)
        self.gas = params
        self.stack = params + 1
        self.first_local = params
        self.scratch = params + 2 + function.local_count
        self.cost = self.scratch + 1
        self.uses_scratch = False

    def local(self, index: int) -> int:
        """Return the new index of a local: the counters stand between parameters and locals."""
        return index if index < self.first_local else index + 2

    def rewritten(self) -> Function:
        """Rewrite: an outer block for each exit, a block for the body, the gas as last result."""
        function, status = self.function, self.emission.status
        body = self.body(function.body)
        calls = any(op.name in ("call", "call_indirect") for op, _, _ in function.body)
        entry = assembled(("local.get", self.stack), ("i64.const", function.weight), "i64.lt_u", ("br_if", 0))
        if calls:
            entry += assembled(
                ("local.get", self.stack), ("i64.const", function.weight), "i64.sub", ("local.set", self.stack)
            )
        code = [
            *assembled(("block", None), ("block", None)),
            *(entry if function.weight else []),
            *assembled(("block", self.emission.block_type(self.type.results))),
            *body,
            *assembled(("local.get", self.gas), "return", "end"),
            *assembled(("i32.const", STACK_OVERFLOW), ("global.set", status), "unreachable", "end"),
            *assembled(("i32.const", OUT_OF_GAS), ("global.set", status), "unreachable", "end"),
        ]
        locals_ = function.locals
        if self.uses_scratch:
            locals_ = (*locals_, (1, "i32"), (1, "i64"))
        return replace(function, type=function.type + self.emission.shift, locals=locals_, body=tuple(code), weight=0)

    def body(self, body: Expr) -> list[Instr]:
        """Rewrite the instructions; `depth` counts the blocks that are open around one."""
        out: list[Instr] = []
        depth = 1
        emission = self.emission
        for instr in body:
            op, imm, at = instr
            if op is CHARGE:
                out += self.charge(imm, depth)
            elif op is CHARGE_OPERAND:
                out += self.charge_operand(imm[0], imm[1], depth)
            elif op.immediate == "local":
                out.append(Instr(op, self.local(imm), at))
            elif op.name == "return":
                out += assembled(("local.get", self.gas), "return")
            elif op.name == "call":
                out += assembled(("local.get", self.gas), ("local.get", self.stack))
                out.append(instr)
                out += assembled(("local.set", self.gas))
            elif op.name == "call_indirect":
                out += self.call_indirect(imm, at)
            elif op.name == "memory.grow":
                emission.grows = True
                out.append(Instr(BY_NAME["call"], emission.grow, at))
            else:
                depth += (op.immediate == "block") - (op.name == "end")
                out.append(instr)
        return out

    def charge(self, amount: int, depth: int) -> list[Instr]:
        """Take a constant, or leave by the exit for want of gas."""
        return assembled(
            ("local.get", self.gas),
            ("i64.const", amount),
            "i64.lt_u",
            ("br_if", depth + 1),
            ("local.get", self.gas),
            ("i64.const", amount),
            "i64.sub",
            ("local.set", self.gas),
        )

    def charge_operand(self, unit: int, shift: int, depth: int) -> list[Instr]:
        """Take units by the operand on top of the stack, which stays there."""
        self.uses_scratch = True
        return [
            *assembled(("local.tee", self.scratch), ("local.get", self.scratch)),
            *operand_price(unit, shift),
            *assembled(
                ("local.set", self.cost),
                ("local.get", self.gas),
                ("local.get", self.cost),
                "i64.lt_u",
                ("br_if", depth + 1),
                ("local.get", self.gas),
                ("local.get", self.cost),
                "i64.sub",
                ("local.set", self.gas),
            ),
        ]

    def call_indirect(self, imm: tuple[int, int], at: int) -> list[Instr]:
        """Pass the counters below the table index."""
        self.uses_scratch = True
        type_, table = imm
        check: list[Instr] = []
        if self.emission.tell_undefined:
            check = assembled(
                ("local.get", self.scratch),
                ("table.size", table),
                "i32.ge_u",
                ("if", None),
                ("i32.const", UNDEFINED_ELEMENT),
                ("global.set", self.emission.status),
                "unreachable",
                "end",
            )
        return [
            *assembled(("local.set", self.scratch)),
            *check,
            *assembled(("local.get", self.gas), ("local.get", self.stack), ("local.get", self.scratch)),
            Instr(BY_NAME["call_indirect"], (type_ + self.emission.shift, table), at),
            *assembled(("local.set", self.gas)),
        ]
