"""Worker processes: the same answers as the node's own, and what happens when one dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import fixture_code
from tests.node.rpc.running import ALICE, BOB, DEPLOY, Running, running
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
    workers, requests = (
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
        node.node._workers = workers


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
    address = "0x" + "c0" * 20
    node.ask("anvil_setCode", address, "0x" + fixture_code("wat/loop_forever").hex())
    node.ask("evm_setBlockGasLimit", "0xfffffffffffffff")
    node.ask("evm_mine")
    before = node.node.workers
    errors: list[tuple[int, str]] = []
    asking = threading.Thread(
        target=lambda: errors.append(node.error("eth_call", {"to": address, "gas": "0xfffffffffffffff"}))
    )
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
        address = "0x" + "c0" * 20
        node.ask("anvil_setCode", address, "0x" + fixture_code("wat/loop_forever").hex())
        node.ask("evm_setBlockGasLimit", "0xfffffffffffffff")
        node.ask("evm_mine")
        code, message = node.error("eth_call", {"to": address, "gas": "0xfffffffffffffff"})
        assert (code, message) == (-32_000, "aborted by the node: the call took longer than 0.2 s")
        assert node.ask("eth_call", {"to": str(BOB)}) == "0x"
    assert (tmp_path / "state.mdb").exists()


def test_the_temporary_directory_is_gone_at_the_end() -> None:
    with running(workers=1) as node:
        folder = node.node._temporary
        assert folder is not None
        assert folder.is_dir()
        (process,) = node.node.workers
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
