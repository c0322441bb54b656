"""`ewasm_execute`: the engine as a service for a pallet elsewhere. The protocol is described in `docs/pallet.md`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from evmc import U256, Address, Bytes32, TxContext
from node import service as engine
from node.chain.building import Machine
from node.rpc.errors import INVALID_PARAMS, SERVER_ERROR, RpcError
from node.rpc.kinds import (
    ANY,
    DATA,
    OBJECT,
    Kind,
    Unreadable,
    array,
    each,
    hex_data,
    hex_quantity,
    read_address,
    read_data,
    read_hash,
    read_object,
    read_quantity,
    read_slot,
    read_small,
    read_text,
)
from node.rpc.kinds import field as read_field
from node.rpc.questions import NoAnswer
from node.rpc.session import Session
from node.rpc.table import MethodTable, Param
from node.service import Complete, Given, HostFailure, OnDemand, Outcome, Request, Service, UnknownCode, Witnessed
from state import EMPTY_CODE_HASH, Change, Diff, keccak256

EXECUTE: Final = "ewasm_execute"
UNKNOWN_CODE: Final = -32011
ABORTED: Final = -32012
MAX_SECONDS: Final = 30.0
"""How long an execution that asks its host may take, and does unless it says less."""

MAX_QUESTIONS: Final = 10_000
MAX_ASKING: Final = 64
"""How many executions may wait for their hosts at once."""


class Executor(Protocol):
    """Who asks for executions."""

    @property
    def executions(self) -> Executions:
        """What executes."""

    @property
    def session(self) -> Session | None:
        """The connection over which questions can be asked, if there is one."""


class _Host:
    """A host at the other end of a connection, asked until a deadline."""

    def __init__(self, session: Session, label: str, seconds: float) -> None:
        self._session = session
        self._label = label
        self._deadline = time.monotonic() + seconds
        self._left = MAX_QUESTIONS

    def _ask(self, method: str, read: Callable[[Any], Any], **params: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise HostFailure(f"more than {MAX_QUESTIONS} questions")
        try:
            answer = self._session.questions.ask(
                method, {"execution": self._label, **params}, self._deadline - time.monotonic()
            )
            return read(answer)
        except NoAnswer as error:
            raise HostFailure(str(error)) from error
        except Unreadable as error:
            raise HostFailure(f"{method} was answered wrongly: {error}") from error

    def account(self, address: Address) -> tuple[int, U256, Bytes32] | None:
        """Ask for an account."""
        found: tuple[int, U256, Bytes32] | None = self._ask("host_getAccount", _read_found, address=hex_data(address))
        return found

    def storage(self, address: Address, key: Bytes32) -> Bytes32:
        """Ask for a slot."""
        return Bytes32(self._ask("host_getStorage", read_hash, address=hex_data(address), key=hex_data(key)))

    def code(self, code_hash: Bytes32) -> bytes:
        """Ask for code."""
        return bytes(self._ask("host_getCode", read_data, hash=hex_data(code_hash)))

    def block_hash(self, number: int) -> Bytes32 | None:
        """Ask for the hash of a block."""
        found: Bytes32 | None = self._ask("host_getBlockHash", _read_maybe_hash, number=hex_quantity(number))
        return found


@dataclass(slots=True)
class Executions:
    """Executes requests as they come over the wire, within bounds."""

    service: Service
    max_seconds: float = MAX_SECONDS
    _asking: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MAX_ASKING))

    @classmethod
    def on(cls, machine: Machine) -> Self:
        """Return what executes on a chain's machine."""
        return cls(Service(machine.vm, machine.ruleset, machine.precompiles))

    def execute(self, document: Any, session: Session | None) -> dict[str, Any]:
        """Execute one request; raise `RpcError`."""
        try:
            request = self._read(document, session)
        except Unreadable as error:
            raise RpcError(INVALID_PARAMS, f"invalid request: {error}") from None
        asks = isinstance(request.state, OnDemand)
        if asks and not self._asking.acquire(blocking=False):
            raise RpcError(SERVER_ERROR, f"{MAX_ASKING} executions wait for their hosts: try again")
        try:
            return outcome_document(self.service.execute(request))
        except UnknownCode as error:
            raise RpcError(UNKNOWN_CODE, str(error), hex_data(error.code_hash)) from error
        except HostFailure as error:
            raise RpcError(ABORTED, f"aborted by the node: {error}") from error
        except engine.ServiceError as error:
            raise RpcError(SERVER_ERROR, str(error)) from error
        finally:
            if asks:
                self._asking.release()

    def keep_codes(self, document: Mapping[str, Any]) -> None:
        """Keep the code that comes along with a request which is executed elsewhere."""
        if not _has_code(document):
            return
        with suppress(Unreadable):  # whoever executes it says so
            request = self._read(document, None)
            for code in (*request.codes, *(request.state.codes if isinstance(request.state, Witnessed) else ())):
                self.service.codes.add(code)

    def known_code(self, error: RpcError | None) -> bytes | None:
        """Return the code that somebody else did not know by its hash, None if there was another error, or none."""
        if error is None or error.code != UNKNOWN_CODE:
            return None
        with suppress(UnknownCode):
            return self.service.codes.get(read_hash(error.data))
        return None

    def _read(self, document: Any, session: Session | None) -> Request:
        """Read a request; raise `Unreadable` that names the field."""
        given = _known(document, "message", "block", "state", "codes", "ruleset", "deadline")
        ruleset = read_field(given, "ruleset", read_text)
        if ruleset not in (None, self.service.ruleset.name):
            raise Unreadable(f"ruleset: this engine executes {self.service.ruleset.name}, not {ruleset[:100]}")
        seconds = min(read_field(given, "deadline", read_small, 10**9) / 1_000, self.max_seconds)
        codes = list(read_field(given, "codes", each(read_data), ()))
        block, hashes = _in("block", _read_block, given.get("block", {}))
        return Request(
            call=_in("message", _read_call, given.get("message")),
            block=block,
            hashes=hashes,
            state=_in("state", lambda value: _read_state(value, codes, session, seconds), given.get("state")),
            codes=tuple(codes),
        )


# Reading


def asks_back(document: Mapping[str, Any]) -> bool:
    """Tell whether a request names a state that its host is asked for, which needs the host's connection."""
    state = document.get("state")
    return isinstance(state, dict) and "onDemand" in state


def _has_code(document: Mapping[str, Any]) -> bool:
    state = document.get("state")
    if not isinstance(state, dict):
        return False
    accounts = state.get("accounts")
    given = accounts.values() if isinstance(accounts, dict) else ()
    return "codes" in document or "codes" in state or any(isinstance(each, dict) and "code" in each for each in given)


def _in(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from None


def _known(value: Any, *names: str) -> dict[str, Any]:
    """Return an object that has no other fields than these."""
    found = read_object(value)
    unknown = found.keys() - set(names)
    if unknown:
        raise Unreadable(f"unknown field {min(unknown)[:100]!r}; there are {', '.join(names)}")
    return found


def _required(value: Mapping[str, Any], name: str, read: Callable[[Any], Any]) -> Any:
    if value.get(name) is None:
        raise Unreadable(f"{name} is missing")
    return read_field(value, name, read)


def _read_call(value: Any) -> engine.Call:
    given = _known(value, "sender", "to", "gas", "value", "input", "salt", "origin", "gasPrice")
    if "to" not in given:
        raise Unreadable("to is missing; null is a creation")
    return engine.Call(
        sender=_required(given, "sender", read_address),
        to=read_field(given, "to", read_address),
        gas=_required(given, "gas", read_small),
        value=read_field(given, "value", read_quantity, U256(0)),
        input=read_field(given, "input", read_data, b""),
        salt=read_field(given, "salt", read_hash),
        origin=read_field(given, "origin", read_address),
        gas_price=read_field(given, "gasPrice", read_quantity, U256(0)),
    )


def _read_block(value: Any) -> tuple[TxContext, dict[int, Bytes32]]:
    given = _known(value, "number", "timestamp", "gasLimit", "coinbase", "difficulty", "chainId", "hashes")
    context = TxContext(
        number=read_field(given, "number", read_small, 0),
        timestamp=read_field(given, "timestamp", read_small, 0),
        gas_limit=read_field(given, "gasLimit", read_small, 0),
        coinbase=read_field(given, "coinbase", read_address, Address(bytes(20))),
        difficulty=read_field(given, "difficulty", read_quantity, U256(0)),
        chain_id=read_field(given, "chainId", read_quantity, U256(1)),
    )
    hashes = read_field(given, "hashes", read_object, {})
    return context, {read_small(number): _in("hashes", read_hash, found) for number, found in hashes.items()}


def _read_state(value: Any, codes: list[bytes], session: Session | None, seconds: float) -> engine.State:
    given = _known(value, "accounts", "root", "nodes", "codes", "onDemand")
    if sum(name in given for name in ("accounts", "nodes", "onDemand")) != 1:
        raise Unreadable("one of accounts, nodes, onDemand is expected")
    if "onDemand" in given:
        if session is None:
            raise Unreadable("onDemand: questions need a WebSocket")
        return OnDemand(_Host(session, _required(given, "onDemand", read_text), seconds))
    if "nodes" in given:
        return Witnessed(
            _required(given, "root", read_hash),
            read_field(given, "nodes", each(read_data), ()),
            read_field(given, "codes", each(read_data), ()),
        )
    accounts = {
        _in("accounts", read_address, name): _in(name, lambda found: _read_given(found, codes), found)
        for name, found in read_field(given, "accounts", read_object, {}).items()
    }
    return Complete(accounts, read_field(given, "root", read_hash))


def _read_given(value: Any, codes: list[bytes]) -> Given:
    """Read an account; its code goes to the others that came along."""
    given = _known(value, "nonce", "balance", "code", "codeHash", "storage")
    code_hash = read_field(given, "codeHash", read_hash, EMPTY_CODE_HASH)
    code = read_field(given, "code", read_data)
    if code is not None:
        if given.get("codeHash") not in (None, hex_data(keccak256(code))):
            raise Unreadable("codeHash is not the hash of the code")
        codes.append(code)
        code_hash = keccak256(code)
    slots = read_field(given, "storage", read_object, {})
    return Given(
        nonce=read_field(given, "nonce", read_quantity, 0),
        balance=read_field(given, "balance", read_quantity, U256(0)),
        code_hash=code_hash,
        storage={_in("storage", read_slot, key): _in("storage", read_hash, slot) for key, slot in slots.items()},
    )


def _read_found(value: Any) -> tuple[int, U256, Bytes32] | None:
    if value is None:
        return None
    given = _known(value, "nonce", "balance", "codeHash")
    return (
        read_field(given, "nonce", read_quantity, 0),
        read_field(given, "balance", read_quantity, U256(0)),
        read_field(given, "codeHash", read_hash, EMPTY_CODE_HASH),
    )


def _read_maybe_hash(value: Any) -> Bytes32 | None:
    return None if value is None else read_hash(value)


# Writing


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """Return what an execution did as JSON."""
    return {
        "status": outcome.status.name,
        "statusCode": int(outcome.status),
        "output": hex_data(outcome.output),
        "gasUsed": hex_quantity(outcome.gas_used),
        "gasLeft": hex_quantity(outcome.gas_left),
        "gasRefunded": hex_quantity(outcome.gas_refunded),
        "created": None if outcome.created is None else hex_data(outcome.created),
        "logs": [
            {"address": hex_data(log.address), "topics": list(map(hex_data, log.topics)), "data": hex_data(log.data)}
            for log in outcome.logs
        ],
        "diff": diff_document(outcome.diff),
        "root": None if outcome.root is None else hex_data(outcome.root),
    }


def diff_document(diff: Diff) -> dict[str, Any]:
    """Return changed accounts as JSON: of each, what changed."""
    found: dict[str, Any] = {}
    for address, change in diff.accounts.items():
        entry: dict[str, Any] = {name: True for name in ("created", "deleted") if getattr(change, name)}
        if change.storage_cleared:
            entry["storageCleared"] = True
        if change.nonce is not None:
            entry["nonce"] = _change(change.nonce, hex_quantity)
        if change.balance is not None:
            entry["balance"] = _change(change.balance, hex_quantity)
        if change.code is not None:
            entry["code"] = _change(change.code, hex_data)
        if change.slots:
            entry["storage"] = {hex_data(key): _change(slot, hex_data) for key, slot in change.slots.items()}
        found[hex_data(address)] = entry
    return found


def _change(change: Change[Any], write: Callable[[Any], str]) -> dict[str, str]:
    return {"before": write(change.before), "after": write(change.after)}


# The methods

EXECUTION: Final = MethodTable()
_REQUESTS: Final = Kind("array of requests", {"type": "array", "items": OBJECT.schema}, each(read_object))


@EXECUTION.method(EXECUTE, Param("request", OBJECT), result=ANY, reads=True)
def _execute(client: Executor, document: dict[str, Any]) -> dict[str, Any]:
    """Execute a message on a state that comes along, and forget it."""
    return client.executions.execute(document, client.session)


@EXECUTION.method("ewasm_executeBatch", Param("requests", _REQUESTS), result=ANY)
def _execute_batch(client: Executor, documents: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Execute several messages, each on its own state; each answers with `result` or `error`."""
    answers: list[dict[str, Any]] = []
    for document in documents:
        try:
            answers.append({"result": client.executions.execute(document, client.session)})
        except RpcError as error:
            answers.append({"error": error.document()})
    return answers


@EXECUTION.method("ewasm_putCode", Param("codes", array(DATA)), result=array(DATA))
def _put_code(client: Executor, codes: tuple[bytes, ...]) -> list[bytes]:
    """Send code ahead, to be named by its hash; return the hashes."""
    return [client.executions.service.codes.add(code) for code in codes]
