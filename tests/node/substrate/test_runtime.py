"""Extrinsics of the pallet: each defect of pallet-ssvm, fees and weight, the account side, typed errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode as abi_encode

from evmc import MAX_DEPTH, U256, ZERO_BYTES32, Address, Status
from ewasm.ruleset import EWASM
from fixtures.deploy import init_code
from node.defaults import COIN
from node.host import create2_address, create_address
from node.substrate import validity
from node.substrate.accounts import MAX_BALANCE, Accounts, Native
from node.substrate.extrinsic import sign, unsigned
from node.substrate.keys import keypair
from node.substrate.pallets import ERROR_NAMES
from node.substrate.pallets import EWASM as PALLET
from node.substrate.runtime import failure
from node.substrate.settings import BASE_WEIGHT, WEIGHT_PER_GAS, Settings, gas_of, weight_of
from node.substrate.validity import ExtrinsicRefused
from state import GenesisAccount
from tests.helpers import fixture_code
from tests.node.substrate.chain import ALICE, ALICE_20, AROUND, BOB, BOB_20, COINBASE, GAS, Pallet, error, event, named
from tests.node.world import ALL_GAS, CALLER, NOTHING, ONE, TWO, A, B, C, call, contract, finisher, word
from wasm.engine import Engine

WRITE = call("set(bytes32,bytes32)", ONE, word(5))


@pytest.fixture
def pallet(engine: Engine) -> Pallet:
    """Three contracts that do what they are told; Alice has coins on the contract side."""
    return Pallet(
        engine,
        {
            ALICE_20: GenesisAccount(balance=U256(1_000)),
            A: contract(CALLER, balance=U256(100)),
            B: contract(CALLER, balance=U256(50)),
            C: contract(CALLER),
        },
    )


def slot(pallet: Pallet, address: Address, key: int = 1) -> int:
    return int.from_bytes(pallet.journal.get_storage(address, word(key)))


# Defect: value was never transferred nor the balance checked


def test_value_is_transferred(pallet: Pallet) -> None:
    done = pallet.call(A, value=300)
    assert error(done) is None
    assert (pallet.journal.balance(ALICE_20), pallet.journal.balance(A)) == (700, 400)


def test_value_that_is_not_there(pallet: Pallet) -> None:
    done = pallet.call(A, WRITE, value=1_001)
    assert (error(done), named(done)) == ("BalanceLow", ["ExecutedFailed"])
    assert (pallet.journal.balance(ALICE_20), pallet.journal.balance(A), slot(pallet, A)) == (1_000, 100, 0)
    assert event(done, "ExecutedFailed")["gas_used"] == 0
    assert error(pallet.create(NOTHING, value=1_001)) == "BalanceLow"


# Defect: failed and reverted calls were reported as if they had succeeded


def test_a_reverted_call_is_an_error_and_undone(pallet: Pallet) -> None:
    done = pallet.call(A, call("setAndRevert(bytes32,bytes32)", ONE, word(6)), value=5)
    assert (error(done), named(done)) == ("Reverted", ["ExecutedFailed"])
    failed = event(done, "ExecutedFailed")
    assert (failed["address"], failed["output"]) == (A, word(6))
    assert 0 < failed["gas_used"] < GAS
    assert (slot(pallet, A), pallet.journal.balance(A)) == (0, 100)


def test_a_failed_call_takes_all_gas(pallet: Pallet) -> None:
    done = pallet.call(A, call("fail()"), gas=100_000)
    assert error(done) == "Unreachable"
    assert event(done, "ExecutedFailed") == {"address": A, "output": b"", "gas_used": 100_000}


def test_a_call_that_runs_out_of_gas(pallet: Pallet) -> None:
    done = pallet.call(A, WRITE, gas=5_000)
    assert (error(done), slot(pallet, A)) == ("OutOfGas", 0)


def test_a_successful_call_tells_what_it_gave(pallet: Pallet) -> None:
    assert error(pallet.call(A, WRITE)) is None
    done = pallet.call(A, call("get(bytes32)", ONE))
    assert (error(done), named(done)) == (None, ["Executed"])
    executed = event(done, "Executed")
    assert (executed["address"], executed["output"]) == (A, word(5))


# Defect: a failed creation stored its output as code


def test_a_creation_stores_what_it_returns(pallet: Pallet) -> None:
    address = create_address(ALICE_20, 0)
    done = pallet.create(init_code(CALLER), value=20)
    assert (error(done), named(done)) == (None, ["Created"])
    assert event(done, "Created")["address"] == address
    assert (pallet.journal.code(address), pallet.journal.balance(address)) == (CALLER, 20)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (fixture_code("hostile/float_add"), "InvalidContract"),
        (b"\x60\x00", "Failed"),
        (init_code(fixture_code("hostile/float_add")), "InvalidContract"),
    ],
    ids=["refused", "no wasm", "refused output"],
)
def test_a_failed_creation_stores_nothing(pallet: Pallet, code: bytes, expected: str) -> None:
    address = create_address(ALICE_20, 0)
    done = pallet.create(code, value=20)
    assert (error(done), named(done)) == (expected, ["CreatedFailed"])
    assert event(done, "CreatedFailed")["address"] == address
    assert not pallet.journal.exists(address)
    assert (pallet.journal.balance(ALICE_20), pallet.journal.nonce(ALICE_20)) == (1_000, 1)


def test_a_creation_that_reverts_stores_nothing(pallet: Pallet) -> None:
    """What a revert returns is in the event, and no code."""
    done = pallet.create(finisher(4, b"oops", end="revert"))
    assert (error(done), named(done)) == ("Reverted", ["CreatedFailed"])
    assert event(done, "CreatedFailed")["output"] == b"oops"
    assert not pallet.journal.exists(create_address(ALICE_20, 0))


def test_a_creation_at_an_address_that_is_taken(engine: Engine) -> None:
    pallet = Pallet(engine, {create_address(ALICE_20, 0): contract(CALLER)})
    assert error(pallet.create(NOTHING)) == "Failed"


def test_a_creation_with_a_salt(pallet: Pallet) -> None:
    address = create2_address(ALICE_20, TWO, NOTHING)
    arguments = {"code": NOTHING, "salt": TWO, "value": 0, "gas_limit": GAS, "gas_price": 1}
    assert event(pallet.send("Ewasm", "create2", **arguments), "Created")["address"] == address
    assert error(pallet.send("Ewasm", "create2", **arguments)) == "Failed", "it is taken now"


# Defect: an inner revert was not undone, and logs of undone calls stayed


def test_an_inner_revert_is_undone_alone(pallet: Pallet) -> None:
    inner = call("setAndRevert(bytes32,bytes32)", ONE, word(6))
    done = pallet.call(A, call("call(address,uint256,uint256,bytes)", B, 7, ALL_GAS, inner))
    assert error(done) is None
    assert (slot(pallet, B), pallet.journal.balance(A), pallet.journal.balance(B)) == (0, 100, 50)


def test_logs_of_what_was_undone_are_gone(pallet: Pallet) -> None:
    note = call("note(bytes32,bytes)", ONE, b"data")
    kept = pallet.call(A, note)
    assert named(kept) == ["Log", "Executed"]
    assert event(kept, "Log")["log"] == {"address": A, "topics": [ONE], "data": b"data"}
    undone = call("sequence(bytes[])", [note, call("fail()")])
    inner = pallet.call(A, call("call(address,uint256,uint256,bytes)", B, 0, 100, note))
    assert named(inner) == ["Executed"], "the inner message ran out of gas"
    assert named(pallet.call(A, undone)) == ["Log", "Executed"]
    forwarded = call("forward(address,bytes)", A, call("fail()"))
    assert named(pallet.call(B, forwarded)) == ["ExecutedFailed"]


def test_one_extrinsic_sees_nothing_of_what_another_undid(pallet: Pallet) -> None:
    """The original kept its cache in one map of the process."""
    pallet.call(A, call("setAndRevert(bytes32,bytes32)", ONE, word(6)))
    assert event(pallet.call(A, call("get(bytes32)", ONE)), "Executed")["output"] == ZERO_BYTES32


# Defect: static frames and depth were dropped


@pytest.mark.parametrize(
    "change",
    [WRITE, call("note(bytes32,bytes)", ONE, b""), call("kill(address)", C), call("create(uint256,bytes)", 0, NOTHING)],
    ids=["storage", "log", "selfDestruct", "create"],
)
def test_a_static_frame_changes_nothing(pallet: Pallet, change: bytes) -> None:
    done = pallet.call(A, call("callStatic(address,uint256,bytes)", B, 1_000_000, change))
    result = event(done, "Executed")["output"]
    assert int.from_bytes(result[:32]) == 1
    assert (named(done), slot(pallet, B), pallet.journal.balance(B)) == (["Executed"], 0, 50)


def test_depth_is_bounded(engine: Engine) -> None:
    settings = Settings(gas_limit=1 << 60, min_gas_price=0)
    pallet = Pallet(engine, {A: contract(fixture_code("wat/reenter"))}, settings=settings)
    done = pallet.call(A, gas=1 << 59, price=0)
    assert int.from_bytes(event(done, "Executed")["output"], "little") == MAX_DEPTH


# Defect: a nested creation used address 0 and stored no code


def test_a_nested_creation(pallet: Pallet) -> None:
    code = init_code(CALLER)
    done = pallet.call(A, call("create(uint256,bytes)", 9, code))
    created = create_address(A, 1)
    assert event(done, "Executed")["output"][:64] == abi_encode(["uint256", "address"], [0, created])
    assert (pallet.journal.code(created), pallet.journal.balance(created)) == (CALLER, 9)
    assert not pallet.journal.exists(Address(bytes(20)))


# Defect: delegate calls, callCode and create2 executed the call data


def test_a_delegate_call_runs_the_code_of_another(pallet: Pallet) -> None:
    pallet.call(A, call("callDelegate(address,uint256,bytes)", B, ALL_GAS, WRITE))
    assert (slot(pallet, A), slot(pallet, B)) == (5, 0)


def test_call_code_runs_the_code_of_another(pallet: Pallet) -> None:
    pallet.call(
        A, call("callCode(address,uint256,uint256,bytes)", B, 0, ALL_GAS, call("set(bytes32,bytes32)", TWO, ONE))
    )
    assert (slot(pallet, A, 2), slot(pallet, B, 2)) == (1, 0)


def test_nested_create2(pallet: Pallet) -> None:
    done = pallet.call(A, call("create2(uint256,bytes32,bytes)", 0, ONE, NOTHING))
    address = create2_address(A, ONE, NOTHING)
    assert event(done, "Executed")["output"][:64] == abi_encode(["uint256", "address"], [0, address])
    assert pallet.journal.nonce(address) == 1


# Defect: code was not copied, self-destruction did nothing, every account existed


def test_what_contracts_see_of_each_other(engine: Engine) -> None:
    """`every` copies the code of others and asks for accounts; its words are listed in `every.c`."""
    pallet = Pallet(engine, {A: contract(fixture_code("every"))})
    done = pallet.call(A)
    assert error(done) is None
    words = event(done, "Executed")["output"]
    assert pallet.journal.code(A)[:4] in words, "the copied code begins with the preamble"


def test_self_destruction_ends_the_contract(pallet: Pallet) -> None:
    assert error(pallet.call(B, call("kill(address)", C))) is None
    assert not pallet.journal.exists(B)
    assert pallet.journal.balance(C) == 50


def test_an_account_that_is_not_there_costs_more_to_pay(pallet: Pallet) -> None:
    """The price of a new account is asked only where there is none: 25,000."""
    new, old = Address.from_int(0xD1), C

    def used(to: Address) -> int:
        done = pallet.call(A, call("call(address,uint256,uint256,bytes)", to, 1, 0, b""))
        return int(event(done, "Executed")["gas_used"])

    assert used(new) - used(new) == 25_000, "the second time it is there"
    assert used(old) == used(old)


# Defect: gas was cut to 32 bits


def test_gas_above_32_bits(engine: Engine) -> None:
    pallet = Pallet(engine, {A: contract(CALLER)}, settings=Settings(gas_limit=1 << 40))
    done = pallet.call(A, WRITE, gas=(1 << 32) + 5_000)
    assert (error(done), slot(pallet, A)) == (None, 5), "5,000 alone would not do"


# Defect: errors that were never returned, calls from outside


def test_every_end_of_an_execution_is_an_error_of_the_pallet() -> None:
    assert failure(Status.SUCCESS) is None
    names = {each.name for each in PALLET.errors}
    for status in Status:
        if status is not Status.SUCCESS:
            found = failure(status)
            assert found is not None
            assert found[1]["index"] == PALLET.index
    assert names == set(ERROR_NAMES)


def test_errors_before_anything_runs(engine: Engine) -> None:
    bounded = Pallet(engine, {ALICE_20: GenesisAccount()}, ruleset=EWASM.replace(name="small", max_init_code=10))
    assert error(bounded.create(bytes(11))) == "CodeTooLarge"
    assert error(bounded.call(A, price=0)) == "GasPriceTooLow"
    exhausted = Pallet(engine, {ALICE_20: GenesisAccount(nonce=2**64 - 1)})
    assert error(exhausted.call(A)) == "NonceExhausted"
    assert exhausted.journal.nonce(ALICE_20) == 2**64 - 1


def test_the_nonce_rises_with_calls_and_creations(pallet: Pallet) -> None:
    """As in the original: on both sides."""
    pallet.call(A)
    pallet.call(A, call("fail()"), gas=10_000)
    assert (pallet.journal.nonce(ALICE_20), pallet.native().nonce) == (2, 2)
    pallet.send("System", "remark", remark=b"")
    assert (pallet.journal.nonce(ALICE_20), pallet.native().nonce) == (2, 3)


# Moving coins between the sides


def test_deposit_and_withdraw(pallet: Pallet) -> None:
    done = pallet.send("Ewasm", "deposit_balance", value=250)
    assert event(done, "BalanceDeposited") == {"who": ALICE.account, "address": ALICE_20, "value": 250}
    assert pallet.journal.balance(ALICE_20) == 1_250
    done = pallet.send("Ewasm", "withdraw_balance", value=1_250)
    assert event(done, "BalanceWithdrawn")["value"] == 1_250
    assert not pallet.journal.balance(ALICE_20)
    assert error(pallet.send("Ewasm", "withdraw_balance", value=1)) == "BalanceLow"
    assert error(pallet.send("Ewasm", "deposit_balance", value=COIN)) == "BalanceLow", "the fee is gone"


def test_no_coins_are_made_or_lost(pallet: Pallet) -> None:
    before = pallet.supply
    pallet.send("Ewasm", "deposit_balance", value=10_000, tip=7)
    pallet.call(A, WRITE, value=5_000, price=3)
    pallet.call(A, call("fail()"), value=5, gas=50_000)
    pallet.send("Balances", "transfer_allow_death", dest=("Id", BOB.account), value=123)
    pallet.send("Ewasm", "withdraw_balance", value=1_000)
    assert pallet.supply == before
    assert pallet.journal.balance(COINBASE) > 0


def test_more_than_an_account_can_hold_is_not_deposited(engine: Engine) -> None:
    pallet = Pallet(engine, {ALICE_20: GenesisAccount(balance=U256(2**256 - 1))})
    before = pallet.native().free
    done = pallet.send("Ewasm", "deposit_balance", value=5)
    assert done.error == ("Arithmetic", ("Overflow", None))
    assert pallet.journal.balance(ALICE_20) == 2**256 - 1
    paid = event(done, "TransactionFeePaid")["actual_fee"]
    assert pallet.native().free == before - paid


def test_more_than_an_account_can_hold_is_not_withdrawn(engine: Engine) -> None:
    pallet = Pallet(engine, {ALICE_20: GenesisAccount(balance=U256(MAX_BALANCE))})
    assert error(pallet.send("Ewasm", "withdraw_balance", value=MAX_BALANCE)) == "Arithmetic"
    assert pallet.journal.balance(ALICE_20) == MAX_BALANCE


# Balances


def test_a_transfer(pallet: Pallet) -> None:
    new = b"\x07" * 32
    done = pallet.send("Balances", "transfer_keep_alive", dest=("Id", new), value=5)
    assert event(done, "Transfer") == {"from": ALICE.account, "to": new, "amount": 5}
    assert event(done, "NewAccount") == {"account": new}
    assert Accounts(pallet.journal).get(new) == Native(0, 5)
    again = pallet.send("Balances", "transfer_allow_death", dest=("Address32", new), value=5)
    assert [name for _, (name, _) in again.events].count("NewAccount") == 0
    assert (
        error(pallet.send("Balances", "transfer_allow_death", dest=("Id", new), value=2 * COIN))
        == "InsufficientBalance"
    )
    assert error(pallet.send("Balances", "transfer_allow_death", dest=("Raw", b"x"), value=1)) == "CannotLookup"
    itself = pallet.native().free
    done = pallet.send("Balances", "transfer_allow_death", dest=("Id", ALICE.account), value=1_000)
    assert pallet.native().free == itself - event(done, "TransactionFeePaid")["actual_fee"]


def test_only_the_node_sets_the_time(pallet: Pallet) -> None:
    assert error(pallet.send("Timestamp", "set", now=5)) == "BadOrigin"


# Fees and weight


def test_unused_gas_is_paid_back(pallet: Pallet) -> None:
    before = pallet.native().free
    done = pallet.call(A, WRITE, price=99)
    used = event(done, "Executed")["gas_used"]
    settings = pallet.settings
    paid = event(done, "TransactionFeePaid")["actual_fee"]
    withdrawn, unused = event(done, "Withdraw")["amount"], event(done, "Deposit")["amount"]
    assert unused == 99 * (GAS - used)
    assert withdrawn - unused == paid == before - pallet.native().free == pallet.journal.balance(COINBASE)
    assert (paid - settings.base_fee - 99 * used) % settings.byte_fee == 0


def test_clearing_a_slot_is_refunded_within_half(pallet: Pallet) -> None:
    """15,000 for the slot, and what it used is at most halved (Yellow Paper, section 6)."""
    pallet.call(A, WRITE)
    clear = event(pallet.call(A, call("set(bytes32,bytes32)", ONE, ZERO_BYTES32)), "Executed")["gas_used"]
    same = event(pallet.call(A, call("set(bytes32,bytes32)", ONE, ZERO_BYTES32)), "Executed")["gas_used"]
    assert clear == same - same // 2


def test_weight_is_what_was_used(pallet: Pallet) -> None:
    done = pallet.call(A, WRITE)
    used = event(done, "Executed")["gas_used"]
    info = event(done, "ExtrinsicSuccess")["dispatch_info"]
    assert info["weight"]["ref_time"] == BASE_WEIGHT + used * WEIGHT_PER_GAS


@pytest.mark.parametrize("gas", [0, 1, 5_000_000, 1 << 40])
def test_gas_from_weight_and_back(gas: int) -> None:
    assert gas_of(weight_of(gas)) == gas
    assert gas_of(weight_of(gas) - 1) == max(0, gas - 1)


def test_weight_has_64_bits() -> None:
    assert weight_of((1 << 64) - 1) == (1 << 64) - 1
    assert gas_of(0) == 0


def test_a_tip_is_paid(pallet: Pallet) -> None:
    done = pallet.send("System", "remark", remark=b"", tip=1_000)
    paid = event(done, "TransactionFeePaid")
    assert paid["tip"] == 1_000
    assert pallet.journal.balance(COINBASE) == paid["actual_fee"] > 1_000


# What is not taken


def refused(
    pallet: Pallet, call: tuple[str, Any], *, nonce: int = 0, by: Any = ALICE, tip: int = 0, **around: Any
) -> ExtrinsicRefused:
    extrinsic = sign(by, call, nonce, replace(AROUND, **around), tip=tip)
    with pytest.raises(ExtrinsicRefused) as caught:
        pallet.runtime.check(extrinsic, Accounts(pallet.journal), AROUND)
    assert pallet.native() == Native(pallet.native().nonce, pallet.native().free)
    return caught.value


REMARK = ("System", ("remark", {"remark": b""}))


def test_what_is_refused(pallet: Pallet) -> None:
    message = {"target": A, "input": b"", "value": 0, "gas_price": 1}
    assert refused(pallet, REMARK, genesis=b"\1" * 32).detail == validity.BAD_SIGNATURE
    assert refused(pallet, REMARK, spec_version=2).detail == validity.BAD_SIGNATURE
    assert refused(pallet, REMARK, tip=2 * COIN).detail == validity.PAYMENT
    assert refused(pallet, REMARK, by=keypair("//Nobody")).detail == validity.PAYMENT
    heavy = ("Ewasm", ("call", {**message, "gas_limit": 30_000_001}))
    assert refused(pallet, heavy).detail == validity.EXHAUSTS
    dear = ("Ewasm", ("call", {**message, "gas_limit": 30_000_000, "gas_price": 2**255}))
    assert refused(pallet, dear).detail == validity.PAYMENT
    pallet.send("System", "remark", remark=b"")
    stale = refused(pallet, REMARK)
    assert (stale.code, stale.message, stale.detail) == (1010, "Invalid Transaction", "Transaction is outdated")


def test_an_unsigned_extrinsic_and_a_dead_era_are_refused(pallet: Pallet) -> None:
    accounts = Accounts(pallet.journal)
    with pytest.raises(ExtrinsicRefused, match=validity.UNEXPECTED):
        pallet.runtime.check(unsigned(REMARK), accounts, AROUND)
    with pytest.raises(ExtrinsicRefused, match=validity.ANCIENT):
        pallet.runtime.check(sign(ALICE, REMARK, 0, AROUND), accounts, None)


def test_an_extrinsic_that_cannot_pay_any_more_changes_nothing(pallet: Pallet) -> None:
    extrinsic = sign(ALICE, REMARK, 0, AROUND)
    signed = pallet.runtime.check(extrinsic, Accounts(pallet.journal), AROUND)
    assert Accounts(pallet.journal).take(ALICE.account, COIN)
    with pytest.raises(ExtrinsicRefused, match="Inability to pay"):
        pallet.runtime.apply(extrinsic, signed, pallet.journal, pallet.block)
    assert pallet.native() == Native(0, 0)


def test_bob_is_not_alice(pallet: Pallet) -> None:
    done = pallet.call(A, call("whoami()"), by=BOB)
    assert event(done, "Executed")["output"] == abi_encode(["address"] * 3 + ["uint256"], [A, BOB_20, BOB_20, 0])
