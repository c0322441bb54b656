"""Witnesses of blocks that a node has made: over JSON-RPC, and written by the command."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.node.commands import run
from tests.node.rpc.running import ALICE, BOB, CAROL, DEPLOY, Running, running
from tests.node.test_cli_witness import other, refused, verified
from wasm.engine import Engine

TRANSFER = "0xa9059cbb" + bytes(12).hex() + CAROL.hex()


@pytest.fixture
def node(engine: Engine) -> Iterator[Running]:
    """A node whose second block has a token's creation, transfers that succeed and fail, and a plain one."""
    with running(engine.name) as node:
        token = node.ask("eth_sendTransaction", {"from": str(ALICE), "data": "0x" + DEPLOY.hex()})
        address = node.ask("eth_getTransactionReceipt", token)["contractAddress"]
        node.ask("evm_setAutomine", False)
        for call in (
            {"from": str(ALICE), "to": address, "data": TRANSFER + (5).to_bytes(32, "big").hex(), "type": "0x0"},
            {"from": str(BOB), "to": address, "data": TRANSFER + (5).to_bytes(32, "big").hex()},
            {"from": str(BOB), "data": "0x" + DEPLOY.hex(), "gas": "0x2dc6c0"},
            {"from": str(CAROL), "to": str(BOB), "value": "0x5", "type": "0x1", "accessList": [{"address": address}]},
        ):
            node.ask("eth_sendTransaction", {"gas": "0x30d40", **call})
        node.ask("evm_mine")
        yield node


def test_a_block_is_verified_by_the_file_alone(node: Running, engine: Engine, tmp_path: Path) -> None:
    block = node.ask("eth_getBlockByNumber", "latest", True)
    assert {each["type"] for each in block["transactions"]} == {"0x0", "0x1", "0x2"}
    receipts = node.ask("eth_getBlockReceipts", "latest")
    assert [receipt["status"] for receipt in receipts].count("0x0") == 1
    file = tmp_path / "block.json"
    found = node.ask("ewasm_executionWitness", "0x2")
    file.write_text(json.dumps(found))
    parent = node.ask("eth_getBlockByNumber", "0x1", False)
    for name in (engine.name, other(engine)):
        said = verified(file, "--engine", name, root=parent["stateRoot"])
    assert (said["block"], said["root_after"]) == (2, block["stateRoot"])
    assert [each["gas_used"] for each in said["outcomes"]] == [int(each["gasUsed"], 16) for each in receipts]
    for tag in ("latest", block["hash"], block["transactions"][1]["hash"], {"blockHash": block["hash"]}):
        assert node.ask("ewasm_executionWitness", tag) == found


def test_the_command_writes_it(node: Running, tmp_path: Path) -> None:
    file = tmp_path / "block.json"
    done = run("witness", "2", "--rpc", node.http, "-o", file)
    assert done.status == 0, done.stderr
    assert (
        "headers: the root after is that of the block's header, the root before is that of the header before"
        in done.stdout
    )
    assert verified(file)["block"] == 2
    assert json.loads(file.read_text()) == node.ask("ewasm_executionWitness", "0x2")
    sent = node.ask("eth_getBlockByNumber", "0x1", False)["transactions"][0]
    assert run("witness", sent, "--rpc", node.http, "-o", file, "--json").json["block"] == 1
    node.ask("anvil_setBalance", str(BOB), "0x5")
    node.ask("evm_mine")
    assert "the state was changed between the blocks" in run("witness", "3", "--rpc", node.http, "-o", file).stdout


def test_what_a_node_cannot_witness(node: Running, tmp_path: Path) -> None:
    for name, words in (("0x0", "block 0 was not executed"), ("0x9", "unknown block"), ("pending", "not made yet")):
        code, message = node.error("ewasm_executionWitness", name)
        assert code == -32000
        assert words in message
    assert node.error("ewasm_executionWitness", "last")[0] == -32602
    out = ("--rpc", node.http, "-o", tmp_path / "w.json")
    assert "unknown block: 9" in refused("witness", "9", *out)
    assert "invalid argument 0 (block)" in refused("witness", "no block", *out)
    assert "--gas is not for a block" in refused("witness", "2", *out, "--gas", 5)
    assert "--sig is not for a block" in refused("witness", "2", *out, "--sig", "x()")
    assert not (tmp_path / "w.json").exists()


def test_workers_answer_it_too() -> None:
    with running(workers=1) as node:
        node.ask("evm_mine")
        assert node.ask("ewasm_executionWitness", "latest")["block"]["number"] == 1


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Serve one answer to whatever is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "none of JSON-RPC"),
        (b'{"jsonrpc": "2.0"}', "none of JSON-RPC"),
        (b'{"error": {"code": 1, "message": "no\\nsuch thing"}}', "no"),
        (b'{"result": null}', "not a witness"),
        (b'{"result": {"format": "ewasm-witness", "version": 9}}', "a witness of version 9"),
    ],
)
def test_whatever_answers_is_told_of_in_one_line(answer: bytes, words: str, tmp_path: Path) -> None:
    with answering(answer) as url:
        assert words in refused("witness", "1", "--rpc", url, "-o", tmp_path / "w.json")


def test_where_no_node_is(tmp_path: Path) -> None:
    out = ("-o", tmp_path / "w.json")
    assert "is a node there?" in refused("witness", "1", "--rpc", "http://127.0.0.1:9", *out)
    assert "is no address of a node" in refused("witness", "1", "--rpc", "file:///etc/passwd", *out)
