"""A whole node in this process for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from web3 import HTTPProvider, Web3

from ewasm.ruleset import EWASM
from node.chain import Wallet
from node.rpc.node import Node, Options
from tests.helpers import FIXTURES
from tests.node.rpc.serving import LOCAL, in_background, request

WALLET = Wallet.from_mnemonic()
ALICE, BOB, CAROL = WALLET.addresses[:3]
ABI = json.loads((FIXTURES / "erc20.abi.json").read_text())
DEPLOY = (FIXTURES / "erc20_deploy.wasm").read_bytes()


@dataclass(frozen=True)
class Running:
    """A node that listens; `lines` are the methods called, with the messages of errors."""

    node: Node
    port: int
    lines: list[tuple[str, str | None]]

    @property
    def http(self) -> str:
        """The address for HTTP."""
        return f"http://{LOCAL}:{self.port}"

    @property
    def ws(self) -> str:
        """The address for a WebSocket."""
        return f"ws://{LOCAL}:{self.port}"

    @property
    def web3(self) -> Web3:
        """A client over HTTP."""
        return Web3(HTTPProvider(self.http))

    def ask(self, method: str, *params: Any) -> Any:
        """Ask the dispatcher, without a connection; return the result."""
        answer = self.answer(method, *params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def error(self, method: str, *params: Any) -> tuple[int, str]:
        """Ask for what fails; return code and message."""
        error = self.answer(method, *params)["error"]
        return error["code"], error["message"]

    def answer(self, method: str, *params: Any) -> Any:
        """Ask the dispatcher, without a connection; return the answer."""
        dispatcher = self.node.server.dispatcher
        text = dispatcher.handle(json.dumps(request(method, *params)), self.node._caller(True, None))
        assert text is not None
        return json.loads(text)


@contextmanager
def running(engine: str = "compiled", **options: Any) -> Iterator[Running]:
    """Run a node on a free port."""
    lines: list[tuple[str, str | None]] = []
    given = Options(**{"wallet": WALLET, "genesis": None, "ruleset": EWASM, "engine": engine, **options})
    node = Node(given, lambda name, error: lines.append((name, error and error.message)))
    ports: list[int] = []

    async def start() -> Callable[[], Coroutine[Any, Any, None]]:
        ports.append((await node.start(LOCAL, 0))[0][1])
        return node.stop

    with in_background(start):
        yield Running(node, ports[0], lines)


__all__ = ["ABI", "ALICE", "BOB", "CAROL", "DEPLOY", "WALLET", "Running", "replace", "running"]
