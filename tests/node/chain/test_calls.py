"""Calls, estimates, access lists, and how they are stopped."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from evmc import U256, Address, Status
from node.chain import BlockOverride, Call, CallAborted, Chain, ExecutionFailed, Override
from node.chain.errors import FeeTooLow, InsufficientFunds, IntrinsicGasTooLow, TipAboveFee
from node.chain.fees import base_fee_after
from node.host import create_address
from tests.helpers import fixture_code, wat
from tests.node.chain.conftest import NewChain
from tests.node.chain.world import (
    ALICE,
    BOB,
    COINBASE,
    COUNTER_INIT,
    GWEI,
    LOOPER,
    NOBODY,
    REASON,
    REVERTER,
    RICH,
    TOKEN,
    balance_call,
    balance_slot,
    tokens,
    transact,
    transfer,
    transfer_data,
)
from tests.node.world import word

TRANSFER = Call(sender=ALICE, to=TOKEN, data=transfer_data(BOB, 1))


def test_a_call_leaves_no_trace(chain: Chain) -> None:
    root = chain.state().root
    result = chain.call(TRANSFER)
    assert (result.reason, result.result.status, len(result.logs)) == (None, Status.SUCCESS, 1)
    assert result.diff.accounts[TOKEN].slots[balance_slot(BOB)].after == word(1)
    assert (chain.state().root, tokens(chain, BOB), chain.nonce(ALICE)) == (root, 0, 0)


def test_a_call_sees_the_state_of_its_block(chain: Chain) -> None:
    for _ in range(3):
        transfer(chain, BOB, 2)
    assert [tokens(chain, BOB, number) for number in range(4)] == [0, 2, 4, 6]
    assert tokens(chain, BOB, chain.block(2).hash) == 4
    assert [tokens(chain, BOB, tag) for tag in ("earliest", "safe", "finalized", "latest", "pending")] == [
        0,
        6,
        6,
        6,
        6,
    ]


def test_nobody_calls_for_nothing(chain: Chain) -> None:
    result = chain.call(Call(data=COUNTER_INIT))
    assert (result.reason, result.contract) == (None, create_address(Address(bytes(20)), 0))
    assert result.result.output == fixture_code("counter")


@pytest.mark.parametrize(
    ("to", "reason", "output"),
    [(REVERTER, "execution reverted: boo!", REASON), (LOOPER, "out of gas", b"")],
)
def test_a_failure_is_explained(chain: Chain, to: Address, reason: str, output: bytes) -> None:
    result = chain.call(Call(to=to, gas=25_000))
    assert str(result.reason).startswith(reason)
    assert result.result.output == output


def test_code_that_is_refused_is_explained(chain: Chain) -> None:
    override = {NOBODY: Override(code=b"\0asm\1\0\0\0")}
    result = chain.call(Call(to=NOBODY), overrides=override)
    assert result.result.status is Status.CONTRACT_VALIDATION_FAILURE
    assert str(result.reason).startswith("contract refused: ")


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"value": U256(RICH + 1)}, InsufficientFunds, "insufficient funds"),
        ({"gas": 30_000_000, "gas_price": RICH}, InsufficientFunds, "insufficient funds"),
        ({"gas_price": 1}, FeeTooLow, "less than block base fee"),
        ({"max_fee": 1, "max_tip": 2}, TipAboveFee, "higher than max fee"),
        ({"gas": 20_000}, IntrinsicGasTooLow, "intrinsic gas too low"),
    ],
)
def test_a_call_that_cannot_begin(chain: Chain, fields: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        chain.call(replace(TRANSFER, **fields))


# Overrides


def test_an_account_can_be_otherwise(chain: Chain) -> None:
    slot = balance_slot(BOB)
    assert tokens(chain, BOB) == 0

    def asked(override: Override) -> int:
        return int.from_bytes(chain.call(balance_call(BOB), overrides={TOKEN: override}).result.output)

    assert asked(Override(slots={slot: word(3)})) == 3
    assert asked(Override(state={slot: word(4)})) == 4
    assert asked(Override(state={})) == 0
    moved = chain.call(
        replace(balance_call(BOB), to=NOBODY),
        overrides={NOBODY: Override(code=fixture_code("erc20"), state={slot: word(5)})},
    )
    assert int.from_bytes(moved.result.output) == 5
    rich = {NOBODY: Override(balance=U256(9), nonce=7)}
    assert chain.call(Call(sender=NOBODY, to=BOB, value=U256(9)), overrides=rich).reason is None
    assert chain.call(Call(sender=NOBODY, data=COUNTER_INIT), overrides=rich).contract == create_address(NOBODY, 7)


def test_storage_that_is_replaced_is_gone(chain: Chain) -> None:
    chain.set_storage(TOKEN, balance_slot(BOB), word(8))
    call = balance_call(BOB)
    assert chain.call(call, overrides={TOKEN: Override(state={})}).result.output == word(0)
    assert chain.call(call, overrides={TOKEN: Override(slots={word(1): word(1)})}).result.output == word(8)


TELLS = wat(
    """(module
      (import "ethereum" "getBlockNumber" (func $number (result i64)))
      (import "ethereum" "getBlockTimestamp" (func $time (result i64)))
      (import "ethereum" "getBlockGasLimit" (func $gas (result i64)))
      (import "ethereum" "getBlockCoinbase" (func $coinbase (param i32)))
      (import "ethereum" "getTxGasPrice" (func $price (param i32)))
      (import "ethereum" "finish" (func $finish (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "main")
        (i64.store (i32.const 0) (call $number))
        (i64.store (i32.const 8) (call $time))
        (i64.store (i32.const 16) (call $gas))
        (call $coinbase (i32.const 24))
        (call $price (i32.const 44))
        (call $finish (i32.const 0) (i32.const 60))))"""
)


def told(chain: Chain, call: Call | None = None, block: BlockOverride | None = None) -> tuple[int, ...]:
    """Return number, time, gas limit, coinbase and gas price as a contract sees them."""
    given = replace(call or Call(), to=NOBODY)
    output = chain.call(given, overrides={NOBODY: Override(code=TELLS)}, block=block).result.output
    little = [int.from_bytes(output[at : at + 8], "little") for at in (0, 8, 16)]
    return (*little, int.from_bytes(output[24:44]), int.from_bytes(output[44:60], "little"))


def test_a_block_can_be_otherwise(chain: Chain) -> None:
    chain.mine()
    head = chain.head
    assert told(chain) == (1, head.timestamp, 30_000_000, 0, 0)
    other = BlockOverride(number=50, timestamp=51, gas_limit=1_000_000, coinbase=COINBASE)
    assert told(chain, block=other) == (50, 51, 1_000_000, 0xC0, 0)


def test_the_price_is_what_would_be_paid(chain: Chain) -> None:
    fee = chain.head.base_fee
    assert told(chain, Call(sender=ALICE, max_fee=50 * GWEI, max_tip=GWEI))[4] == fee + GWEI
    assert told(chain, Call(sender=ALICE, gas_price=50 * GWEI))[4] == 50 * GWEI


def test_fees_end_where_numbers_do(chain: Chain) -> None:
    """No fee that follows from a base fee and a tip leaves 256 bits."""
    most = 2**256 - 1
    with pytest.raises(InsufficientFunds):
        chain.call(Call(sender=ALICE, to=NOBODY, max_tip=most))
    assert chain.fill(Call(sender=ALICE, to=NOBODY, gas=21_000, max_tip=most)).max_fee == most
    chain.set_next_base_fee(most)
    assert chain.fill(Call(sender=ALICE, to=NOBODY, gas=21_000)).max_fee == most
    assert chain.fill(Call(sender=ALICE, to=NOBODY, gas=21_000, type=0)).max_fee == most
    assert base_fee_after(most, 30_000_000, 30_000_000) == most


# Estimates


def test_a_transfer_needs_the_least(chain: Chain) -> None:
    assert chain.estimate_gas(Call(sender=ALICE, to=NOBODY, value=U256(1))) == 21_000


@pytest.mark.parametrize("call", [TRANSFER, Call(sender=ALICE, data=COUNTER_INIT)], ids=["transfer", "creation"])
def test_one_gas_less_is_too_little(chain: Chain, call: Call) -> None:
    gas = chain.estimate_gas(call)
    assert chain.call(replace(call, gas=gas)).reason is None
    assert chain.call(replace(call, gas=gas - 1)).result.status is Status.OUT_OF_GAS
    assert transact(chain, call.sender or ALICE, to=call.to, data=call.data).transaction.gas_limit == gas


PASSES_ON = wat(
    """(module
      (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
      (import "ethereum" "revert" (func $revert (param i32 i32)))
      (memory (export "memory") 1)
      (data (i32.const 12) "\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\0e\\ee")
      (func (export "main")
        (if (call $call (i64.const 100000000) (i32.const 12) (i32.const 64) (i32.const 0) (i32.const 0))
          (then (call $revert (i32.const 0) (i32.const 0))))))"""
)
SPENDS = wat(
    """(module
      (memory (export "memory") 1)
      (func (export "main") (local $i i32)
        (loop $again
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 3000))))))"""
)


def test_what_a_caller_keeps_back_is_needed_too(chain: Chain) -> None:
    inner = Address.from_int(0xEEE)
    overrides = {NOBODY: Override(code=PASSES_ON), inner: Override(code=SPENDS)}
    call = Call(sender=ALICE, to=NOBODY)
    used = chain.call(call, overrides=overrides)
    assert used.reason is None
    gas = chain.estimate_gas(call, overrides=overrides)
    assert chain.call(replace(call, gas=gas), overrides=overrides).reason is None
    assert chain.call(replace(call, gas=gas - 1), overrides=overrides).reason is not None


def test_an_estimate_beyond_the_means(chain: Chain) -> None:
    chain.set_balance(BOB, U256(30_000 * 2 * GWEI))
    poor = replace(TRANSFER, sender=BOB, max_fee=2 * GWEI, max_tip=0, data=b"\1" * 200)
    with pytest.raises((ExecutionFailed, IntrinsicGasTooLow)):
        chain.estimate_gas(poor)
    with pytest.raises(ExecutionFailed, match="gas required exceeds allowance \\(25000\\)"):
        chain.estimate_gas(Call(sender=ALICE, to=LOOPER, gas=25_000))


# Access lists


def test_what_a_call_touches(chain: Chain) -> None:
    found = chain.access_list(TRANSFER)
    slots = tuple(sorted((balance_slot(ALICE), balance_slot(BOB))))
    assert found.access_list == ((TOKEN, slots),)
    assert found.reason is None
    assert found.gas_used == chain.call(TRANSFER).gas_used + 2_400 + 2 * 1_900


def test_other_accounts_are_listed_without_slots(chain: Chain) -> None:
    inner = Address.from_int(0xEEE)
    chain.set_code(NOBODY, PASSES_ON)
    chain.set_code(inner, SPENDS)
    assert chain.access_list(Call(sender=ALICE, to=NOBODY)).access_list == ((inner, ()),)


def test_what_a_failed_call_touches(chain: Chain) -> None:
    found = chain.access_list(Call(sender=ALICE, to=REVERTER))
    assert (found.access_list, found.reason) == ((), "execution reverted: boo!")


# Time


def test_a_call_is_stopped(chain: Chain) -> None:
    with pytest.raises(CallAborted, match="aborted by the node"):
        chain.call(Call(to=LOOPER, gas=30_000_000), timeout=0.05)
    with pytest.raises(CallAborted):
        chain.estimate_gas(Call(to=LOOPER), timeout=0.05)
    assert tokens(chain, ALICE) == 1_000_000
    assert chain.call(balance_call(ALICE), timeout=30).reason is None


CALLS_ENDLESSLY = wat(
    """(module
      (import "ethereum" "call" (func $call (param i64 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 12) "\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\00\\01\\00")
      (func (export "main")
        (loop $again
          (drop (call $call (i64.const 100000000) (i32.const 12) (i32.const 64) (i32.const 0) (i32.const 0)))
          (br $again))))"""
)


def test_nested_calls_are_stopped(chain: Chain) -> None:
    with pytest.raises(CallAborted):
        chain.call(Call(to=NOBODY), overrides={NOBODY: Override(code=CALLS_ENDLESSLY)}, timeout=0.05)


def test_only_the_late_one_is_stopped(new_chain: NewChain) -> None:
    chain = new_chain(engine="compiled")
    ends: list[Any] = []

    def late() -> None:
        try:
            ends.append(chain.call(Call(to=LOOPER), timeout=0.1))
        except CallAborted as error:
            ends.append(error)

    threads = [threading.Thread(target=late) for _ in range(2)]
    for thread in threads:
        thread.start()
    results = [chain.call(balance_call(ALICE), timeout=60).reason for _ in range(50)]
    for thread in threads:
        thread.join()
    assert results == [None] * 50
    assert [type(end) for end in ends] == [CallAborted] * 2


def test_a_limit_does_not_change_a_result(chain: Chain) -> None:
    assert chain.call(TRANSFER, timeout=60) == chain.call(TRANSFER)
    assert chain.estimate_gas(TRANSFER, timeout=60) == chain.estimate_gas(TRANSFER)
