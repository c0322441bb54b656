"""Valid modules at random, for tests that compare: `generate(random.Random(seed))` gives the bytes of one.

A `Shape` says what a module may use and what it imports and exports; `build` gives the module together with the names
and types that it came out with. Code is grown by a grammar over the operand stack, written straight to bytes: nothing
of the machine under test takes part. Every run of a generated module ends: loops and function entries draw on a global
that each exported function fills anew.

Types are letters, as in `instructions.tsv`: i = i32, I = i64, r = funcref; a signature is `params:results`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from tests.wasm.grammar import FUEL, PAGE, TYPE_BYTES, Body, Writer, split

PREAMBLE: Final = b"\0asm\1\0\0\0"

_INTERESTING: Final = (0, 1, 2, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000)
_EDGES: Final = {"i": (1 << 31, (1 << 31) - 1, (1 << 32) - 1), "I": (1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 32)}


@dataclass(frozen=True, slots=True)
class Shape:
    """What modules may be like.

    `imports` are functions: module, name, signature. `exports` are functions: name, signature; None draws some, named
    `f0`, `f1`, … . `bulk` is what bulk memory has beyond `memory.copy` and `memory.fill`. With `observers` each global
    has a function `g0`, `g1`, … that reads it, a start function may occur, and segments may miss memory or table.
    `padding` is the share of integers that are written longer than need be, `size` about how many statements a
    function has.
    """

    imports: tuple[tuple[str, str, str], ...] = ()
    exports: tuple[tuple[str, str], ...] | None = None
    multi_value: bool = True
    bulk: bool = True
    references: bool = True
    observers: bool = True
    padding: float = 0.03
    size: int = 14
    fuel: int = 60


HOST: Final = (
    ("host", "note", "iI:"),
    ("host", "mix", "Ii:I"),
    ("host", "half", "I:i"),
    ("host", "pair", "I:iI"),
    ("host", "touch", "ii:i"),
    ("host", "stop", "i:"),
)
"""Imports that `tests.wasm.oracle` implements."""

MACHINE: Final = Shape(imports=HOST)
"""Everything the machine runs."""

CONTRACT: Final = Shape(
    exports=(("main", ":"),), multi_value=False, bulk=False, references=False, observers=False, padding=0.0
)
"""The contract form: what the default ruleset allows, one function `main`; imports are for the caller to say."""


@dataclass(frozen=True, slots=True)
class Generated:
    """A module and what it shows: signatures of its exported functions and imports, and how to read its globals."""

    binary: bytes
    imports: tuple[tuple[str, str, str], ...]
    exports: tuple[tuple[str, str], ...]
    observers: tuple[tuple[str, str], ...]


def generate(rng: Random, shape: Shape = MACHINE) -> bytes:
    """Return a valid module."""
    return build(rng, shape).binary


def build(rng: Random, shape: Shape = MACHINE) -> Generated:
    """Return a valid module and its interface; its memory is exported as `memory`."""
    return ModuleDraft(rng, shape).build()


class ModuleDraft:
    """One module on its way."""

    def __init__(self, rng: Random, shape: Shape) -> None:
        self.rng = rng
        self.shape = shape
        self.w = Writer(rng, shape.padding)
        self.types: list[str] = []
        self.values = "iI" + "r" * shape.references
        self.signatures = [signature for _, _, signature in shape.imports]
        self.callable = len(shape.imports) + rng.randint(0, 4)
        while len(self.signatures) < self.callable:
            self.signatures.append(self.signature(self.values))
        exports = shape.exports
        if exports is None:
            exports = tuple((f"f{n}", self.signature("iI")) for n in range(rng.randint(1, 3)))
        self.exports = exports
        self.entries = self.callable + len(exports)
        self.signatures += [signature for _, signature in exports]
        self.pages = (rng.randint(0, 2) or 1, rng.randint(2, 4)) if shape.observers else (1, 3)
        self.globals = [("i", True), *((self.any_type(), rng.random() < 0.7) for _ in range(rng.randint(0, 4)))]
        tables = rng.randint(1, 1 + shape.references)
        self.tables = [(low := rng.randint(4, 12), low + rng.randint(0, 4)) for _ in range(tables)]
        self.slots: dict[tuple[int, int], int] = {}
        self.elements = self.draw_elements()
        self.data = self.draw_data()

    def any_type(self, values: str = "") -> str:
        """Draw a type; references are rare."""
        return self.rng.choice(values or "iI" * 4 + self.values)

    def some_types(self, values: str, most: int) -> str:
        """Draw a few types."""
        return "".join(self.any_type(values * 3 + "iI" * 5) for _ in range(self.rng.randint(0, most)))

    def signature(self, values: str) -> str:
        """Draw a signature."""
        results = self.some_types(values, 3 if self.shape.multi_value else 1)
        return f"{self.some_types(values, 4)}:{results}"

    def type_index(self, signature: str) -> int:
        """Return the index of a function type."""
        if signature not in self.types:
            self.types.append(signature)
        return self.types.index(signature)

    # Segments

    def draw_elements(self) -> list[tuple[int, int, int, list[int | None]]]:
        """Draw element segments: form, table, offset, functions."""
        rng, shape = self.rng, self.shape
        forms = [0, 0] + [1, 2] * shape.bulk + [4, 5, 6] * shape.references
        found: list[tuple[int, int, int, list[int | None]]] = []
        for _ in range(rng.randint(0, 3) if self.callable else 0):
            form = rng.choice(forms)
            table = rng.randrange(len(self.tables)) if form & 2 else 0
            low = self.tables[table][0]
            items: list[int | None] = [rng.randrange(self.callable) for _ in range(rng.randint(0, low))]
            if form & 4:
                items = [None if rng.random() < 0.2 else item for item in items]
            at = rng.randint(0, low - len(items))
            if not form & 1:
                if shape.observers and rng.random() < 0.02:
                    at = rng.randint(0, 2 * low)
                self.slots.update({(table, at + n): f for n, f in enumerate(items) if f is not None})
            found.append((form, table, at, items))
        if shape.references and self.callable:
            found.append((rng.choice((3, 7)), 0, 0, list(range(self.callable))))
        return found

    def element(self, form: int, table: int, at: int, items: list[int | None]) -> bytes:
        """Write an element segment."""
        u = self.w.u
        out = u(form) + (u(table) if form & 3 == 2 else b"")
        if not form & 1:
            out += b"\x41" + self.w.s(at, 32) + b"\x0b"
        if form & 4:
            refs = [b"\xd0\x70\x0b" if item is None else b"\xd2" + u(item) + b"\x0b" for item in items]
            return out + (b"\x70" if form & 3 else b"") + self.w.vector(refs)
        return out + (b"\0" if form & 3 else b"") + self.w.vector([u(item or 0) for item in items])

    def draw_data(self) -> list[tuple[int, int, bytes]]:
        """Draw data segments: form, offset, bytes."""
        rng = self.rng
        found = []
        for _ in range(rng.randint(0, 3)):
            content = rng.randbytes(rng.choice((0, 1, 5, 40)))
            end = self.pages[0] * PAGE - len(content)
            at = rng.choice((0, rng.randint(0, 64), end))
            if self.shape.observers and rng.random() < 0.02:
                at = end + rng.randint(1, 9)
            found.append((rng.choice((0, 1, 2)) if self.shape.bulk else 0, at, content))
        return found

    def segment(self, form: int, at: int, content: bytes) -> bytes:
        """Write a data segment."""
        place = b"" if form == 1 else b"\x41" + self.w.s(at, 32) + b"\x0b"
        return self.w.u(form) + (self.w.u(0) if form == 2 else b"") + place + self.w.sized(content)

    # The whole

    def build(self) -> Generated:
        """Write the module; the types come last, when all are known."""
        rng, shape, w = self.rng, self.shape, self.w
        first = len(shape.imports)
        bodies = [Body(self, index).code() for index in range(first, self.entries)]
        observers = []
        if shape.observers:
            for index, (type_, _) in enumerate(self.globals):
                shown = f":{type_}" if type_ != "r" else ":i"
                observers.append((f"g{index}", shown))
                self.signatures.append(shown)
                is_null = b"\xd1" if type_ == "r" else b""
                bodies.append(w.sized(b"\0\x23" + w.u(index) + is_null + b"\x0b"))
        functions = [w.u(self.type_index(signature)) for signature in self.signatures]
        start = [n for n in range(first, self.callable) if self.signatures[n] == ":"]
        names = [*((name, self.callable + n) for n, (name, _) in enumerate(self.exports))]
        names += [(name, self.entries + n) for n, (name, _) in enumerate(observers)]
        exports = [w.sized(b"memory") + b"\x02" + w.u(0)]
        exports += [w.sized(name.encode()) + b"\x00" + w.u(index) for name, index in names]
        imports = [
            w.sized(module.encode()) + w.sized(name.encode()) + b"\0" + w.u(self.type_index(signature))
            for module, name, signature in shape.imports
        ]
        tables = [b"\x70\x01" + w.u(low) + w.u(high) for low, high in self.tables]
        sections = {
            2: w.vector(imports),
            3: w.vector(functions[first:]),
            4: w.vector(tables),
            5: w.vector([b"\x01" + w.u(self.pages[0]) + w.u(max(self.pages))]),
            6: w.vector([self.global_(n, *each) for n, each in enumerate(self.globals)]),
            7: w.vector(exports),
            8: w.u(rng.choice(start)) if shape.observers and start and rng.random() < 0.1 else b"",
            9: w.vector([self.element(*each) for each in self.elements]),
            12: w.u(len(self.data)) if shape.bulk or rng.random() < 0.5 else b"",
            10: w.vector(bodies),
            11: w.vector([self.segment(*each) for each in self.data]),
        }
        if not shape.imports and rng.random() < 0.5:
            sections[2] = b""
        types = [b"\x60" + b"".join(w.vector([TYPE_BYTES[t] for t in part]) for part in split(s)) for s in self.types]
        parts = [w.section(1, w.vector(types)), *(w.section(kind, each) for kind, each in sections.items() if each)]
        if shape.padding:
            for _ in range(rng.choice((0, 0, 0, 1, 2))):
                content = w.sized(rng.choice((b"name", b"", b"junk"))) + rng.randbytes(rng.randint(0, 9))
                parts.insert(rng.randint(0, len(parts)), w.section(0, content))
        return Generated(PREAMBLE + b"".join(parts), shape.imports, self.exports, tuple(observers))

    def global_(self, index: int, type_: str, mutable: bool) -> bytes:
        """Write a global with its initial value."""
        if type_ == "r":
            named = self.callable and self.rng.random() < 0.6
            init = b"\xd2" + self.w.u(self.rng.randrange(self.callable)) if named else b"\xd0\x70"
        else:
            init = self.constant(type_, self.shape.fuel if index == FUEL else None)
        return TYPE_BYTES[type_] + bytes([mutable]) + init + b"\x0b"

    def constant(self, type_: str, value: int | None = None) -> bytes:
        """Write a constant."""
        bits = 32 if type_ == "i" else 64
        if value is None:
            pick = self.rng.random()
            if pick < 0.5:
                value = self.rng.choice(_INTERESTING)
            elif pick < 0.75:
                value = self.rng.choice(_EDGES[type_])
            else:
                value = self.rng.getrandbits(self.rng.randint(1, bits))
        return (b"\x41" if type_ == "i" else b"\x42") + self.w.s(value, bits)
