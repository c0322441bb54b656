"""Methods that bend the chain: `evm_`, `anvil_`, `hardhat_`; and traces of what was run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from evmc import MAX_DEPTH, Address
from node.host import create_address
from state import Changes, StoreError
from tests.helpers import fixture_code, wat
from tests.node.rpc.running import ALICE, BOB, CAROL, DEPLOY, Running, running
from tests.node.rpc.serving import request
from tests.node.world import call as call_data
from tests.node.world import word
from wasm.engine import Engine

COIN = 10**18
STRANGER = "0x" + "5a" * 20
TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


@pytest.fixture
def node(engine: Engine) -> Iterator[Running]:
    with running(engine.name) as node:
        yield node


@pytest.fixture
def still() -> Iterator[Running]:
    """A node for tests that run no contract."""
    with running() as node:
        yield node


def number(node: Running) -> int:
    return int(node.ask("eth_blockNumber"), 16)


def latest(node: Running) -> dict[str, Any]:
    return dict(node.ask("eth_getBlockByNumber", "latest", False))


def send(node: Running, sender: Any = ALICE, **fields: Any) -> str:
    return str(node.ask("eth_sendTransaction", {"from": str(sender), "to": str(BOB), "value": "0x1", **fields}))


def deploy(node: Running, code: bytes) -> str:
    sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "data": "0x" + code.hex()})
    receipt = node.ask("eth_getTransactionReceipt", sent)
    assert receipt["status"] == "0x1"
    return str(receipt["contractAddress"])


# Blocks and time


@pytest.mark.parametrize("method", ["anvil_mine", "hardhat_mine"])
def test_mining_so_many_blocks_so_far_apart(still: Running, method: str) -> None:
    before = int(latest(still)["timestamp"], 16)
    assert still.ask(method, "0x3", "0xa") is None
    assert number(still) == 3
    times = [int(still.ask("eth_getBlockByNumber", hex(n), False)["timestamp"], 16) for n in (1, 2, 3)]
    assert times[2] - times[1] == times[1] - times[0] == 10
    assert times[0] > before
    still.ask(method)
    still.ask(method, 2)
    assert number(still) == 6
    assert still.error(method, "0xfffffff")[0] == -32_602


def test_the_clock(still: Running) -> None:
    assert still.ask("evm_mine") == "0x0"
    then = int(latest(still)["timestamp"], 16)
    assert still.ask("evm_increaseTime", 1_000) >= 1_000
    for spelling in ("0x3e8", "1000"):
        still.ask("evm_increaseTime", spelling)
    still.ask("evm_mine")
    assert 2_990 <= int(latest(still)["timestamp"], 16) - then < 3_060
    far = then + 100_000
    still.ask("evm_setNextBlockTimestamp", far)
    still.ask("evm_mine")
    assert int(latest(still)["timestamp"], 16) == far
    assert still.error("evm_setNextBlockTimestamp", far)[0] == -32_000
    still.ask("evm_mine", hex(far + 7))
    assert int(latest(still)["timestamp"], 16) == far + 7
    still.ask("evm_mine", {"blocks": 2, "timestamp": far + 10})
    assert number(still) == 6
    still.ask("anvil_setBlockTimestampInterval", 5)
    before = int(latest(still)["timestamp"], 16)
    still.ask("evm_mine")
    assert int(latest(still)["timestamp"], 16) == before + 5
    assert still.ask("anvil_removeBlockTimestampInterval") is True


def test_what_the_next_block_has(still: Running) -> None:
    mix = "0x" + "ab" * 32
    still.ask("anvil_setNextBlockBaseFeePerGas", "0x77359400")
    still.ask("evm_setBlockGasLimit", "0xf4240")
    still.ask("hardhat_setCoinbase", STRANGER)
    still.ask("hardhat_setPrevRandao", mix)
    still.ask("evm_mine")
    block = latest(still)
    assert (block["baseFeePerGas"], block["gasLimit"], block["miner"], block["mixHash"]) == (
        "0x77359400",
        "0xf4240",
        STRANGER,
        mix,
    )
    assert still.ask("eth_coinbase") == STRANGER


def test_without_automine_transactions_wait(still: Running) -> None:
    still.ask("evm_setAutomine", False)
    assert still.ask("anvil_getAutomine") is False
    sent, later = send(still), send(still, nonce="0x5")
    assert still.ask("eth_getTransactionReceipt", sent) is None
    waiting = still.ask("eth_getTransactionByHash", sent)
    assert (waiting["blockNumber"], waiting["blockHash"], waiting["transactionIndex"]) == (None, None, None)
    assert still.ask("txpool_status") == {"pending": "0x1", "queued": "0x1"}
    content = still.ask("txpool_content")
    assert content["pending"][str(ALICE)]["0"]["hash"] == sent
    assert content["queued"][str(ALICE)]["5"]["hash"] == later
    assert still.ask("txpool_contentFrom", str(ALICE))["pending"]["0"]["hash"] == sent
    assert still.ask("txpool_contentFrom", str(CAROL)) == {"pending": {}, "queued": {}}
    assert "1 wei" in still.ask("txpool_inspect")["pending"][str(ALICE)]["0"]
    assert [each["hash"] for each in still.ask("eth_pendingTransactions")] == [sent]
    assert [still.ask("eth_getTransactionCount", str(ALICE), tag) for tag in ("latest", "pending")] == ["0x0", "0x1"]
    assert still.ask("eth_getBlockByNumber", "pending", False)["transactions"] == [sent]
    assert still.ask("anvil_dropTransaction", later) == later
    assert still.ask("anvil_dropTransaction", later) is None
    still.ask("evm_mine")
    assert still.ask("eth_getTransactionReceipt", sent)["status"] == "0x1"
    send(still)
    still.ask("anvil_removePoolTransactions", str(ALICE))
    send(still, CAROL)
    still.ask("anvil_dropAllTransactions")
    assert still.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    sent = send(still)
    still.ask("evm_setAutomine", True)
    assert still.ask("eth_getTransactionReceipt", sent) is not None


def test_an_interval_longer_than_a_thread_can_wait_is_still_an_interval(
    still: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    still.ask("evm_setIntervalMining", (1 << 63) - 1)
    time.sleep(0.05)
    assert still.ask("anvil_getIntervalMining") == (1 << 63) - 1
    assert not faults


def test_mining_by_the_clock(still: Running) -> None:
    mined = threading.Event()
    still.node.chain.events.on_block(lambda _block, _receipts: mined.set())
    still.node.service.mining.set(0.02)
    assert mined.wait(5)
    still.ask("evm_setIntervalMining", 0)
    assert still.ask("anvil_getIntervalMining") is None
    still.ask("evm_setIntervalMining", 3_600)
    assert (still.ask("anvil_getIntervalMining"), still.ask("anvil_getAutomine")) == (3_600, False)
    assert still.ask("eth_mining") is True
    time.sleep(0.05)
    before = number(still)
    send(still)
    assert number(still) == before


# Accounts


@pytest.mark.parametrize("prefix", ["anvil_set", "hardhat_set", "evm_setAccount"])
def test_accounts_are_what_they_are_told_to_be(still: Running, prefix: str) -> None:
    slot, value = "0x1", "0x" + "00" * 31 + "2a"
    still.ask(f"{prefix}Balance", STRANGER, hex(COIN))
    still.ask(f"{prefix}Nonce", STRANGER, "0x7")
    still.ask(f"{prefix}Code", STRANGER, "0x0061736d01000000")
    still.ask(f"{prefix}StorageAt", STRANGER, slot, value)
    assert still.ask("eth_getBalance", STRANGER) == hex(COIN)
    assert still.ask("eth_getTransactionCount", STRANGER) == "0x7"
    assert still.ask("eth_getCode", STRANGER) == "0x0061736d01000000"
    assert still.ask("eth_getStorageAt", STRANGER, slot) == value
    assert still.ask("eth_getStorageAt", STRANGER, "0x" + "00" * 31 + "01") == value


@pytest.mark.parametrize("prefix", ["anvil", "hardhat"])
def test_an_impersonated_account_sends_without_a_key(still: Running, prefix: str) -> None:
    still.ask(f"{prefix}_setBalance", STRANGER, hex(COIN))
    call = {"from": STRANGER, "to": str(BOB), "value": "0x5"}
    assert STRANGER in still.error("eth_sendTransaction", call)[1]
    still.ask(f"{prefix}_impersonateAccount", STRANGER)
    receipt = still.ask("eth_getTransactionReceipt", still.ask("eth_sendTransaction", call))
    assert (receipt["from"], receipt["status"]) == (STRANGER, "0x1")
    still.ask(f"{prefix}_stopImpersonatingAccount", STRANGER)
    assert still.error("eth_sendTransaction", call)[0] == -32_000
    still.ask("anvil_autoImpersonateAccount", True)
    still.ask("eth_sendUnsignedTransaction", call)


# Rewinding


def test_snapshots_are_used_up_with_all_later_ones(still: Running) -> None:
    first, _ = still.ask("evm_snapshot"), send(still)
    second, _ = still.ask("anvil_snapshot"), send(still)
    assert still.ask("evm_revert", first) is True
    assert number(still) == 0
    assert still.ask("evm_revert", second) is False
    assert still.ask("evm_revert", first) is False
    assert still.ask("evm_revert", "0x99") is False


def test_rollback_and_reset(still: Running) -> None:
    for _ in range(3):
        send(still)
    still.ask("anvil_rollback", 1)
    assert number(still) == 2
    assert still.error("anvil_rollback", 9)[0] == -32_000
    code, message = still.error("hardhat_reset", {"forking": {"jsonRpcUrl": "http://localhost"}})
    assert (code, "forking" in message) == (-32_000, True)
    assert still.ask("anvil_reset") is True
    assert number(still) == 0
    assert still.ask("eth_getBalance", str(BOB)) == hex(10_000 * COIN)


def test_a_state_is_dumped_and_loaded_elsewhere(node: Running, engine: Engine) -> None:
    token = deploy(node, DEPLOY)
    dump = node.ask("anvil_dumpState")
    with running(engine.name) as other:
        assert other.ask("hardhat_loadState", dump) is True
        supply = {"to": token, "data": "0x18160ddd"}
        assert other.ask("eth_call", supply) == node.ask("eth_call", supply) == "0x" + word(1_000).hex()
        for bad in ("0x", "0x1f8b", "0x" + b"{}".hex()):
            assert other.error("anvil_loadState", bad)[0] == -32_000


def test_what_the_node_says_of_itself(still: Running) -> None:
    head = latest(still)
    info, about = still.ask("anvil_nodeInfo"), still.ask("hardhat_metadata")
    assert info["currentBlockHash"] == about["latestBlockHash"] == head["hash"]
    assert info["environment"]["chainId"] == about["chainId"] == 31_337
    assert about["clientVersion"] == still.ask("web3_clientVersion")
    still.ask("anvil_setLoggingEnabled", False)
    count = len(still.lines)
    still.ask("eth_chainId")
    assert len(still.lines) == count


# Traces


def test_a_trace_of_calls_is_the_tree_that_ran(node: Running) -> None:
    outer, inner = (deploy_plain(node, fixture_code("caller"), at) for at in ("0x" + "a1" * 20, "0x" + "a2" * 20))
    key, value = word(1), word(2)
    write = call_data("set(bytes32,bytes32)", key, value)
    fail = call_data("setAndRevert(bytes32,bytes32)", key, value)
    target = Address.from_hex(inner)
    steps = [
        call_data("call(address,uint256,uint256,bytes)", target, 0, 200_000, write),
        call_data("callStatic(address,uint256,bytes)", target, 200_000, call_data("get(bytes32)", key)),
        call_data("callDelegate(address,uint256,bytes)", target, 200_000, write),
        call_data("call(address,uint256,uint256,bytes)", target, 0, 200_000, fail),
    ]
    data = "0x" + call_data("sequence(bytes[])", steps).hex()
    sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": outer, "data": data, "gas": hex(3_000_000)})
    receipt = node.ask("eth_getTransactionReceipt", sent)
    assert receipt["status"] == "0x1"
    tree = node.ask("debug_traceTransaction", sent, {"tracer": "callTracer"})
    assert (tree["type"], tree["from"], tree["to"], tree["input"]) == ("CALL", str(ALICE), outer, data)
    assert (tree["gas"], tree["gasUsed"]) == (hex(3_000_000), receipt["gasUsed"])
    selves = tree["calls"]
    assert [(each["type"], each["from"], each["to"]) for each in selves] == [("DELEGATECALL", outer, outer)] * 4
    leaves = [each["calls"][0] for each in selves]
    assert [each["type"] for each in leaves] == ["CALL", "STATICCALL", "DELEGATECALL", "CALL"]
    assert {(each["from"], each["to"]) for each in leaves} == {(outer, inner)}
    assert leaves[0]["input"] == "0x" + write.hex()
    assert leaves[1]["output"] == "0x" + value.hex()
    assert leaves[3]["error"] == "execution reverted"
    assert leaves[3]["output"] == "0x" + value.hex()
    assert all(int(each["gasUsed"], 16) <= int(each["gas"], 16) for each in leaves)
    top = node.ask("debug_traceTransaction", sent, {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}})
    assert "calls" not in top


def deploy_plain(node: Running, code: bytes, address: str) -> str:
    """Put code at an address."""
    node.ask("anvil_setCode", address, "0x" + code.hex())
    return address


def test_a_trace_of_a_creation_has_its_logs(node: Running) -> None:
    sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "data": "0x" + DEPLOY.hex()})
    tree = node.ask("debug_traceTransaction", sent, {"tracer": "callTracer", "tracerConfig": {"withLog": True}})
    assert (tree["type"], tree["to"]) == ("CREATE", str(create_address(ALICE, 0)))
    assert tree["input"] == "0x" + DEPLOY.hex()
    assert tree["output"] == node.ask("eth_getCode", tree["to"])
    (log,) = tree["logs"]
    assert log["topics"][0] == "0x" + TRANSFER


def test_a_failed_creation_and_a_plain_transfer_are_traced(node: Running) -> None:
    failed = node.ask(
        "debug_traceCall",
        {"from": str(ALICE), "data": "0x0061736d", "gas": "0x186a0"},
        "latest",
        {"tracer": "callTracer"},
    )
    assert failed["type"] == "CREATE"
    assert "error" in failed
    sent = send(node)
    tree = node.ask("debug_traceTransaction", sent, {"tracer": "callTracer"})
    assert (tree["type"], tree["value"], tree["gasUsed"]) == ("CALL", "0x1", "0x5208")
    precompiled = node.ask(
        "debug_traceCall", {"to": "0x" + "00" * 19 + "02", "data": "0x61"}, "latest", {"tracer": "callTracer"}
    )
    assert precompiled["output"] == "0xca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"


def test_every_instruction_is_traced_with_its_gas(node: Running) -> None:
    address = deploy_plain(node, fixture_code("counter"), "0x" + "a1" * 20)
    data = "0x" + call_data("increment()").hex()
    sent = node.ask("eth_sendTransaction", {"from": str(ALICE), "to": address, "data": data, "gas": hex(200_000)})
    trace = node.ask("debug_traceTransaction", sent)
    receipt = node.ask("eth_getTransactionReceipt", sent)
    assert (hex(trace["gas"]), trace["failed"]) == (receipt["gasUsed"], False)
    logs = trace["structLogs"]
    assert {each["functionName"] for each in logs} >= {"main"}
    assert "call" in {each["op"] for each in logs}
    particles = [each["particles"] for each in logs]
    assert particles == sorted(particles, reverse=True)
    assert particles[0] - sum(each["particlesCost"] for each in logs) == particles[-1]
    assert {(each["depth"], each["address"]) for each in logs} == {(1, address)}
    again = node.ask("debug_traceCall", {"from": str(ALICE), "to": address, "data": data})
    assert [each["op"] for each in again["structLogs"]][:5] == [each["op"] for each in logs][:5]
    assert "more than 10 instructions" in node.error("debug_traceTransaction", sent, {"limit": 10})[1]


def test_the_state_before_and_what_changed(node: Running) -> None:
    token = deploy(node, DEPLOY)
    node.ask("evm_setAutomine", False)
    transfer = "0x" + call_data("transfer(address,uint256)", BOB, 7).hex()
    first, second = (
        node.ask("eth_sendTransaction", {"from": str(ALICE), "to": token, "data": transfer, "gas": hex(200_000)})
        for _ in range(2)
    )
    node.ask("evm_mine")
    assert (
        node.ask("eth_getTransactionReceipt", first)["blockHash"]
        == node.ask("eth_getTransactionReceipt", second)["blockHash"]
    )
    for sent, before, nonce in ((first, 1_000, 1), (second, 993, 2)):
        pre = node.ask("debug_traceTransaction", sent, {"tracer": "prestateTracer"})
        assert pre[str(ALICE)]["nonce"] == nonce
        assert pre[token]["code"] == node.ask("eth_getCode", token)
        assert "0x" + word(before).hex() in pre[token]["storage"].values()
        diff = node.ask(
            "debug_traceTransaction", sent, {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
        )
        assert diff["post"][str(ALICE)]["nonce"] == nonce + 1
        assert "0x" + word(before - 7).hex() in diff["post"][token]["storage"].values()
        assert "0x" + word(before).hex() in diff["pre"][token]["storage"].values()
        spent = int(diff["pre"][str(ALICE)]["balance"], 16) - int(diff["post"][str(ALICE)]["balance"], 16)
        receipt = node.ask("eth_getTransactionReceipt", sent)
        assert spent == int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


def test_what_cannot_be_traced_is_said(still: Running) -> None:
    assert still.error("debug_traceTransaction", "0x" + "11" * 32) == (-32_000, "transaction not found")
    assert "callTracer" in still.error("debug_traceTransaction", "0x" + "11" * 32, {"tracer": "{result: 1}"})[1]
    assert still.ask("debug_traceCall", {"to": str(BOB)}, "latest", {"tracer": "noopTracer"}) == {}


# What goes wrong while blocks are made


def test_a_block_that_cannot_be_made_does_not_stop_the_clock(
    still: Running, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    store = still.node.chain.database.store
    full, tried, write = threading.Event(), threading.Event(), store.write
    full.set()

    def write_or_fail(changes: Changes) -> None:
        if full.is_set():
            tried.set()
            raise StoreError("the disk is full")
        write(changes)

    monkeypatch.setattr(type(store), "write", lambda _store, changes: write_or_fail(changes))
    assert still.error("anvil_mine") == (-32_000, "the disk is full; this says nothing about the contract")
    tried.clear()
    made = threading.Event()
    still.node.chain.events.on_block(lambda _block, _receipts: made.set())
    still.node.service.mining.set(0.01)
    assert tried.wait(10)
    full.clear()
    assert made.wait(10)
    still.node.service.mining.set(None)
    said = capfd.readouterr().err
    assert "Error: no block was made: the disk is full" in said
    assert "Traceback" not in said


# Traces of what is meant to be too much

ITSELF = wat(
    """(module
      (import "ethereum" "callDelegate" (func $call (param i64 i32 i32 i32) (result i32)))
      (import "ethereum" "getAddress" (func $address (param i32)))
      (memory (export "memory") 1)
      (func (export "main")
        (call $address (i32.const 0))
        (drop (call $call (i64.const 0x7fffffffffffffff) (i32.const 0) (i32.const 0) (i32.const 0)))))"""
)
"""Calls itself as deep as it goes."""

BUSY = wat(
    """(module
      (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "main")
        (loop $again
          (drop (call $call (i64.const 0) (i32.const 64) (i32.const 32) (i32.const 0) (i32.const 65536)))
          (br $again))))"""
)
"""Calls nobody with 64 KiB, again and again."""


@pytest.mark.parametrize("workers", [0, 1])
def test_the_deepest_calls_are_traced(engine: Engine, workers: int) -> None:
    with running(engine.name, workers=workers) as node:
        node.ask("evm_setBlockGasLimit", hex(1 << 50))
        node.ask("anvil_mine")
        node.ask("anvil_setCode", STRANGER, "0x" + ITSELF.hex())
        call = {"to": STRANGER}
        body = json.dumps(request("debug_traceCall", call, "latest", {"tracer": "callTracer"}))
        text = node.node.server.dispatcher.handle(body, node.node._caller(True, None))
        assert text is not None
        assert (text.count('"type":"DELEGATECALL"'), text.count('"calls":[{')) == (MAX_DEPTH, MAX_DEPTH)
        assert (text.count("{"), text.count("[")) == (text.count("}"), text.count("]"))
        steps = node.ask("debug_traceCall", call, "latest", {})["structLogs"]
        assert max(step["depth"] for step in steps) == MAX_DEPTH + 1


def test_a_trace_keeps_so_much_and_no_more(node: Running) -> None:
    node.ask("anvil_setCode", STRANGER, "0x" + BUSY.hex())
    call = {"to": STRANGER, "gas": hex(3_000_000)}
    code, message = node.error("debug_traceCall", call, "latest", {"tracer": "callTracer"})
    assert (code, message.split(": ")) == (
        -32_000,
        ["the trace has more than 64 MiB of calls, inputs, outputs and logs", "ask for onlyTopCall"],
    )
    for config in (
        {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}},
        {"tracer": "prestateTracer"},
        {"tracer": "noopTracer"},
    ):
        node.ask("debug_traceCall", call, "latest", config)
