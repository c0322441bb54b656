"""Transactions: intrinsic gas, fees, refunds, what makes one invalid."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmc import U256, Address, Status
from ewasm.ruleset import EWASM, HERA, SSVM, Ruleset
from fixtures.deploy import init_code
from node.host import MAX_NONCE, create_address
from node.transaction import InvalidTransaction, Transaction, execute_transaction, intrinsic_gas
from state import Diff, GenesisAccount
from tests.helpers import fixture_code
from tests.node.world import ALICE, BOB, GAS, NOTHING, RICH, Node, call, contract, finisher, word
from wasm.engine import Engine

A = Address.from_int(0xAAAA)
COINBASE = Address.from_int(0xC0)
PRICE = U256(3)
CALLER = fixture_code("caller")


@pytest.fixture
def node(engine: Engine) -> Node:
    accounts = {
        ALICE: GenesisAccount(nonce=5, balance=RICH),
        A: contract(CALLER, storage={word(key): word(1) for key in range(1, 9)}),
    }
    return Node(engine, accounts)


# Intrinsic gas


@pytest.mark.parametrize(
    ("data", "create", "ruleset", "expected"),
    [
        (b"", False, EWASM, 21_000),
        (b"\0", False, EWASM, 21_004),
        (b"\1", False, EWASM, 21_068),
        (b"\0\0\1\xff", False, HERA, 21_144),
        (b"", True, HERA, 53_000),
        (b"\0\1", True, HERA, 53_072),
        (b"\0\1", True, SSVM, 53_072),
        (b"\0\1", True, EWASM, 53_072 + 2 * 20),
        (b"\0\1", False, EWASM, 21_072),
    ],
)
def test_intrinsic_gas(data: bytes, ruleset: Ruleset, expected: int, *, create: bool) -> None:
    assert intrinsic_gas(data, ruleset, create=create) == expected


def test_a_plain_transfer(node: Node) -> None:
    receipt = node.transact(BOB, gas_limit=21_000, gas_price=PRICE, value=U256(1_000))
    assert (receipt.result.status, receipt.gas_used, receipt.contract) == (Status.SUCCESS, 21_000, None)
    journal = node.journal
    assert (journal.nonce(ALICE), journal.balance(ALICE)) == (6, RICH - 1_000 - 63_000)
    assert (journal.balance(BOB), journal.balance(COINBASE)) == (1_000, 63_000)
    assert node.world.account(BOB).balance == 1_000  # type: ignore[union-attr]


def test_data_is_paid_for(node: Node) -> None:
    assert node.transact(BOB, b"\0\1\2").gas_used == 21_000 + 4 + 68 + 68


# Fees


def test_unused_gas_is_paid_back(node: Node) -> None:
    receipt = node.transact(A, call("get(bytes32)", word(1)), gas_limit=100_000, gas_price=PRICE)
    assert 21_000 < receipt.gas_used < 30_000
    assert node.journal.balance(ALICE) == RICH - 3 * receipt.gas_used
    assert node.journal.balance(COINBASE) == 3 * receipt.gas_used
    assert receipt.result.gas_left == 100_000 - receipt.gas_used


@pytest.mark.parametrize("function", ["fail()", "setAndFail(bytes32,bytes32)"])
def test_a_failure_costs_the_gas_limit(node: Node, function: str) -> None:
    arguments = (word(1), word(0)) if "bytes32" in function else ()
    receipt = node.transact(A, call(function, *arguments), gas_limit=90_000, gas_price=PRICE)
    assert receipt.result.status is Status.WASM_UNREACHABLE_INSTRUCTION
    assert (receipt.gas_used, receipt.logs) == (90_000, ())
    assert node.journal.balance(COINBASE) == 270_000
    assert node.slot(A, 1) == 1
    assert node.journal.nonce(ALICE) == 6


def test_a_revert_keeps_the_rest_and_gives_the_value_back(node: Node) -> None:
    data = call("setAndRevert(bytes32,bytes32)", word(1), word(9))
    receipt = node.transact(A, data, gas_price=PRICE, value=U256(50))
    assert (receipt.result.status, receipt.result.output) == (Status.REVERT, word(9))
    assert receipt.gas_used < 30_000
    assert node.journal.balance(ALICE) == RICH - 3 * receipt.gas_used
    assert (node.journal.balance(A), node.slot(A, 1)) == (0, 1)


def test_contracts_see_origin_and_price(engine: Engine) -> None:
    every = fixture_code("every_extra")
    node = Node(engine, {ALICE: GenesisAccount(balance=RICH), A: contract(every, balance=U256(10**9))})
    output = node.transact(A, bytes(32), gas_price=U256(77)).result.output
    words = [output[at : at + 32] for at in range(0, len(output), 32)]
    assert any(w[-20:] == ALICE for w in words)
    assert (77).to_bytes(32) in words


def test_a_sender_who_is_the_coinbase_gets_its_fee_back(node: Node) -> None:
    node.block = replace(node.block, coinbase=ALICE)
    node.transact(BOB, gas_price=PRICE)
    assert node.journal.balance(ALICE) == RICH


def test_an_empty_coinbase_is_not_left_behind(node: Node) -> None:
    receipt = node.transact(BOB, value=U256(1))
    assert set(receipt.diff.accounts) == {ALICE, BOB}


# Refunds


def clearing(count: int) -> bytes:
    zero = word(0)
    return call("sequence(bytes[])", [call("set(bytes32,bytes32)", word(key + 1), zero) for key in range(count)])


def test_a_refund(node: Node) -> None:
    receipt = node.transact(A, call("set(bytes32,bytes32)", word(1), word(0)), gas_price=PRICE)
    spent = GAS - receipt.result.gas_left
    assert spent < 30_000
    assert receipt.gas_used == spent - spent // 2, "15,000 is more than half"
    assert node.journal.balance(COINBASE) == 3 * receipt.gas_used


def test_a_small_refund_is_paid_whole(node: Node) -> None:
    data = call(
        "sequence(bytes[])", [call("set(bytes32,bytes32)", word(1), word(0))] + [call("get(bytes32)", word(9))] * 20
    )
    receipt = node.transact(A, data)
    spent = GAS - receipt.result.gas_left
    assert spent > 30_000
    assert receipt.gas_used == spent - 15_000


@pytest.mark.parametrize("count", [1, 8])
def test_refunds_are_capped_at_half(node: Node, count: int) -> None:
    receipt = node.transact(A, clearing(count))
    spent = GAS - receipt.result.gas_left
    assert receipt.result.status is Status.SUCCESS
    assert receipt.gas_used == spent - min(spent // 2, 15_000 * count)
    assert spent // 2 < 15_000 * count


def test_a_failed_transaction_has_no_refund(node: Node) -> None:
    data = call("setAndRevert(bytes32,bytes32)", word(1), word(0))
    receipt = node.transact(A, data)
    assert receipt.gas_used == GAS - receipt.result.gas_left


def test_a_refund_does_not_reach_the_next_transaction(node: Node) -> None:
    plain = Node(node.engine, node.accounts).transact(A, call("get(bytes32)", word(1))).gas_used
    node.transact(A, clearing(8))
    assert node.transact(A, call("get(bytes32)", word(1))).gas_used == plain


def test_a_self_destruct_is_refunded_and_carried_out(node: Node) -> None:
    receipt = node.transact(A, call("kill(address)", ALICE))
    spent = GAS - receipt.result.gas_left
    assert receipt.gas_used == spent - spent // 2
    assert receipt.diff.accounts[A].deleted
    assert node.world.account(A) is None


# Creation


def test_a_creation(node: Node) -> None:
    receipt = node.transact(None, init_code(CALLER), gas_price=PRICE, value=U256(40))
    address = create_address(ALICE, 5)
    assert (receipt.result.status, receipt.contract, receipt.result.created) == (Status.SUCCESS, address, address)
    assert receipt.result.output == CALLER
    assert node.world.code(node.journal.code_hash(address)) == CALLER
    assert (node.journal.nonce(address), node.journal.balance(address), node.journal.nonce(ALICE)) == (1, 40, 6)
    deposit = 200 * len(CALLER)
    intrinsic = intrinsic_gas(init_code(CALLER), EWASM, create=True)
    assert intrinsic + deposit < receipt.gas_used < intrinsic + deposit + 100


def test_a_failed_creation(node: Node) -> None:
    receipt = node.transact(None, fixture_code("wat/unreachable"), gas_limit=100_000, value=U256(40))
    assert receipt.result.status is Status.WASM_UNREACHABLE_INSTRUCTION
    assert receipt.gas_used == 100_000
    assert receipt.contract == create_address(ALICE, 5), "the address it was for"
    assert receipt.result.created is None
    assert (node.journal.nonce(ALICE), node.journal.balance(ALICE)) == (6, RICH)
    assert not node.journal.exists(create_address(ALICE, 5))


def test_a_creation_without_data(node: Node) -> None:
    receipt = node.transact(None, gas_limit=53_000)
    assert (receipt.result.status, receipt.gas_used) == (Status.SUCCESS, 53_000)
    assert node.journal.nonce(create_address(ALICE, 5)) == 1


def test_init_code_is_bounded_and_paid_for_where_the_ruleset_says_so(engine: Engine) -> None:
    ruleset = EWASM.replace(name="small", max_init_code=len(NOTHING))
    node = Node(engine, {ALICE: GenesisAccount(balance=RICH)}, ruleset)
    assert node.transact(None, NOTHING).result.status is Status.SUCCESS
    with pytest.raises(InvalidTransaction, match=f"init code of {len(NOTHING) + 1} bytes, at most {len(NOTHING)}"):
        node.transact(None, NOTHING + b"\0")
    assert node.transact(BOB, bytes(2 * len(NOTHING))).result.status is Status.SUCCESS, "a call is not bounded"


def test_init_code_of_contracts_is_bounded_too(engine: Engine) -> None:
    """A contract that creates with longer init code runs out of gas; the price is the same 20 a byte."""
    code = finisher(0)
    accounts = {ALICE: GenesisAccount(balance=RICH), A: contract(CALLER)}
    data = call("create(uint256,bytes)", 0, code)

    def spent(ruleset: Ruleset) -> int:
        receipt = Node(engine, accounts, ruleset).transact(A, data)
        assert receipt.result.status is Status.SUCCESS
        return receipt.gas_used

    free = replace(EWASM.host, init_code_byte=0)
    assert spent(EWASM) - spent(EWASM.replace(name="free", host=free)) == 20 * len(code)
    small = EWASM.replace(name="small", max_init_code=len(code) - 1)
    assert Node(engine, accounts, small).transact(A, data).result.status is Status.OUT_OF_GAS


# Invalid transactions


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"nonce": 4}, "nonce 4 of 0x[0-9a-f]{40} is not the next, 5"),
        ({"nonce": 6}, "nonce 6 of"),
        ({"gas_limit": 20_999}, "gas limit 20999 is below the intrinsic gas, 21000"),
        ({"data": b"\1", "gas_limit": 21_067}, "below the intrinsic gas, 21068"),
        ({"to": None, "gas_limit": 52_999}, "below the intrinsic gas, 53000"),
        ({"gas_limit": 30_000_001}, "gas limit 30000001 is above the block's, 30000000"),
        ({"value": U256(RICH + 1)}, "gas and value need"),
        ({"gas_limit": 21_000, "gas_price": U256(RICH // 21_000 + 1)}, "gas and value need"),
        ({"gas_limit": 21_000, "gas_price": U256(1), "value": U256(RICH - 20_999)}, "gas and value need"),
        ({"gas_limit": 2**63 - 1, "gas_price": U256(2**256 - 1)}, "gas and value need"),
        ({"sender": BOB, "nonce": 0, "value": U256(1)}, "has 0, gas and value need 1"),
        ({"to": None, "data": bytes(262_145)}, "init code of 262145 bytes, at most 262144"),
    ],
)
def test_an_invalid_transaction_changes_nothing(node: Node, fields: dict[str, Any], said: str) -> None:
    transaction = Transaction(**{"sender": ALICE, "to": A, "nonce": 5, "gas_limit": GAS, **fields})
    with pytest.raises(InvalidTransaction, match=said):
        execute_transaction(transaction, node.journal, node.block, node.vm, EWASM, node.contracts)
    assert node.vm.messages == []
    assert node.journal.finish() == Diff()


def test_a_sender_with_exactly_enough(node: Node) -> None:
    receipt = node.transact(BOB, gas_limit=21_000, gas_price=U256(1), value=U256(RICH - 21_000))
    assert receipt.result.status is Status.SUCCESS
    assert node.journal.balance(ALICE) == 0


def test_gas_is_paid_in_front(engine: Engine) -> None:
    """What a run will not use cannot be sent in it."""
    node = Node(engine, {ALICE: GenesisAccount(balance=U256(200_000))})
    with pytest.raises(InvalidTransaction):
        node.transact(BOB, gas_limit=150_000, gas_price=U256(1), value=U256(60_000))


def test_the_last_nonce(engine: Engine) -> None:
    node = Node(engine, {ALICE: GenesisAccount(nonce=MAX_NONCE - 1, balance=RICH)})
    assert node.transact(BOB).result.status is Status.SUCCESS
    assert node.journal.nonce(ALICE) == MAX_NONCE
    for to in (BOB, None):
        with pytest.raises(InvalidTransaction, match="has sent all it can"):
            node.transact(to)
    assert node.journal.nonce(ALICE) == MAX_NONCE


def test_transactions_follow_one_another(node: Node) -> None:
    for value in range(1, 4):
        receipt = node.transact(A, call("set(bytes32,bytes32)", word(20), word(value)))
        assert receipt.diff.accounts[A].slots[word(20)].after == word(value)
    assert node.world.storage(A, word(20)) == word(3)
    assert node.journal.nonce(ALICE) == 8


def test_supply_stays(engine: Engine) -> None:
    """Whatever happens, fees, refunds and transfers only move ether."""
    accounts = {
        ALICE: GenesisAccount(balance=RICH),
        A: contract(CALLER, balance=U256(500), storage={word(1): word(1)}),
        COINBASE: GenesisAccount(balance=U256(1)),
        BOB: GenesisAccount(balance=U256(1)),
    }
    node = Node(engine, accounts)
    before = node.supply
    for data in (
        call("set(bytes32,bytes32)", word(1), word(0)),
        call("fail()"),
        call("call(address,uint256,uint256,bytes)", BOB, 100, 2**64, b""),
        call("setAndRevert(bytes32,bytes32)", word(2), word(2)),
        call("kill(address)", BOB),
    ):
        node.transact(A, data, gas_limit=200_000, gas_price=PRICE, value=U256(10))
        assert node.supply == before
