"""The program that a worker process runs: it answers calls that only read the chain."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import IO, Any

from ewasm.artefacts import ArtefactStore
from ewasm.cache import CodeCache
from ewasm.ruleset import find_ruleset
from ewasm.threads import on_fresh_thread
from node.chain.reader import Reader
from node.rpc.dispatch import Dispatcher, failure, success
from node.rpc.errors import RpcError
from node.rpc.execution import Executions
from node.rpc.methods import METHODS
from node.rpc.service import Context, translate
from node.rpc.workers import FAILED, SUCCEEDED, WorkerSettings
from state.lmdb import LmdbStore


def main() -> None:
    """Answer questions from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the node says when to end
    settings = WorkerSettings(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else that prints meets the answers
    reader = _reader(settings)
    gc.freeze()  # as in the node
    on_fresh_thread(reader.vm.engine, lambda: serve(sys.stdin.buffer, answers, reader, settings))


def serve(questions: IO[bytes], answers: IO[bytes], reader: Reader, settings: WorkerSettings) -> None:
    """Answer each line by a line; on a thread that has room, no call needs another one."""
    context = Context(reader, Executions.on(reader.machine), settings.call_timeout)
    dispatcher = Dispatcher(METHODS, translate=translate, on_fault=_show)
    for line in questions:
        answers.write(_answer(dispatcher, context, json.loads(line)))
        answers.flush()


def _reader(settings: WorkerSettings) -> Reader:
    artefacts = None if settings.cache is None else ArtefactStore(Path(settings.cache))
    store = LmdbStore(Path(settings.store), readonly=True)
    ruleset = find_ruleset(settings.ruleset)
    return Reader(store, ruleset=ruleset, engine=settings.engine, cache=CodeCache(artefacts=artefacts))


def _answer(dispatcher: Dispatcher, context: Context, question: dict[str, Any]) -> bytes:
    """Return the response as a line, behind a mark that tells whether it is an error."""
    identifier = question["id"]
    try:
        context.reader.refresh()
        text = success(identifier, dispatcher.call(question["method"], question["params"], context))
    except RpcError as error:
        return FAILED + failure(identifier, error).encode() + b"\n"
    return SUCCEEDED + text.encode() + b"\n"


def _show(_name: str, fault: Exception) -> None:
    traceback.print_exception(fault)
