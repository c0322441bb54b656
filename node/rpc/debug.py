"""Methods that trace: `debug_traceTransaction` and `debug_traceCall`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from evmc import Address, Bytes32, Gas, Result, Status
from ewasm.vm import EwasmVM, make_engine
from node.chain import BlockOverride, Call, CallAborted, Override
from node.chain.building import Machine
from node.chain.reader import Reader
from node.chain.replay import replay
from node.rpc.errors import Refused
from node.rpc.eth import AT, HASH_PARAM
from node.rpc.kinds import (
    OBJECT,
    BlockId,
    Json,
    Kind,
    Unreadable,
    field,
    hex_data,
    hex_quantity,
    read_flag,
    read_object,
    read_small,
    read_text,
)
from node.rpc.objects import CALL, read_block_override, read_overrides
from node.rpc.service import Context
from node.rpc.table import MethodTable, Param
from node.rpc.tracing import (
    Frame,
    Recorder,
    Touched,
    TracedVM,
    TraceTooLong,
    call_tree,
    prestate,
    state_diff,
    struct_logs,
)
from state import Diff, Journal
from wasm.compiled import Aborted

TABLE: Final = MethodTable()
CALLS, PRESTATE, STEPS, NOTHING = "callTracer", "prestateTracer", "", "noopTracer"
TRACERS: Final = (CALLS, PRESTATE, STEPS, NOTHING)
MAX_STEPS: Final = 200_000
"""Instructions that one trace records."""

DEFAULT_SECONDS: Final = 30.0
"""Seconds a trace may take where no time limit is set."""


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """What is wanted of a trace; `steps` is how many instructions at most."""

    tracer: str = STEPS
    only_top: bool = False
    with_logs: bool = False
    diff: bool = False
    steps: int = MAX_STEPS
    overrides: dict[Address, Override] | None = None
    block: BlockOverride | None = None


def _read_config(value: Any) -> TraceConfig:
    fields = read_object(value)
    tracer = field(fields, "tracer", read_text, STEPS)
    if tracer not in TRACERS:
        raise Unreadable(f"tracer: one of {CALLS}, {PRESTATE}, {NOTHING}, or none for instructions, is expected")
    details = field(fields, "tracerConfig", read_object, {})
    return TraceConfig(
        tracer=tracer,
        only_top=field(details, "onlyTopCall", read_flag, False),  # noqa: FBT003  # a default
        with_logs=field(details, "withLog", read_flag, False),  # noqa: FBT003  # a default
        diff=field(details, "diffMode", read_flag, False),  # noqa: FBT003  # a default
        steps=min(field(fields, "limit", read_small, 0) or MAX_STEPS, MAX_STEPS),
        overrides=field(fields, "stateOverrides", read_overrides),
        block=field(fields, "blockOverrides", read_block_override),
    )


CONFIG: Final = Param(
    "config",
    Kind(
        "trace config",
        {
            "title": "trace config",
            "type": "object",
            "properties": {"tracer": {"enum": list(TRACERS)}, "tracerConfig": {}},
        },
        _read_config,
    ),
    {},
)


@dataclass(frozen=True, slots=True)
class _Done:
    """What a traced execution gave."""

    result: Result
    gas_limit: Gas
    gas_used: Gas
    diff: Diff


@TABLE.method("debug_traceTransaction", HASH_PARAM, CONFIG, result=OBJECT, reads=True)
def trace_transaction(ctx: Context, transaction: Bytes32, config: TraceConfig) -> Json | dict[str, Any]:
    """Run a mined transaction again and return its calls, its instructions, or the state it touched."""
    with ctx.reader.lent(ctx.timeout) as vm:
        again = replay(ctx.reader, transaction, vm)
    touched, tx = Touched(again.view), again.transaction

    def run(machine: Machine) -> _Done:
        receipt = machine.execute(tx, Journal(touched), again.block, again.block_hash)
        return _Done(receipt.result, tx.gas_limit, receipt.gas_used, receipt.diff)

    call = Call(sender=tx.sender, to=tx.to, value=tx.value, data=tx.data)
    return _traced(ctx, config, call, touched, run)


@TABLE.method("debug_traceCall", Param("transaction", CALL), AT, CONFIG, result=OBJECT, reads=True)
def trace_call(ctx: Context, transaction: Call, block: BlockId, config: TraceConfig) -> Json | dict[str, Any]:
    """Run a call and return its calls, its instructions, or the state it touched; nothing of it is kept."""
    site = ctx.reader.site(block, config.overrides, config.block)
    touched = Touched(site.view)
    limit = site.header.gas_limit

    def run(machine: Machine) -> _Done:
        done = replace(site, view=touched, machine=machine).run(transaction)
        return _Done(done.result, min(transaction.gas or limit, limit), done.gas_used, done.diff)

    return _traced(ctx, config, transaction, touched, run)


def _traced(
    ctx: Context, config: TraceConfig, call: Call, touched: Touched, run: Callable[[Machine], _Done]
) -> Json | dict[str, Any]:
    """Run on a traced machine and return what was asked for."""
    seconds = ctx.timeout or DEFAULT_SECONDS
    tree = config.tracer == CALLS and not config.only_top
    recorder = Recorder(config.steps, time.monotonic() + seconds, tree=tree)
    machine = ctx.reader.machine
    try:
        with _within(ctx.reader, config, seconds) as vm:
            traced = TracedVM(machine.ruleset, vm.engine, recorder, cache=vm.cache, steps=config.tracer == STEPS)
            done = run(machine.on(traced))
    except TraceTooLong as error:
        less = "onlyTopCall" if config.tracer == CALLS else f"tracer {CALLS}"
        raise Refused(f"{error}: ask for {less}") from error
    except Aborted as error:
        raise CallAborted(f"aborted by the node: the trace took longer than {seconds:g} s") from error
    if config.tracer == CALLS:
        return _calls(recorder.root, call, done, config)
    if config.tracer == PRESTATE:
        return state_diff(touched, done.diff) if config.diff else prestate(touched)
    if config.tracer == NOTHING:
        return {}
    return {
        "gas": done.gas_used,
        "failed": done.result.status is not Status.SUCCESS,
        "returnValue": hex_data(done.result.output),
        "structLogs": struct_logs(recorder.steps),
    }


@contextmanager
def _within(reader: Reader, config: TraceConfig, seconds: float) -> Iterator[EwasmVM]:
    """Lend a machine for so long: one that sees instructions, or one like the chain's that can be stopped."""
    if config.tracer == STEPS:
        yield EwasmVM(reader.ruleset, make_engine("interpreter"))
        return
    with reader.lent(seconds) as vm:
        yield vm


def _calls(root: Frame | None, call: Call, done: _Done, config: TraceConfig) -> Json | dict[str, Any]:
    """Return the tree of calls; the outermost has the transaction's gas, and is there where nothing ran."""
    outermost = {
        "gas": hex_quantity(done.gas_limit),
        "gasUsed": hex_quantity(done.gas_used),
        "input": hex_data(call.data),
        **({"output": hex_data(done.result.output)} if done.result.output else {}),
    }
    if root is not None:
        return call_tree(root, outermost, only_top=config.only_top, with_logs=config.with_logs)
    document: dict[str, Any] = {
        "type": "CREATE" if call.to is None else "CALL",
        "from": hex_data(call.origin),
        "to": None if call.to is None else hex_data(call.to),
        "value": hex_quantity(call.value),
    }
    if done.result.status is not Status.SUCCESS:
        document["error"] = done.result.status.name.lower().replace("_", " ")
    return document | outermost
