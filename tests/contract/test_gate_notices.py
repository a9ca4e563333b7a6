"""Who hears that a budget is nearly spent: each threshold once a period, until somebody has read it."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import MOST_NOTICES, NoticeKind, Settlement
from rateguard.engine.limits.limit import Exhausted, Level, Metric
from tests.contract.gate_budget import DAYS, DEAR, open_budget, spend, spend_of
from tests.contract.gate_line import START_MS, Line, budget, ended, node

EVERY_METRIC = pytest.mark.parametrize("metric", [Metric.COST, Metric.PROVIDER_TOKENS])


def thresholds_of(line: Line) -> list[tuple[str, int, int]]:
    return [(notice.subject, notice.value, notice.period) for notice in line.notices()]


@EVERY_METRIC
def test_each_threshold_is_noticed_once_when_what_is_spent_reaches_it(line, metric):
    open_budget(line, budget("b", spend_of(metric, 10), metric=metric, thresholds=(50, 80, 100)))
    seen = []
    for _ in range(10):
        spend(line, 1)
        seen.append(len(thresholds_of(line)))

    assert seen == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
    assert thresholds_of(line) == [("b", 50, 0), ("b", 80, 0), ("b", 100, 0)]
    assert {(notice.kind, notice.at_ms, notice.detail) for notice in line.notices()} == {(NoticeKind.THRESHOLD, START_MS, "")}


def test_what_is_only_reserved_reaches_no_threshold(line):
    open_budget(line, budget("b", 10_000, thresholds=(50, 80)))
    line.enqueue(*line.jobs(9))
    granted = line.admit_all()
    assert thresholds_of(line) == []

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    assert thresholds_of(line) == []


def test_one_settlement_may_reach_several_thresholds(line):
    open_budget(line, budget("b", 10_000, thresholds=(50, 80, 100)))
    line.enqueue(line.job(size=10))

    line.step(settle=ended(line.admit_all(), cost=9_000))

    assert [share for _, share, _ in thresholds_of(line)] == [50, 80]


@pytest.mark.parametrize("mode", list(Exhausted))
def test_a_job_that_the_rest_cannot_pay_tells_of_all_thresholds(line, mode):
    open_budget(line, budget("b", 10_000, thresholds=(50, 80, 100), on_exhausted=mode))
    line.enqueue(line.job(size=10))
    line.step(settle=ended(line.admit_all(), cost=9_000))

    line.step(1, enqueue=(line.job(size=3),))
    line.step(1, enqueue=(line.job(size=3),))

    assert [share for _, share, _ in thresholds_of(line)] == [50, 80, 100]


def test_a_job_that_only_what_is_reserved_keeps_out_tells_nobody(line):
    open_budget(line, budget("b", 10_000, thresholds=(100,)))
    line.enqueue(line.job(size=10))
    line.admit_all()

    line.step(1, enqueue=(line.job(size=3),))

    assert thresholds_of(line) == []


def test_thresholds_are_noticed_anew_in_each_period(line):
    open_budget(line, budget("b", 2_000, periods=DAYS, thresholds=(50, 100)))
    for boundary in DAYS[1:4]:
        line.go_to(boundary)
        spend(line, 2)

    assert thresholds_of(line) == [("b", share, boundary) for boundary in DAYS[1:4] for share in (50, 100)]


def test_a_top_up_repeats_no_threshold(line):
    record = budget("b", 10_000, thresholds=(50, 80, 100))
    open_budget(line, record)
    spend(line, 8)
    line.notices(*[notice.id for notice in line.notices()])

    line.configure(dataclasses.replace(record, amount=20_000))
    spend(line, 11)
    assert thresholds_of(line) == []
    spend(line, 1)

    assert thresholds_of(line) == [("b", 100, 0)]


def test_a_threshold_added_by_an_edit_is_noticed_and_what_is_below_a_noticed_one_is_not(line):
    record = budget("b", 10_000, thresholds=(80,))
    open_budget(line, record)
    spend(line, 8)
    line.notices(*[notice.id for notice in line.notices()])

    line.configure(dataclasses.replace(record, thresholds=(50, 80, 90)))
    spend(line, 1)

    assert [share for _, share, _ in thresholds_of(line)] == [90]


def test_a_default_budget_is_noticed_for_the_node_that_has_it(line):
    line.open(budget("d:b", 2_000, Level.LEAF, thresholds=(50,)), scopes=[node("p", user=("d:b",))], models=[DEAR])
    spend(line, 1, "p|user:alice")
    spend(line, 2, "p|user:bob")

    assert sorted(thresholds_of(line)) == [("d:b@user:alice", 50, 0), ("d:b@user:bob", 50, 0)]


def test_notices_stay_until_they_are_acknowledged_and_keep_their_ids(line):
    open_budget(line, budget("b", 10_000, thresholds=(10, 20, 30)))
    spend(line, 3)
    first, second, third = line.notices()
    assert [notice.id for notice in line.notices()] == [first.id, second.id, third.id]

    assert [notice.id for notice in line.notices(first.id, third.id)] == [second.id]
    assert [notice.id for notice in line.notices(first.id, "unknown")] == [second.id]
    assert line.notices(second.id) == []


def test_notices_are_read_as_many_as_wanted(line):
    open_budget(line, budget("b", 100_000, thresholds=tuple(range(1, 31))))
    spend(line, 30)

    page = line.notices(most=12)

    assert len(page) == 12
    assert len(line.notices(*[notice.id for notice in page])) == 18


def test_notices_that_nobody_collects_are_bounded(line):
    line.open(budget("d:b", 1_000, Level.LEAF, thresholds=tuple(range(1, 101))), scopes=[node("p", user=("d:b",))], models=[DEAR])
    users = MOST_NOTICES // 100 + 3
    line.enqueue(*(line.job(f"p|user:{user}") for user in range(users)))

    line.step(settle=ended(line.admit_all(), cost=1_000))

    assert len(line.notices(most=2 * MOST_NOTICES)) == MOST_NOTICES
