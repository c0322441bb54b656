"""The real web3.py against a node, over HTTP and WebSocket: what the README promises, on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import rlp
from eth_account import Account
from trie import HexaryTrie
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from state import keccak256
from tests.node.rpc.running import ABI, ALICE, BOB, CAROL, DEPLOY, WALLET, Running, running
from wasm.engine import Engine

COIN = 10**18
SUPPLY = 1_000


@pytest.fixture
def node(engine: Engine) -> Iterator[Running]:
    with running(engine.name) as node:
        yield node


def checksum(address: bytes) -> Any:
    return Web3.to_checksum_address(address)


def deploy(w3: Web3, sender: bytes = ALICE) -> Any:
    """Deploy the token with the node's key; return it as a contract of web3.py."""
    sent = w3.eth.contract(abi=ABI, bytecode=DEPLOY).constructor().transact({"from": checksum(sender)})
    receipt = w3.eth.wait_for_transaction_receipt(sent)
    assert receipt["status"] == 1
    assert receipt["to"] is None
    return w3.eth.contract(address=receipt["contractAddress"], abi=ABI)


def sign(w3: Web3, call: Any, sender: bytes = ALICE) -> Any:
    """Build a call with fees of type 2 and sign it here."""
    fields = {"from": checksum(sender), "nonce": w3.eth.get_transaction_count(checksum(sender), "pending")}
    built = call.build_transaction(fields)
    assert "maxFeePerGas" in built
    return Account.sign_transaction(built, WALLET.key(sender)).raw_transaction


def test_connect_and_look(node: Running) -> None:
    w3 = node.web3
    assert w3.is_connected()
    assert w3.client_version.startswith("ewasm/v")
    assert (w3.eth.chain_id, w3.net.version, w3.eth.block_number) == (31_337, "31337", 0)
    assert w3.eth.accounts == [checksum(address) for address in WALLET.addresses]
    assert len(w3.eth.accounts) == 10
    assert {w3.eth.get_balance(each) for each in w3.eth.accounts} == {10_000 * COIN}
    assert w3.eth.syncing is False
    assert w3.keccak(b"a") == bytes(node.ask("web3_sha3", "0x61") and keccak256(b"a"))
    block = w3.eth.get_block(0)
    assert (block["number"], block["transactions"], len(block["mixHash"]), len(block["nonce"])) == (0, [], 32, 8)
    assert block["hash"] == w3.eth.get_block(block["hash"])["hash"]


def test_a_token_is_deployed_used_and_read(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    assert token.functions.name().call() == "Fixture Token"
    assert token.functions.totalSupply().call() == SUPPLY
    sent = w3.eth.send_raw_transaction(sign(w3, token.functions.transfer(checksum(BOB), 7)))
    receipt = w3.eth.get_transaction_receipt(sent)
    transaction = w3.eth.get_transaction(sent)
    assert (receipt["status"], receipt["type"], receipt["contractAddress"]) == (1, 2, None)
    base_fee = w3.eth.get_block(receipt["blockNumber"])["baseFeePerGas"]
    price = min(transaction["maxFeePerGas"], base_fee + transaction["maxPriorityFeePerGas"])
    assert receipt["effectiveGasPrice"] == transaction["gasPrice"] == price
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert event["args"] == {"from": checksum(ALICE), "to": checksum(BOB), "value": 7}
    assert token.functions.balanceOf(checksum(BOB)).call() == 7
    assert token.functions.balanceOf(checksum(BOB)).call(block_identifier=receipt["blockNumber"] - 1) == 0
    assert w3.eth.get_balance(checksum(ALICE)) < 10_000 * COIN
    assert w3.eth.get_block(receipt["blockNumber"], full_transactions=True)["transactions"] == [transaction]


def test_an_estimate_is_the_least_gas_that_will_do(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    call = token.functions.transfer(checksum(BOB), 7)
    gas = call.estimate_gas({"from": checksum(ALICE)})
    for given, status in ((gas - 1, 0), (gas, 1)):
        sent = call.transact({"from": checksum(ALICE), "gas": given})
        assert w3.eth.get_transaction_receipt(sent)["status"] == status


def test_a_revert_has_its_reason(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    call = token.functions.transfer(checksum(ALICE), SUPPLY + 1)
    for attempt in (call.call, call.estimate_gas, call.transact):
        with pytest.raises(ContractLogicError, match="transfer amount exceeds balance"):
            attempt({"from": checksum(BOB)})
    sent = call.transact({"from": checksum(BOB), "gas": 100_000})
    assert w3.eth.get_transaction_receipt(sent)["status"] == 0


def test_events_by_filter_and_by_range(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    transfers = token.events.Transfer.create_filter(from_block="latest", argument_filters={"to": checksum(BOB)})
    blocks, pending = w3.eth.filter("latest"), w3.eth.filter("pending")
    hashes = [token.functions.transfer(checksum(to), 1).transact({"from": checksum(ALICE)}) for to in (BOB, CAROL, BOB)]
    assert [event["transactionHash"] for event in transfers.get_new_entries()] == [hashes[0], hashes[2]]
    assert transfers.get_new_entries() == []
    assert pending.get_new_entries() == hashes
    assert blocks.get_new_entries() == [w3.eth.get_transaction(each)["blockHash"] for each in hashes]
    assert w3.eth.uninstall_filter(transfers.filter_id)
    with pytest.raises(Web3RPCError, match="filter not found"):
        transfers.get_new_entries()
    found = token.events.Transfer().get_logs(from_block=0)
    assert [event["args"]["value"] for event in found] == [SUPPLY, 1, 1, 1]
    assert [event["logIndex"] for event in found] == [0] * 4


def test_snapshot_and_revert(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    snapshot = node.ask("evm_snapshot")
    sent = token.functions.transfer(checksum(BOB), 7).transact({"from": checksum(ALICE)})
    assert token.functions.balanceOf(checksum(BOB)).call() == 7
    assert node.ask("evm_revert", snapshot) is True
    assert token.functions.balanceOf(checksum(BOB)).call() == 0
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction(sent)
    assert node.ask("evm_revert", snapshot) is False


def proven(root: bytes, key: bytes, nodes: Any) -> Any:
    """Return what a proof proves, by the trie of another library."""
    return HexaryTrie.get_from_proof(root, keccak256(key), [rlp.decode(bytes(each)) for each in nodes])


def test_a_proof_is_verified_by_another_library(node: Running) -> None:
    w3 = node.web3
    token = deploy(w3)
    root = w3.eth.get_block("latest")["stateRoot"]
    supply = (2).to_bytes(32, "big")
    proof = w3.eth.get_proof(token.address, ["0x2", "0x99"])
    account = rlp.decode(proven(root, bytes.fromhex(token.address[2:]), proof["accountProof"]))
    assert account == [b"\x01", b"", bytes(proof["storageHash"]), bytes(proof["codeHash"])]
    assert keccak256(w3.eth.get_code(token.address)) == account[3]
    present, absent = proof["storageProof"]
    assert rlp.decode(proven(account[2], supply, present["proof"])) == SUPPLY.to_bytes(2, "big")
    assert int.from_bytes(present["value"], "big") == SUPPLY
    assert proven(account[2], (0x99).to_bytes(32, "big"), absent["proof"]) == b""
    nobody = "0x" + "77" * 20
    assert proven(root, b"\x77" * 20, w3.eth.get_proof(nobody, [])["accountProof"]) == b""


def test_a_batch_of_requests(node: Running) -> None:
    w3 = node.web3
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        batch.add(w3.eth.get_balance(checksum(ALICE)))
        block, balance = batch.execute()
    assert (block["number"], balance) == (0, 10_000 * COIN)


def test_fees(node: Running) -> None:
    w3 = node.web3
    deploy(w3)
    history = w3.eth.fee_history(2, "latest", [25, 75])
    assert len(history["baseFeePerGas"]) == 3
    assert history["reward"][1][0] == w3.eth.max_priority_fee
    assert w3.eth.gas_price >= history["baseFeePerGas"][-1]


# WebSocket: web3.py sends binary frames


def test_everything_over_a_websocket(node: Running) -> None:
    async def run() -> None:
        async with AsyncWeb3(WebSocketProvider(node.ws)) as w3:
            assert await w3.is_connected()
            assert await w3.eth.chain_id == 31_337
            heads = await w3.eth.subscribe("newHeads")
            contract = w3.eth.contract(abi=ABI, bytecode=DEPLOY)
            sent = await contract.constructor().transact({"from": checksum(ALICE)})
            receipt = await w3.eth.wait_for_transaction_receipt(sent)
            token = w3.eth.contract(address=receipt["contractAddress"], abi=ABI)
            wanted = {
                "address": token.address,
                "topics": ["0x" + keccak256(b"Transfer(address,address,uint256)").hex()],
            }
            logs = await w3.eth.subscribe("logs", wanted)
            pending = await w3.eth.subscribe("newPendingTransactions", False)
            sent = await token.functions.transfer(checksum(BOB), 7).transact({"from": checksum(ALICE)})
            found: dict[str, list[Any]] = {heads: [], logs: [], pending: []}
            async for message in w3.socket.process_subscriptions():
                found[message["subscription"]].append(message["result"])
                if len(found[heads]) == 2 and found[logs] and found[pending]:
                    break
            assert [head["number"] for head in found[heads]] == [1, 2]
            (log,) = found[logs]
            assert token.events.Transfer().process_log(log)["args"]["value"] == 7
            assert found[pending] == [sent]
            assert await w3.eth.unsubscribe(heads)
            await asyncio.gather(*(w3.eth.get_balance(checksum(BOB)) for _ in range(20)))

    asyncio.run(asyncio.wait_for(run(), 20))
    assert len(node.node.service.subscriptions) in (0, 2)
