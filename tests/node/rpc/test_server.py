"""The server: HTTP and WebSocket on one port, who is let in, limits, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from node.rpc.access import Access
from node.rpc.kinds import TEXT
from node.rpc.limits import Limits
from node.rpc.table import MethodTable
from tests.node.rpc.serving import LOCAL, request, serving, small_table


def visit(port: int, what: Callable[[aiohttp.ClientSession, str], Coroutine[Any, Any, Any]]) -> Any:
    """Run a client against the server."""

    async def run() -> Any:
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            return await what(client, f"http://{LOCAL}:{port}/")

    return asyncio.run(run())


async def post(client: aiohttp.ClientSession, url: str, body: Any, **headers: str) -> tuple[int, Any, Any]:
    """Send a body; return status, headers and the answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with client.post(url, data=data, headers={"Content-Type": "application/json", **headers}) as response:
        text = await response.text()
        return response.status, response.headers, json.loads(text) if text else None


def raw(port: int, data: bytes) -> bytes:
    """Send bytes as they are and read until the server closes."""
    with socket.create_connection((LOCAL, port), timeout=10) as plug:
        plug.sendall(data)
        found = b""
        while part := plug.recv(65_536):
            found += part
        return found


def ended(plug: socket.socket) -> bool:
    """Read what still comes; tell whether the server ended the connection."""
    try:
        while plug.recv(1 << 20):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


# HTTP


def test_requests_and_batches_over_http() -> None:
    with serving() as port:

        async def plain(client: aiohttp.ClientSession, url: str) -> None:
            status, headers, found = await post(client, url, request("add", "0x2", identifier=0))
            assert (status, found) == (200, {"jsonrpc": "2.0", "id": 0, "result": "0x3"})
            assert headers["Content-Type"].startswith("application/json")
            assert "Access-Control-Allow-Origin" not in headers
            batch = await post(client, url, [request("echo", n, identifier=n) for n in range(3)])
            assert [each["result"] for each in batch[2]] == [0, 1, 2]
            assert (await post(client, url, {"jsonrpc": "2.0", "method": "echo"}))[::2] == (204, None)
            assert (await post(client, url, b"{"))[2]["error"]["code"] == -32_700
            assert (await post(client, url + "any/path", request("echo", 1)))[2]["result"] == 1

        visit(port, plain)


def test_other_verbs_are_told_what_to_do() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        for verb in ("GET", "PUT", "DELETE"):
            async with client.request(verb, url) as response:
                assert response.status == 405
                assert "POST" in response.headers["Allow"]

    with serving() as port:
        visit(port, run)


def test_a_body_has_a_limit() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        assert (await post(client, url, request("echo", "x" * 700)))[0] == 200
        status, _, found = await post(client, url, request("echo", "x" * 1_100))
        assert (status, found["error"]["message"]) == (413, "request too large: at most 1000 bytes")
        assert (await post(client, url, request("echo", 1)))[2]["result"] == 1

    with serving(limits=Limits(body=1_000)) as port:
        visit(port, run)


def test_a_chunked_body_has_the_same_limit() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(limits=Limits(body=1_000)) as port:
        found = raw(port, head + b"400\r\n" + b" " * 1_024 + b"\r\n0\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413")


def test_a_body_that_never_ends_is_given_up() -> None:
    with serving(limits=Limits(body_seconds=0)) as port:
        found = raw(port, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    assert found.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\nHost: localhost\r\n\r\n"]
)
def test_noise_is_answered_and_survived(noise: bytes) -> None:
    with serving() as port:
        assert b" 400 " in raw(port, noise).splitlines()[0]
        assert visit(port, lambda client, url: post(client, url, request("echo", 1)))[2]["result"] == 1


# Who is let in


def test_a_foreign_host_or_origin_is_refused() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        for headers, option in (
            ({"Host": "evil.example"}, "--allow-host"),
            ({"Origin": "https://evil.example"}, "--allow-origin"),
        ):
            status, answered, found = await post(client, url, request("echo", 1), **headers)
            assert status == 403
            assert option in found["error"]["message"]
            assert "Access-Control-Allow-Origin" not in answered
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await client.ws_connect(url, headers=headers)
            assert caught.value.status == 403

    with serving() as port:
        visit(port, run)


def test_pages_of_an_allowed_origin_may_read() -> None:
    origin = "https://app.example"

    async def run(client: aiohttp.ClientSession, url: str) -> None:
        ask = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        async with client.options(url, headers=ask) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
            assert "Content-Type" in response.headers["Access-Control-Allow-Headers"]
        status, headers, _ = await post(client, url, request("echo", 1), Origin=origin)
        assert (status, headers["Access-Control-Allow-Origin"], headers["Vary"]) == (200, origin, "Origin")

    with serving(access=Access(origins=frozenset({origin}))) as port:
        visit(port, run)


def test_developer_methods_follow_the_address() -> None:
    async def unlock(client: aiohttp.ClientSession, url: str) -> Any:
        return (await post(client, url, request("unlock")))[2]

    with serving() as port:
        assert visit(port, unlock)["result"] == "open"


# WebSocket


def test_text_is_answered_in_text_and_binary_in_binary() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async with client.ws_connect(url) as ws:
            await ws.send_str(json.dumps(request("echo", 1, identifier=0)))
            message = await ws.receive()
            assert message.type is aiohttp.WSMsgType.TEXT
            assert json.loads(message.data) == {"jsonrpc": "2.0", "id": 0, "result": 1}
            await ws.send_bytes(json.dumps([request("echo", 2)]).encode())
            message = await ws.receive()
            assert message.type is aiohttp.WSMsgType.BINARY
            assert json.loads(message.data)[0]["result"] == 2
            await ws.send_bytes(b"\xff")
            assert json.loads((await ws.receive()).data)["error"]["code"] == -32_700

    with serving() as port:
        visit(port, run)


def test_a_notification_comes_after_the_answer_that_names_its_subscription() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async with client.ws_connect(url) as ws:
            await ws.send_str(json.dumps(request("subscribe", 50)))
            found = [json.loads((await ws.receive()).data) for _ in range(51)]
        assert found[0]["result"] == "0x1"
        assert [each["number"] for each in found[1:]] == list(range(50))

    with serving() as port:
        visit(port, run)


def test_a_slow_reader_is_closed_with_a_reason() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async with client.ws_connect(url) as ws:
            await ws.send_str(json.dumps(request("subscribe", 21)))
            while (message := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1_008)
            assert "too slowly" in message.extra
        assert (await post(client, url, request("echo", 1)))[2]["result"] == 1

    with serving(limits=Limits(queue=20)) as port:
        visit(port, run)


def test_a_reader_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.rpc.server.GRACE", 0.2)
    with serving(limits=Limits(queue=100)) as port, socket.create_connection((LOCAL, port), timeout=10) as plug:
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        plug.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + key)
        assert plug.recv(12) == b"HTTP/1.1 101"
        for _ in range(20):
            text = json.dumps(request("subscribe", 60, 50_000)).encode()
            plug.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        time.sleep(1)
        assert ended(plug)


def test_who_sends_no_request_is_cut_off() -> None:
    """Neither nothing at all nor a head that never ends holds a connection; one that has asked may be idle."""
    with (
        serving(limits=Limits(body_seconds=1)) as port,
        socket.create_connection((LOCAL, port), timeout=10) as silent,
        socket.create_connection((LOCAL, port), timeout=10) as slow,
        socket.create_connection((LOCAL, port), timeout=10) as idle,
    ):
        body = json.dumps(request("echo", 1)).encode()
        idle.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert idle.recv(12) == b"HTTP/1.1 200"
        slow.sendall(b"POST / HTTP/1.1\r\nHost: local")
        assert ended(silent)
        assert ended(slow)
        idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 405" in idle.recv(4_096) + idle.recv(4_096)


def test_a_message_has_a_limit() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async with client.ws_connect(url) as ws:
            await ws.send_str(json.dumps(request("echo", "x" * 2_000)))
            message = await ws.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1_009)

    with serving(limits=Limits(body=1_000)) as port:
        visit(port, run)


def test_many_requests_at_once_on_one_socket() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async with client.ws_connect(url) as ws:
            for number in range(300):
                await ws.send_str(json.dumps(request("add", number, identifier=number)))
            found = [json.loads((await ws.receive()).data) for _ in range(300)]
        assert {each["id"]: int(each["result"], 16) for each in found} == {n: n + 1 for n in range(300)}

    with serving(limits=Limits(in_flight=4)) as port:
        visit(port, run)


# Load and ends


def test_connections_have_a_limit() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        first, second = await client.ws_connect(url), await client.ws_connect(url)
        status, _, found = await post(client, url, request("echo", 1))
        assert (status, found["error"]["message"]) == (503, "too many connections: at most 2")
        await first.close()
        await second.close()
        for _ in range(500):
            await asyncio.sleep(0.01)
            status, _, _ = await post(client, url, request("echo", 1))
            if status == 200:
                return
        pytest.fail("closed connections still count")

    with serving(limits=Limits(connections=2)) as port:
        visit(port, run)


def test_hundreds_of_sockets_are_open_at_once() -> None:
    async def run(client: aiohttp.ClientSession, url: str) -> None:
        async def one(number: int) -> Any:
            async with client.ws_connect(url) as ws:
                await opened.wait()
                await ws.send_str(json.dumps(request("echo", number)))
                return json.loads((await ws.receive()).data)["result"]

        opened = asyncio.Event()
        tasks = [asyncio.create_task(one(number)) for number in range(300)]
        await asyncio.sleep(0.1)
        opened.set()
        assert await asyncio.gather(*tasks) == list(range(300))

    async def unlimited(port: int) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client:
            await run(client, f"http://{LOCAL}:{port}/")

    with serving() as port:
        asyncio.run(unlimited(port))


def test_a_call_that_takes_long_keeps_nobody_waiting() -> None:
    table = small_table()
    slow = MethodTable()

    @slow.method("sleep", result=TEXT)
    def sleep(_caller: object) -> str:
        """Sleep."""
        time.sleep(0.5)
        return "slept"

    table.include(slow)

    async def run(client: aiohttp.ClientSession, url: str) -> None:
        sleeping = asyncio.create_task(post(client, url, request("sleep")))
        await asyncio.sleep(0.05)
        assert (await post(client, url, request("echo", 1)))[2]["result"] == 1
        assert not sleeping.done()
        assert (await sleeping)[2]["result"] == "slept"

    with serving(table) as port:
        visit(port, run)


def test_sockets_are_told_that_the_node_stops() -> None:
    found: list[Any] = []

    async def wait(port: int, ready: asyncio.Event) -> None:
        async with aiohttp.ClientSession() as client, client.ws_connect(f"http://{LOCAL}:{port}/") as ws:
            ready.set()
            found.append(await ws.receive())

    async def run() -> None:
        ready = asyncio.Event()
        context = serving()
        port = await asyncio.to_thread(context.__enter__)
        waiting = asyncio.create_task(wait(port, ready))
        await ready.wait()
        await asyncio.to_thread(context.__exit__, None, None, None)
        await waiting

    asyncio.run(run())
    assert (found[0].type, found[0].data) == (aiohttp.WSMsgType.CLOSE, 1_001)
    assert found[0].extra == "the node stops"
