"""The joint at which modules meet engines.

An engine *loads* a module once (compiles or prepares it) and *instantiates* what it loaded as often as needed. Values
are unsigned integers; references are opaque objects or None. A run ends with results, with a `Trap`, or with an
exception that an imported function raised, which passes through unchanged.

Two counters accompany a module that metering has rewritten: `gas`, in the units of the inserted charges, and `stack`,
in words. A charge that makes `gas` negative ends the run with `OUT_OF_GAS`, a frame that makes `stack` negative with
`STACK_OVERFLOW`; the stack is taken first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from wasm.instructions import Op
from wasm.module import ValidModule
from wasm.types import FuncType

Value: TypeAlias = Any
"""An unsigned integer, or a reference: an opaque object, None when null."""

NO_LIMIT = 1 << 62
"""Start of the gas counter where nobody counts."""


class Memory(Protocol):
    """A linear memory."""

    @property
    def size(self) -> int:
        """The current size in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Copy bytes out; trap with `MEMORY_BOUNDS` if the range is not inside, also for length 0."""

    def write(self, offset: int, data: bytes) -> None:
        """Copy bytes in; trap with `MEMORY_BOUNDS` if the range is not inside, also for no bytes."""


class Instance(Protocol):
    """A module ready to run."""

    gas: int
    stack: int
    context: Any
    """Whatever the caller wants its imported functions to find here."""

    @property
    def memory(self) -> Memory:
        """The first memory."""

    @property
    def exports(self) -> Mapping[str, Any]:
        """What the module exports, by name, in a form that `Loaded.instantiate` takes as import."""

    def invoke(self, export: str, *args: Value) -> tuple[Value, ...]:
        """Call an exported function."""


HostCall: TypeAlias = Callable[..., Value]


@dataclass(frozen=True, slots=True)
class HostFunction:
    """A function given from outside: called with the calling instance and the arguments.

    It returns nothing, one value, or a tuple of values, as its type says.
    """

    type: FuncType
    call: HostCall


class Tracer(Protocol):
    """A listener that sees every instruction before it runs; inserted ones it does not see."""

    def __call__(self, function: int, offset: int, name: str, operands: tuple[Value, ...], gas: int) -> None:
        """Take note: function index, byte offset in the module, instruction, operands, gas counter."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Instructions that follow each other: whoever begins the first goes on to the last, unless one of them fails.

    Each is (offset, row), and is in one run only. `locals` is how many locals the function declares that begins here,
    None if none does.
    """

    function: int
    instructions: tuple[tuple[int, Op], ...]
    locals: int | None


class Profiler(Protocol):
    """A listener that sees calls; between them the engine counts for it, at a fraction of a tracer's cost.

    The engine adds to `runs` when a run begins, and its length to `executed`. `last` is the run begun last: if one of
    its instructions traps, those behind have been counted too early. `operands` adds up, by function and offset, what
    was charged by operand.
    """

    runs: dict[Run, int]
    executed: int
    last: Run | None
    operands: dict[tuple[int, int], int]

    def enter(self, function: int, gas: int) -> None:
        """Take note that a function begins: its index, the gas counter before its first charge."""

    def leave(self, gas: int) -> None:
        """Take note that the function returns. One that an exception ends does not."""


Imports: TypeAlias = Mapping[tuple[str, str], Any]
"""What is given to a module, by module and name: `HostFunction`s, or exports of instances of the same engine."""


class Loaded(Protocol):
    """A module that an engine has prepared."""

    def instantiate(
        self,
        imports: Imports,
        *,
        gas: int = NO_LIMIT,
        stack: int = NO_LIMIT,
        context: Any = None,
        tracer: Tracer | None = None,
        profiler: Profiler | None = None,
        beside: Instance | None = None,
    ) -> Instance:
        """Link, run the start function if there is one, and return the instance; raise `Unlinkable`, or trap.

        Instances that import from each other stand `beside` one another; a contract stands alone.
        """

    def artefact(self) -> bytes | None:
        """Return what `Engine.revive` makes the same of, None if keeping it would save nothing."""


class Engine(Protocol):
    """Something that runs modules."""

    @property
    def name(self) -> str:
        """The engine's name: `interpreter` or `compiled`."""

    @property
    def traces(self) -> bool:
        """Whether instances accept a tracer and a profiler."""

    @property
    def native_stack(self) -> int:
        """Bytes of native stack a thread needs to run `nesting` messages in each other; 0 if any thread will do."""

    @property
    def nesting(self) -> int:
        """How many messages may run in each other on one thread."""

    @property
    def identity(self) -> str:
        """What an artefact depends on beside its module: version, settings, machine."""

    def load(self, module: ValidModule) -> Loaded:
        """Prepare a module."""

    def revive(self, artefact: bytes) -> Loaded:
        """Load what an engine of the same `identity` made; it is run as it is, so the caller vouches for it."""
