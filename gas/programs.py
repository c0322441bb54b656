"""Micro-programs: contracts that run one instruction many times, to measure what it takes.

Each program comes as a pair. Both are loops whose body carries one value along; the *unit*, which has the instruction,
stands in the body of the one `UNROLLED` times, the *reference*, the same without it, in the body of the other. Half the
difference of two clocks is noise, the rest is the instruction and what it makes of its operands.

Operands are read from the call data, so that no optimiser knows them, and every result goes into the next operation, so
that none can be left out. Between two instructions under test stands an exclusive or with a value that changes: chains
of rotations, shifts or additions alone would be drawn together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from wasm.instructions import BY_NAME, ROWS, Op
from wasm.text import assemble
from wasm.types import PAGE, ValType

UNROLLED: Final = 16
"""How often a unit stands in the body of its loop."""

INPUT: Final = b"".join(
    [
        *(n.to_bytes(4, "little") for n in (0x1_2345, 0x1_89AB, 0x9E37_79B1, 0xC2B2_AE35)),
        *(
            n.to_bytes(8, "little")
            for n in (0x1_2345_6789, 0x1_89AB_CDEF, 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F)
        ),
        *(n.to_bytes(8, "little") for n in (0x5851_F42D_4C95_7F2D, 0x1405_7B7E_F767_814F)),
        *(n.to_bytes(4, "little") for n in (0, 1)),
    ]
)
"""What a program finds in its call data behind the number of iterations: see `_LOCALS`."""

_CELL: Final = 64
"""Where in memory a cell is that holds its own address."""

_INPUT: Final = 256
"""Where the input goes."""

# Locals and where in memory they are read from: small and large operands, a generator's constants, zero and one.
_LOCALS: Final = (
    *((name, "i32", _INPUT + 4 + 4 * n) for n, name in enumerate("abcd")),
    *((name, "i64", _INPUT + 20 + 8 * n) for n, name in enumerate("ABCDMI")),
    ("zero", "i32", _INPUT + 68),
    ("one", "i32", _INPUT + 72),
)
# Stores wait for nothing: one alone would be hidden behind the value carried along. No two go to the same place, as
# a compiler would leave out the first.
_TIMES: Final = 4
_PLACE: Final = 8 * _TIMES

_LOOP: Final = Counter(("loop", "local.get", "local.set", "local.get", "i32.const", "i32.sub", "local.tee", "br_if"))
_MAX_PAGES: Final = 128


@dataclass(frozen=True, slots=True)
class Program:
    """A pair of loops, and what their difference is held against.

    `chain` is the type of the value carried along. In the texts, `{y}` and `{z}` stand for operands that change from
    one unit to the next, `{k}` for the unit's number, `{at}` for a place in memory of its own. `paid` are the
    instructions whose prices count, `operand` the number that the last of them finds on top of its stack, `times` how
    often the unit has the instruction. `executed` and `compared` say what a unit and a reference execute where that
    does not follow from the text.
    """

    name: str
    chain: ValType
    unit: str
    reference: str
    paid: tuple[str, ...]
    operand: int = 0
    times: int = 1
    pages: int = 2
    executed: Counter[str] | None = field(default=None, compare=False)
    compared: Counter[str] | None = field(default=None, compare=False)

    @property
    def code(self) -> bytes:
        """The contract that has the instruction."""
        return self._contract(self.unit)

    @property
    def reference_code(self) -> bytes:
        """The contract that is the same without it."""
        return self._contract(self.reference)

    def counts(self, *, reference: bool = False) -> Counter[str]:
        """Return what one iteration executes, by instruction."""
        text, given = (self.reference, self.compared) if reference else (self.unit, self.executed)
        one = executed(text) if given is None else given
        return Counter({name: count * UNROLLED for name, count in one.items()}) + _LOOP

    def _contract(self, unit: str) -> bytes:
        pairs = ("ac", "bd") if self.chain == "i32" else ("AC", "BD")
        body = " ".join(
            unit.format(y="$" + pairs[n % 2][0], z="$" + pairs[n % 2][1], k=n, at=PAGE + _PLACE * n)
            for n in range(UNROLLED)
        )
        carried = "$x" if self.chain == "i32" else "$X"
        return assemble(loop(f"local.get {carried} {body} local.set {carried}", pages=self.pages))


def executed(text: str) -> Counter[str]:
    """Return the instructions of straight code; of an `if` with two arms, which are alike, the first is counted."""
    counted = re.sub(r"\belse\b.*?\bend\b", "", text, flags=re.DOTALL)
    return Counter(word for word in counted.split() if word in BY_NAME and word != "end")


def loop(body: str, *, pages: int = 2, imports: str = "", data: str = "") -> str:
    """Return a contract that runs a body as often as the first four bytes of its call data say."""
    locals_ = " ".join(f"(local ${name} {type_})" for name, type_, _ in _LOCALS)
    read = " ".join(f"(local.set ${name} ({type_}.load (i32.const {at})))" for name, type_, at in _LOCALS)
    globals_ = " ".join(f"(global $g{n}_{m} (mut i32) (i32.const {n}))" for n in range(UNROLLED) for m in range(_TIMES))
    return f"""(module
  (type $step (func (param i32 i32) (result i32)))
  (import "ethereum" "callDataCopy" (func $input (param i32 i32 i32)))
  {imports}
  (memory (export "memory") {pages})
  (table 1 funcref)
  (elem (i32.const 0) $step)
  {globals_}
  {data}
  (func $step (type $step) local.get 0 local.get 1 i32.xor)
  (func $back (type $step) local.get 0 local.get 1 i32.xor return)
  (func $main (export "main") (local $n i32) (local $x i32) (local $X i64) {locals_}
    (call $input (i32.const {_INPUT}) (i32.const 0) (i32.const {4 + len(INPUT)}))
    (local.set $n (i32.load (i32.const {_INPUT}))) {read}
    (i64.store (i32.const {_CELL}) (i64.const {_CELL}))
    (local.set $x (i32.const {_CELL})) (local.set $X (i64.const {_CELL}))
    {f"(memory.fill (i32.const 65536) (i32.const 0) (i32.const {(pages - 1) << 16}))" if pages > 2 else ""}
    (loop $again
      {body}
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.store (i32.const 0) (local.get $x)) (i64.store (i32.const 8) (local.get $X))))"""


def call_data(iterations: int) -> bytes:
    """Return the call data of a run; at least one iteration is made."""
    return iterations.to_bytes(4, "little") + INPUT


UNMEASURED: Final = {
    "unreachable": "it ends the run",
    "end": "it only groups, and is measured with what it closes",
    "else": "it only groups, and is measured with its `if`",
}
"""Instructions without a program, and why."""

_X32, _X64 = "local.get {z} i32.xor", "local.get {z} i64.xor"
_X: Final = {"i32": _X32, "i64": _X64}
# Exclusive or of an extended value is one of the value, extended; a rotation is not.
_R: Final = {"i32": "i32.const 13 i32.rotl", "i64": "i64.const 13 i64.rotl"}
_STEP: Final = Counter(("local.get", "call", "local.get", "local.get", "i32.xor"))
_ONE_MIB: Final = 1 << 20


def _row(name: str, chain: ValType, unit: str, reference: str, **more: Any) -> Program:
    return Program(name, chain, unit, reference, (name.partition(",")[0],), **more)


def _simple() -> Iterator[Program]:
    """Yield programs of what needs nothing around it but an operand."""
    for name, chain, unit in (
        ("nop", "i32", "nop"),
        ("drop", "i32", "local.get {y} drop"),
        ("select", "i32", "local.get {y} local.get $one select"),
        ("local.get", "i32", "local.get {y} drop"),
        ("local.set", "i32", "local.set $x local.get $x"),
        ("local.tee", "i32", "local.tee $x"),
        ("memory.grow", "i32", "local.get $zero memory.grow i32.xor"),
        ("block", "i32", "block end"),
        ("loop", "i32", "loop end"),
        ("memory.fill", "i32", f"i32.const {_INPUT} local.get {{y}} local.get $zero memory.fill"),
        ("memory.copy", "i32", f"i32.const {_INPUT} i32.const 0 local.get $zero memory.copy"),
    ):
        yield _row(name, chain, f"{unit} {_X[chain]}", _X[chain])  # type: ignore[arg-type]  # chains are value types
    for name, extended in (("i32.wrap_i64", "u"), ("i64.extend_i32_s", "s"), ("i64.extend_i32_u", "u")):
        yield _row(name, "i64", f"i32.wrap_i64 i64.extend_i32_{extended} {_R['i64']}", _R["i64"])
    for name, from_ in (("fill", "local.get {y}"), ("copy", f"i32.const {4 * _ONE_MIB}")):
        unit = f"i32.const {PAGE} {from_} i32.const {_ONE_MIB} memory.{name} {_X32}"
        yield _row(f"memory.{name}, 1 MiB", "i32", unit, _X32, operand=_ONE_MIB, pages=_MAX_PAGES)
    for type_, number in (("i32", "0x7ed55d16"), ("i64", "0x7ed55d16c761c23c")):
        unit, reference = (
            f"local.get {{y}} {type_}.add {what} {type_}.xor" for what in (f"{type_}.const {number}", "local.get {z}")
        )
        yield _row(f"{type_}.const", type_, unit, reference)  # type: ignore[arg-type]


def _globals() -> Iterator[Program]:
    """Yield programs of what is read and written outside of locals."""
    xor = "local.get {y} i32.xor"
    written = "local.tee $x global.set $g{k}_0 local.get $x"
    stores = " ".join(f"local.get {{y}} global.set $g{{k}}_{n}" for n in range(_TIMES))
    yield _row("global.set", "i32", f"{stores} {_X32}", _X32, times=_TIMES)
    yield _row("global.get", "i32", f"global.get $g{{k}}_0 i32.xor {_X32}", f"{xor} {_X32}")
    yield _row("memory.size", "i32", f"{written} memory.size i32.xor {_X32}", f"{written} {xor} {_X32}")


def _control() -> Iterator[Program]:
    """Yield programs of branches and calls: such as always go one way, and such as a processor cannot foresee."""
    change = f"local.get $x {_X32} local.set $x"
    changed = f"local.set $x {change} local.get $x"
    yield _row("br", "i32", f"local.set $x block {change} br 0 end local.get $x", changed)
    yield _row("if", "i32", f"local.set $x local.get $one if {change} end local.get $x", changed)
    yield _row("br_if", "i32", f"local.set $x block local.get $zero br_if 0 {change} end local.get $x", changed)
    next_ = "local.get $M i64.mul local.get $I i64.add local.tee $X i64.const 40 i64.shr_u i32.wrap_i64"
    chosen = f"{next_} i32.const 1 i32.and local.set $x"
    one, other = (f"local.get $X local.get ${name} i64.xor local.set $X" for name in "CD")
    yield _row(
        "if, either way",
        "i64",
        f"{chosen} local.get $x if {one} else {other} end local.get $X",
        f"{chosen} {one} local.get $X",
    )
    yield _row(
        "select, either way",
        "i64",
        f"{chosen} local.get $X local.get {{z}} local.get $x select local.get $D i64.xor",
        f"{chosen} local.get $X local.get $D i64.xor",
    )
    table = f"block block block local.get {{}} br_table 0 1 end {one} br 1 end {other} br 0 end"
    for name, before, index in (("br_table", "local.set $X", "$zero"), ("br_table, either way", chosen, "$x")):
        reference = f"{before} {one} local.get $X"
        yield _row(
            name,
            "i64",
            f"{before} {table.format(index)} local.get $X",
            reference,
            executed=executed(reference) + Counter(("block", "block", "block", "local.get", "br_table", "br")),
        )
    yield _row("call", "i32", "local.get {z} call $step", _X32, executed=_STEP)
    yield _row(
        "call_indirect",
        "i32",
        "local.get {z} local.get $zero call_indirect (type $step)",
        _X32,
        executed=_STEP - Counter(("call",)) + Counter(("call_indirect", "local.get")),
    )
    yield _row(
        "return",
        "i32",
        "local.get {z} call $back",
        "local.get {z} call $step",
        executed=_STEP + Counter(("return",)),
        compared=_STEP,
    )


def _memory() -> Iterator[Program]:
    """Yield programs that touch a memory of 8 MiB all over, which no first-level cache holds."""
    next_ = "local.get $M i64.mul local.get $I i64.add local.tee $X i64.const 40 i64.shr_u i32.wrap_i64"
    place = f"{next_} i32.const {(_MAX_PAGES << 16) - 64} i32.and"
    reference = f"{place} i64.extend_i32_u local.get $X i64.add"
    yield _row(
        "i32.load, scattered",
        "i64",
        f"{place} i32.load i64.extend_i32_u local.get $X i64.add",
        reference,
        pages=_MAX_PAGES,
    )
    yield _row("i64.load, scattered", "i64", f"{place} i64.load local.get $X i64.add", reference, pages=_MAX_PAGES)
    yield _row(
        "i64.store, scattered",
        "i64",
        f"{place} local.get $X i64.store local.get $X",
        f"{place} drop local.get $X",
        pages=_MAX_PAGES,
    )


def _typed(op: Op) -> Program:
    """Return the program of an instruction that only computes, loads or stores, from its type."""
    assert op.params is not None
    assert op.results is not None
    chain = op.params[-1]
    x = _X[chain]
    if op.immediate == "memarg" and op.results:
        # The cell holds its own address, so that each load waits for the one before.
        back = " i32.wrap_i64" if op.results == ["i64"] else ""
        return _row(op.name, "i32", op.name + back, "")
    if op.immediate == "memarg":
        value = "x" if chain == "i32" else "X"
        reference = f"local.set ${value} local.get ${value} {x}"
        stores = " ".join(f"i32.const {{at}} local.get ${value} {op.name} offset={8 * n}" for n in range(_TIMES))
        unit = f"local.set ${value} {stores} local.get ${value} {x}"
        return _row(op.name, chain, unit, reference, times=_TIMES)
    if "extend" in op.name:
        return _row(op.name, chain, f"{op.name} {_R[chain]}", _R[chain])
    operand = "local.get {y} " if len(op.params) == 2 else ""
    back = " i64.extend_i32_u" if [chain, *op.results] == ["i64", "i32"] else ""
    return _row(op.name, chain, f"{operand}{op.name}{back} {x}", x)


def programs(features: Collection[str]) -> list[Program]:
    """Return the programs of every instruction of the integer MVP and of some features, in the table's order."""
    by_hand: dict[str, list[Program]] = {}
    for program in (*_simple(), *_globals(), *_control(), *_memory()):
        by_hand.setdefault(program.paid[0], []).append(program)
    found = []
    for op in ROWS:
        if op.proposal != "mvp" and op.proposal not in features:
            continue
        given = by_hand.get(op.name, [])
        if op.name not in UNMEASURED and (not given or op.immediate == "memarg"):
            found.append(_typed(op))
        found += given
    return found
