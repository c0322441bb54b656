"""Sending and mining: receipts, roots, order, fees, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evmc import U256, Address, Bytes32, Status
from ewasm.ruleset import HERA, SSVM, Ruleset
from fixtures.deploy import init_code
from node.chain import (
    Block,
    BlockReceipt,
    Call,
    Chain,
    ExecutionFailed,
    Genesis,
    Header,
    LogFilter,
    PoolLimits,
    TransactionRefused,
    UnknownBlock,
    UnusableChain,
    Wallet,
)
from node.chain.block import bloom_of, encode_logs, encode_receipt, index_root
from node.chain.errors import (
    CodeTooBig,
    ContractRefused,
    ExceedsBlockGasLimit,
    FeeTooLow,
    InsufficientFunds,
    IntrinsicGasTooLow,
    MalformedTransaction,
    NonceTooLow,
    NotAuthorised,
    TipAboveFee,
    WrongChainId,
)
from node.chain.fees import base_fee_after
from node.host import create_address
from state import EMPTY_ROOT, Changes, MemoryStore, Store, StoreError, WorldState, keccak256
from tests.helpers import fixture_code
from tests.node.chain.conftest import NewChain
from tests.node.chain.world import (
    ACCOUNTS,
    ALICE,
    BOB,
    CALLER,
    CAROL,
    CHAIN_ID,
    COINBASE,
    COUNTER_INIT,
    DAVE,
    GWEI,
    LOOPER,
    NOBODY,
    REASON,
    REVERTER,
    RICH,
    TOKEN,
    WALLET,
    Clock,
    balance,
    payload,
    signed,
    tokens,
    transact,
    transfer,
    transfer_data,
)
from tests.node.world import word


class Full(MemoryStore):
    """A store whose disk is full for a while."""

    full = False

    def write(self, changes: Changes) -> None:
        """Write, or fail."""
        if self.full:
            raise StoreError("cannot be written: the disk is full")
        super().write(changes)


def consistent(chain: Chain, block: Block) -> None:
    """Hold a block against everything that its header promises, from the parent on."""
    header = block.header
    receipts = chain.receipts(block.number)
    parent = chain.header(block.number - 1)
    assert header.parent_hash == parent.hash == chain.block_hash(block.number - 1)
    assert header.timestamp > parent.timestamp
    assert header.transactions_root == index_root(tx.raw for tx in block.transactions)
    logs = [log for receipt in receipts for log in receipt.logs]
    encoded, used = [], 0
    for index, receipt in enumerate(receipts):
        used += receipt.gas_used
        assert (receipt.index, receipt.cumulative_gas_used) == (index, used)
        assert receipt.transaction == block.transactions[index]
        assert chain.receipt(receipt.transaction.hash) == receipt
        encoded.append(
            encode_receipt(
                receipt.transaction.type, used, receipt.bloom, encode_logs(receipt.logs), succeeded=receipt.succeeded
            )
        )
    assert header.receipts_root == index_root(encoded)
    assert header.bloom == bloom_of(logs)
    assert header.gas_used == used <= header.gas_limit
    placed = [log for receipt in receipts for log in receipt.placed_logs]
    assert [each.index for each in placed] == list(range(len(logs)))
    assert chain.logs(LogFilter(), block.number, block.number) == placed
    assert chain.block(header.hash) == block


# Genesis


def test_the_first_block(chain: Chain, clock: Clock) -> None:
    first = chain.block("earliest")
    assert first == chain.block() == chain.block(0)
    assert first.header == Header(
        state_root=WorldState.genesis(chain.database, ACCOUNTS).root,
        timestamp=int(clock.now),
        gas_limit=30_000_000,
        base_fee=GWEI,
    )
    assert first.header.transactions_root == first.header.receipts_root == EMPTY_ROOT
    assert (chain.chain_id, chain.receipts(0)) == (CHAIN_ID, ())


def test_the_usual_accounts() -> None:
    chain = Chain()
    # The accounts of Anvil and Hardhat.
    assert [str(address) for address in chain.wallet.addresses[:2]] == [
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    ]
    assert len(chain.wallet.addresses) == 10
    assert all(balance(chain, address) == 10_000 * 10**18 for address in chain.wallet.addresses)


@pytest.mark.parametrize("ruleset", [HERA, SSVM], ids=lambda ruleset: ruleset.name)
def test_free_instructions_are_refused(ruleset: Ruleset) -> None:
    with pytest.raises(UnusableChain, match=ruleset.name):
        Chain(wallet=Wallet(WALLET), ruleset=ruleset)


# Automine


def test_the_receipt_is_there_when_the_hash_is(chain: Chain) -> None:
    tx = signed(chain, value=U256(5))
    assert chain.send(tx.raw) == tx.hash
    receipt = chain.receipt(tx.hash)
    assert receipt is not None
    assert (receipt.status, receipt.gas_used, receipt.logs, receipt.contract) == (Status.SUCCESS, 21_000, (), None)
    assert (chain.head.number, balance(chain, NOBODY)) == (1, 5)
    found = chain.transaction(tx.hash)
    assert found is not None
    assert (found.transaction, found.block_hash, found.block_number, found.index) == (tx, chain.head.hash, 1, 0)
    consistent(chain, chain.block())


def test_fees_are_parted(chain: Chain) -> None:
    chain.set_coinbase(COINBASE)
    fee = chain.next_base_fee()
    receipt = transact(chain, to=NOBODY, max_fee=100 * GWEI, max_tip=2 * GWEI, gas=50_000)
    assert receipt.effective_gas_price == fee + 2 * GWEI
    assert balance(chain, COINBASE) == 21_000 * 2 * GWEI
    assert balance(chain, ALICE) == RICH - 21_000 * (fee + 2 * GWEI)


def test_a_legacy_price_is_paid_whole(chain: Chain) -> None:
    chain.set_coinbase(COINBASE)
    fee = chain.next_base_fee()
    receipt = transact(chain, to=NOBODY, gas_price=10 * GWEI)
    assert (receipt.transaction.type, receipt.effective_gas_price) == (0, 10 * GWEI)
    assert balance(chain, COINBASE) == 21_000 * (10 * GWEI - fee)


def test_access_lists_cost_and_give_nothing(chain: Chain) -> None:
    listed = ((TOKEN, (word(1), word(2))), (CALLER, ()))
    receipt = transact(chain, to=NOBODY, access_list=listed)
    assert receipt.gas_used == 21_000 + 2 * 2_400 + 2 * 1_900
    assert receipt.transaction.access_list == listed
    assert transact(chain, to=NOBODY, access_list=listed, gas_price=10 * GWEI).transaction.type == 1


def test_a_deployment(chain: Chain) -> None:
    receipt = transact(chain, data=COUNTER_INIT)
    address = create_address(ALICE, 0)
    assert (receipt.succeeded, receipt.contract, receipt.output) == (True, address, b"")
    account = chain.state().account(address)
    assert account is not None
    assert chain.state().code(account.code_hash) == fixture_code("counter")
    consistent(chain, chain.block())


def test_an_event(chain: Chain) -> None:
    receipt = transfer(chain, BOB, 7)
    (log,) = receipt.placed_logs
    assert log.log.address == TOKEN
    assert log.log.topics == (
        keccak256(b"Transfer(address,address,uint256)"),
        Bytes32(bytes(12) + ALICE),
        Bytes32(bytes(12) + BOB),
    )
    assert (tokens(chain, BOB), tokens(chain, BOB, 0)) == (7, 0)
    consistent(chain, chain.block())


@pytest.mark.parametrize(
    ("to", "status", "output"), [(REVERTER, Status.REVERT, REASON), (LOOPER, Status.OUT_OF_GAS, b"")]
)
def test_a_failure_is_kept(chain: Chain, to: Address, status: Status, output: bytes) -> None:
    receipt = transact(chain, to=to, gas=25_000, value=U256(3))
    assert (receipt.succeeded, receipt.status, receipt.output) == (False, status, output)
    assert (receipt.gas_used == 25_000) is (status is Status.OUT_OF_GAS)
    assert (chain.nonce(ALICE), balance(chain, to)) == (1, 0)
    consistent(chain, chain.block())


def test_an_estimate_that_fails_says_why(chain: Chain) -> None:
    with pytest.raises(ExecutionFailed, match=r"^execution reverted: boo!$") as caught:
        chain.send_from(Call(sender=ALICE, to=REVERTER))
    assert (caught.value.code, caught.value.result.output) == (3, REASON)
    assert chain.head.number == 0


def test_a_gap_waits_and_is_mined_in_one_block(chain: Chain) -> None:
    later = [signed(chain, nonce=nonce) for nonce in (2, 1)]
    for tx in later:
        chain.submit(tx)
        assert chain.receipt(tx.hash) is None
        found = chain.transaction(tx.hash)
        assert found is not None
        assert found.block_hash is None
    assert (chain.nonce(ALICE, "pending"), chain.pool().queued.keys()) == (0, {ALICE})
    first = signed(chain, nonce=0)
    chain.submit(first)
    assert chain.block().transactions == (first, later[1], later[0])
    consistent(chain, chain.block())


# Manual mining


def test_a_block_by_hand(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    low, high, mine = (signed(chain, sender, max_tip=tip * GWEI) for sender, tip in ((ALICE, 1), (BOB, 5), (CAROL, 3)))
    for tx in (low, high, mine):
        chain.submit(tx)
    assert (chain.head.number, chain.nonce(ALICE), chain.nonce(ALICE, "pending")) == (0, 0, 1)
    assert {tx.hash for waiting in chain.pool().pending.values() for tx in waiting.values()} == {
        low.hash,
        high.hash,
        mine.hash,
    }
    block = chain.mine()
    assert block.transactions == (high, mine, low)
    assert chain.pool().pending == {}
    consistent(chain, block)


def test_a_full_block_leaves_the_rest(new_chain: NewChain) -> None:
    chain = new_chain(automine=False, genesis=Genesis(accounts=ACCOUNTS, gas_limit=50_000))
    for nonce in range(3):
        chain.submit(signed(chain, nonce=nonce))
    assert [len(chain.mine().transactions) for _ in range(3)] == [2, 1, 0]
    for number in (1, 2, 3):
        consistent(chain, chain.block(number))


def test_the_pending_block_is_the_next(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    transfer_ = signed(chain, to=TOKEN, gas_limit=200_000, data=transfer_data(BOB, 9))
    chain.submit(transfer_)
    pending, receipts = chain.block("pending"), chain.receipts("pending")
    assert (pending.number, pending.transactions, len(receipts[0].logs)) == (1, (transfer_,), 1)
    assert (tokens(chain, BOB, "pending"), tokens(chain, BOB)) == (9, 0)
    assert balance(chain, ALICE, "pending") < balance(chain, ALICE)
    assert chain.mine() == pending
    assert chain.receipts() == receipts


def test_one_sender_cannot_spend_twice(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    first, second = (signed(chain, nonce=nonce, value=U256(RICH // 2)) for nonce in (0, 1))
    chain.submit(first)
    chain.submit(second)
    assert chain.mine().transactions == (first,)
    assert chain.transaction(second.hash) is None
    assert chain.pool().pending == chain.pool().queued == {}


def test_a_cheap_one_waits_for_the_fee_to_fall(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    cheap = signed(chain, max_fee=GWEI // 2, max_tip=0)
    chain.submit(cheap)
    before = chain.head
    block = chain.mine(10)
    assert block.number == 10
    mined = chain.transaction(cheap.hash)
    assert mined is not None
    assert mined.block_number is not None
    fee = GWEI
    for number in range(1, 11):
        fee = base_fee_after(fee, chain.header(number - 1).gas_used, before.gas_limit)
        assert chain.header(number).base_fee == fee
        consistent(chain, chain.block(number))
    assert chain.header(mined.block_number).base_fee <= GWEI // 2 < chain.header(mined.block_number - 1).base_fee


def test_many_empty_blocks(chain: Chain) -> None:
    last = chain.mine(600, 12)
    assert last == chain.block(600)
    assert last.header.timestamp == chain.header(1).timestamp + 599 * 12
    for number in (1, 2, 256, 257, 600):
        consistent(chain, chain.block(number))
    assert chain.head.state_root == chain.header(0).state_root


def test_automine_switched_on_mines_what_waits(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    tx = signed(chain)
    chain.submit(tx)
    chain.set_automine(True)
    assert chain.block().transactions == (tx,)


def test_dropping(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    first, second = signed(chain, nonce=0), signed(chain, nonce=1)
    chain.submit(first)
    chain.submit(second)
    assert (chain.drop(first.hash), chain.drop(first.hash)) == (True, False)
    assert chain.pool().queued == {ALICE: {1: second}}
    chain.drop_all()
    assert chain.transaction(second.hash) is None


# What a block shows contracts


def test_block_hashes_are_those_of_the_chain(chain: Chain) -> None:
    chain.mine(300)
    site = chain.site()
    assert site.block_hash(299) == chain.header(299).hash
    assert site.block_hash(301) is None


def test_the_context(chain: Chain) -> None:
    chain.set_coinbase(COINBASE)
    chain.set_gas_limit(20_000_000)
    chain.mine()
    context = chain.context()
    head = chain.head
    assert (context.coinbase, context.number, context.timestamp, context.gas_limit, context.chain_id) == (
        COINBASE,
        1,
        head.timestamp,
        20_000_000,
        CHAIN_ID,
    )
    assert context.difficulty == 0
    assert chain.context("pending").number == 2


# Refusals: the words are what web3.py, ethers and viem look for.


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"chain_id": 1}, WrongChainId, "invalid chain id for signer: have 1 want 31337"),
        ({"max_fee": GWEI, "max_tip": 2 * GWEI}, TipAboveFee, "max priority fee per gas higher than max fee per gas"),
        ({"gas_limit": 30_000_001}, ExceedsBlockGasLimit, "exceeds block gas limit"),
        ({"gas_limit": 20_999}, IntrinsicGasTooLow, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"value": RICH}, InsufficientFunds, "insufficient funds for gas \\* price \\+ value"),
        ({"max_fee": 1, "max_tip": 1}, FeeTooLow, "max fee per gas less than block base fee"),
        ({"nonce": 2**64 - 1}, TransactionRefused, "nonce has max value"),
        ({"to": None, "data": b"\x60\x80\x60\x40", "gas_limit": 10**6}, ContractRefused, "no preamble"),
        ({"to": None, "data": b"\0asm\1\0\0\0", "gas_limit": 10**6}, ContractRefused, "contract refused"),
        ({"to": None, "data": bytes(262_145), "gas_limit": 3 * 10**7}, CodeTooBig, "max initcode size exceeded"),
    ],
)
def test_a_refusal_changes_nothing(
    chain: Chain, fields: dict[str, Any], error: type[TransactionRefused], words: str
) -> None:
    tx = signed(chain, **{"nonce": 0, **fields})
    with pytest.raises(error, match=words):
        chain.send(tx.raw)
    assert (chain.head.number, chain.transaction(tx.hash), chain.pool().pending) == (0, None, {})
    assert transact(chain, to=NOBODY).succeeded


def test_a_used_nonce_is_refused(chain: Chain) -> None:
    tx = signed(chain)
    chain.submit(tx)
    with pytest.raises(NonceTooLow, match="nonce too low: next nonce 1, tx nonce 0"):
        chain.submit(tx)


def test_too_many_bytes_are_refused(chain: Chain) -> None:
    with pytest.raises(MalformedTransaction, match="oversized data"):
        chain.send(bytes(2_000_000))


def test_the_pool_is_bounded(new_chain: NewChain) -> None:
    chain = new_chain(automine=False, limits=PoolLimits(sender=3, total=4))
    for nonce in range(3):
        chain.submit(signed(chain, nonce=nonce))
    with pytest.raises(TransactionRefused, match="account limit exceeded"):
        chain.submit(signed(chain, nonce=3))
    chain.submit(signed(chain, BOB))
    with pytest.raises(TransactionRefused, match="txpool is full"):
        chain.submit(signed(chain, CAROL))


@pytest.mark.parametrize("tag", [1, -1, Bytes32(bytes(32))])
def test_a_block_that_is_not_there(chain: Chain, tag: Any) -> None:
    for ask in (chain.header, chain.block, chain.state, chain.receipts, chain.context):
        with pytest.raises(UnknownBlock, match="unknown block"):
            ask(tag)


def test_what_is_not_there(chain: Chain) -> None:
    assert chain.transaction(word(1)) is None
    assert chain.receipt(word(1)) is None
    assert chain.block_hash(1) is None
    assert chain.block_hash(-1) is None


# Sending for others


def test_an_impersonated_sender(chain: Chain) -> None:
    with pytest.raises(NotAuthorised, match="unknown account"):
        chain.send_from(Call(sender=CALLER, to=NOBODY))
    chain.impersonate(CALLER)
    chain.set_balance(CALLER, RICH)
    receipt = transact(chain, CALLER, to=NOBODY, value=U256(3))
    assert (receipt.transaction.sender, receipt.transaction.is_impersonated) == (CALLER, True)
    assert chain.receipts()[0].transaction.sender == CALLER
    chain.stop_impersonating(CALLER)
    with pytest.raises(NotAuthorised):
        chain.send_from(Call(sender=CALLER, to=NOBODY))
    chain.set_auto_impersonate(True)
    assert transact(chain, CALLER, to=NOBODY).succeeded
    consistent(chain, chain.block())


def test_nobody_impersonates_over_the_wire(chain: Chain) -> None:
    from node.chain import SignedTransaction

    chain.impersonate(BOB)
    forged = SignedTransaction.impersonated(payload(), BOB)
    with pytest.raises(TransactionRefused):
        chain.send(forged.raw)
    with pytest.raises(NotAuthorised):
        chain.submit(SignedTransaction.impersonated(payload(), ALICE))


def test_what_a_client_leaves_out_is_filled(chain: Chain) -> None:
    filled = chain.fill(Call(sender=ALICE, to=NOBODY))
    assert (filled.type, filled.chain_id, filled.nonce, filled.gas_limit) == (2, CHAIN_ID, 0, 21_000)
    assert filled.max_fee >= 2 * chain.next_base_fee()
    given = Call(
        sender=ALICE, to=NOBODY, gas=50_000, max_fee=7 * GWEI, max_tip=GWEI, nonce=4, value=U256(1), data=b"\1"
    )
    filled = chain.fill(given)
    assert filled == payload(
        gas_limit=50_000, max_fee=7 * GWEI, max_tip=GWEI, nonce=4, value=U256(1), data=b"\1", to=NOBODY
    )
    with pytest.raises(WrongChainId):
        chain.fill(replace(given, chain_id=5))


def test_a_sender_without_funds(chain: Chain) -> None:
    with pytest.raises(InsufficientFunds):
        chain.send_from(Call(sender=DAVE, to=NOBODY, value=U256(1)))


# Listeners


def test_listeners_hear_when_it_can_be_read(chain: Chain) -> None:
    heard: list[Any] = []

    def on_block(block: Block, receipts: tuple[BlockReceipt, ...]) -> None:
        assert chain.head.number >= block.number
        assert chain.receipts(block.hash) == receipts
        heard.append(block.number)

    end = chain.events.on_block(on_block)
    chain.events.on_pending(lambda tx: heard.append(tx.hash))
    tx = signed(chain)
    chain.submit(tx)
    chain.mine(2)
    end()
    chain.mine()
    assert heard == [tx.hash, 1, 2, 3]


def test_a_listener_that_fails_changes_nothing(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no")

    chain.events.on_block(fail)
    assert transact(chain, to=NOBODY).succeeded
    assert "a listener of the chain failed" in caplog.text


# A creation whose code is refused only when it is returned


def test_returned_code_that_is_refused_fails_in_the_block(chain: Chain) -> None:
    receipt = transact(chain, data=init_code(b"\0asm\1\0\0\0"), gas=3_000_000)
    assert receipt.status is Status.CONTRACT_VALIDATION_FAILURE
    assert chain.state().account(create_address(ALICE, 0)) is None


def test_both_stores_make_the_same_chain(new_chain: NewChain, new_store: Any) -> None:
    chain = new_chain(new_store())
    transact(chain, data=COUNTER_INIT)
    transfer(chain, BOB, 5)
    transact(chain, to=REVERTER, gas=100_000)
    other: Store = chain.database.store
    memory = new_chain()
    transact(memory, data=COUNTER_INIT)
    transfer(memory, BOB, 5)
    transact(memory, to=REVERTER, gas=100_000)
    assert other is not memory.database.store
    assert chain.head == memory.head
    for number in (1, 2, 3):
        consistent(chain, chain.block(number))


def test_what_cannot_be_written_was_not_taken(new_chain: NewChain) -> None:
    """The client is told of an error, so nothing may come of its transaction later."""
    store = Full()
    chain = new_chain(store)
    transfer(chain)
    chain.set_automine(False)
    waiting = chain.submit(signed(chain, BOB, max_fee=2 * GWEI))
    chain._automine = True
    root, head = chain.state().root, chain.head
    store.full = True
    refused = signed(chain), signed(chain, BOB, nonce=0, max_fee=100 * GWEI, max_tip=2 * GWEI)
    for tx in refused:
        with pytest.raises(StoreError, match="the disk is full"):
            chain.submit(tx)
        assert (chain.head, chain.state().root, chain.transaction(tx.hash)) == (head, root, None)
    store.full = False
    assert [tx.hash for tx in chain._pool.transactions()] == [waiting], "the one whose place was taken waits again"
    consistent(chain, chain.mine())
    receipt = chain.receipt(chain.submit(refused[0]))
    assert receipt is not None
    assert receipt.succeeded
    consistent(chain, chain.block())
