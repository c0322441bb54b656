"""The pallet's end of `ewasm_execute`: requests out, and answers to what the engine asks back.

It is written to be read by whoever writes that end in another language; the protocol is in `docs/pallet.md`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeAlias

import aiohttp

from evmc.reading import read_json

Host: TypeAlias = Mapping[str, Callable[[dict[str, Any]], Awaitable[Any]]]
"""What answers questions: `host_getAccount` and its like, from their parameters to a result of JSON."""


class EngineError(Exception):
    """The engine's error: a code of JSON-RPC, a message, and data if there are any."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(str(error.get("message")))
        self.code = error.get("code")
        self.data = error.get("data")


class EngineClient:
    """A connection to an engine, as a context manager; requests may overlap.

    `host` answers what executions ask that name a state as `onDemand`. A question that no function is for, or whose
    function raises, is answered with an error, and its execution is aborted.
    """

    def __init__(self, url: str, host: Host | None = None) -> None:
        self._url = url
        self._host = host or {}
        self._count = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        try:
            self._socket = await self._session.ws_connect(self._url, max_msg_size=0)
        except BaseException:
            await self._session.close()
            raise
        self._reading = asyncio.create_task(self._read(self._socket))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        for task in (self._reading, *self._answering):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._socket is not None:
            await self._socket.close()
        await self._session.close()

    async def execute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Execute a request; raise `EngineError`, or ConnectionError where the connection ends before the answer."""
        found: dict[str, Any] = await self.call("ewasm_execute", request)
        return found

    async def call(self, method: str, *params: Any) -> Any:
        """Call a method and return its result; raise as `execute` does."""
        if self._socket is None or self._socket.closed:
            raise ConnectionError("the connection is closed")
        self._count += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        identifier = self._count
        self._waiting[identifier] = answer
        try:
            await self._socket.send_json({"jsonrpc": "2.0", "id": identifier, "method": method, "params": list(params)})
            return await answer
        finally:
            self._waiting.pop(identifier, None)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Tell answers from questions until the connection ends."""
        try:
            async for frame in socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                message = read_json(frame.data)
                if "method" in message:
                    task = asyncio.create_task(self._answer(socket, message))
                    self._answering.add(task)
                    task.add_done_callback(self._answering.discard)
                elif (answer := self._waiting.get(message.get("id"))) is not None and not answer.done():
                    if "error" in message:
                        answer.set_exception(EngineError(message["error"]))
                    else:
                        answer.set_result(message.get("result"))
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionError("the engine closed the connection"))

    async def _answer(self, socket: aiohttp.ClientWebSocketResponse, question: dict[str, Any]) -> None:
        """Answer a question with what the host says, or with an error."""
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": question.get("id")}
        function = self._host.get(question["method"])
        if function is None:
            answer["error"] = {"code": -32601, "message": f"this host does not answer {question['method']}"}
        else:
            try:
                answer["result"] = await function(question.get("params", {}))
            except Exception as error:  # noqa: BLE001  # whatever it is, the engine must hear of it
                answer["error"] = {"code": -32000, "message": str(error) or type(error).__name__}
        with suppress(ConnectionError):
            await socket.send_json(answer)
