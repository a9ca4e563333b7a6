"""The breaker of one deployment, as a value: time and attempts are arguments."""

from __future__ import annotations

import dataclasses

import pytest

from rateguard.engine.breaker.breaker import Breaker
from rateguard.engine.breaker.rule import DEFAULT_RULE, BreakerRule, BreakerState, Forced, Verdict
from rateguard.engine.limits.states import FOREVER

NOW_MS = 1_790_000_000_000
CLOSED, OPEN, HALF_OPEN = BreakerState
SLOW = BreakerRule(slow_ms=1_000)


def ends(breaker: Breaker[str], verdict: Verdict, count: int = 1, *, rule=DEFAULT_RULE, latency_ms: int = 10, at_ms: int = NOW_MS) -> str:
    """So many calls of the present generation end; the last one's transition."""
    detail = ""
    for number in range(count):
        detail = breaker.end(rule, f"call{number}", breaker.generation, verdict, latency_ms, at_ms)
    return detail


def opened(rule: BreakerRule = DEFAULT_RULE) -> Breaker[str]:
    breaker: Breaker[str] = Breaker(100)
    ends(breaker, Verdict.FAILURE, rule.failures, rule=rule)
    return breaker


def test_the_default_rule_is_five_failures_and_half_of_the_calls_in_thirty_seconds():
    assert dataclasses.astuple(DEFAULT_RULE) == (5, 500, 30_000, 30_000, 0, 500, 1, Forced.NO)


@pytest.mark.parametrize(("failures", "successes", "state"), [(4, 0, CLOSED), (5, 0, OPEN), (5, 5, OPEN), (5, 6, CLOSED)])
def test_count_and_share_must_both_be_fulfilled(failures, successes, state):
    breaker: Breaker[str] = Breaker(0)
    ends(breaker, Verdict.SUCCESS, successes)

    detail = ends(breaker, Verdict.FAILURE, failures)

    assert breaker.state == state
    assert detail == (f"closed>open: {failures} of {failures + successes} calls failed" if state == OPEN else "")


@pytest.mark.parametrize(("latency_ms", "slow"), [(999, 0), (1_000, 1), (1_001, 1)])
def test_a_call_is_slow_from_its_bound_on(latency_ms, slow):
    breaker: Breaker[str] = Breaker(0)
    ends(breaker, Verdict.SUCCESS, rule=SLOW, latency_ms=latency_ms)

    assert breaker.totals() == (1, 0, slow)


def test_a_call_counts_for_its_window_and_at_most_a_tenth_longer():
    for offset_ms in range(0, 3_000, 311):
        breaker: Breaker[str] = Breaker(0)
        ends(breaker, Verdict.FAILURE, at_ms=NOW_MS + offset_ms)
        breaker.advance(NOW_MS + offset_ms + 30_000)
        assert breaker.totals() == (1, 1, 0)
        breaker.advance(NOW_MS + offset_ms + 33_000)
        assert breaker.totals() == (0, 0, 0)


@pytest.mark.parametrize("gap_ms", [0, 2_999, 3_000, 30_000, 10**9])
def test_counts_after_any_gap_are_those_of_the_window(gap_ms):
    breaker: Breaker[str] = Breaker(0)
    ends(breaker, Verdict.FAILURE, 3)
    ends(breaker, Verdict.SUCCESS, at_ms=NOW_MS + gap_ms)

    assert breaker.totals() == ((4, 3, 0) if gap_ms <= 30_000 else (1, 0, 0))


def test_an_open_one_waits_its_time_and_then_lets_a_probe_through():
    breaker = opened()

    assert [breaker.wait_ms(DEFAULT_RULE, NOW_MS + passed) for passed in (0, 29_999, 30_000, 99_000)] == [30_000, 1, 0, 0]
    assert breaker.grant(DEFAULT_RULE, "probe") == "open>half_open: its time is up"
    assert breaker.wait_ms(DEFAULT_RULE, NOW_MS + 30_000) == FOREVER


@pytest.mark.parametrize(
    ("verdict", "latency_ms", "state", "wait_ms"),
    [
        (Verdict.SUCCESS, 10, CLOSED, 0),
        (Verdict.FAILURE, 10, OPEN, 30_000),
        (Verdict.SUCCESS, 1_000, OPEN, 30_000),
        (Verdict.NONE, 9_999, HALF_OPEN, 0),
    ],
)
def test_the_probe_decides(verdict, latency_ms, state, wait_ms):
    breaker = opened(SLOW)
    breaker.grant(SLOW, "probe")

    breaker.end(SLOW, "probe", breaker.generation, verdict, latency_ms, NOW_MS + 40_000)

    assert (breaker.state, breaker.probe, breaker.wait_ms(SLOW, NOW_MS + 40_000)) == (state, None, wait_ms)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_who_is_not_the_probe_decides_nothing(verdict):
    breaker = opened()
    breaker.grant(DEFAULT_RULE, "probe")

    assert breaker.end(DEFAULT_RULE, "another", breaker.generation, verdict, 10, NOW_MS) == ""
    assert (breaker.state, breaker.probe, breaker.totals()) == (HALF_OPEN, "probe", (0, 0, 0))


def test_an_earlier_generation_counts_nothing():
    breaker = opened()
    generation = breaker.generation - 1
    breaker.grant(DEFAULT_RULE, "probe")
    ends_as = breaker.end(DEFAULT_RULE, "probe", breaker.generation, Verdict.SUCCESS, 10, NOW_MS)

    assert ends_as == "half_open>closed: the probe succeeded"
    breaker.end(DEFAULT_RULE, "late", generation, Verdict.FAILURE, 10, NOW_MS)
    assert breaker.totals() == (0, 0, 0)


def test_every_transition_raises_the_generation_by_one():
    breaker = opened()
    seen = [breaker.generation]
    for verdict in (Verdict.FAILURE, Verdict.SUCCESS):
        breaker.grant(DEFAULT_RULE, "probe")
        seen.append(breaker.generation)
        breaker.end(DEFAULT_RULE, "probe", breaker.generation, verdict, 10, NOW_MS)
        seen.append(breaker.generation)
    ends(breaker, Verdict.FAILURE)
    breaker.reset(NOW_MS)
    seen.append(breaker.generation)

    assert seen == [101, 102, 103, 104, 105, 106]


@pytest.mark.parametrize(("forced", "wait_ms"), [(Forced.OPEN, FOREVER), (Forced.CLOSED, 0)])
@pytest.mark.parametrize("state", list(BreakerState))
def test_what_a_person_forced_holds_in_every_state(forced, wait_ms, state):
    breaker: Breaker[str] = Breaker(0) if state == CLOSED else opened()
    if state == HALF_OPEN:
        breaker.grant(DEFAULT_RULE, "probe")
    rule = dataclasses.replace(DEFAULT_RULE, forced=forced)

    assert breaker.wait_ms(rule, NOW_MS) == wait_ms
    assert breaker.grant(rule, "call") == ""
    assert ends(breaker, Verdict.FAILURE, 20, rule=rule) == ""
    assert breaker.state == state


@pytest.mark.parametrize("before", ["untouched", "counting", "open", "probing"])
def test_a_reset_closes_and_forgets_and_a_second_one_does_nothing(before):
    breaker: Breaker[str] = opened() if before in ("open", "probing") else Breaker(100)
    if before == "probing":
        breaker.grant(DEFAULT_RULE, "probe")
    if before == "counting":
        ends(breaker, Verdict.FAILURE)

    first, second = breaker.reset(NOW_MS), breaker.reset(NOW_MS)

    assert (
        first
        == {"untouched": "", "counting": "closed>closed: reset", "open": "open>closed: reset", "probing": "half_open>closed: reset"}[before]
    )
    assert (second, breaker.state, breaker.probe, breaker.totals()) == ("", CLOSED, None, (0, 0, 0))
