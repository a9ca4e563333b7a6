"""Budgets of money and of tokens: periods, what happens when one is spent, and who hears of it."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Level, Metric
from tests.contract.gate_budget import DAYS, DEAR, HOUR_MS, figures, open_budget, spend, spend_of
from tests.contract.gate_line import START_MS, budget, deployment, ended, ids, model, node

EVERY_LEVEL = pytest.mark.parametrize("level", list(Level))
EVERY_METRIC = pytest.mark.parametrize("metric", [Metric.COST, Metric.PROVIDER_TOKENS])


# ---- periods


@EVERY_METRIC
@EVERY_LEVEL
def test_a_budget_per_period_begins_anew_at_its_boundary_and_not_a_millisecond_earlier(line, metric, level):
    open_budget(line, budget("b", spend_of(metric, 3), level, metric, periods=DAYS, on_exhausted=Exhausted.HOLD))
    spend(line, 3)
    line.enqueue(*line.jobs(2))
    assert line.admit_all() == []
    assert line.used("b") == spend_of(metric, 3)

    line.go_to(DAYS[2] - 1)
    assert (line.admit_all(), line.used("b")) == ([], spend_of(metric, 3))
    line.go_to(DAYS[2])
    assert (len(line.admit_all()), line.used("b")) == (2, spend_of(metric, 2))


def test_a_budget_in_total_never_begins_anew(line):
    open_budget(line, budget("b", 3_000))
    spend(line, 3)
    line.wait(400 * 24 * HOUR_MS)

    (refused,) = line.step(1, enqueue=(line.job(),)).refused

    assert (refused.reason, refused.binding) == (Refusal.BUDGET_EXHAUSTED, "b")


@EVERY_METRIC
def test_what_is_reserved_at_a_boundary_counts_in_the_period_in_which_it_is_settled(line, metric):
    open_budget(line, budget("b", spend_of(metric, 3), metric=metric, periods=DAYS, on_exhausted=Exhausted.HOLD))
    line.enqueue(*line.jobs(9))
    first, *others = line.admit_all()
    line.step(settle=ended([first], **figures()))

    line.go_to(DAYS[2])

    assert (line.used("b"), line.reserved("b")) == (spend_of(metric, 2), spend_of(metric, 2))
    assert len(line.admit_all()) == 1
    line.step(settle=ended(others, **figures()))
    assert (line.used("b"), line.reserved("b")) == (spend_of(metric, 3), spend_of(metric, 1))


def test_what_was_reserved_before_a_boundary_and_not_spent_returns_after_it(line):
    open_budget(line, budget("b", 3_000, periods=DAYS, on_exhausted=Exhausted.HOLD))
    line.enqueue(*line.jobs(3))
    granted = line.admit_all()
    line.go_to(DAYS[2] + 5)

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    assert (line.used("b"), line.reserved("b")) == (0, 0)


def test_several_boundaries_may_pass_at_once(line):
    open_budget(line, budget("b", 2_000, periods=DAYS))
    spend(line, 2)
    line.go_to(DAYS[4] + HOUR_MS)
    spend(line, 2)

    assert line.used("b") == 2_000


def test_periods_are_as_long_as_the_caller_says_so_that_a_day_may_have_23_or_25_hours(line):
    days = (START_MS - HOUR_MS, START_MS + 22 * HOUR_MS, START_MS + (22 + 25) * HOUR_MS)
    open_budget(line, budget("b", 1_000, periods=days, on_exhausted=Exhausted.HOLD))
    line.enqueue(*line.jobs(9))
    came_ms = []
    for _ in range(3):
        reply = line.step(9)
        came_ms += [reply.now_ms] * len(reply.granted)
        line.step(settle=ended(reply.granted, **figures()))
        line.go_to(line.step(9).next_ready_ms or 0)

    assert came_ms == [START_MS, days[1], days[2]]


def test_after_the_last_known_boundary_the_period_goes_on_until_another_is_told(line):
    record = budget("b", 1_000, periods=DAYS[:2], on_exhausted=Exhausted.HOLD)
    open_budget(line, record)
    spend(line, 1)
    line.go_to(DAYS[2] + HOUR_MS)
    line.enqueue(line.job())
    assert line.step(1).next_ready_ms is None

    line.configure(dataclasses.replace(record, periods=DAYS))

    assert len(line.step(1).granted) == 1


@pytest.mark.parametrize("mode", list(Exhausted))
def test_a_new_period_lets_work_in_that_waited_for_a_settlement(line, mode):
    """Spent and reserved fill the budget; after the boundary only what is reserved counts."""
    open_budget(line, budget("b", 3_000, periods=DAYS, on_exhausted=mode))
    spend(line, 1)
    line.enqueue(*line.jobs(2))
    assert len(line.admit_all()) == 2
    line.enqueue(line.job())
    reply = line.step(1)
    assert (reply.granted, reply.refused, reply.next_ready_ms) == ((), (), DAYS[2])

    line.go_to(DAYS[2])

    assert len(line.step(1).granted) == 1


def test_day_and_month_budgets_hold_together(line):
    month = (DAYS[0], START_MS + 30 * 24 * HOUR_MS)
    day = budget("day", 2_000, periods=DAYS, on_exhausted=Exhausted.HOLD)
    line.open(day, budget("month", 5_000, periods=month), scopes=[node("p", "day", "month")], models=[DEAR])
    for boundary in (START_MS, DAYS[2]):
        line.go_to(boundary)
        spend(line, 2)
    line.go_to(DAYS[3])

    reply = line.step(9, enqueue=line.jobs(2))

    assert len(reply.granted) == 1
    line.step(settle=ended(reply.granted, **figures()))
    assert [refused.binding for refused in line.step(9).refused] == ["month"]
    assert line.uses("day", "month") == [1_000, 5_000]


# ---- when it is spent


@EVERY_METRIC
@EVERY_LEVEL
@pytest.mark.parametrize(("mode", "reason"), [(Exhausted.REJECT, Refusal.BUDGET_EXHAUSTED), (Exhausted.DOWNGRADE, Refusal.DOWNGRADE)])
def test_a_spent_budget_refuses_by_name_or_sends_to_a_cheaper_model(line, mode, reason, metric, level):
    open_budget(line, budget("b", spend_of(metric, 2), level, metric, on_exhausted=mode))
    spend(line, 2)
    job, other = line.job(), line.job("q")

    reply = line.step(9, enqueue=(job, other))

    assert [(refused.job, refused.attempt, refused.reason, refused.binding) for refused in reply.refused] == [(job.job, 0, reason, "b")]
    assert ids(reply) == [other.job]


@pytest.mark.parametrize("mode", list(Exhausted))
def test_while_reserved_money_may_come_back_a_job_waits_whatever_the_budget_does_when_it_is_spent(line, mode):
    open_budget(line, budget("b", 2_000, on_exhausted=mode))
    line.enqueue(*line.jobs(3))
    granted = line.admit_all()
    assert len(granted) == 2
    assert line.step(9).refused == ()

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    assert len(line.step(9).granted) == 1


def test_a_downgraded_job_is_granted_at_the_cheaper_model(line):
    cheap = model("cheap", deployment(name="2", output_pico=100_000))
    line.open(budget("b", 2_500, on_exhausted=Exhausted.DOWNGRADE), scopes=[node("p", "b")], models=[DEAR, cheap])
    spend(line, 2)
    job = line.job()
    assert line.step(1, enqueue=(job,)).refused[0].reason == Refusal.DOWNGRADE

    reply = line.step(1, enqueue=(dataclasses.replace(job, model="cheap"),))

    assert [(grant.model, grant.cost) for grant in reply.granted] == [("cheap", 100)]


def test_a_job_that_costs_more_than_the_whole_budget_is_not_held(line):
    open_budget(line, budget("b", 1_000, periods=DAYS, on_exhausted=Exhausted.HOLD))

    (refused,) = line.step(1, enqueue=(line.job(size=3),)).refused

    assert (refused.reason, refused.binding) == (Refusal.BUDGET_EXHAUSTED, "b")


def test_a_held_job_bars_neither_cheaper_jobs_of_its_user_nor_anybody_else(line):
    open_budget(line, budget("b", 3_000, periods=DAYS, on_exhausted=Exhausted.HOLD))
    spend(line, 1)
    dear, cheap, other = line.enqueue(line.job(size=4, lane=Lane.HIGH), line.job(size=2), line.job("q", lane=Lane.LOW))

    assert set(ids(line.step(9))) == {cheap.job, other.job}
    assert line.gate.inspect(()).waiting == 1
    line.go_to(DAYS[2])
    assert line.step(9).granted == ()  # the reserved 1,000 carry over
    assert dear.order_ms


def test_held_jobs_come_back_at_a_top_up_as_far_as_it_goes(line):
    record = budget("b", 2_000, on_exhausted=Exhausted.HOLD)
    open_budget(line, record)
    spend(line, 2)
    line.enqueue(*line.jobs(10))
    assert line.admit_all() == []

    line.configure(dataclasses.replace(record, amount=6_000))

    assert len(line.admit_all()) == 4
    assert line.gate.inspect(()).waiting == 6


def test_held_jobs_come_back_in_their_order(line):
    open_budget(line, budget("b", 1_000, periods=DAYS, on_exhausted=Exhausted.HOLD))
    spend(line, 1)
    low, normal, urgent, high = line.enqueue(
        line.job(lane=Lane.LOW), line.job(), line.job(deadline_ms=START_MS + 90 * HOUR_MS), line.job(lane=Lane.HIGH)
    )
    line.admit_all()
    line.go_to(DAYS[2])
    came = []
    for boundary in DAYS[2:]:
        line.go_to(boundary)
        granted = line.admit_all()
        came += [grant.reservation.job for grant in granted]
        line.step(settle=ended(granted, **figures()))

    assert came == [high.job, urgent.job, normal.job]
    assert low.job not in came


@pytest.mark.parametrize("why", ["a new period", "a top-up"])
@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.long)])
def test_all_of_many_held_jobs_are_granted_within_a_second(line, why, count):
    record = budget("b", 10_000_000, periods=DAYS, on_exhausted=Exhausted.HOLD)
    open_budget(line, record)
    line.enqueue(line.job(size=10_001))
    line.step(settle=ended(line.admit_all(), cost=10_000_000))
    line.enqueue(*line.jobs(count))
    while line.step(500).has_more:
        pass
    assert line.gate.inspect(()).waiting == count

    if why == "a new period":
        line.go_to(DAYS[2])
    else:
        line.configure(dataclasses.replace(record, amount=100_000_000))
    started_ms, granted = line.clock.now_ms, 0
    while granted < count:
        reply = line.step(500)
        granted += len(reply.granted)
        if not reply.has_more and granted < count:
            line.go_to(reply.next_ready_ms)

    assert line.clock.now_ms - started_ms <= 1_000


def test_a_held_job_may_be_withdrawn_and_comes_in_once(line):
    open_budget(line, budget("b", 1_000, periods=DAYS, on_exhausted=Exhausted.HOLD))
    spend(line, 1)
    first, second = line.enqueue(*line.jobs(2))
    line.admit_all()
    line.enqueue(first, second)
    assert line.gate.inspect(()).waiting == 2

    line.step(withdraw=(first,))
    line.go_to(DAYS[2])

    assert ids(line.step(9)) == [second.job]
    assert line.gate.inspect(()).waiting == 0


def test_held_jobs_that_will_never_fit_again_are_all_refused_at_once_although_others_go_on_waiting(line):
    record = budget("b", 20_000, periods=DAYS, on_exhausted=Exhausted.HOLD)
    open_budget(line, record)
    spend(line, 20)
    line.enqueue(*line.jobs(300, size=4), *line.jobs(3))
    assert line.admit_all() == []
    line.configure(dataclasses.replace(record, amount=2_000))
    line.go_to(DAYS[2])
    granted, refused = [], []

    while line.clock.now_ms < DAYS[2] + 1_000:
        reply = line.step(9)
        granted += reply.granted
        refused += reply.refused
        line.go_to(reply.now_ms if reply.has_more else reply.next_ready_ms)

    assert (len(granted), len(refused)) == (2, 300)
    assert {refusal.reason for refusal in refused} == {Refusal.BUDGET_EXHAUSTED}
