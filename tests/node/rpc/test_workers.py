"""Worker processes: the same answers as the node's own, and what happens when one dies."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.rpc import workers
from tests.helpers import fixture_code
from tests.node.rpc.running import ALICE, BOB, DEPLOY, Running, running
from tests.node.rpc.serving import LOCAL, request
from tests.node.world import call as call_data


@pytest.fixture(scope="module")
def node() -> Iterator[Running]:
    with running(workers=2, call_timeout=20.0) as node:
        yield node


def deploy(node: Running) -> str:
    sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "data": "0x" + DEPLOY.hex()})
    return str(node.ask("eth_getTransactionReceipt", sent)["contractAddress"])


def test_workers_answer_what_the_node_would(node: Running) -> None:
    token = deploy(node)
    balance = {"to": token, "data": "0x" + call_data("balanceOf(address)", BOB).hex()}
    transfer = {"from": str(ALICE), "to": token, "data": "0x" + call_data("transfer(address,uint256)", BOB, 7).hex()}
    sent = node.ask("eth_sendTransaction", transfer)
    kept, requests = (
        node.node._workers,
        [
            ("eth_call", balance),
            ("eth_call", balance, "0x1"),
            ("eth_estimateGas", transfer),
            ("eth_getProof", token, ["0x2"]),
            ("eth_createAccessList", transfer),
            ("eth_getBalance", str(ALICE)),
            ("eth_getStorageAt", token, "0x2"),
            ("debug_traceTransaction", sent, {"tracer": "callTracer"}),
            ("debug_traceCall", transfer, "latest", {"tracer": "prestateTracer"}),
            ("eth_call", {**transfer, "from": str(BOB), "data": "0x"}),
        ],
    )
    assert int(node.ask("eth_call", balance), 16) == 7
    by_workers = [node.answer(method, *params) for method, *params in requests]
    node.node._workers = None
    try:
        assert [node.answer(method, *params) for method, *params in requests] == by_workers
    finally:
        node.node._workers = kept


def posted(node: Running, body: dict[str, Any]) -> str:
    """Ask over a connection; return the answer as it came."""
    connection = http.client.HTTPConnection(LOCAL, node.port, timeout=20)
    try:
        connection.request("POST", "/", json.dumps(body))
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def endless(node: Running) -> dict[str, Any]:
    """Make blocks big enough for a call that does not end by itself, and return the call."""
    address = "0x" + "c0" * 20
    node.ask("anvil_setCode", address, "0x" + fixture_code("wat/loop_forever").hex())
    node.ask("evm_setBlockGasLimit", "0xfffffffffffffff")
    node.ask("evm_mine")
    return request("eth_call", {"to": address, "gas": "0xfffffffffffffff"})


BALANCE = request("eth_getBalance", str(ALICE))
REQUESTS = [
    BALANCE,
    {**BALANCE, "id": 0},
    {**BALANCE, "id": None},
    {**BALANCE, "id": "\n\u20ac"},
    {**BALANCE, "id": True},
    {"jsonrpc": "2.0", "method": "eth_getBalance", "params": [str(ALICE)]},
    {**BALANCE, "params": {"address": str(ALICE), "block": "latest"}},
    {**BALANCE, "params": [str(ALICE), "pending"]},
    {**BALANCE, "params": [str(ALICE), "0x7fffffff"]},
    {**BALANCE, "params": ["0x1"]},
    {**BALANCE, "jsonrpc": "1.0"},
    request("eth_call", {"data": "0x6000"}),
    request("eth_estimateGas", {"from": str(BOB), "value": hex(2**255)}),
    request("eth_getBalanceOf", str(ALICE)),
    request("eth_chainId"),
]


@pytest.mark.parametrize("body", REQUESTS, ids=range(len(REQUESTS)))
def test_over_a_connection_it_is_the_same_answer(node: Running, body: dict[str, Any]) -> None:
    node.lines.clear()
    kept, node.node._workers = node.node._workers, None
    try:
        own, own_lines = posted(node, body), list(node.lines)
    finally:
        node.node._workers = kept
    node.lines.clear()
    assert posted(node, body) == own
    assert node.lines == own_lines


def test_an_answer_longer_than_a_pipe_is_whole(node: Running) -> None:
    address, code = "0x" + "c1" * 20, "0x" + "5b" * 300_000
    node.ask("anvil_setCode", address, code)
    assert json.loads(posted(node, request("eth_getCode", address)))["result"] == code


def test_a_connection_gets_the_error_of_a_worker_that_dies(node: Running) -> None:
    body, answers = endless(node), []
    before = node.node.workers
    asking = threading.Thread(target=lambda: answers.append(json.loads(posted(node, body))))
    asking.start()
    asking.join(0.5)
    for process in before:
        os.kill(process, signal.SIGKILL)
    asking.join(10)
    assert [answer["error"]["code"] for answer in answers] == [-32_603]
    deadline = time.monotonic() + 20
    while set(node.node.workers) & set(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert json.loads(posted(node, BALANCE))["result"].startswith("0x")
    assert not set(node.node.workers) & set(before)


def test_a_client_that_goes_away_costs_no_worker(node: Running) -> None:
    body, before = {**endless(node), "id": 7}, set(node.node.workers)
    with socket.create_connection((LOCAL, node.port)) as connection:
        text = json.dumps({**body, "params": [{**body["params"][0], "gas": "0x2faf080"}]}).encode()
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
    for _ in range(4):
        assert json.loads(posted(node, BALANCE))["result"].startswith("0x")
    assert set(node.node.workers) == before


def test_a_worker_sees_a_block_as_soon_as_it_is_mined(node: Running) -> None:
    token = deploy(node)
    for number in range(1, 6):
        data = "0x" + call_data("transfer(address,uint256)", BOB, 1).hex()
        node.ask("eth_sendTransaction", {"from": str(ALICE), "to": token, "data": data})
        balance = {"to": token, "data": "0x" + call_data("balanceOf(address)", BOB).hex()}
        assert [int(node.ask("eth_call", balance), 16) for _ in range(2)] == [number] * 2
    snapshot = node.ask("evm_snapshot")
    node.ask("anvil_setBalance", str(BOB), "0x5")
    assert node.ask("eth_getBalance", str(BOB)) == "0x5"
    node.ask("evm_revert", snapshot)
    assert node.ask("eth_getBalance", str(BOB)) != "0x5"


def test_a_worker_that_dies_is_replaced_and_its_call_gets_an_error(node: Running) -> None:
    call = endless(node)["params"][0]
    before = node.node.workers
    errors: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: errors.append(node.error("eth_call", call)))
    asking.start()
    asking.join(0.5)
    for process in before:
        os.kill(process, signal.SIGKILL)
    asking.join(10)
    assert errors == [(-32_603, "the worker that ran the call ended; it says nothing about the contract")]
    for _ in range(4):
        node.answer("eth_getBalance", str(ALICE))
    after = node.node.workers
    assert len(after) == 2
    assert not set(after) & set(before)
    assert node.ask("eth_getBalance", str(ALICE)).startswith("0x")


def test_a_call_that_takes_too_long_is_aborted_in_a_worker(tmp_path: Path) -> None:
    with running(workers=1, call_timeout=0.2, state=tmp_path) as node:
        call = endless(node)["params"][0]
        assert node.error("eth_call", call) == (-32_000, "aborted by the node: the call took longer than 0.2 s")
        assert node.ask("eth_call", {"to": str(BOB)}) == "0x"
    assert (tmp_path / "state.mdb").exists()


def test_a_worker_that_does_not_answer_at_all_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "GRACE", 0.1)
    with running(workers=1, call_timeout=20.0) as node:
        assert node.ask("eth_getBalance", str(ALICE)).startswith("0x")
        (process,) = node.node.workers
        settings = node.node._workers._settings
        node.node._workers._settings = replace(settings, call_timeout=0.1)
        os.kill(process, signal.SIGSTOP)
        os.waitid(os.P_PID, process, os.WSTOPPED | os.WNOWAIT)
        assert node.error("eth_getBalance", str(ALICE)) == (
            -32_000,
            "aborted by the node: the call took longer than 0.1 s",
        )
        node.node._workers._settings = settings
        assert node.ask("eth_getBalance", str(ALICE)).startswith("0x")
        assert node.node.workers != [process]


def test_the_temporary_directory_is_gone_at_the_end() -> None:
    with running(workers=1) as node:
        folder = node.node._temporary
        assert folder is not None
        assert folder.is_dir()
        (process,) = node.node.workers
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
