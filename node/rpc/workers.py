"""Worker processes: calls that only read the chain run on all cores, over the same store.

A worker reads lines of JSON from its standard input and writes lines of JSON to its standard output. It opens the store
read-only and looks up the last block before every call, so it answers like the node itself. One that dies, or takes too
long, is replaced, and only the call that it had gets an error.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from node.rpc.errors import INTERNAL_ERROR, Refused, RpcError

GRACE: Final = 5.0
"""Seconds that a call may take beyond its time limit before its worker is ended from outside."""

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


class Workers:
    """So many worker processes; safe to use from any thread. A call waits until one is idle."""

    def __init__(self, count: int, settings: WorkerSettings) -> None:
        self._settings = settings
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        for _ in range(count):
            self._start()

    def _start(self) -> None:
        worker = _Worker(self._settings)
        with self._lock:
            if not self._closed:
                self._all.add(worker)
                self._idle.put(worker)
                return
        worker.end()

    @property
    def processes(self) -> list[int]:
        """The ids of the processes."""
        with self._lock:
            return [worker.process.pid for worker in self._all]

    def call(self, name: str, params: Any) -> Any:
        """Call a method in a worker and return its result as JSON values; raise `RpcError`."""
        worker = self._idle.get()
        limit = self._settings.call_timeout
        try:
            answer = worker.ask({"method": name, "params": params}, None if limit is None else limit + GRACE)
        except Exception as error:
            with self._lock:
                self._all.discard(worker)
            worker.end()
            self._start()
            if isinstance(error, TimeoutError):
                raise Refused(f"aborted by the node: the call took longer than {limit:g} s") from error
            raise RpcError(
                INTERNAL_ERROR, "the worker that ran the call ended; it says nothing about the contract"
            ) from error
        self._idle.put(worker)
        if "error" in answer:
            raise RpcError(**answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            self._closed = True
            workers, self._all = self._all, set()
        for worker in workers:
            worker.end()


class _Worker:
    """One process."""

    def __init__(self, settings: WorkerSettings) -> None:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        self.process = subprocess.Popen(  # noqa: S603  # this interpreter, our program
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    def ask(self, question: dict[str, Any], seconds: float | None) -> dict[str, Any]:
        """Send a question and return the answer; raise an exception of any kind if none comes, TimeoutError in time."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        late = threading.Event()
        timer = None
        if seconds is not None:
            timer = threading.Timer(seconds, self._stop, (late,))
            timer.daemon = True
            timer.start()
        try:
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
            answer: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            raise TimeoutError if late.is_set() else ConnectionError from error
        finally:
            if timer is not None:
                timer.cancel()
        return answer

    def _stop(self, late: threading.Event) -> None:
        late.set()
        self.process.kill()

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                assert stream is not None
                stream.close()
