"""What people do to a breaker, who hears of its transitions, and what a rebuild leaves of it."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.breaker.rule import BreakerRule, Forced
from rateguard.engine.gate.contract import NoticeKind, ReservationId, Running, Settlement
from tests.contract.gate_breaker import (
    CLOSED,
    FAILURE,
    HALF_OPEN,
    OPEN,
    RULE,
    SLOW,
    SUCCESS,
    calls,
    end,
    grant,
    open_with,
    probe_of,
    state,
    tripped,
    view,
)
from tests.contract.gate_line import START_MS, Line, deployment, model, node


def force(line: Line, forced: Forced, rule: BreakerRule = RULE) -> None:
    line.configure(models=(model("m", deployment(rule=dataclasses.replace(rule, forced=forced))),))


def test_forced_open_takes_nothing_until_it_is_lifted(line):
    open_with(line)
    calls(line, 0, 3)
    line.enqueue(*line.jobs(3))
    force(line, Forced.OPEN)

    reply = line.step(9)
    assert (reply.granted, reply.binding, reply.next_ready_ms) == ((), "breaker:1", None)
    line.wait(3_600_000)
    assert line.admit_all() == []
    force(line, Forced.NO)

    assert len(line.admit_all()) == 3


def test_forced_closed_lets_all_through_and_counts_nothing(line):
    tripped(line)
    force(line, Forced.CLOSED)
    line.enqueue(*line.jobs(20))
    granted = line.admit_all()
    assert len(granted) == 20

    end(line, granted, FAILURE)
    line.enqueue(line.job())

    assert len(line.admit_all()) == 1


def test_when_a_force_is_lifted_it_stands_where_it_stood(line):
    tripped(line)
    force(line, Forced.CLOSED)
    grant(line, 3)
    force(line, Forced.NO)
    line.enqueue(*line.jobs(2))

    assert line.step(9).next_ready_ms == START_MS + 30_000


def test_a_probe_that_ends_under_a_force_frees_its_place(line):
    tripped(line)
    probe = probe_of(line)
    force(line, Forced.CLOSED)
    end(line, [probe], FAILURE)
    force(line, Forced.NO)

    assert (state(line), view(line).is_probing) == (HALF_OPEN, False)
    line.enqueue(*line.jobs(3))
    assert len(line.admit_all()) == 1


@pytest.mark.parametrize("before", ["open", "half-open"])
def test_a_reset_closes_it_and_forgets_what_it_counted(line, before):
    tripped(line)
    if before == "half-open":
        probe_of(line)

    line.gate.reset_breaker("1")

    assert (state(line), view(line).is_probing, view(line).calls) == (CLOSED, False, 0)
    calls(line, 4)
    assert state(line) == CLOSED
    end(line, grant(line, 1), FAILURE)
    assert state(line) == OPEN


def test_a_reset_of_a_closed_one_forgets_its_failures(line):
    open_with(line)
    calls(line, 4)

    line.gate.reset_breaker("1")
    calls(line, 4)

    assert state(line) == CLOSED


def test_a_reset_of_what_never_had_calls_does_nothing(line):
    open_with(line)

    line.gate.reset_breaker("1")
    line.gate.reset_breaker("unknown")

    assert line.gate.inspect(()).breakers == ()
    assert line.notices() == []


def test_an_edited_rule_acts_on_the_next_call(line):
    open_with(line)
    calls(line, 3)

    line.configure(models=(model("m", deployment(rule=BreakerRule(failures=4))),))
    end(line, grant(line, 1), FAILURE)

    assert state(line) == OPEN


# ---- who hears of it


def test_each_transition_is_noticed_once_with_its_reason(line):
    open_with(line)
    calls(line, 5, 3)
    end(line, [probe_of(line)], FAILURE)
    end(line, [probe_of(line)], SUCCESS)
    line.gate.reset_breaker("1")
    calls(line, 1)
    line.gate.reset_breaker("1")

    notices = [notice for notice in line.notices() if notice.kind == NoticeKind.BREAKER]

    assert [(notice.subject, notice.detail) for notice in notices] == [
        ("1", "closed>open: 5 of 8 calls failed"),
        ("1", "open>half_open: its time is up"),
        ("1", "half_open>open: the probe failed"),
        ("1", "open>half_open: its time is up"),
        ("1", "half_open>closed: the probe succeeded"),
        ("1", "closed>closed: reset"),
    ]
    assert len({notice.id for notice in notices}) == len(notices)
    assert [notice.at_ms - START_MS for notice in notices] == [0, 30_000, 30_000, 60_000, 60_000, 60_000]


def test_slow_calls_and_slow_probes_are_named_so(line):
    open_with(line, SLOW)
    calls(line, 0, 5, latency_ms=5_000)
    end(line, [probe_of(line)], SUCCESS, 5_000)

    assert [notice.detail for notice in line.notices()] == [
        "closed>open: 5 of 5 calls were slow",
        "open>half_open: its time is up",
        "half_open>open: the probe was slow",
    ]


# ---- rebuilds


def rebuild(line: Line, *running: Running) -> None:
    """The gate was lost and comes back in its second epoch."""
    line.gate.clear()
    line.configure(scopes=(node("p"),), models=(model("m", deployment()),))
    line.gate.restore((), running, ())
    line.gate.open(2)
    line.beat()


def test_after_a_rebuild_it_is_closed_and_no_generation_comes_back(line):
    tripped(line)
    end(line, [probe_of(line)], FAILURE)
    before = view(line).generation

    rebuild(line)
    calls(line, 4)

    assert state(line) == CLOSED
    assert view(line).generation > before + 1_000


def test_what_ran_before_a_rebuild_says_nothing_of_the_deployment_after_it(line):
    open_with(line)
    jobs = [dataclasses.replace(job, attempt=1) for job in line.jobs(10)]
    rebuild(line, *(Running(job, "1", "w", 1_000, 0) for job in jobs))
    calls(line, 1)

    for job in jobs:
        line.step(settle=(Settlement(ReservationId(job.job, 1), used=True, verdict=FAILURE),))

    assert line.gate.inspect(()).reservations == 0
    assert (state(line), view(line).failures) == (CLOSED, 1)
