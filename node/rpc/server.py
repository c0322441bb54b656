"""The server: HTTP and WebSocket on one port, requests on worker threads, bounded in every direction."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, WSMsgType, web

from node.rpc.access import Access
from node.rpc.dispatch import Caller, Dispatcher
from node.rpc.errors import INVALID_REQUEST, SERVER_ERROR, RpcError
from node.rpc.limits import Limits
from node.rpc.pool import Pool
from node.rpc.session import TOO_SLOW, Session

THREADS: Final = 8
"""Threads that requests are worked on; the interpreter lock lets one compute at a time, engines run beside it."""

GRACE: Final = 5.0
"""Seconds a client has to take what was sent before its connection is cut."""

LAST_CALLS: Final = 2.0
"""Seconds that calls under way have to end when the server stops."""

HEARTBEAT: Final = 30.0

LINGER: Final = 0.5
"""Seconds in which the rest of a refused request is still read, so that the client sees the refusal."""

_LOOK: Final = 0.5
"""Seconds between two looks at connections on which no request has come."""

_METHODS: Final = "POST, OPTIONS"


class Server:
    """Serves a dispatcher; `caller_of` makes the caller of a connection: whether it may develop, its session if any.

    What `elsewhere` returns an answer for is not worked on here.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        caller_of: Callable[[bool, Session | None], Caller],
        *,
        access: Access | None = None,
        limits: Limits | None = None,
        threads: int = THREADS,
        elsewhere: Callable[[bytes | str], Awaitable[str] | None] = lambda _: None,
        on_close: Callable[[Session], None] = lambda _: None,
    ) -> None:
        self.dispatcher = dispatcher
        self.access = access or Access()
        self.limits = limits or dispatcher.limits
        self._caller_of = caller_of
        self._elsewhere = elsewhere
        self._on_close = on_close
        self._pool = Pool(threads, "ewasm rpc")
        self._runner: web.AppRunner | None = None
        self._sockets: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._open = 0
        self._asked: set[object] = set()
        self._watching: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen; return the addresses and ports. Raise OSError where that is not possible."""
        app = web.Application(client_max_size=self.limits.body)
        app.router.add_route("*", "/{path:.*}", self._request)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=LAST_CALLS, lingering_time=LINGER
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1_024)
        try:
            await site.start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self._watching = asyncio.create_task(self._cut_silent(self._runner))
        return [address[:2] for address in self._runner.addresses]

    async def stop(self) -> bool:
        """Take no more requests, say goodbye to sockets, let calls under way end; tell whether all did, in time."""
        sockets = [self._close(socket, WSCloseCode.GOING_AWAY, "the node stops") for socket in list(self._sockets)]
        await asyncio.gather(*sockets)
        if self._watching is not None:
            self._watching.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        return await asyncio.to_thread(self._pool.close, LAST_CALLS)

    async def _cut_silent(self, runner: web.AppRunner) -> None:
        """Cut off who has connected and does not send the head of a request; after the first one aiohttp sees to it."""
        loop, waiting = asyncio.get_running_loop(), dict[web.RequestHandler, float]()
        while runner.server is not None:
            await asyncio.sleep(_LOOK)
            now, connections = loop.time(), runner.server.connections
            self._asked.intersection_update(connections)
            waiting = {each: waiting.get(each, now) for each in connections if each not in self._asked}
            for each, since in waiting.items():
                if now - since > self.limits.body_seconds and each.transport is not None:
                    each.transport.abort()

    # HTTP

    async def _request(self, request: web.Request) -> web.StreamResponse:
        self._asked.add(request.protocol)
        local, remote = _ends(request)
        refusal = self.access.refusal(request.headers, local)
        if refusal is not None:
            return _error(403, RpcError(SERVER_ERROR, refusal))
        if self._open >= self.limits.connections:
            return _error(503, RpcError(SERVER_ERROR, f"too many connections: at most {self.limits.connections}"))
        self._open += 1
        try:
            developer = self.access.may_develop(local, remote)
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._socket(request, developer=developer)
            response = await self._plain(request, developer=developer)
        finally:
            self._open -= 1
        self._allow_origin(request, response)
        return response

    async def _plain(self, request: web.Request, *, developer: bool) -> web.Response:
        """Answer a request that is no WebSocket."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": _METHODS})
        if request.method != "POST":
            error = RpcError(INVALID_REQUEST, "send JSON-RPC by POST, or open a WebSocket")
            return _error(405, error, Allow=_METHODS)
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _error(
                413, RpcError(INVALID_REQUEST, f"request too large: at most {self.limits.body} bytes"), close=True
            )
        except TimeoutError:
            error = RpcError(INVALID_REQUEST, f"the request was not sent within {self.limits.body_seconds} seconds")
            return _error(408, error, close=True)
        text = await self._work(body, self._caller_of(developer, None))
        if text is None:
            return web.Response(status=204)
        return web.Response(text=text, content_type="application/json")

    def _allow_origin(self, request: web.Request, response: web.StreamResponse) -> None:
        """Tell a browser that the page may read the answer; its origin was checked."""
        origin = request.headers.get("Origin")
        if origin is None or response.prepared:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Vary"] = "Origin"
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = _METHODS
            response.headers["Access-Control-Allow-Headers"] = "Content-Type"
            response.headers["Access-Control-Max-Age"] = "600"
            response.headers["Access-Control-Allow-Private-Network"] = "true"

    async def _work(self, body: bytes | str, caller: Caller) -> str | None:
        elsewhere = self._elsewhere(body)
        if elsewhere is not None:
            return await elsewhere
        return await asyncio.wrap_future(self._pool.submit(lambda: self.dispatcher.handle(body, caller)))

    # WebSocket

    async def _socket(self, request: web.Request, *, developer: bool) -> web.WebSocketResponse:
        """Serve a WebSocket until either side closes it."""
        socket = web.WebSocketResponse(max_msg_size=self.limits.body, heartbeat=HEARTBEAT, compress=False)
        await socket.prepare(request)
        session = Session(self.limits, asyncio.get_running_loop())
        caller = self._caller_of(developer, session)
        writing = asyncio.create_task(self._write(socket, session))
        watching = asyncio.create_task(self._watch(socket, session, writing))
        answering: set[asyncio.Task[None]] = set()
        self._sockets[socket] = request.transport
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                if session.take(message.data):
                    continue
                slot = await session.room()
                if len(answering) >= self.limits.queue:
                    session.too_slow.set()
                    continue
                binary = message.type is WSMsgType.BINARY
                task = asyncio.create_task(self._respond(session, message.data, caller, slot=slot, binary=binary))
                answering.add(task)
                task.add_done_callback(answering.discard)
        finally:
            self._sockets.pop(socket, None)
            session.close()
            self._on_close(session)
            for running in (writing, watching, *answering):
                running.cancel()
        return socket

    async def _respond(self, session: Session, data: bytes | str, caller: Caller, *, slot: bool, binary: bool) -> None:
        """Answer one message, in the form in which it came, once it has a slot."""
        if not slot:
            await session.slots.acquire()
        text = await self._work(data, caller)
        if text is None:
            session.slots.release()
        else:
            session.answer(text, binary=binary)
        session.announce()

    async def _write(self, socket: web.WebSocketResponse, session: Session) -> None:
        """Send what the session has, for as long as the socket is open."""
        with suppress(ConnectionError):
            while True:
                frame = await session.next_frame()
                if frame.binary:
                    await socket.send_bytes(frame.text.encode())
                else:
                    await socket.send_str(frame.text)
                session.sent(frame)

    async def _watch(self, socket: web.WebSocketResponse, session: Session, writing: asyncio.Task[None]) -> None:
        """Close the connection of a client that does not read."""
        await session.too_slow.wait()
        writing.cancel()
        await self._close(socket, WSCloseCode.POLICY_VIOLATION, TOO_SLOW.format(self.limits.queue))

    async def _close(self, socket: web.WebSocketResponse, code: int, reason: str) -> None:
        """Close a socket with a reason; cut it off if the client does not take it."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(GRACE):
                await socket.close(code=code, message=reason.encode())
                return
        transport = self._sockets.get(socket)
        if transport is not None:
            transport.abort()


def _ends(request: web.Request) -> tuple[str, str]:
    """Return the local and the remote address of a connection."""
    transport = request.transport
    if transport is None:
        return "", ""
    ends = (transport.get_extra_info(name) for name in ("sockname", "peername"))
    local, remote = (end[0] if isinstance(end, tuple) else "" for end in ends)
    return local, remote


def _error(status: int, error: RpcError, *, close: bool = False, **headers: str) -> web.Response:
    """Return an error before JSON-RPC: the status for programs, the body for people."""
    document: dict[str, Any] = {"jsonrpc": "2.0", "id": None, "error": error.document()}
    response = web.Response(status=status, text=json.dumps(document), content_type="application/json", headers=headers)
    if close:
        response.force_close()
    return response
