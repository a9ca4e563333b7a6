"""A failing deployment is left alone by the whole fleet: when its breaker opens, and what happens while it is open."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.breaker.rule import BreakerRule
from rateguard.engine.gate.contract import Settlement
from tests.contract.gate_breaker import (
    CLOSED,
    FAILURE,
    NONE,
    OPEN,
    RULE,
    SLOW,
    SUCCESS,
    calls,
    end,
    grant,
    open_with,
    state,
    tripped,
    view,
)
from tests.contract.gate_line import START_MS, deployment, ended, model


@pytest.mark.parametrize(
    ("failures", "successes", "becomes"),
    [(5, 0, OPEN), (4, 0, CLOSED), (5, 5, OPEN), (5, 6, CLOSED), (6, 6, OPEN), (6, 7, CLOSED), (50, 50, OPEN), (4, 100, CLOSED)],
)
def test_it_opens_at_five_failures_that_are_half_of_the_calls_and_not_before(line, failures, successes, becomes):
    open_with(line)
    calls(line, failures, successes)

    assert state(line) == becomes
    if becomes == CLOSED:
        assert (view(line).calls, view(line).failures) == (failures + successes, failures)


def test_it_opens_in_the_very_step_that_reports_the_failure_that_fulfils_the_rule(line):
    open_with(line)
    end(line, grant(line, 4), FAILURE)
    last = grant(line, 1)
    job = line.job()

    reply = line.step(1, settle=ended(last, verdict=FAILURE), enqueue=(job,))

    assert (reply.granted, reply.binding) == ((), "breaker:1")
    assert reply.next_ready_ms == START_MS + 30_000


def test_failures_count_for_the_length_of_the_window_and_not_much_longer(line):
    open_with(line)
    end(line, grant(line, 4), FAILURE)
    line.wait(30_000)
    assert view(line).failures == 4
    line.wait(3_000)
    assert view(line).failures == 0

    end(line, grant(line, 4), FAILURE)

    assert state(line) == CLOSED


def test_failures_spread_over_the_window_open_it(line):
    open_with(line)
    for _ in range(4):
        end(line, grant(line, 1), FAILURE)
        line.wait(7_000)
    assert state(line) == CLOSED

    end(line, grant(line, 1), FAILURE)

    assert state(line) == OPEN


def test_successes_that_left_the_window_dilute_nothing(line):
    open_with(line)
    calls(line, 0, 50)
    line.wait(34_000)

    calls(line, 5)

    assert state(line) == OPEN


@pytest.mark.parametrize("rule", [BreakerRule(failures=2, failure_permille=900), BreakerRule(failures=3, failure_permille=1)])
def test_each_deployment_has_its_own_rule(line, rule):
    open_with(line, rule)
    calls(line, rule.failures - 1, 0)
    assert state(line) == CLOSED

    end(line, grant(line, 1), FAILURE)

    assert state(line) == OPEN


def test_a_verdict_of_none_counts_as_no_call(line):
    """What a 429, another 4xx, a cancelled or an unsent call says."""
    open_with(line)
    end(line, grant(line, 100), NONE)
    for one in grant(line, 20):
        line.step(settle=(Settlement(one.reservation, used=False),))
    assert (view(line).calls, state(line)) == (0, CLOSED)

    calls(line, 4, 4)

    assert (view(line).calls, view(line).failures) == (8, 4)


@pytest.mark.parametrize(("slow", "fast", "becomes"), [(5, 0, OPEN), (5, 5, OPEN), (4, 0, CLOSED), (5, 6, CLOSED)])
def test_slow_calls_open_it_by_the_same_count_and_their_own_share(line, slow, fast, becomes):
    open_with(line, SLOW)
    granted = grant(line, slow + fast)
    end(line, granted[:fast], SUCCESS, 999)
    end(line, granted[fast:], SUCCESS, 1_000)

    assert state(line) == becomes
    if becomes == CLOSED:
        assert (view(line).slow, view(line).failures) == (slow, 0)


def test_without_a_bound_no_call_is_slow(line):
    open_with(line)
    calls(line, 0, 20, latency_ms=10**7)

    assert (state(line), view(line).slow) == (CLOSED, 0)


def test_slow_calls_of_no_verdict_do_not_count(line):
    open_with(line, SLOW)
    end(line, grant(line, 20), NONE, 60_000)

    assert (state(line), view(line).calls) == (CLOSED, 0)


def test_failures_of_one_deployment_say_nothing_of_another(line):
    open_with(line, RULE, deployment(name="2"))
    calls(line, 5)
    line.enqueue(*line.jobs(3))

    assert [one.deployment for one in line.admit_all()] == ["2"] * 3
    assert view(line, "2").state == CLOSED


def test_a_deployment_has_one_breaker_for_all_models_and_tenants(line):
    shared = deployment()
    line.open(models=[model("m", shared), model("n", shared)])
    line.enqueue(*line.jobs(3), *line.jobs(2, to="n"))
    end(line, line.admit_all(), FAILURE)
    line.enqueue(line.job(to="n"))

    assert line.admit_all() == []
    assert state(line) == OPEN


# ---- while it is open


def test_while_it_is_open_nothing_goes_to_the_deployment_and_the_moment_is_told(line):
    tripped(line)
    line.enqueue(*line.jobs(3))

    reply = line.step(9)
    assert (reply.granted, reply.binding, reply.next_ready_ms) == ((), "breaker:1", START_MS + 30_000)
    line.go_to(START_MS + 29_999)
    assert line.step(9).granted == ()
    line.go_to(START_MS + 30_000)
    assert len(line.step(9).granted) == 1


def test_another_deployment_takes_the_work_meanwhile_and_the_probe_comes_from_it(line):
    tripped(line, RULE, deployment(name="2"))
    line.enqueue(*line.jobs(4))
    assert [one.deployment for one in line.step(2).granted] == ["2", "2"]

    line.go_to(START_MS + 30_000)

    assert [one.deployment for one in line.step(2).granted] == ["1", "2"]


def test_while_all_deployments_are_open_the_model_waits_for_the_first_to_be_probed(line):
    quick = dataclasses.replace(RULE, open_ms=4_000)
    open_with(line, RULE, deployment(name="2", rule=quick))
    calls(line, 5)
    end(line, grant(line, 5), FAILURE)
    line.enqueue(line.job())

    assert line.step(1).next_ready_ms == START_MS + 4_000


def test_what_was_under_way_when_it_opened_changes_nothing_any_more(line):
    open_with(line)
    late = grant(line, 20)
    end(line, late[:5], FAILURE)
    until_ms = view(line).until_ms
    line.wait(10_000)

    end(line, late[5:10], FAILURE)
    end(line, late[10:15], SUCCESS)

    assert (state(line), view(line).until_ms, view(line).calls) == (OPEN, until_ms, 0)
