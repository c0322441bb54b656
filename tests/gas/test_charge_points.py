"""The rules of charge points, one example each: a metered body as it must be, from which the source is got by leaving
out its charges. The sums are written as the prices that they are made of.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from gas.metering import meter
from gas.schedule import FREE, Schedule
from tests.gas.bodies import code
from wasm.instructions import BY_NAME, CHARGE, CHARGE_OPERAND
from wasm.module import Export, Function, Import, Instr, Module
from wasm.proposals import MACHINE
from wasm.types import FuncType, Limits, MemoryType, TableType
from wasm.validate import validate

PRICES: Final = {
    "nop": 1,
    "i32.const": 2,
    "drop": 3,
    "unreachable": 5,
    "block": 10,
    "loop": 20,
    "if": 30,
    "br_if": 40,
    "br": 50,
    "br_table": 60,
    "return": 70,
    "call": 80,
    "call_indirect": 90,
    "memory.grow": 7,
    "memory.fill": 8,
    "memory.copy": 9,
}
SCHEDULE: Final = Schedule(
    instructions={**dict.fromkeys(FREE.instructions, 1 << 30), "else": 0, "end": 0, **PRICES},
    operands={"memory.grow": (11, 0), "memory.fill": (13, 6), "memory.copy": (0, 6)},
    local=1000,
    page=0,
)

# Two spaces an indent; `charge` and `charge_operand` are what metering must insert.
CASES: Final = {
    "nothing to pay": """
        end
    """,
    "one block of plain instructions": """
        charge 1+2+3
        nop
        i32.const 0
        drop
        end
    """,
    "locals are paid at entry": """
        locals 3
        charge 3*1000+1
        nop
        end
    """,
    "locals of an empty body are paid too": """
        locals 2
        charge 2*1000
        end
    """,
    "a block and what follows it join what stands before": """
        charge 1+10+1+1
        nop
        block
          nop
        end
        nop
        end
    """,
    "an empty block is paid": """
        charge 10
        block
        end
        end
    """,
    "what is left by br_if may not run; what follows the target's end will": """
        charge 10+2+40+1
        block
          i32.const 0
          br_if 0
          charge 1
          nop
        end
        nop
        end
    """,
    "leaving two blocks cuts the end of the inner one, not of the outer one": """
        charge 10+10+2+40+1
        block
          block
            i32.const 0
            br_if 1
            charge 1
            nop
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "leaving the middle one of three blocks": """
        charge 10+10+10+2+40+1+1
        block
          block
            block
              i32.const 0
              br_if 1
              charge 1
              nop
            end
            charge 1
            nop
          end
          nop
        end
        nop
        end
    """,
    "br_if to the end of the function": """
        charge 2+40
        i32.const 0
        br_if 0
        charge 1
        nop
        end
    """,
    "leaving the function from a block cuts its end": """
        charge 10+2+40
        block
          i32.const 0
          br_if 1
        end
        charge 1
        nop
        end
    """,
    "a loop pays inside, on every iteration": """
        charge 1+1
        nop
        loop
          charge 20+1+2+40
          nop
          i32.const 0
          br_if 0
        end
        nop
        end
    """,
    "the point before a loop and the one just inside are distinct": """
        charge 1
        loop
          charge 20
        end
        nop
        end
    """,
    "after br_if in a loop the rest of the body may not run": """
        charge 1
        loop
          charge 20+2+40
          i32.const 0
          br_if 0
          charge 1
          nop
        end
        nop
        end
    """,
    "leaving a loop forward cuts its end, not that of the block left": """
        charge 10+1
        block
          loop
            charge 20+2+40
            i32.const 0
            br_if 1
            charge 1+50
            nop
            br 0
          end
          nop
        end
        nop
        end
    """,
    "leaving a loop forward, its end reached": """
        charge 10+1
        block
          loop
            charge 20+2+40
            i32.const 0
            br_if 1
            charge 1
            nop
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "a branch back out of a nested block cuts the end of that block": """
        charge 1
        loop
          charge 20+10+2+40
          block
            i32.const 0
            br_if 1
            charge 1
            nop
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "a branch back out of an if cuts its end": """
        charge 1
        loop
          charge 20+2+30
          i32.const 0
          if
            charge 50
            br 1
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "a branch back to the outer loop cuts the end of the inner one": """
        charge 1
        loop
          charge 20
          loop
            charge 20+2+40
            i32.const 0
            br_if 1
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "a branch back to the inner loop cuts nothing outside": """
        charge 1
        loop
          charge 20+1
          loop
            charge 20+2+40
            i32.const 0
            br_if 0
          end
          nop
        end
        nop
        end
    """,
    "nothing follows an endless loop": """
        loop
          charge 20+50
          br 0
        end
        nop
        end
    """,
    "if without else": """
        charge 2+30+1
        i32.const 0
        if
          charge 1
          nop
        end
        nop
        end
    """,
    "if with else": """
        charge 2+30+1
        i32.const 0
        if
          charge 1
          nop
        else
          charge 1+1
          nop
          nop
        end
        nop
        end
    """,
    "an empty then and an empty else": """
        charge 2+30+2+30+1
        i32.const 0
        if
        end
        i32.const 0
        if
        else
        end
        nop
        end
    """,
    "a then that returns, without else": """
        charge 2+30
        i32.const 0
        if
          charge 1+70
          nop
          return
        end
        charge 1
        nop
        end
    """,
    "a then that returns, an else that falls through": """
        charge 2+30
        i32.const 0
        if
          charge 70
          return
        else
          charge 1
          nop
        end
        charge 1
        nop
        end
    """,
    "a then that falls through, an else that returns": """
        charge 2+30
        i32.const 0
        if
          charge 1
          nop
        else
          charge 70
          return
        end
        charge 1
        nop
        end
    """,
    "a then and an else that return: nothing follows": """
        charge 2+30
        i32.const 0
        if
          charge 70
          return
        else
          charge 70
          return
        end
        nop
        end
    """,
    "a then that traps: who comes past it has paid": """
        charge 2+30+1
        i32.const 0
        if
          charge 5
          unreachable
        end
        nop
        end
    """,
    "a branch to the end of an if": """
        charge 2+30+1
        i32.const 0
        if
          charge 2+40
          i32.const 0
          br_if 0
          charge 1
          nop
        else
          charge 50
          br 0
          nop
        end
        nop
        end
    """,
    "an else that only a branch past it comes from is live": """
        charge 10+2+30+1
        block
          i32.const 0
          if
            charge 50
            br 1
          else
            charge 1
            nop
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "a call ends what is paid": """
        charge 1+80
        nop
        call 0
        charge 1
        nop
        end
    """,
    "an indirect call the same": """
        charge 1+2+90
        nop
        i32.const 0
        call_indirect
        charge 1
        nop
        end
    """,
    "a call inside blocks cuts every end around it": """
        charge 10+10+80
        block
          block
            call 0
            charge 1
            nop
          end
          charge 1
          nop
        end
        charge 1
        nop
        end
    """,
    "a call in a loop": """
        loop
          charge 20+80
          call 0
          charge 2+40
          i32.const 0
          br_if 0
        end
        charge 1
        nop
        end
    """,
    "a call in a then cuts the end of the if": """
        charge 2+30
        i32.const 0
        if
          charge 80
          call 0
        end
        charge 1
        nop
        end
    """,
    "a call in an else cuts the end of the if": """
        charge 2+30
        i32.const 0
        if
          charge 1
          nop
        else
          charge 80
          call 0
        end
        charge 1
        nop
        end
    """,
    "a call before a block does not cut its end": """
        charge 80
        call 0
        charge 10+1+1
        block
          nop
        end
        nop
        end
    """,
    "a call after a block that joined is paid before it": """
        charge 10+1+80
        block
          nop
        end
        call 0
        end
    """,
    "a call that cannot be reached cuts nothing": """
        charge 10+50+1
        block
          br 0
          call 0
        end
        nop
        end
    """,
    "unreachable ends the run; what follows is not paid": """
        charge 1+5
        nop
        unreachable
        nop
        end
    """,
    "a block that only traps is followed by nothing": """
        charge 10+5
        block
          unreachable
        end
        nop
        end
    """,
    "br: what follows in the block is dead, what follows its end is not": """
        charge 10+50+1
        block
          br 0
          nop
        end
        nop
        end
    """,
    "a block left for good is followed by nothing": """
        charge 10+10+50+1
        block
          block
            br 1
          end
          nop
        end
        nop
        end
    """,
    "return: what follows is dead": """
        charge 1+70
        nop
        return
        nop
        end
    """,
    "return in a block: what follows its end is dead": """
        charge 10+70
        block
          return
        end
        nop
        end
    """,
    "dead constructs keep their bytes and pay nothing": """
        charge 50
        br 0
        block
          nop
        end
        loop
          i32.const 0
          br_if 0
          nop
        end
        i32.const 0
        if
          nop
        else
          nop
        end
        i32.const 0
        if
        end
        call 0
        i32.const 0
        br_table 0 0
        return
        unreachable
        nop
        end
    """,
    "a branch in dead code reaches nothing": """
        charge 10+5
        block
          unreachable
          br 0
        end
        nop
        end
    """,
    "a branch in dead code cuts nothing": """
        charge 10+10+50+1+1
        block
          block
            br 0
            br 1
            return
          end
          nop
        end
        nop
        end
    """,
    "an else in dead code is dead": """
        charge 10+5
        block
          unreachable
          if
            nop
          else
            nop
          end
          nop
        end
        nop
        end
    """,
    "the end of a block that is reached by a branch alone": """
        charge 10+2+30+1
        block
          i32.const 0
          if
            charge 50
            br 1
          end
          charge 5
          unreachable
          nop
        end
        nop
        end
    """,
    "br_table: the least target counts, all targets are hit, the rest is dead": """
        charge 10+10+10+2+60+1
        block
          block
            block
              i32.const 0
              br_table 0 1 2
              nop
            end
            charge 1
            nop
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "br_table to its own block only": """
        charge 10+2+60+1
        block
          i32.const 0
          br_table 0 0 0
        end
        nop
        end
    """,
    "br_table: the default counts too": """
        charge 10+10+2+60+1
        block
          block
            i32.const 0
            br_table 0 1
          end
          charge 1
          nop
        end
        nop
        end
    """,
    "br_table without a way to the end": """
        charge 10+10+2+60+1
        block
          block
            i32.const 0
            br_table 1 1
          end
          nop
        end
        nop
        end
    """,
    "br_table to a loop and out of it": """
        charge 10+1
        block
          loop
            charge 20+2+60
            i32.const 0
            br_table 0 1
          end
          nop
        end
        nop
        end
    """,
    "br_table to the function": """
        charge 10+2+60
        block
          i32.const 0
          br_table 0 1
        end
        charge 1
        nop
        end
    """,
    "the end of a block that holds a loop with a way out of both": """
        charge 10
        block
          loop
            charge 20+2+40
            i32.const 0
            br_if 2
          end
        end
        charge 1
        nop
        end
    """,
    "memory.grow is charged by its operand just before it runs, after the block that it is in": """
        charge 2+7+3
        i32.const 1
        charge_operand 11 0
        memory.grow
        drop
        end
    """,
    "memory.fill by 64 bytes; where a unit costs nothing there is no charge": """
        charge 2+2+2+8+2+2+2+9
        i32.const 0
        i32.const 0
        i32.const 65
        charge_operand 13 6
        memory.fill
        i32.const 0
        i32.const 0
        i32.const 65
        memory.copy
        end
    """,
    "the charge of a block stands before the charge by operand": """
        charge 2+80
        i32.const 1
        call 0
        charge 7+3
        charge_operand 11 0
        memory.grow
        drop
        end
    """,
    "dead code is not charged by operand either": """
        charge 5
        unreachable
        i32.const 1
        memory.grow
        memory.grow
        drop
        end
    """,
}


def instruction(line: str) -> Instr:
    """Read one line."""
    name, *words = line.split()
    if name == "charge":
        return Instr(CHARGE, sum(_product(part) for part in words[0].split("+")), 0)
    numbers: Any = tuple(map(int, words))
    if name == "charge_operand":
        return Instr(CHARGE_OPERAND, numbers, 0)
    default = {"call_indirect": (0, 0), "memory.grow": 0, "memory.fill": 0, "memory.copy": (0, 0)}.get(name)
    return Instr(BY_NAME[name], numbers if name == "br_table" else numbers[0] if numbers else default, 0)


def _product(part: str) -> int:
    factor, _, price = part.rpartition("*")
    return int(factor or 1) * int(price)


def module(body: list[Instr], local_count: int) -> Module:
    """Put a body behind an imported function of the same type."""
    return Module(
        types=(FuncType(),),
        imports=(Import("host", "call", "func", 0),),
        functions=(Function(0, ((local_count, "i64"),), tuple(body)),),
        tables=(TableType("funcref", Limits(1)),),
        memories=(MemoryType(Limits(1)),),
        exports=(Export("main", "func", 1),),
    )


@pytest.mark.parametrize("name", CASES)
def test_rule(name: str) -> None:
    lines = [line.strip() for line in CASES[name].strip().splitlines()]
    local_count = int(lines.pop(0).split()[1]) if lines[0].startswith("locals") else 0
    expected = [instruction(line) for line in lines]
    source = [i for i in expected if i.op not in (CHARGE, CHARGE_OPERAND)]
    metered = meter(validate(module(source, local_count)), SCHEDULE)
    assert [i[:2] for i in metered.functions[0].body] == [i[:2] for i in expected]


def test_every_instruction_that_leaves_or_opens_has_a_rule() -> None:
    """What the machine runs and is not a plain operation must be known to the algorithm, or it would never be cut."""
    forms = {"block", "label", "labels", "type_table", "func", "handlers", "tag_handlers"}
    running = MACHINE | {"mvp", "floating-point", "saturating-conversion"}
    control = {name for name, op in BY_NAME.items() if op.proposal in running and op.immediate in forms}
    assert control - {"ref.func"} <= {name for name in PRICES if name not in ("nop", "i32.const", "drop")}
    assert "tail-call" not in MACHINE


def test_inserted_instructions_are_free_and_stay() -> None:
    """Metering what was metered with a free schedule changes nothing."""
    once = meter(validate(module(code("nop", "end"), 1)), SCHEDULE)
    assert meter(once, FREE).functions[0].body == once.functions[0].body
