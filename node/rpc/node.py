"""A node: chain, methods, server and workers put together, from starting to stopping."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ewasm.artefacts import ArtefactStore, default_directory
from ewasm.cache import CodeCache
from ewasm.ruleset import Ruleset
from node.chain import Chain, Genesis, Wallet
from node.chain.waiting import WaitingLog
from node.rpc.access import Access
from node.rpc.dispatch import Caller, Dispatcher, Reading, failure
from node.rpc.errors import RpcError
from node.rpc.execution import EXECUTE, EXECUTION, MAX_ASKING, asks_back
from node.rpc.kinds import hex_data
from node.rpc.limits import Limits
from node.rpc.methods import METHODS
from node.rpc.server import Server
from node.rpc.service import Context, Service, translate
from node.rpc.session import Session
from node.rpc.table import Method
from node.rpc.workers import Answer, Workers, WorkerSettings
from state.lmdb import LmdbStore

if TYPE_CHECKING:
    from node.substrate.serving import SubstrateServer

WORKER_THREADS: Final = 4
"""Threads of the server for each worker process: each waits for one answer."""


_SHORT: Final = 1 << 16
"""Bytes of a request that the event loop itself may read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a node is started with.

    `ruleset_name` is how a worker finds the ruleset; `state` is the chain's directory, None for a chain in memory.
    `substrate_port` is where the Substrate side listens, None for nowhere; it needs the extra `substrate`.
    """

    wallet: Wallet
    genesis: Genesis | None
    ruleset: Ruleset
    ruleset_name: str = "ewasm"
    engine: str = "compiled"
    state: Path | None = None
    automine: bool = True
    block_time: float | None = None
    workers: int = 0
    call_timeout: float | None = None
    substrate_port: int | None = None
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)


class Node:
    """A running node. `on_call` is told of every call by its name, with the error if there was one."""

    def __init__(
        self, options: Options, on_call: Callable[[str, RpcError | None], None] = lambda _name, _error: None
    ) -> None:
        """Open the chain; raise UnusableChain or StoreError."""
        self.options = options
        self._on_call = on_call
        self._temporary: Path | None = None
        self._store: LmdbStore | None = None
        self._workers: Workers | None = None
        folder = options.state
        if folder is None and options.workers:
            folder = self._temporary = Path(tempfile.mkdtemp(prefix="ewasm-node-"))
        try:
            if folder is not None:
                self._store = LmdbStore(folder, create=True)
            self.chain = Chain(
                self._store,
                options.genesis,
                wallet=options.wallet,
                ruleset=options.ruleset,
                engine=options.engine,
                cache=CodeCache(artefacts=_artefacts()),
                automine=options.automine,
                waiting=None if options.state is None else WaitingLog(options.state),
            )
        except BaseException:
            self._close_store()
            raise
        self.service = Service(self.chain, options.limits, call_timeout=options.call_timeout)
        dispatcher = Dispatcher(
            METHODS, options.limits, run=self._run, translate=translate, on_call=self._called, on_fault=_show
        )
        self.server = Server(
            dispatcher,
            self._caller,
            access=options.access,
            threads=8 + MAX_ASKING + WORKER_THREADS * options.workers,
            elsewhere=partial(self._elsewhere, dispatcher),
            on_close=self.service.subscriptions.forget,
        )
        self._substrate: SubstrateServer | None = None
        if options.substrate_port is not None:
            from node.substrate.face import Face  # noqa: PLC0415  # needs the extra `substrate`
            from node.substrate.serving import SubstrateServer  # noqa: PLC0415

            self._substrate = SubstrateServer(
                Face(self.chain),
                executions=self.service.executions,
                access=options.access,
                limits=options.limits,
                elsewhere=partial(self._execution_elsewhere, Dispatcher(EXECUTION, options.limits)),
                on_call=self._called,
                on_fault=_show,
            )

    async def start(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen, and mine if the clock says so; return the addresses. Raise OSError where that is not possible."""
        addresses = await self.server.start(host, port)
        if self._substrate is not None and self.options.substrate_port is not None:
            addresses += await self._substrate.start(host, self.options.substrate_port)
        if self._store is not None and self.options.workers:
            self._workers = Workers(self.options.workers, self._worker_settings(self._store))
            await self._workers.start()
        self.service.mining.set(self.options.block_time)
        return addresses

    async def stop(self) -> None:
        """Take no more requests, end those under way, and close the chain: all of it is in the store.

        A call that does not end is left to the end of the process, and with it what it reads.
        """
        self.service.close()
        if self._workers is not None:
            await self._workers.close()
        ended = self._substrate is None or await self._substrate.stop()
        if await self.server.stop() and ended:
            self.chain.close()
            self._close_store()

    @property
    def workers(self) -> list[int]:
        """The ids of the worker processes."""
        return [] if self._workers is None else self._workers.processes

    def _caller(self, developer: bool, session: Session | None) -> Context:  # noqa: FBT001  # the server's order
        return Context.of(self.service, developer=developer, session=session)

    def _called(self, name: str, error: RpcError | None) -> None:
        if self.service.settings.logging:
            self._on_call(name, error)

    def _run(self, caller: Caller, method: Method, arguments: list[Any], params: Any) -> Any:
        """Run a method: in a worker if it only reads what a worker can see."""
        reads = method.reads and "pending" not in arguments and method.name != EXECUTE  # it needs what is known here
        if self._workers is not None and reads:
            return self._workers.call(method.name, params)
        return method.result.write(method.function(caller, *arguments))

    def _elsewhere(self, dispatcher: Dispatcher, body: bytes | str) -> Awaitable[str] | None:
        """Have a worker answer a single request that only reads what a worker can see; None is for all else.

        The loop reads it, so it must be short.
        """
        if self._workers is None or len(body) > _SHORT:
            return None
        asked = dispatcher.reading(body)
        if asked is None or "pending" in asked.arguments:
            return None
        if asked.name == EXECUTE and asks_back(asked.arguments[0]):
            return None
        return self._by_worker(self._workers, asked)

    def _execution_elsewhere(self, dispatcher: Dispatcher, body: bytes | str) -> Awaitable[str] | None:
        """Do the same for executions alone."""
        name = EXECUTE if isinstance(body, str) else EXECUTE.encode()
        return self._elsewhere(dispatcher, body) if name in body else None  # type: ignore[operator]  # both of one kind

    async def _by_worker(self, workers: Workers, asked: Reading) -> str:
        try:
            if asked.name == EXECUTE:
                answer = await self._executed(workers, asked.identifier, asked.arguments[0])
            else:
                answer = await workers.answer(asked.identifier, asked.name, asked.params)
        except RpcError as error:
            answer = Answer(failure(asked.identifier, error), error)
        self._called(asked.name, answer.error)
        return answer.text

    async def _executed(self, workers: Workers, identifier: Any, document: dict[str, Any]) -> Answer:
        """Have a worker execute a request; code that it does not know, but this process, is sent along."""
        executions = self.service.executions
        executions.keep_codes(document)
        sent: list[bytes] = []
        while True:
            answer = await workers.answer(identifier, EXECUTE, [document])
            code = executions.known_code(answer.error)
            if code is None or code in sent:
                return answer
            sent.append(code)
            document = {**document, "codes": [*(document.get("codes") or ()), hex_data(code)]}

    def _worker_settings(self, store: LmdbStore) -> WorkerSettings:
        cache = default_directory()
        return WorkerSettings(
            store=str(store.folder),
            ruleset=self.options.ruleset_name,
            engine=self.options.engine,
            call_timeout=self.options.call_timeout,
            cache=None if cache is None else str(cache),
        )

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


async def run(node: Node, host: str, port: int, on_ready: Callable[[list[tuple[str, int]]], None]) -> None:
    """Run a node until it is told to end (SIGINT, SIGTERM); raise OSError if it cannot listen."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    if os.name == "posix":
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
    try:
        on_ready(await node.start(host, port))
        gc.freeze()  # modules and tables live as long as the node: they need not be searched for garbage
        await ended.wait()
    finally:
        await node.stop()


def _artefacts() -> ArtefactStore | None:
    directory = default_directory()
    return None if directory is None else ArtefactStore(directory)


def _show(_name: str, fault: Exception) -> None:
    traceback.print_exception(fault)
