"""A server in this process for tests, on a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from node.rpc.access import Access
from node.rpc.dispatch import Dispatcher
from node.rpc.kinds import ANY, FLAG, NUMBER, QUANTITY, TEXT
from node.rpc.limits import Limits
from node.rpc.server import Server
from node.rpc.session import Session
from node.rpc.table import MethodTable, Param

LOCAL = "127.0.0.1"


@dataclass
class Asker:
    """A caller: whether it may develop, and its session."""

    developer: bool = True
    session: Session | None = None


def small_table() -> MethodTable:
    """Return a table with methods of every kind that a dispatcher tells apart."""
    table = MethodTable()

    @table.method("add", Param("a", QUANTITY), Param("b", QUANTITY, "0x1"), result=QUANTITY, aliases=("sum",))
    def add(_caller: Asker, a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @table.method("echo", Param("value", ANY, None), result=ANY)
    def echo(_caller: Asker, value: Any) -> Any:
        """Return what was given."""
        return value

    @table.method("fail", Param("bug", FLAG, default=False), result=ANY)
    def fail(_caller: Asker, bug: bool) -> None:
        """Fail as told."""
        raise ZeroDivisionError("secret") if bug else LookupError("not there")

    @table.method("unlock", result=TEXT, developer=True)
    def unlock(_caller: Asker) -> str:
        """Open the door."""
        return "open"

    @table.method("subscribe", Param("count", NUMBER), Param("size", NUMBER, 1), result=TEXT)
    def subscribe(caller: Asker, count: int, size: int) -> str:
        """Send so many notifications at once, each of a size."""
        assert caller.session is not None
        caller.session.subscribed("0x1")
        for number in range(count):
            caller.session.notify("0x1", json.dumps({"number": number, "filler": "x" * size}))
        return "0x1"

    return table


@contextmanager
def in_background(start: Callable[[], Coroutine[Any, Any, Callable[[], Coroutine[Any, Any, Any]]]]) -> Iterator[None]:
    """Run what `start` starts on a loop in another thread; it returns how to stop."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stop = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def serving(
    table: MethodTable | None = None,
    *,
    access: Access | None = None,
    limits: Limits | None = None,
    host: str = LOCAL,
    **options: Any,
) -> Iterator[int]:
    """Serve a table; yield the port."""
    dispatcher = Dispatcher(table or small_table(), limits, **options)
    server = Server(dispatcher, Asker, access=access)
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, Any]]:
        ports.append((await server.start(host, 0))[0][1])
        return server.stop

    with in_background(start):
        yield ports[0]


def request(method: str, *params: Any, identifier: Any = 1) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": list(params)}
