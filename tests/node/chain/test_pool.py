"""The pool by itself: order, gaps, replacement, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evmc import U256, Address
from node.chain import PoolLimits, SignedTransaction, Wallet
from node.chain.errors import AlreadyKnown, PoolFull, ReplacementUnderpriced
from node.chain.pool import Candidates, Pool
from tests.node.chain.world import ALICE, BOB, GWEI, WALLET, payload

SENDERS = [Address.from_int(number) for number in range(1, 5)]
_serial = count()


def tx(sender: Address, nonce: int, fee: int = 100, tip: int = 10) -> SignedTransaction:
    """Return a transaction; two are never the same."""
    given = payload(nonce=nonce, max_fee=fee, max_tip=tip, value=U256(next(_serial)))
    return SignedTransaction.impersonated(given, sender)


def zero(_: Address) -> int:
    return 0


def taken(candidates: Candidates) -> list[SignedTransaction]:
    order = []
    for each in candidates:
        order.append(each)
        candidates.follow(each)
    return order


def filled(transactions: Sequence[SignedTransaction]) -> Pool:
    pool = Pool(PoolLimits())
    for each in transactions:
        pool.add(each)
    return pool


@st.composite
def arrivals(draw: st.DrawFn) -> list[SignedTransaction]:
    places = draw(st.lists(st.tuples(st.sampled_from(SENDERS), st.integers(0, 5)), unique=True, max_size=20))
    fees = st.integers(0, 50)
    return [tx(sender, nonce, fee := draw(fees), draw(st.integers(0, fee))) for sender, nonce in places]


def test_what_waits_has_a_size() -> None:
    wallet = Wallet(WALLET)
    small, large = (wallet.sign(payload(nonce=nonce, data=bytes(size)), ALICE) for nonce, size in ((0, 10), (1, 5_000)))
    dearer = wallet.sign(payload(nonce=0, data=bytes(40), max_fee=200 * GWEI, max_tip=2 * GWEI), ALICE)
    pool = Pool(PoolLimits(bytes=len(small.raw) + len(large.raw)))
    pool.add(small)
    pool.add(large)
    for more in (dearer, wallet.sign(payload(nonce=0), BOB)):
        with pytest.raises(PoolFull, match="bytes are waiting"):
            pool.copy().add(more)
    pool.remove(large.hash)
    assert pool.add(dearer) == small
    pool.clear()
    pool.add(large)


@settings(deadline=None)
@given(arrivals(), st.integers(0, 30))
def test_the_best_tip_goes_first_and_nonces_go_in_order(arrived: list[SignedTransaction], base_fee: int) -> None:
    pool = filled(arrived)
    expected: list[SignedTransaction] = []
    following = dict.fromkeys(SENDERS, 0)
    while True:
        # The definition, without a heap: of all that could be next, the greatest tip, then the first that came.
        ready = [each for each in arrived if each.nonce == following[each.sender] and each.max_fee >= base_fee]
        if not ready:
            break
        best = max(ready, key=lambda each: (each.effective_tip(base_fee), -arrived.index(each)))
        expected.append(best)
        following[best.sender] += 1
    assert taken(pool.candidates(zero, base_fee)) == expected


@settings(deadline=None)
@given(arrivals())
def test_what_follows_a_gap_is_queued(arrived: list[SignedTransaction]) -> None:
    pool = filled(arrived)
    content = pool.content(zero)
    for sender in SENDERS:
        nonces = {each.nonce for each in arrived if each.sender == sender}
        gap = next(nonce for nonce in count() if nonce not in nonces)
        assert set(content.pending.get(sender, ())) == set(range(gap))
        assert set(content.queued.get(sender, ())) == {nonce for nonce in nonces if nonce > gap}
        assert pool.next_nonce(sender, 0) == gap
    assert pool.transactions() == arrived
    assert len(pool) == len(arrived)


def test_a_sender_who_is_not_followed_is_out() -> None:
    first, second, other = tx(SENDERS[0], 0, tip=50), tx(SENDERS[0], 1, tip=50), tx(SENDERS[1], 0)
    assert list(filled([first, second, other]).candidates(zero, 0)) == [first, other]


# Replacement


@pytest.mark.parametrize(
    ("fee", "tip", "taken"),
    [(110, 11, True), (109, 11, False), (110, 10, False), (200, 10, False), (100, 20, False), (1_000, 1_000, True)],
)
def test_a_replacement_raises_both_fees_by_a_tenth(fee: int, tip: int, taken: bool) -> None:
    before, after = tx(SENDERS[0], 0, 100, 10), tx(SENDERS[0], 0, fee, tip)
    pool = filled([before])
    if not taken:
        with pytest.raises(ReplacementUnderpriced, match=r"^replacement transaction underpriced"):
            pool.add(after)
        assert pool.transactions() == [before]
        return
    assert pool.add(after) == before
    assert pool.transactions() == [after]
    assert (pool.get(before.hash), pool.get(after.hash)) == (None, after)


@pytest.mark.parametrize("fee", [0, 1, 9, 11, 19])
def test_a_tenth_is_rounded_up(fee: int) -> None:
    pool = filled([tx(SENDERS[0], 0, fee, fee)])
    with pytest.raises(ReplacementUnderpriced):
        pool.add(tx(SENDERS[0], 0, fee + fee // 10, fee + fee // 10))
    pool.add(tx(SENDERS[0], 0, fee + fee // 10 + 1, fee + fee // 10 + 1))


def test_the_same_is_known() -> None:
    only = tx(SENDERS[0], 0)
    pool = filled([only])
    with pytest.raises(AlreadyKnown, match="already known"):
        pool.add(only)


# Bounds


def test_a_sender_has_so_many_places() -> None:
    pool = Pool(PoolLimits(sender=2, total=10))
    pool.add(tx(SENDERS[0], 0))
    pool.add(tx(SENDERS[0], 5))
    with pytest.raises(PoolFull, match="account limit exceeded"):
        pool.add(tx(SENDERS[0], 1))
    pool.add(tx(SENDERS[0], 0, 200, 20))
    pool.add(tx(SENDERS[1], 0))
    assert len(pool) == 3


def test_all_have_so_many_places() -> None:
    pool = Pool(PoolLimits(sender=2, total=2))
    pool.add(tx(SENDERS[0], 0))
    pool.add(tx(SENDERS[1], 0))
    with pytest.raises(PoolFull, match="txpool is full"):
        pool.add(tx(SENDERS[2], 0))
    assert pool.senders() == SENDERS[:2]


# Leaving


def test_used_nonces_leave() -> None:
    waiting = [tx(SENDERS[0], nonce) for nonce in range(4)]
    pool = filled(waiting)
    pool.remove_below(SENDERS[0], 2)
    assert pool.transactions() == waiting[2:]
    pool.remove_below(SENDERS[0], 9)
    pool.remove_below(SENDERS[1], 9)
    assert (len(pool), pool.senders()) == (0, [])


def test_one_leaves() -> None:
    waiting = [tx(SENDERS[0], nonce) for nonce in range(2)]
    pool = filled(waiting)
    assert pool.remove(waiting[0].hash) == waiting[0]
    assert pool.remove(waiting[0].hash) is None
    assert pool.content(zero).queued == {SENDERS[0]: {1: waiting[1]}}


def test_a_copy_is_its_own() -> None:
    pool = filled([tx(SENDERS[0], 0), tx(SENDERS[1], 0)])
    copy, before = pool.copy(), pool.transactions()
    pool.clear()
    later = tx(SENDERS[0], 1)
    copy.add(later)
    assert (len(pool), copy.transactions()) == (0, [*before, later])
    assert taken(copy.candidates(zero, 0)) == [*before, later]


def test_every_change_has_a_version() -> None:
    pool = Pool(PoolLimits())
    versions = [pool.version]
    only = tx(SENDERS[0], 0)
    for change in (
        lambda: pool.add(only),
        lambda: pool.add(replace(tx(SENDERS[0], 0, 200, 20))),
        lambda: pool.remove_below(SENDERS[0], 1),
        pool.clear,
    ):
        change()
        versions.append(pool.version)
    assert len(set(versions)) == len(versions)
