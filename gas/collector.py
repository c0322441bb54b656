"""Listening to a run, so that its gas can be told apart.

Charges are cut at calls, so what goes from a counter between two calls is the price of the instructions between them:
that is what a function is given. A message that fails loses all its gas: what no instruction and no host function was
paid with is *lost*.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from typing import Final

from gas.meter import PARTICLES, OutOfGas
from gas.profile import Contract, Failure, Kind, LastCall, Node, Place, Profile, Share
from gas.schedule import Schedule
from wasm.engine import Run
from wasm.errors import Trap, TrapKind
from wasm.instructions import Op

LAST_CALLS: Final = 12
"""Calls before a failure that are remembered."""

DEEPEST: Final = 32
"""Functions that were running at a failure that are named."""

_STORAGE: Final = frozenset({"storageLoad", "storageStore"})


class _Node:
    """A path of calls while it is being walked."""

    __slots__ = ("calls", "children", "contract", "function", "instructions", "kind", "name", "particles", "parts")

    def __init__(self, kind: Kind, contract: int | None = None, function: int | None = None, name: str = "") -> None:
        self.kind = kind
        self.contract = contract
        self.function = function
        self.name = name
        self.calls = 0
        self.particles = 0
        self.instructions = 0
        self.parts: dict[Share, int] = {}
        self.children: dict[object, _Node] = {}

    def child(self, key: object, kind: Kind, contract: int | None, function: int | None, name: str) -> _Node:
        """Return the node of a call from here."""
        found = self.children.get(key)
        if found is None:
            found = self.children[key] = _Node(kind, contract, function, name)
        return found

    def add(self, share: Share, particles: int) -> None:
        """Add a part that is no instruction's."""
        if particles:
            self.parts[share] = self.parts.get(share, 0) + particles
            self.particles += particles


class _Message:
    """A message on its way to whoever runs it: its whole gas, and what has been attributed to it so far."""

    __slots__ = ("attributed", "gas", "name", "node", "stipend")

    def __init__(self, name: str, gas: int, stipend: int) -> None:
        self.name = name
        self.gas = gas
        self.stipend = stipend
        self.attributed = 0
        self.node: _Node | None = None


class Frame:
    """The profiler of one running message (`wasm.engine.Profiler`), told also of its host functions."""

    def __init__(self, collector: Collector, contract: int, address: str, node: _Node, gas: int) -> None:
        self.runs: dict[Run, int] = defaultdict(int)
        self.operands: dict[tuple[int, int], int] = defaultdict(int)
        self.executed = 0
        self.last: Run | None = None
        self.contract = contract
        self.address = address
        self.node = self.outer = node
        self.given = gas
        self.reason: object = None
        self.host: str | None = None
        self.nested = 0
        self._collector = collector
        self._callers: list[tuple[_Node, int]] = []
        self._gas = 0
        self._seen = 0
        self._own = 0
        self._parts = 0

    def start(self, gas: int, pages: int) -> None:
        """Take note that the initial pages are paid and the code begins with `gas` particles."""
        self._gas = gas
        self.outer.add("memory", pages)
        self._parts += pages

    def _advance(self, gas: int) -> None:
        """Give the running function what it took since the last call."""
        node = self.node
        spent = self._gas - gas
        node.particles += spent
        node.instructions += self.executed - self._seen
        self._own += spent
        self._seen = self.executed
        self._gas = gas

    def enter(self, function: int, gas: int) -> None:
        """Go down to a function that begins."""
        self._advance(gas)
        above = self.node
        child = above.children.get(function)
        if child is None:
            child = above.children[function] = _Node("function", self.contract, function)
        child.calls += 1
        self._callers.append((above, gas))
        self.node = child

    def leave(self, gas: int) -> None:
        """Come back from a function that returns."""
        self._advance(gas)
        function = self.node.function
        self.node, before = self._callers.pop()
        self._collector.last.append(("function", self.contract, function, "", before - gas))

    def host_begin(self, name: str, gas: int) -> None:
        """Go down to a host function that begins."""
        self._advance(gas)
        child = self.node.child(name, "host", None, None, name)
        child.calls += 1
        self._callers.append((self.node, gas))
        self.node = child
        self.host = name
        self.nested = 0

    def host_end(self, gas: int, *, returned: bool) -> None:
        """Come back from a host function; one that could not be paid, with a negative counter, is given nothing."""
        child = self.node
        self.node, before = self._callers.pop()
        if gas >= 0:
            paid = before - gas - self.nested
            child.add("storage" if child.name in _STORAGE else "host", paid)
            self._parts += before - gas
            self._gas = gas
            self._collector.last.append(("host", self.contract, None, child.name, before - gas))
        if returned:
            self.host = None

    def close(self, gas_left: int, *, kept: bool) -> int:
        """End the message: return its particles used, all of them attributed."""
        trap = self.reason if isinstance(self.reason, Trap) else None
        if trap is not None:
            self._correct(trap)
        used = (self.given - gas_left) * PARTICLES
        if not kept:
            spent = self._price() - self._own
            self.node.particles += spent
            self._own += spent
        self._collector.count(self.contract, self.runs, self.operands)
        self.node.instructions += self.executed - self._seen
        self.outer.add("rounding" if kept else "lost", used - self._own - self._parts)
        return used

    def _correct(self, trap: Trap) -> None:
        """Take back what was counted of the last run behind a trap.

        What was not paid was not executed; the price of a `loop` is part of the first charge behind it, that of locals
        part of the first charge of all.
        """
        run = self.last
        if trap.offset is None or run is None:
            return
        unpaid = trap.kind is TrapKind.OUT_OF_GAS
        done = [item for item in run.instructions if item[0] < trap.offset or (item[0] == trap.offset and not unpaid)]
        if unpaid and len(done) == 1 and done[0][1].name == "loop":
            done = []
        self.runs[run] -= 1
        self.runs[Run(run.function, tuple(done), run.locals if done or not unpaid else None)] += 1
        self.executed -= len(run.instructions) - len(done)

    def _price(self) -> int:
        """Return what was executed cost."""
        prices, local = self._collector.prices, self._collector.schedule.local
        cost = sum(self.operands.values())
        for run, times in self.runs.items():
            cost += times * (sum([prices[op] for _, op in run.instructions]) + (run.locals or 0) * local)
        return cost

    def failure(self, depth: int) -> Failure:
        """Return where and why the message failed."""
        reason = self.reason
        trap = reason if isinstance(reason, Trap) else None
        out_of_gas = isinstance(reason, OutOfGas) or (trap is not None and trap.kind is TrapKind.OUT_OF_GAS)
        functions = [node.function for node, _ in self._callers if node.function is not None]
        if self.node.function is not None:
            functions.append(self.node.function)
        place = None
        if functions:
            offset = trap.offset if trap else None
            if offset is None and self.last is not None and self.last.instructions:
                offset = self.last.instructions[-1][0]
            place = Place(self.contract, functions[-1], offset)
        return Failure(
            contract=self.contract,
            depth=depth,
            reason="out of gas" if out_of_gas else str(getattr(reason, "message", reason)),
            out_of_gas=out_of_gas,
            place=place,
            path=tuple(Place(self.contract, function) for function in functions[-DEEPEST:]),
            above=max(0, len(functions) - DEEPEST),
            host=self.host,
            gas=self.given,
            last=tuple(LastCall(*call) for call in self._collector.last),
        )


class Collector:
    """Listens to a transaction, or a message by itself; `finish` gives its profile.

    One that is `counting` wants code with counters in it, in place of an engine that tells it of calls.
    """

    counting = False
    frame: type[Frame] = Frame

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.prices: dict[Op, int] = _Prices(schedule)
        self.root = _Node("root")
        self.root.calls = 1
        self.frames: list[Frame] = []
        self.messages: list[_Message] = [_Message("", 0, 0)]
        self.contracts: dict[Contract, int] = {}
        self.runs: defaultdict[tuple[int, Run], int] = defaultdict(int)
        self.operands: Counter[Place] = Counter()
        self.failures: list[Failure] = []
        self.last: deque[tuple[Kind, int, int | None, str, int]] = deque(maxlen=LAST_CALLS)

    def count(self, contract: int, runs: Mapping[Run, int], operands: Mapping[tuple[int, int], int]) -> None:
        """Add what a message executed, and what it paid by operand."""
        for run, times in runs.items():
            self.runs[contract, run] += times
        for (function, offset), particles in operands.items():
            self.operands[Place(contract, function, offset)] += particles

    # Messages, as a caller sees them

    def message_begin(self, name: str, gas: int, stipend: int = 0) -> None:
        """Take note of a message that is sent with whole gas, of which the stipend is not its caller's."""
        self.messages.append(_Message(name, gas, stipend))

    def message_end(self, gas_left: int, *, stored: bool = False) -> None:
        """End the message; `stored` says that it created a contract, whose code was paid for last."""
        message = self.messages.pop()
        used = (message.gas - gas_left) * PARTICLES
        stipend = message.stipend * PARTICLES
        frame = self.frames[-1]
        rest = used - message.attributed
        node = message.node
        if node is None:
            node = frame.node.child(("refused", message.name), "refused", None, None, message.name)
            node.calls += 1
        node.add("deposit" if stored else "lost", rest)
        node.add("stipend", -stipend)
        frame.nested += used - stipend

    # What runs for a message

    def begin(self, contract: Contract, gas: int) -> Frame:
        """Take note of code that begins to run with whole gas."""
        number = self.contracts.setdefault(contract, len(self.contracts))
        node = self._above.child(number, "contract", number, None, "")
        node.calls += 1
        self.messages[-1].node = node
        self.frames.append(self.frame(self, number, contract.address, node, gas))
        return self.frames[-1]

    def end(self, gas_left: int, *, kept: bool, depth: int) -> None:
        """End the code, or note its refusal: whole gas left, and whether that is kept."""
        frame = self.frames.pop()
        if not kept:
            self.failures.append(frame.failure(depth))
        used = frame.close(gas_left, kept=kept)
        self.messages[-1].attributed += used
        self.last.append(("contract", frame.contract, None, frame.address, used))

    def precompile(self, name: str, gas: int, gas_left: int) -> None:
        """Take note of a precompiled contract that has run."""
        node = self._above.child(("precompile", name), "precompile", None, None, name)
        node.calls += 1
        used = (gas - gas_left) * PARTICLES
        node.add("precompiles", used)
        self.messages[-1].node = node
        self.messages[-1].attributed += used

    @property
    def _above(self) -> _Node:
        """The node that a message is sent from."""
        return self.frames[-1].node if self.frames else self.root

    def finish(self, gas: int, gas_left: int, *, intrinsic: int = 0, refund: int = 0, stored: bool = False) -> Profile:
        """Return the profile of what was given `gas` and left `gas_left`, before the refund: all in whole gas."""
        (message,) = self.messages
        root = self.root
        root.add("intrinsic", intrinsic * PARTICLES)
        rest = (gas - intrinsic - gas_left) * PARTICLES - message.attributed
        (message.node or root).add("deposit" if stored else "lost", rest)
        root.add("refund", -refund * PARTICLES)
        return Profile(
            nodes=_flat(root),
            contracts=tuple(self.contracts),
            schedule=self.schedule,
            runs=self.runs,
            operands=self.operands,
            failures=tuple(self.failures),
        )


class _Prices(dict[Op, int]):
    """Prices of a schedule by row, looked up once."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule

    def __missing__(self, op: Op) -> int:
        price = self[op] = self.schedule.price(op)
        return price


def _flat(root: _Node) -> tuple[Node, ...]:
    """Return a tree as nodes in its order."""
    found: list[Node] = []
    waiting: list[tuple[int, _Node]] = [(-1, root)]
    while waiting:
        parent, node = waiting.pop()
        index = len(found)
        found.append(
            Node(
                parent,
                node.kind,
                node.contract,
                node.function,
                node.name,
                node.calls,
                node.particles,
                node.instructions,
                node.parts,
            )
        )
        waiting.extend((index, child) for child in reversed(node.children.values()))
    return tuple(found)
