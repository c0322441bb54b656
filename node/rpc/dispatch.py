"""From the bytes of a request to the bytes of its response (JSON-RPC 2.0)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from evmc.reading import more_brackets, nested_deeper
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
)
from node.rpc.kinds import compact
from node.rpc.limits import Limits
from node.rpc.table import Method, MethodTable

NO_ID: Final = object()

MOST_BRACKETS: Final = 1 << 20
"""Arrays and objects in a request: the parser lets no other thread run until it has made them all."""


class Caller(Protocol):
    """Who asks: what the functions of methods get as their first argument."""

    @property
    def developer(self) -> bool:
        """Whether developer methods are open to this caller."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A request for a method that only reads, of which nothing is wrong so far."""

    identifier: Any
    name: str
    params: Any
    arguments: list[Any]


class Dispatcher:
    """Answers requests out of a table of methods; safe to call from several threads.

    `run` calls a method with its arguments read, and may do so elsewhere; `on_call` is told every name that is asked
    for, `on_fault` told of exceptions that are no errors of the client. `translate` makes errors for the client of what
    methods raise, None of what it does not know.
    """

    def __init__(
        self,
        table: MethodTable,
        limits: Limits | None = None,
        *,
        run: Callable[[Caller, Method, list[Any], Any], Any] | None = None,
        translate: Callable[[Exception], RpcError | None] = lambda _: None,
        on_call: Callable[[str, RpcError | None], None] = lambda _name, _error: None,
        on_fault: Callable[[str, Exception], None] = lambda _name, _fault: None,
    ) -> None:
        self.table = table
        self.limits = limits or Limits()
        self._run = run or _call
        self._translate = translate
        self._on_call = on_call
        self._on_fault = on_fault

    def handle(self, body: bytes | str, caller: Caller) -> str | None:
        """Answer a request or a batch, given as JSON; None where nothing is to be answered."""
        try:
            request = self._parse(body)
        except RpcError as error:
            return failure(None, error)
        if not isinstance(request, list):
            return self._answer(request, caller)
        if not request:
            return failure(None, RpcError(INVALID_REQUEST, "empty batch"))
        if len(request) > self.limits.batch:
            return failure(
                None,
                RpcError(INVALID_REQUEST, f"batch too large: {len(request)} requests, at most {self.limits.batch}"),
            )
        return self._answer_all(request, caller)

    def reading(self, body: bytes | str) -> Reading | None:
        """Return what is asked for, if it is one request for a method that only reads, to be answered elsewhere.

        None stands for all others, and for requests that `handle` refuses.
        """
        try:
            request = self._parse(body)
            identifier = _identifier(request)
            name, params = _checked(request)
            method = self.table.find(name)
            if identifier is NO_ID or method is None or method.developer or not method.reads:
                return None
            return Reading(identifier, name, params, method.arguments(params))
        except RpcError:
            return None

    def call(self, name: str, params: Any, caller: Caller) -> Any:
        """Call one method and return its result as JSON values, or as `Json`; raise `RpcError`."""
        method = self.table.find(name)
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"the method {name[:100]} does not exist/is not available")
        if method.developer and not caller.developer:
            raise RpcError(
                SERVER_ERROR,
                f"{name} is a developer method, open on loopback addresses only: start with --allow-dev-methods",
            )
        try:
            arguments = method.arguments(params)
            return self._run(caller, method, arguments, params)
        except RpcError:
            raise
        except Exception as error:
            known = self._translate(error)
            if known is not None:
                raise known from error
            self._on_fault(name, error)
            raise RpcError(INTERNAL_ERROR, f"internal error in {name}: {type(error).__name__}") from error

    def _parse(self, body: bytes | str) -> Any:
        try:
            text = body if isinstance(body, str) else body.decode(json.detect_encoding(body))
            around = 2 if text.lstrip()[:1] == "[" else 1
            if nested_deeper(text, around + self.limits.depth):
                raise RpcError(INVALID_REQUEST, f"nested deeper than {self.limits.depth} levels")
            if more_brackets(text, MOST_BRACKETS):
                raise RpcError(INVALID_REQUEST, f"more than {MOST_BRACKETS} arrays and objects")
            return json.loads(text, parse_constant=_no_constant)
        except ValueError as error:
            raise RpcError(PARSE_ERROR, f"parse error: {str(error)[:100]}") from None

    def _answer_all(self, requests: list[Any], caller: Caller) -> str | None:
        """Answer a batch in its order; once the answers are too large, the rest gets an error."""
        answers: list[str] = []
        size = 0
        for request in requests:
            answer = self._answer(request, caller) if size <= self.limits.response else self._left_out(request)
            if answer is not None:
                answers.append(answer)
                size += len(answer)
        return f"[{','.join(answers)}]" if answers else None

    def _left_out(self, request: Any) -> str | None:
        """Answer a request for which the batch has no room left."""
        try:
            identifier = _identifier(request)
        except RpcError as error:
            return failure(None, error)
        full = RpcError(LIMIT_EXCEEDED, f"response of the batch above {self.limits.response} bytes")
        return None if identifier is NO_ID else failure(identifier, full)

    def _answer(self, request: Any, caller: Caller) -> str | None:
        """Answer one request, None if it is a notification."""
        identifier: Any = None
        try:
            identifier = _identifier(request)
            name, params = _checked(request)
        except RpcError as error:
            return failure(None if identifier is NO_ID else identifier, error)
        try:
            result = self.call(name, params, caller)
        except RpcError as error:
            self._on_call(name, error)
            return None if identifier is NO_ID else failure(identifier, error)
        self._on_call(name, None)
        return None if identifier is NO_ID else success(identifier, result)


def _call(caller: Caller, method: Method, arguments: list[Any], _params: Any) -> Any:
    return method.result.write(method.function(caller, *arguments))


def _identifier(request: Any) -> Any:
    """Return the id of a request, `NO_ID` if it has none; raise `RpcError` if it can be none."""
    if not isinstance(request, dict):
        raise RpcError(INVALID_REQUEST, "invalid request: an object is expected")
    identifier = request.get("id", NO_ID)
    if identifier is NO_ID or identifier is None or isinstance(identifier, str):
        return identifier
    whole = isinstance(identifier, int) and not isinstance(identifier, bool)
    if not whole and not (isinstance(identifier, float) and math.isfinite(identifier)):
        raise RpcError(INVALID_REQUEST, "invalid request: id is to be a string, a number or null")
    return identifier


def _checked(request: dict[str, Any]) -> tuple[str, Any]:
    """Return method and parameters; raise `RpcError` if the request is none."""
    if request.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'invalid request: jsonrpc is to be "2.0"')
    name = request.get("method")
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "invalid request: method is to be a string")
    params = request.get("params")
    if params is None:
        params = []
    if not isinstance(params, list | dict):
        raise RpcError(INVALID_REQUEST, "invalid request: params is to be an array or an object")
    return name, params


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def success(identifier: Any, result: Any) -> str:
    """Return the response with a result."""
    return f'{{"jsonrpc":"2.0","id":{compact(identifier)},"result":{compact(result)}}}'


def failure(identifier: Any, error: RpcError) -> str:
    """Return the response with an error."""
    return compact({"jsonrpc": "2.0", "id": identifier, "error": error.document()})
