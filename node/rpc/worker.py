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
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import RpcError
from node.rpc.methods import METHODS
from node.rpc.service import Context, translate
from node.rpc.workers import WorkerSettings
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
    context = Context(reader, settings.call_timeout)
    dispatcher = Dispatcher(METHODS, translate=translate, on_fault=_show)
    for line in questions:
        question = json.loads(line)
        answers.write(json.dumps(_answer(dispatcher, context, question)).encode() + b"\n")
        answers.flush()


def _reader(settings: WorkerSettings) -> Reader:
    artefacts = None if settings.cache is None else ArtefactStore(Path(settings.cache))
    store = LmdbStore(Path(settings.store), readonly=True)
    ruleset = find_ruleset(settings.ruleset)
    return Reader(store, ruleset=ruleset, engine=settings.engine, cache=CodeCache(artefacts=artefacts))


def _answer(dispatcher: Dispatcher, context: Context, question: dict[str, Any]) -> dict[str, Any]:
    try:
        context.reader.refresh()
        return {"result": dispatcher.call(question["method"], question["params"], context)}
    except RpcError as error:
        return {"error": error.document()}


def _show(_name: str, fault: Exception) -> None:
    traceback.print_exception(fault)
