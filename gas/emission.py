"""Writing a metered module out as plain WebAssembly, for any engine to run.

The gas counter becomes an i64 global and the stack counter an i32 global, appended after all others and exported under
names that no contract can use. A negative counter ends the run with `unreachable`; the reader tells why from the signs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from gas.meter import STACK_BUDGET
from gas.metering import MeteredModule
from wasm.inserting import assembled, operand_price
from wasm.instructions import CHARGE, CHARGE_OPERAND
from wasm.module import Export, Expr, Function, Global, Instr, Module
from wasm.types import FuncType, GlobalType

GAS_EXPORT: Final = "ewasm:gas"
STACK_EXPORT: Final = "ewasm:stack"


def write_out(module: MeteredModule, gas: int = 0, stack: int = STACK_BUDGET) -> Module:
    """Return a plain module that counts by itself; the counters begin at `gas` particles and `stack` words."""
    return _Emission(module).module(gas, stack)


class _Emission:
    """The indices of the counters, and the types, which may grow."""

    def __init__(self, module: MeteredModule) -> None:
        self.source = module
        self.gas = len(module.imported("global")) + len(module.globals)
        self.stack = self.gas + 1
        self.types = list(module.types)

    def module(self, gas: int, stack: int) -> Module:
        """Rewrite everything."""
        module = self.source
        end = assembled("end")
        counters = (
            Global(GlobalType("i64", mutable=True), (*assembled(("i64.const", gas)), *end)),
            Global(GlobalType("i32", mutable=True), (*assembled(("i32.const", stack)), *end)),
        )
        exports = (Export(GAS_EXPORT, "global", self.gas), Export(STACK_EXPORT, "global", self.stack))
        functions = tuple(self.function(f) for f in module.functions)
        return replace(
            module,
            types=tuple(self.types),
            functions=functions,
            globals=(*module.globals, *counters),
            exports=(*module.exports, *exports),
        )

    def function(self, function: Function) -> Function:
        """Rewrite a function: take the weight, run the body as a block, give the weight back."""
        type_ = self.types[function.type]
        scratch = len(type_.params) + function.local_count
        body = self.body(function.body, scratch)
        locals_ = function.locals
        if any(op is CHARGE_OPERAND for op, _, _ in function.body):
            locals_ = (*locals_, (1, "i32"))
        return replace(
            function,
            locals=locals_,
            weight=0,
            body=(
                *self.take_weight(function.weight),
                *assembled(("block", self.block_type(type_))),
                *body,
                *assembled(
                    ("global.get", self.stack), ("i32.const", function.weight), "i32.add", ("global.set", self.stack)
                ),
                *assembled("end"),
            ),
        )

    def block_type(self, type_: FuncType) -> Any:
        """Return the immediate of a block that gives a function's results."""
        if len(type_.results) < 2:
            return type_.results[0] if type_.results else None
        block = FuncType((), type_.results)
        if block not in self.types:
            self.types.append(block)
        return self.types.index(block)

    def body(self, body: Expr, scratch: int) -> list[Instr]:
        """Rewrite charges; `return` becomes a branch to the end of the block around the body."""
        out: list[Instr] = []
        depth = 0
        for instr in body:
            op, imm, _ = instr
            if op is CHARGE:
                out += self.charge(imm)
            elif op is CHARGE_OPERAND:
                out += self.charge_operand(imm[0], imm[1], scratch)
            elif op.name == "return":
                out += assembled(("br", depth))
            else:
                depth += (op.name in ("block", "loop", "if")) - (op.name == "end")
                out.append(instr)
        return out

    def take_weight(self, weight: int) -> list[Instr]:
        """Take a frame's weight from the stack counter."""
        return assembled(
            ("global.get", self.stack),
            ("i32.const", weight),
            "i32.sub",
            ("global.set", self.stack),
            ("global.get", self.stack),
            ("i32.const", 0),
            "i32.lt_s",
            ("if", None),
            "unreachable",
            "end",
        )

    def charge(self, amount: int) -> list[Instr]:
        """Take a constant from the gas counter."""
        return assembled(("global.get", self.gas), ("i64.const", amount), *self._subtract())

    def charge_operand(self, unit: int, shift: int, scratch: int) -> list[Instr]:
        """Take units by the operand on top of the stack, which stays there."""
        return [
            *assembled(("local.tee", scratch), ("global.get", self.gas), ("local.get", scratch)),
            *operand_price(unit, shift),
            *assembled(*self._subtract()),
        ]

    def _subtract(self) -> tuple[str | tuple[str, Any], ...]:
        """Return the end of a charge: subtract, store, test."""
        return (
            "i64.sub",
            ("global.set", self.gas),
            ("global.get", self.gas),
            ("i64.const", 0),
            "i64.lt_s",
            ("if", None),
            "unreachable",
            "end",
        )
