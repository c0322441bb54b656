"""`ewasm_execute` with `--workers`: what comes with its state runs in a worker, and answers as the node itself would."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ewasm.client import connect
from node.rpc import workers
from node.rpc.execution import UNKNOWN_CODE
from state import keccak256
from tests.helpers import fixture_code
from tests.node.rpc.running import Running, running
from tests.node.rpc.serving import LOCAL, request
from tests.node.world import ALICE, CALLER, ONE, TWO, A, B, call, word

COUNTER = fixture_code("counter")
READ = call("get(bytes32)", TWO)
THROUGH = call("forward(address,bytes)", B, call("get()"))
"""A asks the counter at B."""


@pytest.fixture(scope="module")
def node() -> Iterator[Running]:
    with running(workers=2, substrate_port=0) as node:
        yield node


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def asked(data: bytes, *, at_a: Any, at_b: Any = None, **fields: Any) -> dict[str, Any]:
    """Return a request with contracts at A and B, each given by its code or the hash of it."""
    accounts = {
        str(A): {"nonce": "0x1", "storage": {str(TWO): str(ONE)}, **at_a},
        str(B): {"nonce": "0x1", "storage": {hexed(bytes(32)): str(word(7))}, **(at_b or {})},
    }
    message = {"sender": str(ALICE), "to": str(A), "gas": "0xf4240", "input": hexed(data)}
    return request("ewasm_execute", {"message": message, "state": {"accounts": accounts}, **fields})


def whole(code: bytes) -> dict[str, str]:
    return {"code": hexed(code)}


def named(code: bytes) -> dict[str, str]:
    return {"codeHash": hexed(keccak256(code))}


def posted(node: Running, body: dict[str, Any], port: int | None = None) -> Any:
    """Ask over a connection."""
    connection = http.client.HTTPConnection(LOCAL, port or node.port, timeout=20)
    try:
        connection.request("POST", "/", json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def substrate_port(node: Running) -> int:
    server = node.node._substrate
    assert server is not None
    assert server._server._runner is not None
    return int(server._server._runner.addresses[0][1])


REQUESTS = [
    asked(READ, at_a=whole(CALLER)),
    asked(call("setAndRevert(bytes32,bytes32)", ONE, TWO), at_a=whole(CALLER)),
    asked(THROUGH, at_a=whole(CALLER), at_b=whole(COUNTER)),
    asked(READ, at_a=named(b"nobody has this")),
    asked(READ, at_a={"code": "0x0"}),
    asked(READ, at_a=whole(CALLER), surprise=1),
    request("ewasm_execute", {"message": {}, "state": []}),
    request("ewasm_execute", {"message": {"sender": str(ALICE), "to": str(A), "gas": 1}, "state": {"onDemand": "x"}}),
]


@pytest.mark.parametrize("body", REQUESTS, ids=range(len(REQUESTS)))
def test_the_answer_is_that_of_the_node(node: Running, body: dict[str, Any]) -> None:
    kept, node.node._workers = node.node._workers, None
    try:
        own = posted(node, body)
    finally:
        node.node._workers = kept
    assert posted(node, body) == own
    assert posted(node, body, substrate_port(node)) == own


def test_code_is_known_however_it_came() -> None:
    """It was sent ahead, or came along with another request, which another worker may have executed."""
    with running(workers=2) as node:
        unknown = posted(node, asked(THROUGH, at_a=named(CALLER), at_b=named(COUNTER)))
        assert (unknown["error"]["code"], unknown["error"]["data"]) == (UNKNOWN_CODE, str(keccak256(CALLER)))
        assert posted(node, request("ewasm_putCode", [hexed(CALLER)]))["result"] == [str(keccak256(CALLER))]
        unknown = posted(node, asked(THROUGH, at_a=named(CALLER), at_b=named(COUNTER)))
        assert unknown["error"]["data"] == str(keccak256(COUNTER))
        assert posted(node, asked(READ, at_a=named(CALLER), codes=[hexed(COUNTER)]))["result"]["output"] == str(ONE)
        for _ in range(4):
            found = posted(node, asked(THROUGH, at_a=named(CALLER), at_b=named(COUNTER)))
            assert found["result"]["output"] == str(word(7))


@pytest.mark.parametrize("side", ["ethereum", "substrate"])
def test_it_is_a_worker_that_executes(side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is stopped answers nothing, and is ended after the time of a call."""
    monkeypatch.setattr(workers, "GRACE", 0.1)
    with running(workers=1, call_timeout=0.2, substrate_port=0) as node:
        port = node.port if side == "ethereum" else substrate_port(node)
        (process,) = node.node.workers
        os.kill(process, signal.SIGSTOP)
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
        answer = posted(node, asked(READ, at_a=whole(CALLER)), port)
        assert answer["error"]["message"] == "aborted by the node: the call took longer than 0.2 s"


def test_what_is_asked_for_runs_where_the_connection_is(node: Running) -> None:
    async def storage(_params: dict[str, Any]) -> str:
        return str(ONE)

    async def account(params: dict[str, Any]) -> Any:
        return {"nonce": "0x1", **named(CALLER)} if params["address"] == str(A) else None

    async def code(_params: dict[str, Any]) -> str:
        return hexed(CALLER)

    async def run() -> Any:
        host = {"host_getStorage": storage, "host_getAccount": account, "host_getCode": code}
        async with connect(node.ws, host) as engine:
            document = {**asked(READ, at_a={})["params"][0], "state": {"onDemand": "block 9"}}
            return await engine.execute(document)

    assert asyncio.run(run())["output"] == str(ONE)
