"""Worker processes: calls that only read the chain run on all cores, over the same store.

A worker reads lines of JSON from its standard input and writes lines of JSON to its standard output. It opens the store
read-only and looks up the last block before every call, so it answers like the node itself. One that dies, or takes too
long, is replaced, and only the call that it had gets an error.

The event loop talks to the processes: a call needs no thread here, and its response is passed on as it comes.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.rpc.dispatch import success
from node.rpc.errors import INTERNAL_ERROR, Refused, RpcError
from node.rpc.kinds import Json

GRACE: Final = 5.0
"""Seconds that a call may take beyond its time limit before its worker is ended from outside."""

SUCCEEDED, FAILED = b"+", b"-"
"""What stands before a response: whether it is an error."""

_BEFORE_RESULT: Final = success(None, Json("")).removesuffix("}")
"""What stands before the result in a response without an id."""

_SETTLED: Final = 1.0
"""Seconds after which a process that ends is replaced at once; one that ends sooner is, after as long."""

_PROGRAM: Final = "from node.rpc.worker import main; main()"
_ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What a worker is told when it starts; `ruleset` is a name or a file."""

    store: str
    ruleset: str
    engine: str
    call_timeout: float | None
    cache: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as it goes to the client, and the error in it, None if there is none."""

    text: str
    error: RpcError | None


class Workers:
    """So many worker processes. A call waits until one is idle."""

    def __init__(self, count: int, settings: WorkerSettings) -> None:
        self._count = count
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._all: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._closed = False

    async def start(self) -> None:
        """Start the processes; raise OSError where the system has no room for them."""
        for _ in range(self._count):
            await self._start_one()

    async def _start_one(self) -> None:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        _, worker = await self._loop.subprocess_exec(
            lambda: _Worker(self),
            *(sys.executable, "-P", "-c", _PROGRAM, json.dumps(asdict(self._settings))),
            stderr=None,
            env={**os.environ, "PYTHONPATH": path},
        )
        if worker.ended.is_set():
            return
        self._all.add(worker)
        if self._closed:
            await worker.end()
        else:
            self.rest(worker)

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        return [worker.process for worker in list(self._all)]

    async def answer(self, identifier: Any, name: str, params: Any) -> Answer:
        """Have a worker answer a request; raise `RpcError` where none can."""
        question = json.dumps({"id": identifier, "method": name, "params": params}).encode() + b"\n"
        line = await self._ask(question)
        text = line[1:].decode()
        error = None if line.startswith(SUCCEEDED) else RpcError(**json.loads(text)["error"])
        return Answer(text, error)

    def call(self, name: str, params: Any) -> Any:
        """Call a method in a worker, from another thread than the loop's; return its result, raise `RpcError`."""
        answer = asyncio.run_coroutine_threadsafe(self.answer(None, name, params), self._loop).result()
        if answer.error is not None:
            raise answer.error
        return Json(answer.text.removeprefix(_BEFORE_RESULT).removesuffix("}"))

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        while self._waiting:
            _fail(self._waiting.popleft()[1], Refused("the node stops"))
        await asyncio.gather(*[worker.end() for worker in list(self._all)])

    # What workers tell

    def rest(self, worker: _Worker) -> None:
        """Give an idle worker what waits."""
        self._idle.append(worker)
        self._hand_out()

    def leave(self, worker: _Worker) -> None:
        """Ask nothing more of a worker."""
        if worker in self._idle:
            self._idle.remove(worker)

    def lost(self, worker: _Worker) -> None:
        """Replace a worker that has ended."""
        self._all.discard(worker)
        self.leave(worker)
        if not self._closed:
            delay = 0.0 if worker.age > _SETTLED else _SETTLED
            self._loop.call_later(delay, lambda: self._loop.create_task(self._replace()))

    async def _replace(self) -> None:
        try:
            await self._start_one()
        except OSError:
            traceback.print_exc()
            await asyncio.sleep(_SETTLED)
            if not self._closed:
                await self._replace()

    def _ask(self, question: bytes) -> asyncio.Future[bytes]:
        answer: asyncio.Future[bytes] = self._loop.create_future()
        if self._closed:
            raise Refused("the node stops")
        self._waiting.append((question, answer))
        self._hand_out()
        return answer

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            question, answer = self._waiting.popleft()
            if not answer.done():  # whoever asked may have gone
                self._idle.pop().ask(question, answer, self._settings.call_timeout)


class _Worker(asyncio.SubprocessProtocol):
    """One process, with one call at a time."""

    def __init__(self, workers: Workers) -> None:
        self.ended = asyncio.Event()
        self._workers = workers
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._parts: list[bytes] = []
        self._answer: asyncio.Future[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._late: float | None = None

    @property
    def process(self) -> int:
        """The process's id."""
        return self._transport.get_pid()

    @property
    def age(self) -> float:
        """How many seconds ago it was started."""
        return self._loop.time() - self._since

    def ask(self, question: bytes, answer: asyncio.Future[bytes], limit: float | None) -> None:
        """Send a question, whose answer sets the future; `limit` is in seconds, and there is some grace."""
        self._answer = answer
        if limit is not None:
            self._timer = self._loop.call_later(limit + GRACE, self._stop, limit)
        self._questions.write(question)

    async def end(self) -> None:
        """End the process, and wait until it is gone."""
        self._kill()
        await self.ended.wait()

    def _stop(self, limit: float) -> None:
        self._late = limit
        self._kill()

    def _kill(self) -> None:
        if self._transport.get_returncode() is None:
            self._transport.kill()

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the pipes."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport
        questions = transport.get_pipe_transport(0)
        assert isinstance(questions, asyncio.WriteTransport)
        self._questions = questions

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002  # there is one pipe to read from
        """Take a part of a line; the whole of it is the answer."""
        self._parts.append(data)
        if not data.endswith(b"\n"):
            return
        line, self._parts = b"".join(self._parts)[:-1], []
        answer = self._free()
        if answer is not None and not answer.done():
            answer.set_result(line)
        if self._late is None:
            self._workers.rest(self)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  # either pipe, however it ends
        """Take no more: the process ends, which is told later."""
        self._workers.leave(self)

    def process_exited(self) -> None:
        """Tell whoever waits that there is no answer."""
        answer = self._free()
        if answer is not None and self._late is not None:
            _fail(answer, Refused(f"aborted by the node: the call took longer than {self._late:g} s"))
        elif answer is not None:
            text = "the worker that ran the call ended; it says nothing about the contract"
            _fail(answer, RpcError(INTERNAL_ERROR, text))
        self._transport.close()
        self.ended.set()
        self._workers.lost(self)

    def _free(self) -> asyncio.Future[bytes] | None:
        """Return who waits, and forget it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        answer, self._answer = self._answer, None
        return answer


def _fail(answer: asyncio.Future[bytes], error: RpcError) -> None:
    if not answer.done():
        answer.set_exception(error)
