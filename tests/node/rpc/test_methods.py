"""Methods and their answers: shapes that clients need, errors they understand, and what the table says of itself."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures import hostile
from node.rpc.limits import Limits
from node.rpc.methods import METHODS
from node.rpc.openrpc import document, page
from node.rpc.session import Session
from state import keccak256
from tests.helpers import ROOT, fixture_code, wat
from tests.node.rpc.running import ALICE, BOB, DEPLOY, WALLET, Running, running
from tests.node.rpc.serving import request
from wasm.engine import Engine

COIN = 10**18
RECEIPT = {
    *(
        "blockHash",
        "blockNumber",
        "contractAddress",
        "cumulativeGasUsed",
        "effectiveGasPrice",
        "from",
        "gasUsed",
        "logs",
    ),
    *("logsBloom", "status", "to", "transactionHash", "transactionIndex", "type"),
}
BLOCK = {
    *(
        "number",
        "hash",
        "parentHash",
        "nonce",
        "sha3Uncles",
        "logsBloom",
        "transactionsRoot",
        "stateRoot",
        "receiptsRoot",
    ),
    *(
        "miner",
        "difficulty",
        "totalDifficulty",
        "extraData",
        "size",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "transactions",
    ),
    *("uncles", "mixHash", "baseFeePerGas"),
}
TRANSACTION = {
    *(
        "blockHash",
        "blockNumber",
        "from",
        "gas",
        "gasPrice",
        "hash",
        "input",
        "nonce",
        "to",
        "transactionIndex",
        "value",
    ),
    *("type", "chainId", "v", "r", "s", "yParity", "accessList", "maxFeePerGas", "maxPriorityFeePerGas"),
}
LOG = {
    *("address", "topics", "data", "blockHash", "blockNumber", "blockTimestamp", "transactionHash", "transactionIndex"),
    *("logIndex", "removed"),
}
REASON = wat(
    """(module (import "ethereum" "revert" (func $revert (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "main") (call $revert (i32.const 0) (i32.const 3)))
      (data (i32.const 0) "\\01\\02\\03"))"""
)
NUMBER = """(module (import "ethereum" "getBlockNumber" (func $number (result i64)))
  (import "ethereum" "finish" (func $finish (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "main") (i64.store (i32.const 0) (call $number)) (call $finish (i32.const 0) (i32.const 8))))"""
ENDLESS = fixture_code("wat/loop_forever")


@pytest.fixture
def node(engine: Engine) -> Iterator[Running]:
    with running(engine.name) as node:
        yield node


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """A node for tests that execute nothing."""
    with running() as node:
        yield node


def send(node: Running, to: bytes | None = BOB, **fields: Any) -> str:
    """Send a transaction with the node's key."""
    call = {"from": str(ALICE), "value": "0x1", **fields}
    return str(node.ask("eth_sendTransaction", call if to is None else {"to": "0x" + to.hex(), **call}))


def place(node: Running, code: bytes) -> str:
    """Put code at an address."""
    address = "0x" + "c0" * 20
    node.ask("anvil_setCode", address, "0x" + code.hex())
    return address


# Shapes


def test_what_clients_find_in_blocks_transactions_receipts_and_logs(node: Running) -> None:
    sent = send(node, None, data="0x" + DEPLOY.hex(), value="0x0")
    receipt = node.ask("eth_getTransactionReceipt", sent)
    assert receipt.keys() == RECEIPT
    assert (receipt["to"], receipt["status"], receipt["type"]) == (None, "0x1", "0x2")
    assert re.fullmatch(r"0x[0-9a-f]{40}", receipt["contractAddress"])
    (log,) = receipt["logs"]
    assert log.keys() == LOG
    assert log["removed"] is False
    assert int(receipt["logsBloom"], 16) != 0
    block = node.ask("eth_getBlockByNumber", receipt["blockNumber"], True)
    assert block.keys() == BLOCK
    assert (len(block["nonce"]), len(block["mixHash"]), block["uncles"]) == (18, 66, [])
    (transaction,) = block["transactions"]
    assert transaction.keys() == TRANSACTION
    assert transaction == node.ask("eth_getTransactionByHash", sent)
    assert transaction == node.ask("eth_getTransactionByBlockNumberAndIndex", block["number"], "0x0")
    assert transaction == node.ask("eth_getTransactionByBlockHashAndIndex", block["hash"], "0x0")
    assert (
        node.ask("eth_getBlockReceipts", block["number"])
        == node.ask("eth_getBlockReceipts", block["hash"])
        == [receipt]
    )
    raw = bytes.fromhex(node.ask("eth_getRawTransactionByHash", sent)[2:])
    assert "0x" + keccak256(raw).hex() == sent
    assert Account.recover_transaction(raw).lower() == str(ALICE)
    for method in ("ByNumber", "ByHash"):
        key = block["number"] if method == "ByNumber" else block["hash"]
        assert node.ask(f"eth_getBlockTransactionCount{method}", key) == "0x1"


def test_what_is_not_there_is_null(shared: Running) -> None:
    nothing = "0x" + "11" * 32
    for method, *params in (
        ("eth_getTransactionByHash", nothing),
        ("eth_getTransactionReceipt", nothing),
        ("eth_getRawTransactionByHash", nothing),
        ("eth_getBlockByHash", nothing),
        ("eth_getBlockByNumber", "0x99"),
        ("eth_getBlockReceipts", "0x99"),
        ("eth_getBlockTransactionCountByHash", nothing),
        ("eth_getUncleCountByBlockNumber", "0x99"),
        ("eth_getTransactionByBlockHashAndIndex", nothing, "0x0"),
        ("eth_getTransactionByBlockNumberAndIndex", "0x0", "0x0"),
    ):
        assert shared.ask(method, *params) is None, method


def test_what_is_asked_of_a_block_that_is_not_there_is_an_error(shared: Running) -> None:
    address = str(ALICE)
    for method, *params in (
        ("eth_getBalance", address, "0x99"),
        ("eth_getCode", address, {"blockHash": "0x" + "11" * 32}),
        ("eth_getStorageAt", address, "0x0", "0x99"),
        ("eth_getTransactionCount", address, "0x99"),
        ("eth_call", {"to": address}, "0x99"),
        ("eth_getProof", address, [], "0x99"),
        ("eth_getLogs", {"blockHash": "0x" + "11" * 32}),
        ("eth_feeHistory", "0x1", "0x99"),
    ):
        code, message = shared.error(method, *params)
        assert code == -32_000, method
        assert "unknown block" in message, method


def test_the_pending_block_has_no_hash_yet(shared: Running) -> None:
    block = shared.ask("eth_getBlockByNumber", "pending", False)
    assert block.keys() == BLOCK
    assert (block["hash"], block["nonce"]) == (None, None)
    assert int(block["number"], 16) == int(shared.ask("eth_blockNumber"), 16) + 1


# Calls and their errors


def test_an_empty_revert_and_one_with_bytes(node: Running) -> None:
    address = place(node, REASON)
    error = node.answer("eth_call", {"to": address})["error"]
    assert error == {"code": 3, "message": "execution reverted", "data": "0x010203"}
    assert node.answer("eth_estimateGas", {"to": address})["error"] == error


def test_running_out_of_gas_is_no_revert(node: Running) -> None:
    address = place(node, ENDLESS)
    code, message = node.error("eth_call", {"to": address, "gas": "0x61a8"})
    assert code == -32_000
    assert message.startswith("out of gas")


def test_a_contract_that_the_rules_refuse_says_which(node: Running) -> None:
    (case,) = [case for case in hostile.cases("proposal") if case.name == "simd_load"]
    code, message = node.error("eth_call", {"to": place(node, case.binary)})
    assert code == -32_000
    assert "SIMD" in message


def test_a_call_that_takes_too_long_is_aborted(engine: Engine) -> None:
    with running(engine.name, call_timeout=0.2) as node:
        call = endless(node)
        assert node.error("eth_call", call) == (-32_000, "aborted by the node: the call took longer than 0.2 s")
        assert node.ask("eth_call", {"to": str(BOB)}) == "0x"


def test_a_trace_that_takes_too_long_is_aborted(engine: Engine) -> None:
    with running(engine.name, call_timeout=0.2) as node:
        call = endless(node)
        for tracer in ("callTracer", "prestateTracer"):
            assert "aborted by the node" in node.error("debug_traceCall", call, "latest", {"tracer": tracer})[1]
        assert "aborted" in (message := node.error("debug_traceCall", call)[1]) or "instructions" in message


def endless(node: Running) -> dict[str, str]:
    """Return a call that ends by its gas after hours."""
    node.ask("evm_setBlockGasLimit", "0xfffffffffffffff")
    node.ask("evm_mine")
    return {"to": place(node, ENDLESS), "gas": "0xfffffffffffffff"}


def test_overrides_of_state_and_block(node: Running) -> None:
    address = "0x" + "d0" * 20
    supply = {"to": address, "data": "0x18160ddd"}
    code, five = "0x" + fixture_code("erc20").hex(), "0x" + "00" * 31 + "05"
    assert node.ask("eth_call", supply) == "0x"
    for slots in ("state", "stateDiff"):
        assert node.ask("eth_call", supply, "latest", {address: {"code": code, slots: {"0x2": five}}}) == five
    assert (
        node.answer("eth_call", supply, "latest", {address: {"code": "0x" + REASON.hex()}})["error"]["data"]
        == "0x010203"
    )
    rich = {str(BOB): {"balance": hex(10**30), "nonce": "0x5"}}
    paid = {"from": str(BOB), "to": str(ALICE), "value": hex(10**29)}
    assert "insufficient funds" in node.error("eth_call", paid)[1]
    assert node.ask("eth_call", paid, "latest", rich) == "0x"
    number = wat(NUMBER)
    placed = {address: {"code": "0x" + number.hex()}}
    assert int(node.ask("eth_call", {"to": address}, "latest", placed, {"number": "0x99"})[2:18][::1], 16) == 0x99 << 56
    code_, message = node.error("eth_call", supply, "latest", {address: {"state": {}, "stateDiff": {}}})
    assert (code_, "both state and stateDiff" in message) == (-32_602, True)


def test_an_access_list_of_a_call(node: Running) -> None:
    sent = send(node, None, data="0x" + DEPLOY.hex(), value="0x0")
    token = node.ask("eth_getTransactionReceipt", sent)["contractAddress"]
    call = {"from": str(ALICE), "to": token, "data": "0x18160ddd"}
    found = node.ask("eth_createAccessList", call)
    assert found["accessList"] == [{"address": token, "storageKeys": ["0x" + "0" * 63 + "2"]}]
    assert "error" not in found
    assert int(found["gasUsed"], 16) > int(node.ask("eth_estimateGas", call), 16)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"to": "0x1"}, "invalid argument 0 (transaction): to: an address has 40 hex digits, not 1"),
        ({"data": "0x1"}, "invalid argument 0 (transaction): data: an even number of hex digits is expected, not 1"),
        (
            {"data": "0x01", "input": "0x02"},
            'invalid argument 0 (transaction): both "data" and "input" are set and not equal',
        ),
        ({"gas": "0x" + "f" * 16}, None),
        ({"value": "-1"}, None),
        (
            {"accessList": [{"storageKeys": []}]},
            "invalid argument 0 (transaction): accessList: [0]: address is missing",
        ),
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, None),
        ({"blobVersionedHashes": []}, None),
        ("0x", None),
        (None, "missing value for required argument 0 (transaction)"),
    ],
)
def test_what_is_no_call_is_named(shared: Running, call: Any, message: str | None) -> None:
    for method in ("eth_call", "eth_estimateGas", "eth_sendTransaction", "eth_createAccessList", "debug_traceCall"):
        code, text = shared.error(method, call)
        assert code == -32_602
        assert message in (None, text)


# Transactions that are refused, in geth's words


def signed(**fields: Any) -> str:
    """Sign a transfer of Alice's."""
    filled = {
        "to": bytes(BOB),
        "value": 1,
        "nonce": 0,
        "gas": 21_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 1,
    }
    return (
        "0x"
        + Account.sign_transaction({**filled, "chainId": 31_337, **fields}, WALLET.key(ALICE)).raw_transaction.hex()
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"gas": 20_999}, "intrinsic gas too low"),
        ({"value": 10**30}, "insufficient funds for gas * price + value"),
        ({"chainId": 1}, "chain id"),
        ({"gas": 10**9}, "exceeds block gas limit"),
        ({"maxPriorityFeePerGas": 10**11}, "max priority fee per gas higher than max fee per gas"),
        ({"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}, "max fee per gas less than block base fee"),
    ],
)
def test_refused_transactions(shared: Running, fields: dict[str, Any], words: str) -> None:
    code, message = shared.error("eth_sendRawTransaction", signed(**fields))
    assert code == -32_000
    assert words in message


def test_a_nonce_is_used_once() -> None:
    with running() as node:
        assert node.ask("eth_sendRawTransaction", signed()) == "0x" + keccak256(bytes.fromhex(signed()[2:])).hex()
        code, message = node.error("eth_sendRawTransaction", signed(value=2))
        assert (code, "nonce too low" in message) == (-32_000, True)


@pytest.mark.parametrize(
    "raw", ["0x", "0x00", "0xc0", "0x02", "0x02c0", "0x03c0", "0xff", "0x" + "00" * 100, signed()[:-2], signed() + "00"]
)
def test_what_is_no_transaction_is_refused(shared: Running, raw: str) -> None:
    code, message = shared.error("eth_sendRawTransaction", raw)
    assert code in (-32_000, -32_602)
    assert "internal" not in message


# Signing


def test_signatures_are_those_of_other_libraries(shared: Running) -> None:
    message = encode_defunct(b"hello")
    signature = shared.ask("eth_sign", str(BOB), "0x" + b"hello".hex())
    assert signature == shared.ask("personal_sign", "0x" + b"hello".hex(), str(BOB))
    assert Account.recover_message(message, signature=signature).lower() == str(BOB)
    typed = {
        "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Mail": [{"name": "text", "type": "string"}]},
        "primaryType": "Mail",
        "domain": {"name": "test"},
        "message": {"text": "hello"},
    }
    for given_ in (typed, json.dumps(typed)):
        signature = shared.ask("eth_signTypedData_v4", str(BOB), given_)
        assert Account.recover_message(encode_typed_data(full_message=typed), signature=signature).lower() == str(BOB)
    assert shared.error("eth_signTypedData_v4", str(BOB), {"types": 1})[0] == -32_602
    code, text = shared.error("eth_sign", "0x" + "99" * 20, "0x00")
    assert code == -32_000
    assert "99" * 20 in text


def test_a_signed_and_a_filled_transaction_are_not_sent(shared: Running) -> None:
    call = {"from": str(ALICE), "to": str(BOB), "value": "0x5"}
    found = shared.ask("eth_signTransaction", call)
    assert Account.recover_transaction(found["raw"]).lower() == str(ALICE)
    assert found["tx"]["hash"] == "0x" + keccak256(bytes.fromhex(found["raw"][2:])).hex()
    filled = shared.ask("eth_fillTransaction", call)["tx"]
    assert (filled["gas"], filled["nonce"], filled["value"]) == ("0x5208", "0x0", "0x5")
    assert shared.ask("eth_getTransactionCount", str(ALICE)) == "0x0"


# Logs


def test_a_log_filter_takes_one_or_many_of_everything(node: Running) -> None:
    sent = send(node, None, data="0x" + DEPLOY.hex(), value="0x0")
    receipt = node.ask("eth_getTransactionReceipt", sent)
    (log,) = receipt["logs"]
    address, (topic, zero, to) = log["address"], log["topics"]
    other = "0x" + "77" * 32
    for wanted in (
        {"address": address},
        {"address": [address, str(BOB)]},
        {"topics": [topic]},
        {"topics": [[topic, other], None, to]},
        {"topics": [None, [zero]]},
        {"topics": [[], [], []]},
        {"fromBlock": "earliest", "toBlock": "latest"},
        {"fromBlock": "0x1", "toBlock": "pending"},
        {"blockHash": receipt["blockHash"]},
        {},
    ):
        assert node.ask("eth_getLogs", wanted) == [log], wanted
    for wanted in (
        {"address": str(BOB)},
        {"topics": [other]},
        {"topics": [None, None, None, None]},
        {"fromBlock": "0x0", "toBlock": "0x0"},
    ):
        assert node.ask("eth_getLogs", wanted) == [], wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {"topics": ["0x1"]},
        {"topics": "0x"},
        {"topics": [None] * 5},
        {"address": "0x1"},
        {"address": [1]},
        {"fromBlock": "x"},
        {"fromBlock": "0x2", "toBlock": "0x1"},
        {"blockHash": "0x" + "11" * 32, "fromBlock": "0x1"},
        [],
        None,
    ],
)
def test_what_is_no_log_filter_is_refused(shared: Running, wanted: Any) -> None:
    assert shared.error("eth_getLogs", wanted)[0] == -32_602


def test_a_connection_that_has_ended_subscribes_to_nothing(shared: Running) -> None:
    """A request under way then would leave a subscription that nobody removes."""
    loop = asyncio.new_event_loop()
    session = Session(Limits(), loop)
    loop.close()
    session.close()
    caller = shared.node._caller(True, session)
    found = json.loads(
        shared.node.server.dispatcher.handle(json.dumps(request("eth_subscribe", "newHeads")), caller) or ""
    )
    assert found["error"]["message"] == "the connection is gone"
    assert len(shared.node.service.subscriptions) == 0


def test_subscribing_needs_a_websocket(shared: Running) -> None:
    assert "notifications not supported" in shared.error("eth_subscribe", "newHeads")[1]
    assert shared.error("eth_subscribe", "syncing")[0] == -32_602
    assert shared.ask("eth_uninstallFilter", "0x1") is False
    assert shared.error("eth_getFilterChanges", "0x1") == (-32_000, "filter not found")
    blocks = shared.ask("eth_newBlockFilter")
    assert shared.error("eth_getFilterLogs", blocks) == (-32_000, "not a filter of logs")


# Contracts


def test_the_rules_say_what_they_find(shared: Running) -> None:
    (case,) = [case for case in hostile.cases("proposal") if case.name == "simd_load"]
    found = shared.ask("ewasm_check", "0x" + case.binary.hex())
    assert (found["ruleset"], found["accepted"]) == ("ewasm", False)
    assert any("SIMD" in finding["message"] for finding in found["findings"])
    assert shared.ask("ewasm_check", "0x" + fixture_code("erc20").hex())["findings"] == []
    assert shared.ask("ewasm_check", "0x00")["findings"][0]["rule"] == "preamble"
    assert shared.error("ewasm_check", "0x00", "../rules.toml")[0] == -32_602
    assert "SIMD" in shared.error("ewasm_meter", "0x" + case.binary.hex())[1]


def test_the_metered_module_is_that_of_the_library(shared: Running) -> None:
    from ewasm.ruleset import EWASM
    from ewasm.system import metered_binary

    code = fixture_code("counter")
    assert shared.ask("ewasm_meter", "0x" + code.hex()) == "0x" + metered_binary(code, EWASM).hex()


# The table


def test_the_page_is_the_table() -> None:
    assert (ROOT / "docs" / "rpc.md").read_text("utf-8") == page(METHODS)


def test_the_openrpc_document_names_every_method(shared: Running) -> None:
    found = shared.ask("rpc.discover")
    assert found == json.loads(json.dumps(document(METHODS)))
    assert found["openrpc"] == "1.3.2"
    assert sorted(method["name"] for method in found["methods"]) == sorted(METHODS.names)
    for method in found["methods"]:
        assert method["summary"].endswith((".", ")", ":")), method["name"]
        required = [param["required"] for param in method["params"]]
        assert required == sorted(required, reverse=True), f"{method['name']}: what may be left out comes last"
    assert shared.ask("rpc_modules").keys() == {name.partition("_")[0] for name in METHODS.names if "_" in name}


def test_developer_methods_are_those_that_change_the_chain_or_sign() -> None:
    closed = {method.name for method in METHODS if method.developer}
    prefixes = ("evm_", "anvil_", "hardhat_")
    assert {name for name in METHODS.names if name.startswith(prefixes)} <= {
        name for method in METHODS if method.developer for name in (method.name, *method.aliases)
    }
    assert {name for name in closed if not name.startswith(prefixes)} == {
        *("eth_sendTransaction", "eth_signTransaction", "eth_sign", "personal_sign", "eth_signTypedData_v4"),
    }


def test_accounts_are_shown_to_those_who_may_use_them(shared: Running) -> None:
    dispatcher, caller = shared.node.server.dispatcher, shared.node._caller(False, None)
    assert dispatcher.call("eth_accounts", [], caller) == []
    assert len(shared.ask("eth_accounts")) == 10


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("eth_getProof", [str(ALICE), ["0x1"] * 1_025], "(slots): at most 1024 slots are expected, not 1025"),
        ("eth_getLogs", [{"address": [str(ALICE)] * 1_001}], "at most 1000 addresses are expected, not 1001"),
        (
            "eth_newFilter",
            [{"topics": [None, ["0x" + "00" * 32] * 1_001]}],
            "at most 1000 topics are expected, not 1001",
        ),
    ],
)
def test_what_is_asked_for_at_once_has_a_number(shared: Running, method: str, params: list[Any], message: str) -> None:
    code, said = shared.error(method, *params)
    assert (code, said.endswith(message)) == (-32_602, True)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from(
        ["0x", "0x0", "0x1", "latest", "pending", "0x" + "11" * 20, "0x" + "11" * 32, "0x" + "ff" * 40, "1e5"]
    ),
    st.text(max_size=5),
    st.lists(st.none() | st.sampled_from(["0x1", "0x" + "11" * 32]), max_size=3),
    st.dictionaries(
        st.sampled_from(["to", "from", "data", "topics", "address", "fromBlock", "tracer"]), st.just("0x1"), max_size=2
    ),
)
HARMLESS = sorted(
    set(METHODS.names) - {"anvil_mine", "hardhat_mine", "evm_mine", "evm_setIntervalMining", "anvil_setIntervalMining"}
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(HARMLESS), st.lists(VALUES, max_size=5))
def test_no_parameters_are_a_fault_of_the_node(shared: Running, method: str, params: list[Any]) -> None:
    answer = shared.answer(method, *params)
    assert answer.get("error", {}).get("code") != -32_603, answer
