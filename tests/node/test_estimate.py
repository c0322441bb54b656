"""The search for the least limit that suffices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.estimate import least_limit


@given(
    least=st.integers(0, 10**6), needed=st.integers(0, 10**7), spent=st.integers(0, 10**7), more=st.integers(0, 10**7)
)
def test_it_finds_the_least(least: int, needed: int, spent: int, more: int) -> None:
    needed = max(needed, least)
    most = needed + more
    assert least_limit(lambda limit: limit >= needed, spent=spent, most=most, least=least) == needed


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_nothing_suffices(spent: int, most: int) -> None:
    assert least_limit(lambda _: False, spent=spent, most=most) is None


def test_it_never_tries_less_than_the_least_nor_more_than_the_most() -> None:
    tried: list[int] = []

    def succeeds(limit: int) -> bool:
        tried.append(limit)
        return limit >= 500

    assert least_limit(succeeds, spent=100, most=510, least=90) == 500
    assert all(90 <= limit <= 510 for limit in tried)


@pytest.mark.parametrize("extra", [0, 1, 40, 2_300])
def test_it_takes_few_executions_when_what_was_spent_is_near(extra: int) -> None:
    tried: list[int] = []

    def succeeds(limit: int) -> bool:
        tried.append(limit)
        return limit >= 50_000 + extra

    assert least_limit(succeeds, spent=50_000, most=30_000_000) == 50_000 + extra
    assert len(tried) <= 2 + 12


def test_a_result_is_an_edge_where_more_gas_can_fail() -> None:
    """With 10 to 19, and from 30 on, it succeeds: either edge is right."""
    succeeds = {limit: 10 <= limit < 20 or limit >= 30 for limit in range(-1, 101)}
    for spent in range(101):
        found = least_limit(succeeds.__getitem__, spent=spent, most=100)
        assert found in (10, 30)
