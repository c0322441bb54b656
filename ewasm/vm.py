"""The virtual machine: one message in, one result out (EVMC `execute`)."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Final, Self, TypeAlias

from evmc import Host, Message, Result, Status
from ewasm.binding import imports
from ewasm.cache import CodeCache, Prepared
from ewasm.contract import Finding, has_preamble
from ewasm.frame import ContractFailure, Finish, Frame, Revert
from ewasm.profiling import WatchedHost, watched_imports
from ewasm.ruleset import EWASM, Ruleset
from ewasm.threads import with_room
from gas.collector import Collector
from gas.meter import STACK_BUDGET, Meter, OutOfGas
from gas.profile import Contract
from gas.quick import QuickFrame
from wasm.compiled import CompiledEngine
from wasm.engine import Engine, Tracer
from wasm.errors import Trap, TrapKind
from wasm.interpreter import Interpreter

ENGINES: Final[dict[str, Callable[[], Engine]]] = {"compiled": CompiledEngine, "interpreter": Interpreter}
"""Engines by name."""

Reason: TypeAlias = Trap | OutOfGas | ContractFailure | Finding
"""Why a message failed, for people."""

_TRAPS: Final = {
    TrapKind.UNREACHABLE: Status.WASM_UNREACHABLE_INSTRUCTION,
    TrapKind.DIVISION_BY_ZERO: Status.WASM_TRAP,
    TrapKind.INTEGER_OVERFLOW: Status.WASM_TRAP,
    TrapKind.INVALID_CONVERSION: Status.WASM_TRAP,
    TrapKind.TABLE_BOUNDS: Status.WASM_TRAP,
    TrapKind.UNDEFINED_ELEMENT: Status.WASM_TRAP,
    TrapKind.UNINITIALIZED_ELEMENT: Status.WASM_TRAP,
    TrapKind.INDIRECT_CALL_TYPE: Status.WASM_TRAP,
    TrapKind.MEMORY_BOUNDS: Status.INVALID_MEMORY_ACCESS,
    TrapKind.STACK_OVERFLOW: Status.STACK_OVERFLOW,
    TrapKind.OUT_OF_GAS: Status.OUT_OF_GAS,
}


class EwasmVM:
    """A VM for one ruleset on one engine.

    Listeners are arguments, nothing by default: `trace` gives a tracer for a message and `profile` is told where the
    gas goes (the engine must be one that traces, or the collector a counting one), `on_failure` is told why a message
    failed, `debug` receives what the debug functions print and allows them. None of them can change a result. A
    collector listens to one transaction or outermost message, so a VM with one serves no other.
    """

    def __init__(
        self,
        ruleset: Ruleset = EWASM,
        engine: Engine | None = None,
        *,
        cache: CodeCache | None = None,
        trace: Callable[[Message], Tracer | None] | None = None,
        profile: Collector | None = None,
        on_failure: Callable[[Message, Reason], None] | None = None,
        debug: Callable[[str], None] | None = None,
    ) -> None:
        self.ruleset = ruleset
        self.engine = engine or CompiledEngine()
        self.cache = cache or CodeCache()
        self._debug = debug
        self._profile: Collector | None = None
        self._imports = imports(ruleset, debug=debug is not None)
        self._listen(trace, profile, on_failure)

    def listening(
        self,
        *,
        trace: Callable[[Message], Tracer | None] | None = None,
        profile: Collector | None = None,
        on_failure: Callable[[Message, Reason], None] | None = None,
    ) -> Self:
        """Return this machine with listeners in place of its own; all else is shared, prepared code too."""
        other = copy(self)
        other._listen(trace or self._trace, profile, on_failure or self._on_failure)  # noqa: SLF001  # a copy of this very object
        return other

    def _listen(
        self,
        trace: Callable[[Message], Tracer | None] | None,
        profile: Collector | None,
        on_failure: Callable[[Message, Reason], None] | None,
    ) -> None:
        """Take listeners; raise ValueError for those that the engine cannot serve."""
        if (trace or (profile and not profile.counting)) and not self.engine.traces:
            raise ValueError(f"the engine {self.engine.name} cannot trace; use the interpreter")
        self._trace = trace
        self._on_failure = on_failure
        if profile is not None:
            self._profile = profile
            self._imports = watched_imports(imports(self.ruleset, debug=self._debug is not None), profile)

    @property
    def name(self) -> str:
        """The machine's name, for reports."""
        return f"ewasm ({self.engine.name}, ruleset {self.ruleset.name})"

    def execute(self, host: Host, message: Message, code: bytes) -> Result:
        """Run a message; never raise for anything a contract did.

        The code is the recipient's, or for a creation the init code; the output of a creation is the code to store.
        Empty code succeeds with nothing. An exception is a fault of the node: of the host, of this machine, or want of
        memory.
        """
        if self._profile is None:
            return self._execute(host, message, code)
        contract = Contract(str(message.code_address), code, message.kind.is_create)
        self._profile.begin(contract, message.gas)
        result = self._execute(WatchedHost(host, self._profile, self.ruleset.host), message, code)
        kept = result.status in (Status.SUCCESS, Status.REVERT)
        self._profile.end(result.gas_left, kept=kept, depth=message.depth)
        return result

    def _execute(self, host: Host, message: Message, code: bytes) -> Result:
        """Run a message."""
        if not code:
            return Result(Status.SUCCESS, message.gas)
        if not has_preamble(code):
            return self._fail(message, Status.REJECTED, Finding("preamble", "not WebAssembly: no preamble"))
        prepared = self.cache.get(
            code,
            self.ruleset,
            self.engine,
            debug=self._debug is not None,
            counting=self._profile is not None and self._profile.counting,
        )
        if prepared.loaded is None:
            return self._fail(message, Status.CONTRACT_VALIDATION_FAILURE, prepared.findings[0])
        meter = Meter(message.gas)
        frame = Frame(host, message, code, meter, self.ruleset, self._debug or _discard)
        result = with_room(self.engine, lambda: self._run(frame, prepared))
        if message.kind.is_create and result.status is Status.SUCCESS and has_preamble(result.output):
            created = self.cache.get(result.output, self.ruleset, self.engine, debug=self._debug is not None)
            if created.findings:
                return self._fail(message, Status.CONTRACT_VALIDATION_FAILURE, created.findings[0])
        return result

    def _run(self, frame: Frame, prepared: Prepared) -> Result:
        """Pay for the memory, instantiate, call `main`, and translate every end."""
        loaded = prepared.loaded
        assert loaded is not None
        meter, message = frame.meter, frame.message
        try:
            meter.charge_particles(prepared.entry_price)
            profiler = self._profile.frames[-1] if self._profile else None
            if profiler is not None:
                profiler.start(meter.counter.gas, prepared.entry_price)
            instance = loaded.instantiate(
                self._imports,
                gas=meter.counter.gas,
                stack=STACK_BUDGET,
                context=frame,
                tracer=self._trace(message) if self._trace else None,
                profiler=None if prepared.counted else profiler,
            )
            meter.counter = frame.instance = instance
            try:
                instance.invoke("main")
            finally:
                if prepared.counted and isinstance(profiler, QuickFrame):
                    profiler.read(prepared.counted, instance)
                instance.context = None  # no cycle: what the engine holds is freed at once
        except Finish as end:
            return Result(Status.SUCCESS, meter.left_for_caller, end.output)
        except Revert as end:
            return Result(Status.REVERT, meter.left_for_caller, end.output)
        except OutOfGas as end:
            return self._fail(message, Status.OUT_OF_GAS, end)
        except ContractFailure as end:
            return self._fail(message, end.status, end)
        except Trap as end:
            return self._fail(message, _TRAPS[end.kind], end)
        return Result(Status.SUCCESS, meter.left_for_caller)

    def _fail(self, message: Message, status: Status, reason: Reason) -> Result:
        """Return a failure, and tell whoever listens why."""
        if self._profile:
            self._profile.frames[-1].reason = reason
        if self._on_failure:
            self._on_failure(message, reason)
        return Result(status)


def _discard(_: str) -> None:
    """Print nothing."""


def make_engine(name: str) -> Engine:
    """Return an engine by name; raise ValueError that names those there are."""
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name}; there are {', '.join(ENGINES)}")
    return ENGINES[name]()
