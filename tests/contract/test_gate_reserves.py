"""A reserve keeps a share of a limit for its lane and those above."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.gate.contract import Refusal, Settlement
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Exhausted, Level, Metric
from tests.contract.gate_line import Line, bucket, budget, deployment, ended, model, node, places, requests

LEVELS = pytest.mark.parametrize("level", list(Level))


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
    line.open(dataclasses.replace(TEN[kind], metric=Metric.TOKENS, amount=100), scopes=[node("p", "l")])

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
