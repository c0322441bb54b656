"""Watching a transaction from inside: the calls it makes, every instruction, and the state it touches.

The outputs are those of geth's `callTracer`, struct logger and `prestateTracer`, as far as the words fit a machine
without a stack of 256-bit words.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

from evmc import Address, Bytes32, CallKind, Host, Log, Message, Result, Status
from ewasm.cache import CodeCache
from ewasm.ruleset import Ruleset
from ewasm.vm import EwasmVM, Reason
from gas.collector import Collector
from gas.meter import PARTICLES
from node.abi import revert_reason
from node.host import NodeHost
from node.rpc.kinds import Json, compact, hex_data, hex_quantity
from state import EMPTY_CODE_HASH, Account, Diff, StateView
from wasm.compiled import Aborted
from wasm.decode import decode
from wasm.engine import Engine, Tracer, Value
from wasm.errors import Malformed, Unsupported

STATUS_WORDS: Final = {
    Status.REVERT: "execution reverted",
    Status.OUT_OF_GAS: "out of gas",
    Status.INSUFFICIENT_BALANCE: "insufficient balance for transfer",
    Status.CALL_DEPTH_EXCEEDED: "max call depth exceeded",
    Status.STATIC_MODE_VIOLATION: "write protection",
}
_LOOK: Final = 1_024
"""Instructions between two looks at the clock."""


MAX_KEPT: Final = 64 << 20
"""Bytes of calls, with their inputs, outputs and logs, that one trace records."""

_FRAME: Final = 1_024
"""Bytes that a call takes by itself, about."""


class TraceTooLong(Exception):
    """More instructions, or more of calls, than may be recorded."""


@dataclass(slots=True)
class Frame:
    """A message that was sent, and what came of it."""

    message: Message
    type: str
    sender: Address
    to: Address | None
    result: Result | None = None
    reason: Reason | None = None
    calls: list[Frame] = field(default_factory=list)
    logs: list[tuple[Log, int]] = field(default_factory=list)
    """Logs with the number of calls before each."""


@dataclass(slots=True)
class Step:
    """An instruction before it ran; gas is in particles."""

    depth: int
    address: Address
    function: int
    name: str | None
    offset: int
    instruction: str
    operands: tuple[Value, ...]
    gas: int
    after: int | None = None


class Recorder:
    """Gathers what a traced machine sees; `root` is the outermost message, once one has run.

    With `tree` it keeps the messages that others send, too. Its methods raise TraceTooLong, which ends the run.
    """

    def __init__(self, max_steps: int | None = None, deadline: float | None = None, *, tree: bool = True) -> None:
        self._tree = tree
        self._kept = 0
        self.root: Frame | None = None
        self.steps: list[Step] = []
        self._max_steps = max_steps
        self._deadline = deadline
        self._seen = 0
        self._stack: list[Frame] = []
        self._names: dict[bytes, Mapping[int, str]] = {}

    def enter(self, message: Message, to: Address | None) -> Frame:
        """Take note that a message is sent."""
        frame = Frame(message, _type(message), _sender(message), to)
        if self._stack:
            if self._tree:
                self._keep(_FRAME + len(message.input))
                self._stack[-1].calls.append(frame)
        elif self.root is None:
            self.root = frame
        self._stack.append(frame)
        return frame

    def leave(self, frame: Frame, result: Result) -> None:
        """Take note of what came of it."""
        frame.result = result
        self._stack.pop()
        if self._tree:
            self._keep(len(result.output))

    def failed(self, _message: Message, reason: Reason) -> None:
        """Take note why the message that runs now fails."""
        if self._stack:
            self._stack[-1].reason = reason

    def logged(self, log: Log) -> None:
        """Take note of an event."""
        frame = self._stack[-1]
        if self._tree or frame is self.root:
            self._keep(_FRAME + len(log.data))
            frame.logs.append((log, len(frame.calls)))

    def destroyed(self, address: Address, beneficiary: Address, balance: int) -> None:
        """Take note of a self-destruction: geth shows it as a call."""
        if not self._tree:
            return
        self._keep(_FRAME)
        message = Message(gas=0, sender=address, recipient=beneficiary, value=cast(Any, balance))
        frame = Frame(message, "SELFDESTRUCT", address, beneficiary, Result(Status.SUCCESS))
        self._stack[-1].calls.append(frame)

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MAX_KEPT:
            raise TraceTooLong(f"the trace has more than {MAX_KEPT >> 20} MiB of calls, inputs, outputs and logs")

    def tracer(self, message: Message, code: bytes) -> Tracer:
        """Return what sees the instructions of a message."""
        names = self._names_of(code)
        depth, address = message.depth + 1, message.code_address
        last: Step | None = None

        def trace(function: int, offset: int, name: str, operands: tuple[Value, ...], gas: int) -> None:
            nonlocal last
            if last is not None:
                last.after = gas
            steps = self.steps
            if len(steps) == self._max_steps:
                raise TraceTooLong(f"the trace has more than {self._max_steps} instructions")
            self._look()
            last = Step(depth, address, function, names.get(function), offset, name, operands, gas)
            steps.append(last)

        return trace

    def alarm(self, _message: Message) -> Tracer:
        """Return what looks at the clock only."""

        def trace(*_: Any, **__: Any) -> None:
            self._look()

        return trace

    def _look(self) -> None:
        """End the run if its time is over."""
        self._seen += 1
        if self._deadline is not None and self._seen % _LOOK == 1 and time.monotonic() > self._deadline:
            raise Aborted("interrupted: aborted by the node")

    def _names_of(self, code: bytes) -> Mapping[int, str]:
        if code not in self._names:
            try:
                self._names[code] = decode(code, keep_customs=True).all_names()
            except (Malformed, Unsupported):
                self._names[code] = {}
        return self._names[code]


def _type(message: Message) -> str:
    if message.kind is CallKind.CALL and message.is_static:
        return "STATICCALL"
    return message.kind.name


def _sender(message: Message) -> Address:
    """Return whose frame sent a message: a delegated one names the sender of the frame before."""
    return message.recipient if message.kind is CallKind.DELEGATECALL else message.sender


class TracedVM(EwasmVM):
    """A machine that tells a recorder of every message and, with `steps`, of every instruction.

    It is for one message from outside at a time, on whatever threads those within it run.
    """

    def __init__(
        self,
        ruleset: Ruleset,
        engine: Engine,
        recorder: Recorder,
        *,
        cache: CodeCache | None = None,
        steps: bool = False,
    ) -> None:
        self.recorder = recorder
        self._code = b""
        trace = self._tracer if steps else recorder.alarm if engine.traces else None
        super().__init__(ruleset, engine, cache=cache, trace=trace, on_failure=recorder.failed)

    def listening(
        self,
        *,
        trace: Callable[[Message], Tracer | None] | None = None,
        profile: Collector | None = None,
        on_failure: Callable[[Message, Reason], None] | None = None,
    ) -> Self:
        """Return this machine with one more listener to failures; it keeps its own."""

        def both(message: Message, reason: Reason) -> None:
            self.recorder.failed(message, reason)
            if on_failure is not None:
                on_failure(message, reason)

        return super().listening(trace=trace, profile=profile, on_failure=both)

    def execute(self, host: Host, message: Message, code: bytes) -> Result:
        """Run a message; one that nobody sent is the outermost."""
        recorder = self.recorder
        self._code = code
        watched = cast(Host, _Watched(host, recorder))
        if message.depth:
            return super().execute(watched, message, code)
        frame = recorder.enter(message, message.recipient)
        result = super().execute(watched, message, code)
        recorder.leave(frame, result)
        return result

    def _tracer(self, message: Message) -> Tracer:
        return self.recorder.tracer(message, self._code)


class _Watched:
    """A host that tells a recorder of calls, logs and self-destructions; all else is the host's."""

    def __init__(self, host: Host, recorder: Recorder) -> None:
        self._host = host
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def call(self, message: Message) -> Result:
        """Send a message."""
        to: Address | None = message.code_address
        if message.kind.is_create:
            to = self._host.address_of_creation(message) if isinstance(self._host, NodeHost) else None
        frame = self._recorder.enter(message, to)
        result = self._host.call(message)
        self._recorder.leave(frame, result)
        return result

    def emit_log(self, log: Log) -> None:
        """Record an event."""
        self._recorder.logged(log)
        self._host.emit_log(log)

    def selfdestruct(self, address: Address, beneficiary: Address) -> None:
        """Move the balance, mark the account."""
        self._recorder.destroyed(address, beneficiary, self._host.get_balance(address))
        self._host.selfdestruct(address, beneficiary)


# Calls


def call_tree(root: Frame, outermost: Mapping[str, Any], *, only_top: bool = False, with_logs: bool = False) -> Json:
    """Return a message and those it sent, as `callTracer` does; `outermost` replaces fields of the first.

    The text is strung together here: messages nest deeper than what encodes JSON recurses.
    """
    parts: list[str] = []
    left: list[Frame | str] = [root]
    while left:
        frame = left.pop()
        if isinstance(frame, str):
            parts.append(frame)
            continue
        document = _call(frame, with_logs=with_logs and not only_top)
        if frame is root:
            document |= outermost
        parts.append(compact(document).removesuffix("}"))
        left.append("}")
        if frame.calls and not only_top:
            left.append("]")
            for index, each in reversed(list(enumerate(frame.calls))):
                left += [each, "," if index else ',"calls":[']
    return Json("".join(parts))


def _call(frame: Frame, *, with_logs: bool) -> dict[str, Any]:
    """Return a message without those it sent."""
    message, result = frame.message, frame.result
    assert result is not None
    document: dict[str, Any] = {
        "type": frame.type,
        "from": hex_data(frame.sender),
        "to": None if frame.to is None else hex_data(frame.to),
        "gas": hex_quantity(message.gas),
        "gasUsed": hex_quantity(message.gas - result.gas_left),
        "input": hex_data(message.input),
    }
    if frame.type not in ("STATICCALL", "DELEGATECALL"):
        document["value"] = hex_quantity(message.value)
    if result.output:
        document["output"] = hex_data(result.output)
    document |= _failure(result, frame.reason)
    if with_logs and frame.logs and result.status is Status.SUCCESS:
        document["logs"] = [_log(log, before) for log, before in frame.logs]
    return document


def _failure(result: Result, reason: Reason | None) -> dict[str, str]:
    """Return why a message failed, nothing if it did not."""
    if result.status is Status.SUCCESS:
        return {}
    if result.status is Status.REVERT:
        text = revert_reason(result.output)
        return {"error": STATUS_WORDS[Status.REVERT]} | ({} if text is None else {"revertReason": text})
    words = STATUS_WORDS.get(result.status, result.status.name.lower().replace("_", " "))
    detail = getattr(reason, "message", None) or (str(reason) if reason is not None else "")
    return {"error": words if not detail or detail == words else f"{words}: {detail}"}


def _log(log: Log, before: int) -> dict[str, Any]:
    return {
        "address": hex_data(log.address),
        "topics": [hex_data(topic) for topic in log.topics],
        "data": hex_data(log.data),
        "position": hex_quantity(before),
    }


# Instructions


def struct_logs(steps: list[Step]) -> list[dict[str, Any]]:
    """Return the instructions as geth's struct logger does; `pc` is the offset in the module.

    `gas` is what is left before, whole; `particles` exactly, and `particlesCost` what is gone before the frame's next
    instruction. Code is charged for in runs of instructions, so the first of a run bears the cost of all.
    """
    return [
        {
            "pc": step.offset,
            "op": step.instruction,
            "gas": step.gas // PARTICLES,
            "gasCost": 0 if step.after is None else (step.gas - step.after) // PARTICLES,
            "particles": step.gas,
            "particlesCost": 0 if step.after is None else step.gas - step.after,
            "depth": step.depth,
            "address": hex_data(step.address),
            "function": step.function,
            "functionName": step.name,
            "stack": [hex_quantity(value) for value in step.operands if isinstance(value, int)],
        }
        for step in steps
    ]


# State


class Touched:
    """A view that notes which accounts and slots were asked for."""

    def __init__(self, view: StateView) -> None:
        self.view = view
        self.accounts: defaultdict[Address, set[Bytes32]] = defaultdict(set)

    def account(self, address: Address) -> Account | None:
        """Return the account."""
        self.accounts[address]  # the look-up adds it
        return self.view.account(address)

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Return the value of a slot."""
        self.accounts[address].add(key)
        return self.view.storage(address, key)

    def code(self, code_hash: Bytes32) -> bytes:
        """Return code."""
        return self.view.code(code_hash)


def prestate(touched: Touched) -> dict[str, Any]:
    """Return the accounts and slots that were touched as they were before, as `prestateTracer` does."""
    found = {}
    for address, slots in sorted(touched.accounts.items()):
        account = touched.view.account(address)
        if account is None:
            continue
        document = _account(account, touched.view)
        storage = {hex_data(key): hex_data(touched.view.storage(address, key)) for key in sorted(slots)}
        found[hex_data(address)] = document | ({"storage": storage} if storage else {})
    return found


def _account(account: Account, view: StateView) -> dict[str, Any]:
    document: dict[str, Any] = {"balance": hex_quantity(account.balance)}
    if account.nonce:
        document["nonce"] = account.nonce
    if account.code_hash != EMPTY_CODE_HASH:
        document["code"] = hex_data(view.code(account.code_hash))
    return document


def state_diff(touched: Touched, diff: Diff) -> dict[str, Any]:
    """Return what changed: accounts before, as far as they were there, and the new values after."""
    before, post = prestate(touched), {}
    pre = {}
    for address, change in diff.accounts.items():
        name = hex_data(address)
        after: dict[str, Any] = {}
        if change.balance is not None and change.balance.before != change.balance.after:
            after["balance"] = hex_quantity(change.balance.after)
        if change.nonce is not None and change.nonce.before != change.nonce.after:
            after["nonce"] = change.nonce.after
        if change.code is not None:
            after["code"] = hex_data(change.code.after)
        slots = {key: each for key, each in change.slots.items() if each.before != each.after}
        written = {hex_data(key): hex_data(each.after) for key, each in slots.items() if any(each.after)}
        if written:
            after["storage"] = written
        if not after and not slots and not change.deleted:
            continue
        if name in before:
            kept = {hex_data(key): hex_data(each.before) for key, each in slots.items() if any(each.before)}
            without = {key: value for key, value in before[name].items() if key != "storage"}
            pre[name] = without | ({"storage": kept} if kept else {})
        if after and not change.deleted:
            post[name] = after
    return {"pre": pre, "post": post}
