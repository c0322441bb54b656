"""The real eth-tester over a chain, by itself and under web3.py, on both engines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from eth_account import Account
from web3 import Web3

from ewasm.testing import Chain
from tests.helpers import FIXTURES

eth_tester = pytest.importorskip("eth_tester", reason="eth-tester is not installed: pip install 'ewasm[eth-tester]'")

ABI = json.loads((FIXTURES / "erc20.abi.json").read_text())
DEPLOY = (FIXTURES / "erc20_deploy.wasm").read_bytes()
COIN = 10**18


@pytest.fixture
def tester(chain: Chain) -> Any:
    from ewasm.testing import EthTesterBackend

    return eth_tester.EthereumTester(EthTesterBackend(chain))


@pytest.fixture
def w3(tester: Any) -> Web3:
    from web3 import EthereumTesterProvider

    w3 = Web3(EthereumTesterProvider(tester))
    w3.eth.default_account = w3.eth.accounts[0]
    return w3


def deployed(w3: Web3) -> Any:
    sent = w3.eth.contract(abi=ABI, bytecode=DEPLOY).constructor().transact()
    receipt = w3.eth.wait_for_transaction_receipt(sent)
    return w3.eth.contract(address=receipt["contractAddress"], abi=ABI)


def test_a_token_through_web3(w3: Web3, chain: Chain) -> None:
    token = deployed(w3)
    alice, bob = w3.eth.accounts[:2]
    sent = token.functions.transfer(bob, 7).transact()
    receipt = w3.eth.get_transaction_receipt(sent)
    assert (receipt["status"], receipt["blockNumber"], receipt["contractAddress"]) == (1, 2, None)
    (event,) = token.events.Transfer().process_receipt(receipt)
    assert event["args"] == {"from": alice, "to": bob, "value": 7}
    assert token.functions.balanceOf(bob).call() == 7
    block = w3.eth.get_block(2, full_transactions=True)
    assert [each["hash"] for each in block["transactions"]] == [sent]
    assert block["parentHash"] == w3.eth.get_block(1)["hash"]
    assert [each["args"]["value"] for each in token.events.Transfer().get_logs(from_block=0)] == [1_000, 7]
    assert w3.eth.get_code(token.address) == chain.core.state().code(chain.core.state().account(bytes.fromhex(token.address[2:])).code_hash)  # type: ignore[arg-type, union-attr]  # fmt: skip
    assert int.from_bytes(w3.eth.get_storage_at(token.address, 2), "big") == 1_000


def test_failures(w3: Web3) -> None:
    from eth_tester.exceptions import TransactionFailed

    token = deployed(w3)
    bob = w3.eth.accounts[1]
    for attempt in (token.functions.transfer(bob, 1_001).call, token.functions.transfer(bob, 1_001).transact):
        with pytest.raises(TransactionFailed, match="execution reverted: ERC20: transfer amount exceeds balance"):
            attempt()
    sent = token.functions.transfer(bob, 1_001).transact({"gas": 200_000})
    assert w3.eth.get_transaction_receipt(sent)["status"] == 0


@pytest.mark.parametrize("fees", [{"gasPrice": 2 * 10**9}, {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9}])
def test_signed_transactions(w3: Web3, chain: Chain, fees: dict[str, int]) -> None:
    alice, bob = w3.eth.accounts[:2]
    fields = {"to": bob, "value": COIN, "gas": 21_000, "nonce": 0, "chainId": chain.core.chain_id, **fees}
    signed = Account.sign_transaction(fields, chain.key(chain.accounts[0]))
    sent = w3.eth.send_raw_transaction(signed.raw_transaction)
    assert w3.eth.get_transaction(sent)["from"] == alice
    assert w3.eth.get_balance(bob) == 10_001 * COIN


def test_snapshots_can_be_gone_back_to_again(tester: Any) -> None:
    bob = tester.get_accounts()[1]
    payment = {"from": tester.get_accounts()[0], "to": bob, "value": COIN, "gas": 21_000}
    first = tester.take_snapshot()
    for _ in range(2):
        tester.send_transaction(payment)
        second = tester.take_snapshot()
        assert tester.get_balance(bob) == 10_001 * COIN
        tester.revert_to_snapshot(first)
        assert tester.get_balance(bob) == 10_000 * COIN
    with pytest.raises(eth_tester.exceptions.ValidationError, match="used up"):
        tester.revert_to_snapshot(second)


def test_blocks_by_hand(tester: Any) -> None:
    """Without automine eth-tester keeps transactions, and gives them with their signatures when it makes a block."""
    alice, bob = tester.get_accounts()[:2]
    tester.disable_auto_mine_transactions()
    for fees in ({"gas_price": 2 * 10**9}, {"max_fee_per_gas": 3 * 10**9, "max_priority_fee_per_gas": 10**9}):
        tester.send_transaction({"from": alice, "to": bob, "value": COIN, "gas": 21_000, **fees})
        before = tester.get_balance(bob)
        tester.mine_block()
        assert tester.get_balance(bob) == before + COIN


def test_time_accounts_and_genesis(tester: Any, chain: Chain) -> None:
    before = tester.get_block_by_number("latest")["timestamp"]
    tester.time_travel(before + 1_000)
    assert tester.get_block_by_number("latest")["timestamp"] == before + 1_000
    key = "0x" + "11" * 32
    added = tester.add_account(key)
    alice = tester.get_accounts()[0]
    tester.send_transaction({"from": alice, "to": added, "value": COIN, "gas": 21_000})
    tester.send_transaction({"from": added, "to": alice, "value": 1, "gas": 21_000})
    assert tester.get_nonce(added) == 1
    tester.reset_to_genesis()
    assert len(tester.get_accounts()) == 10
    assert (chain.block.number, tester.get_balance(alice)) == (0, 10_000 * COIN)


def test_what_is_not_there(tester: Any) -> None:
    for ask, error in (
        (lambda: tester.get_block_by_number(9), eth_tester.exceptions.BlockNotFound),
        (lambda: tester.get_transaction_by_hash("0x" + "12" * 32), eth_tester.exceptions.TransactionNotFound),
        (lambda: tester.get_transaction_receipt("0x" + "12" * 32), eth_tester.exceptions.TransactionNotFound),
    ):
        with pytest.raises(error):
            ask()
