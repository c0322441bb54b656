"""Going back, changing the state by hand, time, dumps, and opening again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from evmc import U256, Address, Status
from ewasm.ruleset import EWASM
from node.chain import Call, Chain, ChainError, Genesis, Reader, UnknownBlock, UnusableChain, Wallet
from node.host import create_address
from state import GenesisAccount, MemoryStore, Table, WorldState
from state.lmdb import LmdbStore
from tests.helpers import ROOT, fixture_code
from tests.node.chain.conftest import NewChain
from tests.node.chain.world import (
    ACCOUNTS,
    ALICE,
    BOB,
    CALLER,
    CAROL,
    COINBASE,
    COUNTER_INIT,
    GWEI,
    NOBODY,
    TOKEN,
    WALLET,
    Clock,
    balance,
    balance_slot,
    signed,
    tokens,
    transact,
    transfer,
    transfer_data,
)
from tests.node.world import call, word


def rows(store: MemoryStore) -> dict[Table, dict[bytes, bytes]]:
    """Return the tables of the chain; nodes, code and preimages may stay behind."""
    tables = [Table.HEADERS, Table.HASHES, Table.BODIES, Table.RECEIPTS, Table.TRANSACTIONS, Table.BLOOMS, Table.ROOTS]
    return {table: dict(store.items(table)) for table in tables}


# Snapshots


def test_a_snapshot_brings_everything_back(new_chain: NewChain) -> None:
    store = MemoryStore()
    chain = new_chain(store)
    transfer(chain, BOB, 1)
    before, head, root = rows(store), chain.head, chain.state().root
    handle = chain.snapshot()
    gone = [transfer(chain, BOB, 1).transaction.hash for _ in range(3)]
    chain.set_balance(NOBODY, U256(7))
    chain.increase_time(1000)
    chain.set_automine(False)
    chain.submit(signed(chain))
    assert chain.revert(handle)
    assert (chain.head, chain.state().root, chain.automine, chain.settings.time_offset) == (head, root, True, 0)
    assert rows(store) == before
    assert (tokens(chain, BOB), balance(chain, NOBODY), chain.pool().pending) == (1, 0, {})
    assert [chain.receipt(each) for each in gone] == [None] * 3
    assert transfer(chain, BOB, 1).block_number == 2


def test_a_handle_is_used_up_with_all_later_ones(chain: Chain) -> None:
    handles = [chain.snapshot() for _ in range(3)]
    assert handles == sorted(set(handles))
    assert chain.revert(handles[1])
    assert not chain.revert(handles[1])
    assert not chain.revert(handles[2])
    assert chain.revert(handles[0])
    later = chain.snapshot()
    assert not chain.revert(handles[2])
    assert chain.revert(later), "a handle that was used up takes no later one with it"
    assert not chain.revert(99)


def test_a_state_set_by_hand_comes_back(chain: Chain) -> None:
    chain.set_balance(NOBODY, U256(5))
    handle = chain.snapshot()
    chain.set_balance(NOBODY, U256(6))
    chain.revert(handle)
    assert balance(chain, NOBODY) == 5


def test_blocks_are_taken_out(chain: Chain) -> None:
    hashes = [transfer(chain, BOB, 1).block_hash for _ in range(3)]
    late = chain.snapshot()
    assert chain.rollback(2).hash == hashes[0]
    assert tokens(chain, BOB) == 1
    with pytest.raises(UnknownBlock):
        chain.block(hashes[1])
    assert not chain.revert(late)
    with pytest.raises(ChainError, match="cannot remove"):
        chain.rollback(2)


def test_a_new_beginning(chain: Chain) -> None:
    first = chain.block(0)
    transfer(chain)
    chain.set_coinbase(COINBASE)
    chain.reset(Genesis(accounts=ACCOUNTS))
    assert (chain.head.number, chain.block(0)) == (0, first)
    assert transfer(chain).block_number == 1
    chain.reset(Genesis(chain_id=5, accounts={BOB: GenesisAccount(balance=U256(10**20))}))
    assert (chain.chain_id, balance(chain, ALICE), balance(chain, BOB)) == (5, 0, 10**20)
    assert transact(chain, BOB, to=NOBODY).transaction.chain_id == 5


def test_what_the_state_before_has_used_up_waits_no_more(chain: Chain) -> None:
    """A dump lowers a nonce, and the block before has it higher."""
    dumped = chain.dump()
    chain.set_nonce(ALICE, 1)
    chain.mine(2)
    chain.load(dumped)
    chain.set_automine(False)
    chain.submit(signed(chain, nonce=0))
    chain.rollback()
    assert chain.nonce(ALICE) == 1
    assert not chain._pool.transactions()


# By hand


def test_the_state_is_set_by_hand(chain: Chain) -> None:
    header = chain.head
    chain.set_balance(NOBODY, U256(3))
    chain.set_nonce(NOBODY, 9)
    chain.set_code(NOBODY, fixture_code("erc20"))
    chain.set_storage(NOBODY, balance_slot(BOB), word(4))
    account = chain.state().account(NOBODY)
    assert account is not None
    assert (account.balance, account.nonce, chain.state().code(account.code_hash)) == (3, 9, fixture_code("erc20"))
    assert chain.state().storage(NOBODY, balance_slot(BOB)) == word(4)
    assert chain.head == header
    expected = {
        **ACCOUNTS,
        NOBODY: GenesisAccount(9, U256(3), fixture_code("erc20"), {balance_slot(BOB): word(4)}),
    }
    assert chain.state().root == WorldState.genesis(chain.database, expected).root
    assert chain.mine().header.state_root == chain.state().root
    with pytest.raises(ChainError, match="nonce 8"):
        chain.set_nonce(NOBODY, 8)


# Time


def test_the_clock_can_be_moved(chain: Chain, clock: Clock) -> None:
    assert chain.mine().header.timestamp == clock.now + 1
    clock.now += 100
    assert chain.mine().header.timestamp == clock.now
    assert chain.increase_time(50) == 50
    assert chain.mine().header.timestamp == clock.now + 50
    assert chain.set_time(int(clock.now) + 500) == 500
    assert chain.mine().header.timestamp == clock.now + 500


def test_a_time_that_was_set_stays_ahead(chain: Chain, clock: Clock) -> None:
    later = int(clock.now) + 10_000
    chain.set_next_timestamp(later)
    assert chain.block("pending").header.timestamp == later
    assert chain.mine().header.timestamp == later
    clock.now += 20
    assert chain.mine().header.timestamp == later + 20
    with pytest.raises(ChainError, match="Timestamp error"):
        chain.set_next_timestamp(later)


def test_blocks_at_an_interval(chain: Chain, clock: Clock) -> None:
    chain.set_block_interval(12)
    assert chain.mine(3).header.timestamp == clock.now + 36
    chain.set_block_interval(None)
    clock.now += 1000
    assert chain.mine().header.timestamp == clock.now


def test_fields_of_the_next_block(chain: Chain) -> None:
    chain.set_next_base_fee(5 * GWEI)
    chain.set_next_mix_hash(word(9))
    chain.set_coinbase(COINBASE)
    chain.set_gas_limit(1_000_000)
    assert chain.next_base_fee() == 5 * GWEI
    header = chain.mine().header
    assert (header.base_fee, header.mix_hash, header.coinbase, header.gas_limit) == (
        5 * GWEI,
        word(9),
        COINBASE,
        1_000_000,
    )
    after = chain.mine().header
    assert (after.base_fee, after.mix_hash, after.coinbase) == (5 * GWEI * 7 // 8, word(0), COINBASE)


def test_time_ends(chain: Chain) -> None:
    """Contracts read 64 bits of it: no block is made beyond, and nothing is lost."""
    chain.increase_time(2**64)
    with pytest.raises(ChainError, match=r"Timestamp error: \d+ is beyond 18446744073709551615"):
        transfer(chain)
    assert (chain.head.number, chain.pool().pending) == (0, {})
    chain.set_time(1_800_000_000)
    chain.set_next_timestamp(2**64 - 1)
    assert chain.mine().header.timestamp == 2**64 - 1
    with pytest.raises(ChainError, match="Timestamp error"):
        chain.mine()
    chain.rollback()
    chain.set_time(1_800_000_000)
    assert transfer(chain).block_timestamp == 1_800_000_000


# Fee history


def test_fees_are_remembered(new_chain: NewChain) -> None:
    chain = new_chain(automine=False)
    for sender, tip in ((ALICE, 1), (BOB, 2), (CAROL, 3)):
        chain.submit(signed(chain, sender, max_tip=tip * GWEI))
    chain.mine(2)
    history = chain.fee_history(2, "latest", [0, 33, 34, 100])
    assert history.oldest == 1
    assert history.base_fees == (chain.header(1).base_fee, chain.header(2).base_fee, chain.next_base_fee())
    assert history.gas_used_ratios == (63_000 / 30_000_000, 0.0)
    assert history.rewards == ((GWEI, GWEI, 2 * GWEI, 3 * GWEI), (0, 0, 0, 0))
    assert chain.fee_history(100).oldest == 0
    assert chain.fee_history(1, 1).base_fees == history.base_fees[:2]
    assert chain.fee_history(0).base_fees == ()
    with pytest.raises(ChainError, match="percentile"):
        chain.fee_history(1, "latest", [50, 20])


# Balances beyond all coins


def test_more_than_an_account_can_hold_fails_alone(chain: Chain) -> None:
    """Balances set by hand add up to more than 256 bits: what they are sent fails, and blocks are still made."""
    most = U256(2**256 - 1)
    chain.set_balance(NOBODY, most)
    failed = transact(chain, to=NOBODY, value=U256(1), gas=50_000)
    assert (failed.status, failed.gas_used, balance(chain, NOBODY)) == (Status.FAILURE, 50_000, most)
    created = create_address(ALICE, chain.nonce(ALICE))
    chain.set_balance(created, most)
    assert transact(chain, data=COUNTER_INIT, value=U256(1), gas=500_000).status is Status.FAILURE
    nested = call("call(address,uint256,uint256,bytes)", f"0x{NOBODY.hex()}", 1, 100_000, b"")
    chain.set_balance(CALLER, U256(1))
    done = transact(chain, to=CALLER, data=nested, gas=500_000)
    assert (done.succeeded, balance(chain, CALLER), balance(chain, NOBODY)) == (True, 1, most)


def test_fees_that_nobody_can_hold_are_lost(chain: Chain) -> None:
    most = U256(2**256 - 1)
    chain.set_coinbase(COINBASE)
    chain.set_balance(COINBASE, most)
    chain.set_automine(False)
    chain.submit(signed(chain))
    assert chain.header("pending").gas_used == 21_000
    assert len(chain.mine().transactions) == 1
    assert balance(chain, COINBASE) == most


# Dumps


def test_a_dump_is_loaded_elsewhere(chain: Chain, new_chain: NewChain) -> None:
    transfer(chain, BOB, 6)
    transact(chain, data=COUNTER_INIT)
    chain.set_storage(TOKEN, word(77), word(1))
    dumped = chain.dump()
    other = new_chain()
    other.set_storage(TOKEN, word(78), word(1))
    other.load(dumped)
    assert other.state().root == chain.state().root
    assert (tokens(other, BOB), other.nonce(ALICE), other.head.number) == (6, 2, 0)
    assert transfer(other, BOB, 1).succeeded


@pytest.mark.parametrize("dumped", [b"", b"{}", b"\x1f\x8b\x08", b'{"accounts": {"0x12": {}}}', b"[" * 100_000])
def test_what_is_no_dump_is_refused(chain: Chain, dumped: bytes) -> None:
    root = chain.state().root
    with pytest.raises(ChainError, match="not a dump"):
        chain.load(dumped)
    assert chain.state().root == root


# Opening again


def test_a_chain_goes_on_where_it_stopped(new_chain: NewChain, new_store: Any) -> None:
    store = new_store()
    chain = new_chain(store)
    chain.set_coinbase(COINBASE)
    transfer(chain, BOB, 3)
    chain.set_balance(NOBODY, U256(8))
    chain.set_automine(False)
    waiting = signed(chain)
    chain.submit(waiting)
    chain.close()
    again = new_chain(store)
    assert (again.head, again.state().root) == (chain.head, chain.state().root)
    assert (tokens(again, BOB), balance(again, NOBODY)) == (3, 8)
    assert again.pool().pending == {ALICE: {1: waiting}}
    assert again.mine().transactions == (waiting,)
    assert again.head.coinbase == COINBASE


def test_a_reader_follows(new_chain: NewChain, new_store: Any) -> None:
    store = new_store()
    chain = new_chain(store)
    reader = Reader(store, engine=chain.vm.engine.name)
    receipt = transfer(chain, BOB, 3)
    assert reader.head.number == 0
    reader.refresh()
    assert (reader.head, tokens(reader, BOB)) == (chain.head, 3)  # type: ignore[arg-type]
    assert reader.receipt(receipt.transaction.hash) == receipt
    reader.close()


def test_another_beginning_or_ruleset_is_refused(new_chain: NewChain) -> None:
    store = MemoryStore()
    new_chain(store)
    with pytest.raises(UnusableChain, match="began otherwise"):
        new_chain(store, genesis=Genesis(accounts=ACCOUNTS, chain_id=1))
    with pytest.raises(UnusableChain, match="ruleset ewasm"):
        new_chain(store, ruleset=EWASM.replace(name="other", max_code=1))
    with pytest.raises(UnusableChain, match="no chain"):
        Reader(MemoryStore())


def test_states_of_another_command_are_refused(new_chain: NewChain) -> None:
    store = MemoryStore()
    store.write({Table.ROOTS: {bytes(8): bytes(32)}})
    with pytest.raises(UnusableChain, match="without a chain"):
        new_chain(store)
    store = MemoryStore()
    new_chain(store)
    store.write({Table.ROOTS: {(5).to_bytes(8, "big"): bytes(32)}})
    with pytest.raises(UnusableChain, match="after the last block"):
        new_chain(store)


MINING = """
import sys
from pathlib import Path
from evmc import Address, Bytes32, U256
from node.chain import Call, Chain, Genesis, Wallet
from state import GenesisAccount
from state.lmdb import LmdbStore
wallet = Wallet([Bytes32.from_int(1)])
(alice,) = wallet.addresses
genesis = Genesis(accounts={alice: GenesisAccount(balance=U256(10**24))}, timestamp=1)
chain = Chain(LmdbStore(Path(sys.argv[1]), create=True), genesis, wallet=wallet)
print("ready", flush=True)
while True:
    chain.send_from(Call(sender=alice, to=Address.from_int(0xB0B), value=U256(1), gas=21_000))
"""


def test_a_process_that_is_killed_leaves_whole_blocks(tmp_path: Path) -> None:
    for delay in (0.0, 0.013, 0.05):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", MINING, str(tmp_path)], stdout=subprocess.PIPE, env=environment, cwd=tmp_path
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(0.05 + delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
        wallet = Wallet(WALLET[:1])
        with LmdbStore(tmp_path) as store:
            chain = Chain(store, wallet=wallet)
            last = chain.head.number
            assert last > 0
            assert (balance(chain, Address.from_int(0xB0B)), chain.nonce(ALICE)) == (last, last)
            assert chain.state().root == chain.head.state_root
            for number in range(max(1, last - 3), last + 1):
                (receipt,) = chain.receipts(number)
                assert chain.receipt(receipt.transaction.hash) == receipt
            assert chain.block_hash(last + 1) is None
            chain.close()


def test_a_call_may_be_asked_of_any_thread(chain: Chain) -> None:
    wrong: list[Any] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            head = chain.head
            if chain.block(head.number).header.number != head.number or tokens(chain, BOB, head.number) != head.number:
                wrong.append(head.number)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        chain.send_from(Call(sender=ALICE, to=TOKEN, data=transfer_data(BOB, 1), gas=200_000))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert chain.head.number == 20
