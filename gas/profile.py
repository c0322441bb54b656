"""Where the gas of a run went: by call path, function, instruction and place, in particles that add up exactly.

`gas.collector` makes a `Profile` while a run goes on; `gas.report` shows it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from gas.schedule import Schedule
from wasm.engine import Run
from wasm.instructions import Op

Kind: TypeAlias = Literal["root", "contract", "function", "host", "precompile", "refused"]
Share: TypeAlias = Literal[
    "instructions",
    "memory",
    "storage",
    "host",
    "precompiles",
    "deposit",
    "intrinsic",
    "rounding",
    "lost",
    "stipend",
    "refund",
]

SHARES: Final[Mapping[Share, str]] = {
    "instructions": "instructions, memory's own not among them",
    "memory": "initial pages, and instructions that grow, fill or copy memory",
    "storage": "storageLoad and storageStore",
    "host": "other host functions",
    "precompiles": "precompiled contracts",
    "deposit": "storing the code of creations",
    "intrinsic": "the transaction itself and its data",
    "rounding": "fractions of gas that messages lost at their end",
    "lost": "what failed messages had left",
    "stipend": "what came with value and was not the caller's",
    "refund": "for cleared storage and contracts",
}
"""Parts that the gas used is made of; stipend and refund are negative."""

_MEMORY: Final = frozenset({"memory.size", "memory.grow", "memory.fill", "memory.copy", "memory.init", "data.drop"})
_CONTROL: Final = frozenset(
    {"nop", "unreachable", "block", "loop", "if", "br", "br_if", "br_table", "return", "drop", "select", "select_t"}
)


def instruction_class(op: Op) -> str:
    """Return the class of an instruction: what it does, for sums."""
    name = op.name
    if name in _MEMORY:
        return "memory"
    if name in ("call", "call_indirect"):
        return "call"
    if name in _CONTROL:
        return "parametric" if name in ("drop", "select", "select_t") else "control"
    prefix, _, what = name.partition(".")
    if prefix in ("local", "global", "table", "ref", "elem"):
        return prefix
    if op.immediate == "memarg":
        return "store" if "store" in what else "load"
    if what == "const":
        return "constant"
    if what.startswith(("div", "rem")):
        return "division"
    if op.params is not None and op.results == ["i32"] and what.startswith(("eq", "ne", "lt", "gt", "le", "ge")):
        return "comparison"
    if what.startswith(("wrap", "extend")):
        return "conversion"
    if what in ("and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr", "clz", "ctz", "popcnt"):
        return "bits"
    return "arithmetic"


@dataclass(frozen=True, slots=True)
class Contract:
    """Code that ran: where, whether as init code, and the code itself."""

    address: str
    code: bytes = field(repr=False)
    creation: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A function of a contract (an index into `Profile.contracts`), and an offset in the module where that is meant."""

    contract: int
    function: int
    offset: int | None = None


class Node(NamedTuple):
    """One path of calls: what was called along it, how often, and what that cost without what it called in turn.

    `parent` is an index into `Profile.nodes`, -1 for the root. `name` is of a host function, a precompiled contract or
    a message that nothing ran for. `parts` are the shares of `particles` that are no instruction's.
    """

    parent: int
    kind: Kind
    contract: int | None
    function: int | None
    name: str
    calls: int
    particles: int
    instructions: int
    parts: Mapping[Share, int]


@dataclass(frozen=True, slots=True)
class Spent:
    """What an instruction at its place, or all of a kind, was executed and cost."""

    count: int = 0
    particles: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.count + other.count, self.particles + other.particles)


@dataclass(frozen=True, slots=True)
class LastCall:
    """A call that had ended before a failure: a function or something with a name, and what it cost in all."""

    kind: Kind
    contract: int
    function: int | None
    name: str
    particles: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that failed and lost its gas.

    `path` are the functions that were running, the innermost last, and `above` how many stand above these. `place` is
    where the innermost stood, None if no code ran. `host` is the host function that it was in, `gas` what it was given,
    whole; `last` the calls that ended before.
    """

    contract: int | None
    depth: int
    reason: str
    out_of_gas: bool
    place: Place | None
    path: tuple[Place, ...]
    above: int
    host: str | None
    gas: int
    last: tuple[LastCall, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """Calls from one function, or what runs in its place, to another: nodes of `Profile.nodes` stand for both."""

    caller: int
    callee: int
    calls: int
    particles: int


@dataclass(frozen=True)
class Profile:
    """Where the gas of a run went. Amounts are particles, 1/10,000 gas; sums are exact.

    `nodes` are in the order of the tree, every parent before its children. `runs` says how often each run of
    instructions was begun, by contract; `operands` what was charged by operand.
    """

    nodes: tuple[Node, ...]
    contracts: tuple[Contract, ...]
    failures: tuple[Failure, ...]
    schedule: Schedule = field(repr=False)
    runs: Mapping[tuple[int, Run], int] = field(repr=False, compare=False)
    operands: Mapping[Place, int] = field(repr=False)

    @cached_property
    def spent(self) -> dict[Place, tuple[Op, Spent]]:
        """What was executed, by contract, function and offset, in this order."""
        counts: dict[tuple[int, int, int], list[Any]] = {}
        for (contract, run), times in self.runs.items():
            for offset, op in run.instructions:
                row = counts.setdefault((contract, run.function, offset), [op, 0])
                row[1] += times
        found = {}
        for key, (op, times) in sorted(counts.items(), key=itemgetter(0)):
            if times:
                place = Place(*key)
                particles = times * self.schedule.price(op) + self.operands.get(place, 0)
                found[place] = op, Spent(times, particles)
        return found

    @cached_property
    def entries(self) -> dict[Place, int]:
        """What declared locals cost, by contract and function."""
        found: Counter[Place] = Counter()
        for (contract, run), times in self.runs.items():
            if run.locals and times:
                found[Place(contract, run.function)] += times * run.locals * self.schedule.local
        return dict(sorted(found.items(), key=lambda item: (item[0].contract, item[0].function)))

    @cached_property
    def particles(self) -> int:
        """The gas used, in particles."""
        return sum(node.particles for node in self.nodes)

    @cached_property
    def instructions(self) -> int:
        """The number of instructions executed."""
        return sum(node.instructions for node in self.nodes)

    @cached_property
    def totals(self) -> list[Spent]:
        """Instructions and particles of each node with all below it."""
        totals = [Spent(node.instructions, node.particles) for node in self.nodes]
        for index in range(len(totals) - 1, 0, -1):
            parent = self.nodes[index].parent
            totals[parent] += totals[index]
        return totals

    @cached_property
    def shares(self) -> dict[Share, int]:
        """Parts of the gas used, in particles, in the order of `SHARES`; the sum is the gas used."""
        found: Counter[Share] = Counter()
        for op, spent in self.spent.values():
            found["memory" if instruction_class(op) == "memory" else "instructions"] += spent.particles
        found["instructions"] += sum(self.entries.values())
        for node in self.nodes:
            for share, particles in node.parts.items():
                found[share] += particles
        return {share: found[share] for share in SHARES if found[share]}

    @cached_property
    def classes(self) -> dict[str, Spent]:
        """Instructions by class; `locals` are those declared, paid at a function's entry."""
        found: defaultdict[str, Spent] = defaultdict(Spent)
        for op, spent in self.spent.values():
            found[instruction_class(op)] += spent
        entries = sum(self.entries.values())
        if entries:
            found["locals"] = Spent(0, entries)
        return dict(sorted(found.items(), key=lambda item: (-item[1].particles, item[0])))

    @cached_property
    def opcodes(self) -> dict[str, Spent]:
        """Instructions by name."""
        found: defaultdict[str, Spent] = defaultdict(Spent)
        for op, spent in self.spent.values():
            found[op.name] += spent
        return dict(sorted(found.items(), key=lambda item: (-item[1].particles, item[0])))

    def key(self, index: int) -> tuple[Kind, int | None, int | None, str]:
        """Return what a node stands for, whatever the path to it."""
        node = self.nodes[index]
        return node.kind, node.contract, node.function, node.name

    @cached_property
    def summary(self) -> list[Summary]:
        """What each function, host function, … cost over all paths, dearest first; recursion counts once."""
        found: dict[tuple[Kind, int | None, int | None, str], Summary] = {}
        outermost = self._outermost()
        for index, node in enumerate(self.nodes):
            key = self.key(index)
            before = found.get(key) or Summary(index)
            total = self.totals[index] if outermost[index] else Spent()
            found[key] = Summary(
                before.node,
                before.calls + node.calls,
                before.self + Spent(node.instructions, node.particles),
                before.total + total,
            )
        return sorted(found.values(), key=lambda row: (-row.self.particles, row.node))

    def _outermost(self) -> list[bool]:
        """Tell of each node whether nothing above it stands for the same."""
        outermost = [True] * len(self.nodes)
        running: Counter[tuple[Kind, int | None, int | None, str]] = Counter()
        path: list[int] = []
        for index, node in enumerate(self.nodes):
            while path and path[-1] != node.parent:
                running[self.key(path.pop())] -= 1
            key = self.key(index)
            outermost[index] = not running[key]
            running[key] += 1
            path.append(index)
        return outermost

    @cached_property
    def edges(self) -> list[Edge]:
        """Calls between functions, host functions, …, dearest first; particles are the callee's with all below it."""
        found: dict[tuple[object, object], Edge] = {}
        for index, node in enumerate(self.nodes[1:], 1):
            key = self.key(node.parent), self.key(index)
            edge = found.get(key) or Edge(node.parent, index, 0, 0)
            calls, particles = edge.calls + node.calls, edge.particles + self.totals[index].particles
            found[key] = Edge(edge.caller, edge.callee, calls, particles)
        return sorted(found.values(), key=lambda edge: (-edge.particles, edge.caller, edge.callee))

    def path(self, index: int) -> list[int]:
        """Return the nodes from the root to one."""
        found = []
        while index >= 0:
            found.append(index)
            index = self.nodes[index].parent
        return found[::-1]


@dataclass(frozen=True, slots=True)
class Summary:
    """What one function, host function, … cost over all paths; `node` is one of its nodes."""

    node: int
    calls: int = 0
    self: Spent = Spent()
    total: Spent = Spent()
