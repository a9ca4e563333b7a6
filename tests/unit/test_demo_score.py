"""What the demo's figures mean, on logs made by hand."""

import pytest

from rateguard.demo.score import Served, backlog, binding, contested, percentile, shares
from rateguard.engine.lanes import Lane


def log(*jobs, lane=Lane.NORMAL, from_ms=0.0):
    """One arrival each millisecond: (job, tokens); a job's first letter is its tenant."""
    return [Served(f"{lane}{job}", job[0], lane, from_ms + at, tokens) for at, (job, tokens) in enumerate(jobs)]


def test_a_share_counts_what_was_sent_until_the_first_tenant_had_no_waiting_job_left():
    served = log(("a1", 30), ("b1", 20), ("c1", 10), ("a2", 30), ("b2", 20), ("a3", 40), ("c2", 99), ("b3", 99), ("c3", 99))

    assert [one.job[1:] for one in contested(served)] == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert shares(served) == {"a": 100 / 150, "b": 40 / 150, "c": 10 / 150}


def test_each_lane_is_cut_by_itself_and_the_tokens_are_summed():
    high = log(("a1", 10), ("b1", 10), ("c1", 10), ("b2", 70), ("c2", 70), lane=Lane.HIGH)
    low = log(("b1", 20), ("c1", 20), ("a1", 50), ("b2", 10), ("a2", 10), ("c2", 10), lane=Lane.LOW, from_ms=2.0)

    # high is over with a's only job, low with b's second
    assert shares([*high, *low]) == {"a": 60 / 110, "b": 30 / 110, "c": 20 / 110}


def test_the_log_is_put_in_order_of_arrival():
    served = log(("a1", 10), ("b1", 10), ("c1", 10), ("b2", 10), ("c2", 10))

    assert contested(reversed(served)) == contested(served)


def test_a_job_sent_twice_counts_both_times_but_waits_only_once():
    served = log(("a1", 10), ("b1", 10), ("a1", 10), ("a2", 10), ("b2", 10), ("b1", 10))

    assert [one.job[1:] for one in contested(served)] == ["a1", "b1", "a1", "a2"]


def test_nothing_served_is_no_share_and_no_backlog():
    assert shares([]) == {}
    assert backlog([]) is None


def test_the_backlog_ends_with_the_last_job_that_was_sent_for_the_first_time():
    served = log(("a1", 1), ("b1", 1), ("c1", 1), ("a1", 1), from_ms=100.0)

    assert backlog(served) == (100.0, 102.0)


def limit(metric, amount, worst, mean):
    return {"metric": metric, "amount": amount, "window_ms": 10_000, "worst_window_ratio": worst, "mean_window_ratio": mean}


@pytest.mark.parametrize(
    ("worst_tokens", "worst_requests", "expected"),
    [
        (0.995, 0.3, ("tokens 1,000 in 10 s", 0.97)),
        (0.95, 0.3, None),
        (0.995, 1.0, ("requests 100 in 10 s", 0.9)),
    ],
)
def test_the_limit_that_bound_is_the_fullest_that_had_not_room_for_every_request(worst_tokens, worst_requests, expected):
    limits = [limit("tokens", 1_000, worst_tokens, 0.97), limit("requests", 100, worst_requests, 0.9)]

    assert binding(limits, {"tokens": 20, "requests": 1}) == expected


def test_a_backlog_shorter_than_a_window_has_no_utilisation():
    assert binding([limit("tokens", 1_000, 1.0, None)], {"tokens": 20}).utilisation is None


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile(range(1, 101), 95) == 95
    assert percentile([7], 50) == percentile([7], 95) == 7
