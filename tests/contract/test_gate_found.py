"""Faults that random steps have found, each held by itself."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Running, Settlement
from rateguard.engine.limits.limit import Kind, Level, Metric
from tests.contract.gate_line import bucket, budget, deployment, ended, model, node, requests, sent, tokens

HOUR_MS = 3_600_000


def test_what_counts_late_under_a_default_that_was_swept_meanwhile_counts_for_its_node_again(line):
    line.open(requests("d:r", 5, level=Level.LEAF), scopes=[node("p", user=("d:r",))])
    line.enqueue(line.job("p|user:a"))
    granted = line.admit_all()
    line.step(sent=sent(granted))
    line.wait(HOUR_MS)
    assert line.nodes() == {}

    line.step(settle=ended(granted, input_tokens=1, output_tokens=1, counted_ago_ms=20))

    assert line.used("d:r@user:a") == 1
    assert line.nodes() == {"p": 1}
    line.wait(HOUR_MS)
    line.wait(HOUR_MS)
    assert line.nodes() == {}


def test_a_bucket_that_is_rebuilt_counts_what_runs_from_when_it_was_sent(line):
    line.open(bucket("b", 60, 10_000), scopes=[node("p", "b")])
    job = dataclasses.replace(line.job(), attempt=1)
    line.gate.clear()
    line.configure(bucket("b", 60, 10_000), scopes=(node("p", "b"),))
    line.gate.restore((), tuple(Running(dataclasses.replace(job, attempt=at), "1", "w", 101, 0) for at in (1, 2)), ())
    line.gate.open(2)

    assert line.used("b") == 2
    line.wait(233)
    assert line.used("b") == 0


def test_what_is_used_stays_when_a_window_becomes_a_bucket_and_a_bucket_a_window(line):
    record = requests("l", 10, 10_000, Level.TENANT)
    line.open(record, scopes=[node("p", "l")])
    line.enqueue(*line.jobs(20))
    line.step(8)

    line.configure(dataclasses.replace(record, kind=Kind.BUCKET))
    assert line.used("l") == 8
    assert len(line.admit_all()) == 2
    line.wait(5_000)

    line.configure(record, version=3)
    assert line.used("l") == 5
    assert len(line.admit_all()) == 5
    assert not line.admit_all()


@pytest.mark.parametrize(("level", "holder"), [(Level.LEAF, "p|team:x"), (Level.TENANT, "p")])
def test_a_cancelled_job_bars_nobody_behind_it(line, level, holder):
    scopes = [node("p", "w")] if level == Level.TENANT else [node("p"), node(holder, "w")]
    line.open(tokens("w", 1_000, 60_000, level=level), scopes=scopes)
    line.enqueue(line.job("p|team:x|user:a", size=600))
    line.admit_all()
    large, small = line.job("p|team:x|user:a", size=900), line.job("p|team:x|user:b", size=100)
    line.enqueue(large)
    assert not line.admit_all()
    line.enqueue(small)
    assert not line.admit_all()

    reply = line.step(withdraw=(large,))

    granted = []
    while not granted and reply.next_ready_ms - line.clock.now_ms <= 100:
        line.go_to(reply.next_ready_ms)
        reply = line.step(1)
        granted = reply.granted
    assert [grant.reservation.job for grant in granted] == [small.job]


def test_a_budget_that_was_deleted_and_made_again_owes_nothing_for_what_ran_before(line):
    record = budget("b", 10, metric=Metric.REQUESTS)
    line.open(record, scopes=[node("p", "b")])
    line.enqueue(*line.jobs(3))
    granted = line.admit_all()
    line.configure(forget_limits=("b",))
    line.configure(record, version=3)

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in granted))

    assert line.used("b") == 0


def test_a_job_too_large_for_one_deployment_and_waiting_for_another_holds_up_nobody_who_fits(line):
    full, small = deployment("1:t", name="1"), deployment("2:t", name="2")
    line.open(tokens("1:t", 1_000), tokens("2:t", 500), models=[model("m", full, small)], scopes=[node("p"), node("q")])
    line.enqueue(line.job(size=900))
    assert len(line.admit_all()) == 1
    large, fits = line.job("q", size=600), line.job("q|user:x", size=100)
    assert not line.step(5, enqueue=(large,)).granted

    reply = line.step(5, enqueue=(fits,))

    assert [(grant.reservation.job, grant.deployment) for grant in reply.granted] == [(fits.job, "2")]
    line.go_to(reply.next_ready_ms)
    assert [grant.reservation.job for grant in line.admit_all()] == [large.job]


def test_a_bucket_that_was_full_again_gives_back_nothing_of_what_was_taken_before(line):
    line.open(bucket("l", 10, 10_000), scopes=[node("p", "l")])
    line.enqueue(*line.jobs(40))
    first = line.admit_all()
    line.wait(10_000)
    second = line.admit_all()
    assert (len(first), len(second)) == (10, 10)

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in first))
    assert line.admit_all() == []

    line.step(settle=tuple(Settlement(grant.reservation, used=False) for grant in second))
    assert len(line.admit_all()) == 10


def test_nothing_is_remembered_of_runs_that_are_over(line):
    line.open(scopes=[node("p")])
    before = line.remembered_versions()
    for number in range(20):
        limit = budget(f"r{number}", 10)
        line.configure(limit, scopes=(node(f"p|run:{number}", limit.id),), version=2)
        line.configure(forget_limits=(limit.id,), forget_scopes=(f"p|run:{number}",), version=3)

    assert line.remembered_versions() == before
