"""A client of many connections on bare sockets, over HTTP or WebSocket, which also answers what an engine asks back."""

from __future__ import annotations

import os
import selectors
import socket
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

HOST: Final = "127.0.0.1"
PATIENCE: Final = 60.0
"""Seconds until a node that does not get on is given up."""

_TEXT: Final = 0x81
_MASKED: Final = 0x80


class Stalled(Exception):
    """A node that does not get on."""


class Wire(Protocol):
    """How messages are framed on a connection."""

    def connect(self, port: int) -> socket.socket:
        """Connect, as far as the first message."""

    def frame(self, port: int, body: bytes) -> bytes:
        """Return what is sent for a message."""

    def take(self, received: bytearray) -> bytes | None:
        """Remove the first message from what was received and return it, None if it is not whole."""


class Http:
    """Requests by POST, connections kept."""

    def connect(self, port: int) -> socket.socket:
        made = socket.create_connection((HOST, port), PATIENCE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def frame(self, port: int, body: bytes) -> bytes:
        head = f"POST / HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def take(self, received: bytearray) -> bytes | None:
        head, blank, body = bytes(received).partition(b"\r\n\r\n")
        if not blank:
            return None
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r", 1)[0])
        if len(body) < length:
            return None
        del received[: len(head) + len(blank) + length]
        return body[:length]


class WebSocket:
    """Text frames (RFC 6455, section 5.2); the mask, which a client must give, is zero."""

    def connect(self, port: int) -> socket.socket:
        made = Http().connect(port)
        key = b64encode(os.urandom(16)).decode()
        made.sendall(
            f"GET / HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        head = bytearray()
        while not head.endswith(b"\r\n\r\n"):
            part = made.recv(1)
            if not part:
                raise SystemExit("the node did not open a WebSocket")
            head += part
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"the node did not open a WebSocket: {bytes(head)!r}")
        return made

    def frame(self, port: int, body: bytes) -> bytes:  # noqa: ARG002  # as the other
        size = len(body)
        if size < 126:
            head = bytes([_TEXT, _MASKED | size])
        elif size < 1 << 16:
            head = bytes([_TEXT, _MASKED | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([_TEXT, _MASKED | 127]) + size.to_bytes(8, "big")
        return head + bytes(4) + body

    def take(self, received: bytearray) -> bytes | None:
        if len(received) < 2:
            return None
        if received[0] != _TEXT:
            raise SystemExit(f"a frame that is no text: {bytes(received[:100])!r}")
        size, begin = received[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(received[2:begin], "big")
        if len(received) < begin + size:
            return None
        body = bytes(received[begin : begin + size])
        del received[: begin + size]
        return body


HTTP: Final = Http()
WEB_SOCKET: Final = WebSocket()


@dataclass(slots=True)
class Flood:
    """What a flood of requests took: the seconds of all, those of each, and how many questions were asked back."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    questions: int = 0


@dataclass(slots=True)
class _Line:
    """A connection: what has come, and when the request under way was sent."""

    received: bytearray = field(default_factory=bytearray)
    since: float = 0.0


def flood(
    port: int,
    body: bytes,
    number: int,
    connections: int,
    wire: Wire,
    *,
    mark: bytes,
    answer: Callable[[bytes], bytes] | None = None,
) -> Flood:
    """Send a request so many times, one at a time on each connection; every answer must have a mark in it.

    `answer` answers what is asked back.
    """
    message = wire.frame(port, body)
    sockets = [wire.connect(port) for _ in range(connections)]
    found = Flood()
    with selectors.DefaultSelector() as selector:
        for opened in sockets:
            selector.register(opened, selectors.EVENT_READ, _Line())
        start = time.perf_counter()
        sent = 0
        for key in list(selector.get_map().values())[:number]:
            key.data.since = time.perf_counter()
            key.fileobj.sendall(message)  # type: ignore[union-attr]
            sent += 1
        while len(found.waits) < number:
            ready = selector.select(PATIENCE)
            if not ready:
                raise Stalled("no answers any more")
            for key, _ in ready:
                each, line = key.fileobj, key.data
                assert isinstance(each, socket.socket)
                part = each.recv(65_536)
                if not part:
                    raise SystemExit("a connection was closed")
                line.received += part
                while (text := wire.take(line.received)) is not None:
                    if answer is not None and b'"method"' in text:
                        found.questions += 1
                        each.sendall(wire.frame(port, answer(text)))
                        continue
                    if mark not in text:
                        raise SystemExit(f"refused: {text!r}")
                    now = time.perf_counter()
                    found.waits.append(now - line.since)
                    if sent < number:
                        line.since = now
                        each.sendall(message)
                        sent += 1
        found.seconds = time.perf_counter() - start
    for opened in sockets:
        opened.close()
    return found
