"""What waits survives: the log beside a store, whatever ended the process and wherever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmc import U256
from node.chain import Chain, Genesis, SignedTransaction, Wallet
from node.chain.waiting import NAME, WaitingLog
from state import MemoryStore, StoreError, Table
from tests.node.chain.world import ACCOUNTS, ALICE, BOB, GWEI, WALLET, Clock, payload, signed, transact

WALLETS = Wallet(WALLET)
SENT = [WALLETS.sign(payload(nonce=nonce), sender) for sender in (ALICE, BOB) for nonce in range(4)]


class Killed:
    """A chain that can be left as by SIGKILL, and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryStore()
        self.chain = self.open()

    def open(self, *, automine: bool = False) -> Chain:
        """Open what is there: nothing was closed."""
        self.chain = Chain(
            self.store,
            Genesis(accounts=ACCOUNTS),
            wallet=WALLETS,
            automine=automine,
            waiting=WaitingLog(self.folder),
            clock=Clock(),
        )
        return self.chain

    @property
    def waits(self) -> list[SignedTransaction]:
        """What waits, in the order of its arrival."""
        return self.chain._pool.transactions()

    def again(self) -> list[SignedTransaction]:
        """Open the chain again; check that what waited waits, and return it."""
        before = self.waits
        self.open()
        assert self.waits == before
        return before


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Killed]:
    made = Killed(tmp_path)
    yield made
    made.chain.close()


def test_nothing_that_waits_is_lost(killed: Killed) -> None:
    for tx in (SENT[5], SENT[0], SENT[1], SENT[4]):
        killed.chain.submit(tx)
    assert killed.again() == [SENT[5], SENT[0], SENT[1], SENT[4]]
    assert set(killed.chain.mine().transactions) == {SENT[0], SENT[1], SENT[4], SENT[5]}
    assert killed.again() == []
    killed.chain.submit(SENT[3])
    assert killed.again() == [SENT[3]], "after a gap"
    assert killed.chain.pool().queued == {ALICE: {3: SENT[3]}}


def test_an_impersonated_sender_waits_too(killed: Killed) -> None:
    killed.chain.impersonate(BOB)
    tx = SignedTransaction.impersonated(payload(nonce=0), BOB)
    killed.chain.submit(tx)
    (found,) = killed.again()
    assert (found, found.sender, found.hash) == (tx, BOB, tx.hash)


def test_what_left_the_pool_does_not_come_back(killed: Killed) -> None:
    chain = killed.chain
    for tx in SENT[:4]:
        chain.submit(tx)
    chain.drop(SENT[3].hash)
    assert killed.again() == SENT[:3]
    dearer = WALLETS.sign(payload(nonce=1, max_fee=200 * GWEI, max_tip=2 * GWEI), ALICE)
    killed.chain.submit(dearer)
    assert killed.again() == [SENT[0], SENT[2], dearer]
    killed.chain.set_nonce(ALICE, 2)
    assert killed.again() == [SENT[2]]
    killed.chain.drop_all()
    assert killed.again() == []
    killed.chain.submit(SENT[4])
    killed.chain.set_balance(BOB, U256(0))
    killed.chain.mine()
    assert killed.again() == [], "what cannot be executed any more is refused for good"


def test_going_back(killed: Killed) -> None:
    killed.chain.submit(SENT[0])
    handle = killed.chain.snapshot()
    killed.chain.mine()
    killed.chain.submit(SENT[1])
    assert killed.chain.revert(handle)
    assert killed.again() == [SENT[0]]
    killed.chain.mine()
    killed.chain.submit(SENT[1])
    killed.chain.rollback()
    assert killed.again() == [SENT[1]], "what was in the block that is gone does not wait"
    killed.chain.reset(Genesis(accounts=ACCOUNTS))
    assert killed.again() == []


def test_closing_moves_it_to_the_store(killed: Killed) -> None:
    killed.chain.submit(SENT[0])
    killed.chain.close()
    assert len(list(killed.store.items(Table.POOL))) == 1
    assert WaitingLog(killed.folder).read() == []
    assert killed.again() == [SENT[0]]
    assert list(killed.store.items(Table.POOL)) == []
    killed.chain.drop(SENT[0].hash)
    assert killed.again() == []


def test_automine_writes_only_what_stays(killed: Killed, tmp_path: Path) -> None:
    chain = killed.open(automine=True)
    transact(chain, BOB, to=ALICE)
    assert not (tmp_path / NAME).exists()
    gap = signed(chain, ALICE, nonce=2)
    chain.submit(gap)
    assert killed.again() == [gap]


def test_the_log_does_not_grow_for_ever(killed: Killed, tmp_path: Path) -> None:
    killed.chain.submit(signed(killed.chain, BOB, nonce=9))
    for _ in range(600):
        killed.chain.submit(signed(killed.chain))
        killed.chain.mine()
    assert (tmp_path / NAME).stat().st_size < 300 * 150
    assert len(killed.again()) == 1
    killed.chain.drop_all()
    assert (tmp_path / NAME).stat().st_size == 0


@given(sent=st.lists(st.sampled_from(SENT), max_size=5), cut=st.integers(0, 700), more=st.binary(max_size=9))
def test_a_log_that_was_cut_or_has_more_is_read_as_far_as_it_is_whole(
    sent: list[SignedTransaction], cut: int, more: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("log")
    log = WaitingLog(folder)
    ends = [0]
    for tx in sent:
        log.add(tx)
        ends.append((folder / NAME).stat().st_size)
    assert log.read() == sent
    if sent:
        data = (folder / NAME).read_bytes()
        (folder / NAME).write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends) - 1
        log = WaitingLog(folder)
        assert log.read() == sent[:whole]
        log.level(sent[:whole])
        log.add(SENT[0])
        assert WaitingLog(folder).read() == [*sent[:whole], SENT[0]], "what comes after damage is not lost"
        (folder / NAME).write_bytes(data + more)
        assert WaitingLog(folder).read() == sent


def test_a_flipped_bit_ends_it(tmp_path: Path) -> None:
    log = WaitingLog(tmp_path)
    log.add(SENT[0])
    size = (tmp_path / NAME).stat().st_size
    log.add(SENT[1])
    data = (tmp_path / NAME).read_bytes()
    for place in range(size, len(data)):
        (tmp_path / NAME).write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        assert WaitingLog(tmp_path).read() == [SENT[0]]


def test_what_cannot_be_written_does_not_wait(killed: Killed, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(StoreError, match=f"{NAME}: Is a directory"):
        killed.chain.submit(SENT[0])
    assert killed.waits == []
    (tmp_path / NAME).rmdir()
    killed.chain.submit(SENT[0])
    assert killed.again() == [SENT[0]]
