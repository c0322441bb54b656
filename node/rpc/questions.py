"""Questions that the server asks a client over its WebSocket: requests in the other direction."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

from evmc.reading import read_json

_PREFIX: Final = "host-"


class NoAnswer(Exception):
    """The client did not answer in time, answered with an error, or is gone; the message says which."""


class Questions:
    """The questions of one connection; `send` takes the text of a request. Any thread may ask."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._waiting: dict[str, SimpleQueue[Any]] = {}
        self._count = 0
        self._closed = False

    def ask(self, method: str, params: dict[str, Any], seconds: float) -> Any:
        """Return the result of a request, waiting so long at most; raise `NoAnswer`."""
        answer: SimpleQueue[Any] = SimpleQueue()
        with self._lock:
            if self._closed:
                raise NoAnswer("the connection is gone")
            self._count += 1
            identifier = f"{_PREFIX}{self._count}"
            self._waiting[identifier] = answer
        self._send(json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params}))
        try:
            found = answer.get(timeout=max(seconds, 0))
        except Empty:
            raise NoAnswer(f"{method} was not answered in time") from None
        finally:
            with self._lock:
                self._waiting.pop(identifier, None)
        if isinstance(found, NoAnswer):
            raise found
        return found

    @property
    def open(self) -> int:
        """How many questions wait for an answer."""
        return len(self._waiting)

    def take(self, data: bytes | str) -> bool:
        """Take a message if it answers a question, be it too late; tell whether it does."""
        if not self._count:
            return False
        try:
            message = read_json(data)
        except ValueError:
            return False
        if not isinstance(message, dict) or "method" in message:
            return False
        identifier = message.get("id")
        if not isinstance(identifier, str) or not identifier.startswith(_PREFIX):
            return False
        with self._lock:
            answer = self._waiting.pop(identifier, None)
        if answer is None:
            return True
        if "result" in message:
            answer.put(message["result"])
        else:
            answer.put(NoAnswer(f"the host answered with an error: {str(message.get('error'))[:200]}"))
        return True

    def close(self) -> None:
        """Have nobody wait any more."""
        with self._lock:
            self._closed = True
            answers = list(self._waiting.values())
            self._waiting.clear()
        for answer in answers:
            answer.put(NoAnswer("the connection is gone"))
