"""Buckets: a burst, a refill without a break, refunds and debts. Reserves: the share of any limit that is kept for the upper lanes."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Level, Metric
from tests.contract.gate_line import Line, bucket, budget, deployment, ended, model, node, places, requests

LEVELS = pytest.mark.parametrize("level", list(Level))


def open_with(line: Line, *limits, **more) -> None:
    line.open(*limits, scopes=[node("p", *(limit.id for limit in limits))], **more)


# ---- buckets


@LEVELS
@pytest.mark.parametrize(("burst_permille", "at_once"), [(1000, 20), (500, 10), (100, 2), (50, 1)])
def test_a_full_bucket_gives_its_burst_share_at_once(line, burst_permille, at_once, level):
    open_with(line, bucket("b", 20, 60_000, level, burst_permille=burst_permille))
    line.enqueue(*line.jobs(50))

    assert len(line.admit_all()) == at_once
    assert line.gate.inspect(("b",)).limits[0].amount == at_once


@LEVELS
def test_a_bucket_refills_without_a_break(line, level):
    open_with(line, bucket("b", 20, 60_000, level, burst_permille=100))
    line.enqueue(*line.jobs(50))
    line.admit_all()
    started_ms, came_ms = line.clock.now_ms, []

    while len(came_ms) < 10:
        reply = line.step(9)
        came_ms += [reply.now_ms - started_ms] * len(reply.granted)
        if not reply.has_more:
            line.go_to(reply.next_ready_ms)

    assert came_ms == [3_000 * place for place in range(1, 11)]


@LEVELS
def test_a_bucket_says_when_it_has_room_and_not_a_millisecond_earlier(line, level):
    open_with(line, bucket("b", 7, 10_000, level))
    line.enqueue(*line.jobs(8))
    line.admit_all()
    reply = line.step(1)
    assert line.next_ms("b") == reply.next_ready_ms - reply.now_ms

    line.go_to(reply.next_ready_ms - 1)
    assert line.step(1).granted == ()
    line.go_to(reply.next_ready_ms)
    assert len(line.step(1).granted) == 1


def test_over_any_time_a_bucket_gives_its_burst_and_its_rate_and_no_more(line):
    open_with(line, bucket("b", 100, 10_000, Level.TENANT, burst_permille=300))
    line.enqueue(*line.jobs(400))
    started_ms, granted = line.clock.now_ms, 0

    while line.clock.now_ms < started_ms + 30_000:
        granted += len(line.admit_all())
        elapsed_ms = line.clock.now_ms - started_ms
        assert granted <= 30 + elapsed_ms // 100 + 1
        line.wait(700)

    assert granted >= 30 + 290


def test_a_bucket_that_nobody_uses_holds_no_more_than_its_burst(line):
    open_with(line, bucket("b", 20, 60_000, burst_permille=500))
    line.enqueue(*line.jobs(30))
    assert len(line.admit_all()) == 10

    line.wait(3_600_000)

    assert len(line.admit_all()) == 10


def test_a_job_larger_than_a_buckets_capacity_is_refused_by_name(line):
    open_with(line, bucket("b", 100, 60_000, metric=Metric.TOKENS, burst_permille=500))

    (refused,) = line.step(1, enqueue=(line.job(size=51),)).refused

    assert (refused.reason, refused.binding) == (Refusal.EXCEEDS_LIMIT, "b")


@LEVELS
def test_a_bucket_gets_back_what_was_not_used_at_once(line, level):
    open_with(line, bucket("b", 100, 60_000, level, metric=Metric.TOKENS))
    line.enqueue(*line.jobs(3, size=50))
    granted = line.admit_all()
    assert (len(granted), line.used("b")) == (2, 100)

    line.step(settle=ended(granted, input_tokens=1, output_tokens=19))

    assert line.used("b") == 40
    assert len(line.admit_all()) == 1


@LEVELS
def test_what_was_never_sent_returns_to_the_bucket_whole(line, level):
    open_with(line, bucket("b", 2, 60_000, level))
    line.enqueue(*line.jobs(4))
    granted = line.admit_all()

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    assert line.used("b") == 0
    assert len(line.admit_all()) == 2


@LEVELS
def test_an_overrun_is_a_debt_that_the_refill_pays_first(line, level):
    open_with(line, bucket("b", 100, 10_000, level, metric=Metric.TOKENS))
    line.enqueue(*line.jobs(2, size=100))
    granted = line.admit_all()

    line.step(settle=ended(granted, input_tokens=1, output_tokens=149))

    assert line.used("b") == 150
    settled_ms = line.clock.now_ms
    reply = line.step(1)
    while not reply.granted:
        line.go_to(reply.next_ready_ms)
        reply = line.step(1)
    assert reply.now_ms == settled_ms + 15_000


def test_a_bucket_of_an_account_is_shared_by_its_models_and_tenants(line):
    models = [model("m", deployment("a:b")), model("n", deployment("a:b", name="2"))]
    line.open(bucket("a:b", 6, 60_000, Level.SHARED), scopes=[node("pa"), node("pb")], models=models)
    line.enqueue(*line.jobs(5, "pa"), *line.jobs(5, "pb", to="n"))

    assert len(line.admit_all()) == 6


def test_users_share_a_bucket_alike_as_it_refills(line):
    open_with(line, bucket("b", 600, 60_000, burst_permille=10))
    jobs = {user: line.jobs(60, f"p|user:{user}") for user in "abc"}
    line.enqueue(*(job for of_user in jobs.values() for job in of_user))
    owner = {job.job: user for user, of_user in jobs.items() for job in of_user}
    counts = dict.fromkeys("abc", 0)

    for _ in range(60):
        for grant in line.admit_all():
            counts[owner[grant.reservation.job]] += 1
        line.wait(100)

    assert sum(counts.values()) >= 60
    assert max(counts.values()) - min(counts.values()) <= 1


# ---- reserves

KEPT = {"reserve_permille": 400, "reserve_lane": Lane.HIGH}
TEN = {
    "window": requests("l", 10, **KEPT),
    "bucket": bucket("l", 10, **KEPT),
    "concurrency": places("l", 10, **KEPT),
    "budget": budget("l", 10_000, **KEPT, on_exhausted=Exhausted.HOLD),
}
DEAR = model("m", deployment(output_pico=1_000_000))


def open_reserved(line: Line, kind: str, level: Level) -> None:
    line.open(dataclasses.replace(TEN[kind], level=level), scopes=[node("p", "l")], models=[DEAR])


@pytest.mark.parametrize("kind", TEN)
@LEVELS
@pytest.mark.parametrize("lane", list(Lane))
def test_a_reserve_keeps_its_share_for_its_lane_and_those_above(line, kind, level, lane):
    open_reserved(line, kind, level)
    line.enqueue(*line.jobs(20, lane=lane))

    assert len(line.admit_all()) == (10 if lane <= Lane.HIGH else 6)


@pytest.mark.parametrize("kind", TEN)
@LEVELS
def test_a_high_job_passes_where_a_low_one_is_closed_by_the_reserve(line, kind, level):
    open_reserved(line, kind, level)
    line.enqueue(*line.jobs(20, lane=Lane.LOW))
    assert len(line.admit_all()) == 6

    line.enqueue(*line.jobs(20, lane=Lane.HIGH))

    assert [grant.lane for grant in line.admit_all()] == [Lane.HIGH] * 4


@pytest.mark.parametrize("kind", TEN)
@LEVELS
def test_what_upper_lanes_use_counts_for_the_lower_ones(line, kind, level):
    open_reserved(line, kind, level)
    line.enqueue(*line.jobs(5, lane=Lane.HIGH), *line.jobs(20, lane=Lane.NORMAL))

    lanes = [grant.lane for grant in line.admit_all()]

    assert (lanes.count(Lane.HIGH), lanes.count(Lane.NORMAL)) == (5, 1)


@LEVELS
def test_low_work_goes_on_when_places_below_the_reserve_are_free_again(line, level):
    open_reserved(line, "concurrency", level)
    line.enqueue(*line.jobs(6, lane=Lane.HIGH), *line.jobs(9, lane=Lane.LOW))
    granted = line.admit_all()
    assert len(granted) == 6

    line.step(settle=ended(granted[:4]))

    assert [grant.lane for grant in line.admit_all()] == [Lane.LOW] * 4


@LEVELS
def test_low_work_goes_on_when_the_window_below_the_reserve_is_free_again(line, level):
    open_reserved(line, "window", level)
    line.enqueue(*line.jobs(20, lane=Lane.LOW))
    line.admit_all()
    reply = line.step(1)
    assert 60_000 <= reply.next_ready_ms - reply.now_ms <= 60_250

    line.go_to(reply.next_ready_ms)

    assert len(line.admit_all()) == 6


def test_low_work_waits_for_the_refill_below_a_buckets_reserve(line):
    open_reserved(line, "bucket", Level.TENANT)
    line.enqueue(*line.jobs(10, lane=Lane.HIGH), *line.jobs(3, lane=Lane.LOW))
    line.admit_all()

    reply = line.step(1)

    assert reply.next_ready_ms == reply.now_ms + 30_000  # 5 of 10 come back before one below 6 fits


@pytest.mark.parametrize("kind", ["window", "bucket"])
def test_a_job_larger_than_what_its_lane_may_use_is_refused_and_an_upper_one_passes(line, kind):
    open_with(line, dataclasses.replace(TEN[kind], metric=Metric.TOKENS, amount=100))

    reply = line.step(9, enqueue=(line.job(size=61, lane=Lane.LOW), line.job(size=61, lane=Lane.HIGH)))

    assert [refused.reason for refused in reply.refused] == [Refusal.EXCEEDS_LIMIT]
    assert [grant.lane for grant in reply.granted] == [Lane.HIGH]


@pytest.mark.parametrize("waiting", [3, 300])
def test_held_low_jobs_neither_spin_nor_bar_the_way_of_high_ones(line, waiting):
    """The budget has room for upper lanes only, and many lower jobs are held under it."""
    open_reserved(line, "budget", Level.TENANT)
    line.enqueue(*line.jobs(6, lane=Lane.HIGH), *line.jobs(waiting, lane=Lane.LOW))
    granted = line.admit_all()
    line.enqueue(*line.jobs(8, lane=Lane.HIGH))
    more = line.admit_all()
    assert (len(granted), len(more)) == (6, 4)

    line.step(settle=ended(granted, cost=1_000))
    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in more))

    assert [grant.lane for grant in line.admit_all()] == [Lane.HIGH] * 4
    steps, reply = 0, line.step(9)
    while reply.next_ready_ms is not None and steps < 20:
        line.go_to(reply.next_ready_ms)
        reply, steps = line.step(9), steps + 1
    assert steps < 20


@pytest.mark.parametrize(
    "edit", [{"amount": 12_000}, {"amount": 9_000, "reserve_permille": 100}, {"reserve_permille": 0}, {"reserve_lane": Lane.LOW}], ids=str
)
def test_an_edit_of_a_budget_or_its_reserve_lets_held_low_jobs_in_that_fit_now(line, edit):
    open_reserved(line, "budget", Level.TENANT)
    line.enqueue(*line.jobs(300, lane=Lane.LOW))
    assert len(line.admit_all()) == 6
    record = dataclasses.replace(TEN["budget"], level=Level.TENANT, **edit)

    line.configure(record)

    assert len(line.admit_all()) == record.amount_for(Lane.LOW) // 1_000 - 6


@pytest.mark.parametrize("record", [places("l", 3, Level.TENANT), requests("l", 9, level=Level.TENANT)], ids=["places", "window"])
def test_held_jobs_are_freed_when_their_budget_becomes_another_kind_of_limit(line, record):
    line.open(budget("l", 6_000, on_exhausted=Exhausted.HOLD), scopes=[node("p", "l")], models=[DEAR])
    line.enqueue(*line.jobs(300))
    assert len(line.admit_all()) == 6

    line.configure(record)

    assert len(line.admit_all()) == record.amount
