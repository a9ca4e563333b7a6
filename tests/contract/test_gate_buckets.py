"""Buckets: a burst, a refill without a break, refunds and debts."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement
from rateguard.engine.limits.limit import Level, Metric
from tests.contract.gate_line import Line, bucket, deployment, ended, model, node

LEVELS = pytest.mark.parametrize("level", list(Level))


def open_with(line: Line, *limits, **more) -> None:
    line.open(*limits, scopes=[node("p", *(limit.id for limit in limits))], **more)


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
