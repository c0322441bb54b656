"""Mined blocks executed again: their witnesses, checked by nothing but the file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evmc import U256, Address, Bytes32, Status, TxContext
from ewasm.ruleset import EWASM
from ewasm.vm import EwasmVM, make_engine
from node.chain import Chain, ChainError, SignedTransaction, UnknownBlock
from node.chain.building import Opened
from node.chain.replay import block_witness, replay
from node.chain.signed import ACCESS_LIST, DYNAMIC_FEE, LEGACY
from node.host import BlockHash
from node.transaction import Transaction
from node.witness import Witness, verify
from node.witnessfile import dump, parse
from state import Journal
from tests.helpers import wat
from tests.node.chain.conftest import NewChain
from tests.node.chain.world import (
    ALICE,
    BOB,
    CAROL,
    COINBASE,
    COUNTER_INIT,
    GWEI,
    LOOPER,
    NOBODY,
    REVERTER,
    TOKEN,
    signed,
    transact,
    transfer,
    transfer_data,
)
from tests.node.test_cli_witness import other
from wasm.engine import Engine

ANCESTORS = wat(
    """(module
      (import "ethereum" "getBlockHash" (func $hash (param i64 i32) (result i32)))
      (import "ethereum" "storageStore" (func $store (param i32 i32)))
      (memory (export "memory") 1)
      (func (export "main")
        (drop (call $hash (i64.const 1) (i32.const 32)))
        (drop (call $hash (i64.const 999) (i32.const 64)))
        (call $store (i32.const 0) (i32.const 32))))"""
)
"""Stores the hash of block 1, and asks for that of a block to come."""


def many(chain: Chain) -> list[SignedTransaction]:
    """Have one block made of transactions of all types, some of which fail; return them in its order."""
    chain.set_automine(False)
    chain.set_coinbase(COINBASE)
    listed = ((TOKEN, (Bytes32.from_int(1), Bytes32.from_int(2))), (NOBODY, ()))
    gas = {"gas_limit": 200_000}
    for sender, fields in (
        (ALICE, {"type": LEGACY, "to": TOKEN, "data": transfer_data(BOB, 7), "max_tip": 100 * GWEI}),
        (ALICE, {"type": DYNAMIC_FEE, "to": None, "data": COUNTER_INIT, "gas_limit": 2_000_000}),
        (ALICE, {"type": DYNAMIC_FEE, "to": REVERTER, "max_tip": 5 * GWEI}),
        (BOB, {"type": ACCESS_LIST, "to": TOKEN, "data": transfer_data(CAROL, 2), "access_list": listed}),
        (BOB, {"type": DYNAMIC_FEE, "to": LOOPER, "gas_limit": 21_010, "max_fee": 20 * GWEI, "max_tip": 3 * GWEI}),
        (CAROL, {"type": DYNAMIC_FEE, "value": U256(5)}),
    ):
        price = {} if fields["type"] == DYNAMIC_FEE else {"max_fee": 100 * GWEI, "max_tip": 100 * GWEI}
        chain.submit(signed(chain, sender, **{**gas, **price, **fields}))
    return list(chain.mine().transactions)


def confirmed(chain: Chain, engine: Engine, witness: Witness) -> None:
    """Hold a witness against the chain, and have both engines confirm what a file of it holds."""
    block = chain.block(witness.block.number)
    assert (witness.root, witness.claim.root) == (chain.header(block.number - 1).state_root, block.header.state_root)
    for outcome, receipt in zip(witness.claim.outcomes, chain.receipts(block.number), strict=True):
        assert (outcome.status, outcome.gas_used, outcome.contract) == (
            receipt.status,
            receipt.gas_used,
            receipt.contract,
        )
        assert outcome.logs == receipt.logs
    read = parse(dump(witness))
    assert read == witness
    for name in (engine.name, other(engine)):
        assert verify(read, EwasmVM(EWASM, make_engine(name))).differences == ()


def test_a_block_of_every_kind(chain: Chain, engine: Engine) -> None:
    sent = many(chain)
    assert len(sent) == 6
    assert {tx.type for tx in sent} == {LEGACY, ACCESS_LIST, DYNAMIC_FEE}
    statuses = [receipt.status for receipt in chain.receipts()]
    assert sorted(set(statuses)) == [Status.SUCCESS, Status.REVERT, Status.OUT_OF_GAS]
    witness = block_witness(chain, 1)
    confirmed(chain, engine, witness)
    assert any(outcome.contract for outcome in witness.claim.outcomes)
    for name in (chain.head.hash, sent[3].hash, "latest"):
        assert block_witness(chain, name) == witness
    chain.set_automine(True)
    transfer(chain)
    chain.mine()
    assert block_witness(chain, 1) == witness, "what comes later changes nothing"


def test_every_part_of_a_price_counts(chain: Chain) -> None:
    """A file in which any of them is another is refuted: coins go elsewhere, or cannot be paid."""
    many(chain)
    witness = parse(dump(block_witness(chain, 1)))
    (at,) = (number for number, step in enumerate(witness.steps) if isinstance(step, Transaction) and step.access_list)
    step = witness.steps[at]
    assert isinstance(step, Transaction)
    vm = EwasmVM(EWASM)
    for changed, said in (
        (replace(step, tip=U256(1)), "root after"),
        (replace(step, gas_price=U256(step.gas_price - 1), tip=U256(1)), "root after"),
        (replace(step, access_list=()), "gas used: "),
        (replace(step, max_price=U256(10**30)), "gas and value need"),
        (replace(step, max_price=U256(step.gas_price - 1)), "impossible"),
        (replace(step, tip=U256(step.gas_price + 1)), "impossible"),
    ):
        steps = (*witness.steps[:at], changed, *witness.steps[at + 1 :])
        verdict = verify(replace(witness, steps=steps), vm)
        assert any(said in difference for difference in verdict.differences), (said, verdict)


def test_hashes_of_ancestors_come_along(chain: Chain, engine: Engine) -> None:
    place = Address.from_int(0xAAA)
    chain.set_code(place, ANCESTORS)
    chain.mine(2)
    transact(chain, to=place)
    chain.mine(3)
    witness = block_witness(chain, 3)
    assert witness.block_hashes == {1: chain.header(1).hash}
    confirmed(chain, engine, witness)
    verdict = verify(replace(witness, block_hashes={1: Bytes32.from_int(1)}), EwasmVM(EWASM))
    assert verdict.differences[0].startswith("root after: ")


def test_a_state_set_by_hand_is_where_it_begins(chain: Chain) -> None:
    chain.set_balance(NOBODY, U256(99))
    before = chain.state().root
    assert before != chain.head.state_root
    transfer(chain)
    witness = block_witness(chain, 1)
    assert (witness.root, witness.claim.root) == (before, chain.head.state_root)
    assert verify(parse(dump(witness)), EwasmVM(EWASM)).confirmed


def test_an_empty_block_has_an_empty_witness(chain: Chain) -> None:
    chain.mine()
    witness = block_witness(chain, "latest")
    assert (witness.steps, witness.nodes, witness.codes) == ((), {}, {})
    assert verify(parse(dump(witness)), EwasmVM(EWASM)).confirmed


def test_what_has_no_witness(chain: Chain) -> None:
    chain.set_automine(False)
    waiting = chain.submit(signed(chain))
    for name, words in ((0, "not executed"), ("pending", "not made yet"), (waiting, "waits for its block")):
        with pytest.raises(ChainError, match=words):
            block_witness(chain, name)
    for name in (7, Bytes32(bytes(32))):
        with pytest.raises(UnknownBlock):
            block_witness(chain, name)
    for name in (waiting, Bytes32(bytes(32))):
        with pytest.raises(ChainError, match="transaction not found"):
            replay(chain, name)


def test_a_block_that_did_more_than_its_transactions_is_refused(new_chain: NewChain) -> None:
    chain = new_chain()

    def opening(journal: Journal, _context: TxContext, _hashes: BlockHash) -> Opened:
        journal.add_balance(NOBODY, 5)
        journal.finish()
        return Opened(b"more", b"row")

    chain.open_blocks_with(opening)
    sent = signed(chain)
    chain.submit(sent)
    with pytest.raises(ChainError, match="block 1 began with extrinsics"):
        block_witness(chain, 1)
    with pytest.raises(ChainError, match="block 1 began with extrinsics"):
        replay(chain, sent.hash)


def test_a_file_is_json_alone(chain: Chain) -> None:
    many(chain)
    assert json.loads(dump(block_witness(chain, 1)))["version"] == 2
