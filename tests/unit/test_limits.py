"""The rule of each kind of limit, as a value: time is an argument."""

from __future__ import annotations

import math
import random

import pytest

from rateguard.engine.lanes import Lane
from rateguard.engine.limits.edits import edited, new_state
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric, Need
from rateguard.engine.limits.states import FOREVER, NEVER
from rateguard.engine.limits.timed import Window

START_MS = 1_790_000_000_000


def window(amount: int = 100, window_ms: int = 60_000, **more) -> LimitRecord:
    return LimitRecord("l", Kind.WINDOW, Metric.REQUESTS, amount, Level.SHARED, window_ms=window_ms, **more)


def filled(record: LimitRecord, amount: int, at_ms: int = START_MS):
    state = new_state(record)
    state.advance(at_ms)
    state.take(amount, at_ms)
    return state


@pytest.mark.parametrize(
    ("window_ms", "guard_ms", "slices", "ring"),
    [
        (60_000, 0, 240, 241),
        (60_000, 500, 240, 243),
        (10_000, 100, 240, 244),
        (1_000, 0, 240, 241),
        (100, 0, 100, 101),
        (60_000, 1, 240, 242),
    ],
)
def test_a_window_is_a_ring_of_240_slices_one_to_be_exact_and_the_guards(window_ms, guard_ms, slices, ring):
    record = window(window_ms=window_ms, guard_ms=guard_ms)

    assert (record.slices, record.ring) == (slices, ring)


@pytest.mark.parametrize("window_ms", [100, 999, 1_000, 7_777, 10_000, 60_000, 86_400_000])
def test_what_was_taken_is_free_again_after_the_window_and_not_a_moment_earlier(window_ms):
    for offset in range(0, window_ms, max(1, window_ms // 13)):
        now_ms = START_MS + offset
        state = filled(window(1, window_ms), 1, now_ms)
        wait = state.wait_ms(1, now_ms, Lane.NORMAL)

        assert window_ms <= wait <= window_ms + math.ceil(window_ms / state.record.slices) + 1
        state.advance(now_ms + wait - 1)
        assert state.wait_ms(1, now_ms + wait - 1, Lane.NORMAL) == 1
        state.advance(now_ms + wait)
        assert state.wait_ms(1, now_ms + wait, Lane.NORMAL) == 0


def test_a_guard_keeps_what_was_taken_for_so_much_longer():
    state = filled(window(1, 60_000, guard_ms=500), 1)

    assert 60_500 <= state.wait_ms(1, START_MS, Lane.NORMAL) <= 60_750


def test_the_running_total_is_the_sum_of_the_ring_whatever_happens():
    rnd = random.Random(5)
    state, now_ms = new_state(window(1_000, 10_000, guard_ms=100)), START_MS
    assert isinstance(state, Window)
    charges = []
    for _ in range(3_000):
        now_ms += rnd.choice([0, 1, 41, 42, 500, 3_000, 20_000])
        state.advance(now_ms)
        match rnd.randrange(3):
            case 0 if state.wait_ms(7, now_ms, Lane.NORMAL) == 0:
                state.take(7, now_ms)
                charges.append((7, now_ms))
            case 1 if charges:
                amount, at_ms = charges.pop(rnd.randrange(len(charges)))
                state.move(amount, at_ms, now_ms)
                state.adjust(amount, rnd.choice([0, amount, 3 * amount]), now_ms, now_ms)
        assert state.total == sum(state.ring)
        assert min(state.ring) >= 0


def test_a_charge_moves_forward_and_never_back():
    state = filled(window(1), 1)
    state.advance(START_MS + 10_000)
    state.move(1, START_MS, START_MS + 10_000)
    state.move(1, START_MS + 10_000, START_MS)

    state.advance(START_MS + 65_000)
    assert state.total == 1
    state.advance(START_MS + 71_000)
    assert state.total == 0


def test_what_is_learned_of_a_charge_that_has_left_the_window_changes_nothing():
    state = filled(window(10), 5)
    state.advance(START_MS + 100_000)

    state.adjust(5, 9, START_MS, START_MS)

    assert state.total == 0


def test_a_charge_that_has_left_the_window_counts_where_it_turns_out_to_have_been_sent():
    state = filled(window(10), 5)
    state.advance(START_MS + 100_000)

    state.move(5, START_MS, START_MS + 99_000)

    assert state.total == 5


def test_more_than_the_limit_itself_never_fits():
    for kind, metric in ((Kind.WINDOW, Metric.TOKENS), (Kind.CONCURRENCY, Metric.CONCURRENCY), (Kind.BUDGET, Metric.COST)):
        state = new_state(LimitRecord("l", kind, metric, 100, Level.SHARED, window_ms=1_000))
        assert state.wait_ms(101, START_MS, Lane.NORMAL) == NEVER
        assert state.wait_ms(100, START_MS, Lane.NORMAL) == 0


def test_a_full_concurrency_limit_waits_for_a_settle():
    state = filled(LimitRecord("l", Kind.CONCURRENCY, Metric.CONCURRENCY, 1, Level.TENANT), 1)
    assert state.wait_ms(1, START_MS, Lane.NORMAL) == FOREVER

    state.adjust(1, 1, START_MS, START_MS)

    assert state.wait_ms(1, START_MS, Lane.NORMAL) == 0


def test_a_budget_waits_for_what_may_come_back_and_for_nothing_else():
    state = filled(LimitRecord("b", Kind.BUDGET, Metric.COST, 100, Level.TENANT), 60)
    assert state.wait_ms(40, START_MS, Lane.NORMAL) == 0
    assert state.wait_ms(41, START_MS, Lane.NORMAL) == FOREVER

    state.adjust(60, 60, START_MS, START_MS)

    assert state.wait_ms(41, START_MS, Lane.NORMAL) == NEVER


@pytest.mark.parametrize(("burst_permille", "at_once"), [(1000, 100), (500, 50), (100, 10), (10, 1), (5, 1)])
def test_a_burst_is_the_share_that_may_come_at_once(burst_permille, at_once):
    state, taken = new_state(window(100, burst_permille=burst_permille)), 0
    state.advance(START_MS)
    while state.wait_ms(1, START_MS, Lane.NORMAL) == 0:
        state.take(1, START_MS)
        taken += 1

    assert taken == at_once


def test_what_comes_back_to_a_paced_limit_comes_back_to_its_pace():
    state = filled(window(100, burst_permille=100), 10)
    assert state.wait_ms(1, START_MS, Lane.NORMAL) > 0

    state.adjust(10, 2, START_MS, START_MS)

    assert state.wait_ms(8, START_MS, Lane.NORMAL) == 0


def test_an_edit_keeps_what_is_used_and_the_pace():
    old = filled(window(100, burst_permille=100), 10)

    new = edited(old, window(200, burst_permille=100), START_MS)

    assert new.total == 10
    assert new.wait_ms(20, START_MS, Lane.NORMAL) > 0


def test_an_edit_of_the_length_never_lets_a_charge_leave_early():
    for offset in range(0, 15_000, 997):
        now_ms = START_MS + offset
        new = edited(filled(window(1, 3_600_000), 1, now_ms), window(1, 60_000), now_ms)
        new.advance(now_ms + 59_999)
        assert new.total == 1


@pytest.mark.parametrize(
    ("metric", "amount"),
    [
        (Metric.REQUESTS, 1),
        (Metric.CONCURRENCY, 1),
        (Metric.TOKENS, 130),
        (Metric.INPUT_TOKENS, 100),
        (Metric.OUTPUT_TOKENS, 30),
        (Metric.PROVIDER_TOKENS, 500),
        (Metric.COST, 7_000),
    ],
)
def test_each_metric_counts_its_part_of_a_need(metric, amount):
    assert Need(input_tokens=100, output_tokens=30, max_output_tokens=400, cost=7_000).of(metric) == amount
