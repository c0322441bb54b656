"""Profiles of mined transactions and of calls: sums are exact, and the same wherever they are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ewasm.ruleset import EWASM
from gas.meter import PARTICLES
from node.transaction import intrinsic_gas
from tests.helpers import FIXTURES, fixture_code, wat
from tests.node.commands import run
from tests.node.rpc.running import ALICE, BOB, CAROL, DEPLOY, Running, running
from tests.node.test_cli_witness import refused
from tests.node.world import call
from wasm.engine import Engine

CLEARS = wat(
    """(module
      (import "ethereum" "storageLoad" (func $load (param i32 i32)))
      (import "ethereum" "storageStore" (func $store (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "main")
        (call $load (i32.const 0) (i32.const 32))
        (i32.store8 (i32.const 63) (i32.eqz (i32.load8_u (i32.const 63))))
        (call $store (i32.const 0) (i32.const 32))))"""
)
"""Sets a slot, and clears it when it is called again: that is refunded."""

KEEPER = "0x" + "c1" * 20
SPENDER = "0x" + "c2" * 20


def sent(node: Running, call: dict[str, Any]) -> str:
    return str(node.ask("eth_sendTransaction", {"gas": "0x30d40", **call}))


def block(node: Running) -> list[str]:
    """Have one block made in which later transactions depend on earlier ones; return their hashes."""
    made = sent(node, {"from": str(ALICE), "data": "0x" + DEPLOY.hex(), "gas": "0x2dc6c0"})
    token = node.ask("eth_getTransactionReceipt", made)["contractAddress"]
    node.ask("anvil_setCode", KEEPER, "0x" + CLEARS.hex())
    node.ask("evm_mine")
    node.ask("evm_setAutomine", False)

    def transfer(sender: bytes, to: bytes, amount: int) -> dict[str, Any]:
        data = call("transfer(address,uint256)", f"0x{to.hex()}", amount)
        return {"from": "0x" + sender.hex(), "to": token, "data": "0x" + data.hex()}

    price = {"maxPriorityFeePerGas": "0x77359400"}
    slots = [{"address": token, "storageKeys": ["0x" + "00" * 32]}]
    hashes = [
        sent(node, each)
        for each in (
            {**transfer(ALICE, BOB, 7), **price, "type": "0x2"},
            {"from": str(ALICE), "to": KEEPER, "gasPrice": "0x77359400"},
            {"from": str(ALICE), "to": KEEPER, "type": "0x1", "accessList": slots},
            {"from": str(ALICE), "data": "0x" + DEPLOY.hex(), "gas": "0x2dc6c0"},
            {**transfer(BOB, CAROL, 7)},
            {**transfer(CAROL, BOB, 10**6)},
            {"from": str(CAROL), "to": KEEPER, "gas": "0x6000"},
            {"from": str(BOB), "to": str(CAROL), "value": "0x5"},
        )
    ]
    node.ask("evm_mine")
    node.ask("evm_setAutomine", True)
    return hashes


@pytest.fixture
def node(engine: Engine) -> Iterator[Running]:
    with running(engine.name) as node:
        yield node


def exact(document: dict[str, Any]) -> dict[str, int]:
    """Check that all parts make the gas used, to the particle; return the parts in whole gas."""
    profile = document["profile"]
    used = document["gas_used"] * PARTICLES
    assert profile["particles_per_gas"] == PARTICLES
    assert profile["particles"] == sum(profile["shares"].values()) == used
    assert sum(row["particles"] for row in profile["summary"]) == used
    assert sum(node["particles"] for node in profile["nodes"]) == used
    return {name: particles / PARTICLES for name, particles in profile["shares"].items()}


def test_every_transaction_of_a_block(node: Running, engine: Engine) -> None:
    for sent in block(node):
        receipt, tx = (node.ask(f"eth_getTransaction{what}", sent) for what in ("Receipt", "ByHash"))
        found = node.ask("ewasm_gasProfile", sent)
        shares = exact(found)
        assert found["gas_used"] == int(receipt["gasUsed"], 16)
        assert found["gas_limit"] == int(tx["gas"], 16)
        assert (found["status"] == "SUCCESS") == (receipt["status"] == "0x1")
        listed = tuple((entry["address"], tuple(entry["storageKeys"])) for entry in tx.get("accessList") or ())
        data = bytes.fromhex(tx["input"][2:])
        assert shares["intrinsic"] == intrinsic_gas(data, EWASM, listed, create=tx["to"] is None)
        quick = node.ask("ewasm_gasProfile", sent, "latest", True)
        exact(quick)
        assert quick["profile"]["shares"] == found["profile"]["shares"]
        assert quick["gas_required"] == found["gas_required"]


def test_a_refund_is_a_part(node: Running) -> None:
    hashes = block(node)
    sets, clears = (node.ask("ewasm_gasProfile", hashes[number]) for number in (1, 2))
    assert "refund" not in sets["profile"]["shares"]
    assert clears["profile"]["shares"]["refund"] == -15_000 * PARTICLES
    assert clears["gas_required"] == clears["gas_used"] + 15_000


def test_gas_that_would_have_done(node: Running) -> None:
    """The sixth failed for want of tokens; the seventh runs for ever, in whatever time."""
    hashes = block(node)
    assert node.ask("ewasm_gasProfile", hashes[5])["gas_required"] is None
    short = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": KEEPER, "gas": "0x6000"})
    found = node.ask("ewasm_gasProfile", short)
    assert found["status"] == "OUT_OF_GAS"
    assert found["profile"]["failures"][-1]["host"] == "storageStore"
    enough = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": KEEPER, "gas": hex(found["gas_required"])})
    assert node.ask("eth_getTransactionReceipt", enough)["status"] == "0x1"
    assert node.ask("ewasm_gasProfile", enough)["gas_used"] == found["gas_required"]


def test_a_call(node: Running) -> None:
    node.ask("anvil_setCode", KEEPER, "0x" + CLEARS.hex())
    call = {"from": str(ALICE), "to": KEEPER}
    found = node.ask("ewasm_gasProfile", call)
    exact(found)
    assert hex(found["gas_required"]) == node.ask("eth_estimateGas", call)
    assert {each["name"] for each in found["profile"]["summary"]} >= {"main", "storageStore"}
    assert node.ask("eth_getStorageAt", KEEPER, "0x0") == "0x" + "00" * 32


def test_what_cannot_be_profiled(node: Running) -> None:
    assert node.error("ewasm_gasProfile", "0x" + "00" * 32) == (-32000, "transaction not found")
    assert node.error("ewasm_gasProfile", "0x12")[0] == -32602
    assert node.error("ewasm_gasProfile", 5)[0] == -32602
    assert "intrinsic gas too low" in node.error("ewasm_gasProfile", {"to": KEEPER, "gas": "0x5"})[1]
    assert "unknown block" in node.error("ewasm_gasProfile", {"to": KEEPER}, "0x99")[1]


@pytest.mark.parametrize("quick", [False, True])
def test_a_profile_that_takes_too_long_is_aborted(quick: bool) -> None:
    with running(call_timeout=0.3) as node:
        node.ask("anvil_setCode", SPENDER, "0x" + fixture_code("wat/loop_forever").hex())
        code, message = node.error("ewasm_gasProfile", {"to": SPENDER}, "latest", quick)
    assert code == -32000
    assert message.startswith("aborted by the node")
    assert message.endswith("ask for a quick profile") is not quick


# The command


def test_the_command_says_the_same_of_a_node_and_a_directory(tmp_path: Path, engine: Engine) -> None:
    folder = tmp_path / "chain"
    said = {}
    with running(engine.name, state=folder) as node:
        for sent in block(node):
            said[sent] = found = node.ask("ewasm_gasProfile", sent)
            done = run("gas", "tx", sent, "--rpc", node.http, "--json")
            assert (done.status, done.stderr) == (0 if found["status"] == "SUCCESS" else 1, "")
            assert done.json == found
    for sent, found in said.items():
        assert run("gas", "tx", sent, "--state", folder, "--json", "--engine", engine.name).json == found


def test_every_form_of_the_report(node: Running, tmp_path: Path) -> None:
    sent = block(node)[4]
    files = {name: tmp_path / f"profile.{name}" for name in ("folded", "speedscope", "html")}
    done = run("gas", "tx", sent, "--rpc", node.http, *(part for name in files for part in (f"--{name}", files[name])))
    used = int(node.ask("eth_getTransactionReceipt", sent)["gasUsed"], 16)
    assert f"gas used: {used:,}\n" in done.stdout
    assert "intrinsic: the transaction itself and its data" in done.stdout
    weights = [int(line.rpartition(" ")[2]) for line in files["folded"].read_text().splitlines()]
    assert sum(weights) == used * PARTICLES
    assert sent in files["speedscope"].read_text()
    assert sent in files["html"].read_text()
    assert run("gas", "tx", sent, "--rpc", node.http, "--quick").status == 0


def test_a_failure_is_explained_with_what_the_witness_lacks(node: Running) -> None:
    """Its witness ends where the gas did, so the node is asked how much would have done."""
    sent = block(node)[6]
    done = run("gas", "tx", sent, "--rpc", node.http)
    assert done.status == 1
    assert "failed: out of gas in storageStore\n" in done.stdout
    required = node.ask("ewasm_gasProfile", sent)["gas_required"]
    assert f"missing: {required - 0x6000:,} gas: with {required:,} the call succeeds\n" in done.stdout


def test_what_the_command_refuses(tmp_path: Path) -> None:
    unknown = "0x" + "12" * 32
    assert "name either a node" in refused("gas", "tx", unknown)
    assert "name either a node" in refused("gas", "tx", unknown, "--rpc", "http://127.0.0.1:9", "--state", tmp_path)
    assert "is not a hash" in refused("gas", "tx", "0x12", "--state", tmp_path)
    assert "there is no state here" in refused("gas", "tx", unknown, "--state", tmp_path)
    assert run("deploy", FIXTURES / "erc20_deploy.wasm", "--state", tmp_path / "states").status == 0
    assert "states without a chain" in refused("gas", "tx", unknown, "--state", tmp_path / "states")
    with running(state=tmp_path / "chain") as node:
        assert "is unknown there" in refused("gas", "tx", unknown, "--rpc", node.http)
        sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": str(BOB)})
        assert "made with ruleset ewasm" in refused("gas", "tx", sent, "--rpc", node.http, "--ruleset", "ssvm")
    chain = ("--state", tmp_path / "chain")
    assert "transaction not found" in refused("gas", "tx", unknown, *chain)
    assert "made with the ruleset ewasm" in refused("gas", "tx", sent, *chain, "--ruleset", "ssvm")
