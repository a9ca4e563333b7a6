"""Buckets, places, budgets, pauses and reserves, as values: time is an argument."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.edits import edited, new_state
from rateguard.engine.limits.limit import Exhausted, Kind, Level, LimitRecord, Metric
from rateguard.engine.limits.states import DOWNGRADE, FOREVER, HOUR_MS, NEVER, Budget, LimitState

START_MS = 1_790_000_000_000
LOW, HIGH = Lane.LOW, Lane.HIGH


def record(kind: Kind, amount: int = 100, **more) -> LimitRecord:
    window_ms = 60_000 if kind in (Kind.WINDOW, Kind.BUCKET) else 0
    return LimitRecord("l", kind, Metric.REQUESTS, amount, Level.TENANT, **{"window_ms": window_ms, **more})


def fresh(kind: Kind, amount: int = 100, *, taken: int = 0, **more) -> LimitState:
    state = new_state(record(kind, amount, **more))
    state.advance(START_MS)
    if taken:
        state.take(taken, START_MS)
    return state


def wait(state: LimitState, amount: int, after_ms: int = 0, lane: Lane = Lane.NORMAL) -> int:
    return state.wait_ms(amount, START_MS + after_ms, lane)


# ---- buckets


@pytest.mark.parametrize(("burst_permille", "capacity"), [(1000, 100), (500, 50), (15, 1), (999, 99)])
def test_a_bucket_holds_its_burst_share_rounded_down(burst_permille, capacity):
    state = fresh(Kind.BUCKET, burst_permille=burst_permille)

    assert (wait(state, capacity), wait(state, capacity + 1)) == (0, NEVER)


@pytest.mark.parametrize(("amount", "wait_ms"), [(1, 600), (10, 6_000), (100, 60_000)])
def test_an_empty_bucket_refills_at_its_rate(amount, wait_ms):
    state = fresh(Kind.BUCKET, taken=100)

    assert wait(state, amount) == wait_ms
    assert (wait(state, amount, wait_ms - 1), wait(state, amount, wait_ms)) == (1, 0)


@pytest.mark.parametrize("amount", [1, 3, 7, 9, 11, 13, 59, 61, 997])
def test_rounding_gives_a_bucket_nothing_and_costs_it_less_than_a_millisecond(amount):
    state, now_ms, taken = fresh(Kind.BUCKET, amount), START_MS, 0
    while now_ms < START_MS + 120_000:
        while state.wait_ms(1, now_ms, LOW) == 0:
            state.take(1, now_ms)
            taken += 1
        now_ms += state.wait_ms(1, now_ms, LOW)

    assert taken - amount in (2 * amount - 1, 2 * amount)


def test_what_a_bucket_says_is_used_flows_off():
    state = fresh(Kind.BUCKET, taken=50)

    assert [state.used(START_MS + passed) for passed in (0, 599, 600, 29_999, 30_000, 99_000)] == [50, 50, 49, 1, 0, 0]


@pytest.mark.parametrize(("actual", "used"), [(0, 0), (20, 20), (50, 50), (130, 130)])
def test_a_bucket_settles_to_what_was_used(actual, used):
    state = fresh(Kind.BUCKET, taken=50)

    state.adjust(50, actual, START_MS, START_MS)

    assert state.used(START_MS) == used


def test_a_bucket_is_void_when_it_is_full_again():
    state = fresh(Kind.BUCKET, taken=10)

    assert [state.is_void(START_MS + passed) for passed in (0, 5_999, 6_000)] == [False, False, True]


@pytest.mark.parametrize(
    "change", [{"amount": 250}, {"amount": 40}, {"window_ms": 3_600_000}, {"window_ms": 1_000}, {"burst_permille": 100}], ids=str
)
@pytest.mark.parametrize("passed_ms", [0, 700, 20_000])
def test_an_edited_bucket_keeps_what_is_used(change, passed_ms):
    old = fresh(Kind.BUCKET, taken=80)
    now_ms = START_MS + passed_ms

    new = edited(old, dataclasses.replace(old.record, **change), now_ms)

    assert new.used(now_ms) - old.used(now_ms) in (0, 1)


# ---- reserves


@pytest.mark.parametrize("kind", [Kind.WINDOW, Kind.BUCKET, Kind.CONCURRENCY, Kind.BUDGET])
@pytest.mark.parametrize("lane", list(Lane))
def test_a_reserve_leaves_lower_lanes_the_rest(kind, lane):
    state = fresh(kind, reserve_permille=255, reserve_lane=HIGH)
    most = 100 if lane <= HIGH else 75  # 25.5 rounded down is kept

    assert state.record.amount_for(lane) == most
    assert wait(state, most, lane=lane) == 0
    assert wait(state, most + 1, lane=lane) == NEVER


def test_a_reserve_of_a_bucket_is_a_share_of_its_capacity():
    assert record(Kind.BUCKET, burst_permille=500, reserve_permille=200, reserve_lane=HIGH).amount_for(LOW) == 40


@pytest.mark.parametrize("kind", [Kind.WINDOW, Kind.BUCKET, Kind.CONCURRENCY])
def test_the_lower_lane_waits_where_the_upper_one_passes(kind):
    state = fresh(kind, taken=60, reserve_permille=400, reserve_lane=HIGH)

    assert (wait(state, 1, lane=HIGH), wait(state, 40, lane=HIGH)) == (0, 0)
    assert wait(state, 1, lane=LOW) > 0


@pytest.mark.parametrize(
    ("change", "parks_alike"),
    [
        ({}, True),
        ({"amount": 200}, True),
        ({"reserve_permille": 100}, False),
        ({"kind": Kind.CONCURRENCY}, False),
        ({"reserve_lane": 3}, True),
    ],
    ids=str,
)
def test_an_edit_moves_held_jobs_where_a_lane_may_use_less_of_the_rest_than_before(change, parks_alike):
    before = record(Kind.BUDGET, reserve_lane=HIGH)

    assert dataclasses.replace(before, **change).parks_as(before) == parks_alike
    assert before.parks_as(dataclasses.replace(before, **change)) == parks_alike


# ---- places


def test_places_are_free_when_they_are_given_back_and_never_more_than_there_are():
    state = fresh(Kind.CONCURRENCY, 2, taken=2)
    assert wait(state, 1) == FOREVER

    for _ in range(3):
        state.adjust(1, 1, START_MS, START_MS)

    assert (state.total, wait(state, 2)) == (0, 0)


# ---- budgets

DAYS = (START_MS - HOUR_MS, START_MS + HOUR_MS, START_MS + 2 * HOUR_MS)


@pytest.mark.parametrize(("mode", "wait_ms"), [(Exhausted.REJECT, NEVER), (Exhausted.HOLD, HOUR_MS), (Exhausted.DOWNGRADE, DOWNGRADE)])
def test_a_spent_budget_does_what_it_is_told_to(mode, wait_ms):
    state = fresh(Kind.BUDGET, taken=100, periods=DAYS, on_exhausted=mode)
    state.adjust(100, 100, START_MS, START_MS)

    assert wait(state, 1) == wait_ms


@pytest.mark.parametrize("mode", list(Exhausted))
@pytest.mark.parametrize(("periods", "wait_ms"), [((), FOREVER), (DAYS, HOUR_MS)])
def test_what_is_only_reserved_is_waited_for_until_the_next_period(mode, periods, wait_ms):
    state = fresh(Kind.BUDGET, taken=100, periods=periods, on_exhausted=mode)

    assert wait(state, 100) == wait_ms


@pytest.mark.parametrize(
    ("passed_ms", "period", "used"), [(0, DAYS[0], 100), (HOUR_MS - 1, DAYS[0], 100), (HOUR_MS, DAYS[1], 40), (9 * HOUR_MS, DAYS[2], 40)]
)
def test_a_new_period_begins_with_what_is_reserved(passed_ms, period, used):
    state = fresh(Kind.BUDGET, taken=100, periods=DAYS)
    assert isinstance(state, Budget)
    state.adjust(60, 60, START_MS, START_MS)

    state.advance(START_MS + passed_ms)

    assert (state.period, state.total, state.reserved) == (period, used, 40)


def test_before_its_first_period_a_budget_counts_already():
    state = fresh(Kind.BUDGET, taken=30, periods=(START_MS + 5,))
    assert isinstance(state, Budget)

    assert (state.period, state.total, state.next_period_ms(START_MS), state.next_period_ms(START_MS + 5)) == (0, 30, 5, FOREVER)


def test_each_threshold_is_reached_once_a_period_and_exhaustion_reaches_all():
    state = fresh(Kind.BUDGET, periods=DAYS, thresholds=(50, 80, 100))
    assert isinstance(state, Budget)
    reached = []
    for _ in range(10):
        state.take(10, START_MS)
        reached.append(state.reached())
        state.adjust(10, 10, START_MS, START_MS)
        reached.append(state.reached())

    assert [shares for shares in reached if shares] == [(50,), (80,), (100,)]
    state.advance(START_MS + HOUR_MS)
    assert state.reached(is_exhausted=True) == (50, 80, 100)
    assert state.reached(is_exhausted=True) == ()


# ---- pauses


@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize(("until_ms", "wait_ms"), [(0, FOREVER), (START_MS + 7, 7), (START_MS + 1, 1), (START_MS, 0), (1, 0)])
def test_a_pause_lasts_until_its_moment_or_for_ever(until_ms, wait_ms, lane):
    assert wait(fresh(Kind.PAUSE, until_ms), 1, lane=lane) == wait_ms
