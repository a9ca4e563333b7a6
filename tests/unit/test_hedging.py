"""Hedging: when a second call may go, how many, and who of two leads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.histogram import bin_of
from rateguard.engine.routing.hedging import COST, ENOUGH, LEAST_MS, MOST_SAVED, HedgeBudget, delay_ms, p95_ms


def latencies(*times_ms: int) -> dict[int, int]:
    counted: dict[int, int] = {}
    for one in times_ms:
        counted[bin_of(one)] = counted.get(bin_of(one), 0) + 1
    return counted


def test_the_p95_is_not_known_before_there_are_twenty_answers():
    assert p95_ms(latencies(*[100] * (ENOUGH - 1))) is None
    assert p95_ms({}) is None


def test_no_more_than_one_answer_in_twenty_came_later_than_the_p95():
    found = p95_ms(latencies(*[100] * 95, *[5_000] * 5))
    assert found is not None
    assert 100 <= found < 120


def test_a_second_call_waits_for_the_p95_but_not_less_than_makes_sense():
    assert delay_ms(1_500, 60_000) == 1_500
    assert delay_ms(3, 60_000) == LEAST_MS


def test_there_is_no_second_call_where_the_time_is_not_known_or_the_first_would_be_over_by_then():
    assert delay_ms(None, 60_000) is None
    assert delay_ms(60_000, 60_000) is None


@given(st.lists(st.booleans(), max_size=600))
def test_second_calls_are_never_more_than_five_in_a_hundred_of_the_first(asks):
    """Each True is a first call that is late and asks for a second one."""
    budget, seconds = HedgeBudget(), 0
    for firsts, is_late in enumerate(asks, 1):
        budget.earn()
        seconds += is_late and budget.take()
        assert seconds * COST <= firsts
        assert 0 <= budget.saved <= MOST_SAVED


def test_a_long_quiet_time_saves_no_more_than_ten_second_calls():
    budget = HedgeBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.take() for _ in range(50)) == 10
