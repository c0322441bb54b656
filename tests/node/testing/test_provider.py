"""The real web3.py over a chain in this process, on both engines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractLogicError, TransactionNotFound, Web3RPCError

from ewasm.testing import Chain, EwasmProvider
from tests.helpers import FIXTURES

ABI = json.loads((FIXTURES / "erc20.abi.json").read_text())
DEPLOY = (FIXTURES / "erc20_deploy.wasm").read_bytes()


@pytest.fixture
def w3(chain: Chain) -> Web3:
    w3 = Web3(EwasmProvider(chain))
    w3.eth.default_account = w3.eth.accounts[0]
    return w3


def deployed(w3: Web3) -> Any:
    sent = w3.eth.contract(abi=ABI, bytecode=DEPLOY).constructor().transact()
    receipt = w3.eth.wait_for_transaction_receipt(sent)
    return w3.eth.contract(address=receipt["contractAddress"], abi=ABI)


def test_a_token_from_deployment_to_its_events(w3: Web3, chain: Chain) -> None:
    bob = w3.eth.accounts[1]
    assert w3.is_connected()
    assert (w3.eth.chain_id, w3.client_version[:7]) == (31_337, "ewasm/v")
    token = deployed(w3)
    sent = token.functions.transfer(bob, 7).transact()
    receipt = w3.eth.get_transaction_receipt(sent)
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert event["args"] == {"from": w3.eth.accounts[0], "to": bob, "value": 7}
    assert token.functions.balanceOf(bob).call() == 7
    assert token.functions.balanceOf(bob).call(block_identifier=receipt["blockNumber"] - 1) == 0
    assert [each["args"]["value"] for each in token.events.Transfer().get_logs(from_block=0)] == [1_000, 7]
    # The same chain, looked at by its own hands.
    ours = chain.at(token.address, ABI)
    assert ours.balanceOf(bob) == 7
    ours.transfer(bob, 1)
    assert token.functions.balanceOf(bob).call() == 8


def test_a_signed_transaction(w3: Web3, chain: Chain) -> None:
    token = deployed(w3)
    alice, bob = w3.eth.accounts[:2]
    fields = {"from": alice, "nonce": w3.eth.get_transaction_count(alice)}
    built = token.functions.transfer(bob, 7).build_transaction(fields)
    signed = Account.sign_transaction(built, chain.key(chain.accounts[0]))
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))
    assert (receipt["status"], receipt["type"]) == (1, 2)
    assert token.functions.balanceOf(bob).call() == 7


def test_failures_are_those_of_a_node(w3: Web3) -> None:
    token = deployed(w3)
    bob = w3.eth.accounts[1]
    for attempt in (token.functions.transfer(bob, 1_001).call, token.functions.transfer(bob, 1_001).transact):
        with pytest.raises(ContractLogicError, match="transfer amount exceeds balance"):
            attempt()
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "12" * 32)
    with pytest.raises(Web3RPCError, match="does not exist"):
        w3.manager.request_blocking("eth_nothing", [])


def test_filters_batches_and_developer_methods(w3: Web3) -> None:
    token = deployed(w3)
    bob = w3.eth.accounts[1]
    transfers = token.events.Transfer.create_filter(from_block="latest")
    token.functions.transfer(bob, 7).transact()
    assert [each["args"]["value"] for each in transfers.get_new_entries()] == [7]
    with w3.batch_requests() as batch:
        batch.add(w3.eth.get_block("latest"))
        batch.add(token.functions.balanceOf(bob))
        block, balance = batch.execute()
    assert (block["number"], balance) == (2, 7)
    snapshot = w3.provider.make_request("evm_snapshot", [])["result"]
    token.functions.transfer(bob, 7).transact()
    assert w3.provider.make_request("evm_revert", [snapshot])["result"] is True
    assert token.functions.balanceOf(bob).call() == 7


def test_answers_are_what_a_connection_would_give(w3: Web3) -> None:
    """Values are those of JSON, so that no formatter of web3.py sees anything else."""
    deployed(w3)
    for method, params in (
        ("eth_getBlockByNumber", ["latest", True]),
        ("eth_getTransactionByBlockNumberAndIndex", ["latest", 0]),
        ("eth_getLogs", [{"fromBlock": "earliest"}]),
        ("eth_feeHistory", ["0x2", "latest", [50]]),
        ("eth_accounts", []),
    ):
        answer = w3.provider.make_request(method, params)
        assert json.loads(json.dumps(answer)) == answer


def test_a_fault_of_the_node_is_raised_as_it_is(w3: Web3, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: Any) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(w3.provider.chain, "next_base_fee", broken)
    with pytest.raises(ZeroDivisionError, match="a fault"):
        w3.provider.make_request("eth_gasPrice", [])


def test_a_provider_begins_a_chain_of_its_own() -> None:
    provider = EwasmProvider()
    assert Web3(provider).eth.block_number == 0
    provider.chain.close()
