"""Windows hold where requests arrive, and a backlog uses nearly all of them."""

from __future__ import annotations

import bisect
import collections
import heapq
import random
from collections.abc import Callable

import pytest

from rateguard.engine.gate.contract import Grant, Settlement
from rateguard.engine.limits.limit import Metric
from tests.contract.gate_line import START_MS, Line, deployment, ended, model, requests, sent, window


def worst_load(arrivals: list[tuple[int, int]], window_ms: int) -> int:
    """The most that any window of this length holds; arrivals: (time, amount)."""
    worst = load = first = 0
    ordered = sorted(arrivals)
    for at_ms, amount in ordered:
        load += amount
        while ordered[first][0] <= at_ms - window_ms:
            load -= ordered[first][1]
            first += 1
        worst = max(worst, load)
    return worst


def mean_load(arrivals: list[tuple[int, int]], window_ms: int, until_ms: int) -> float:
    """The mean over all sliding windows between the first arrival and `until_ms`, a hundred of them a window."""
    ordered = sorted(arrivals)
    times, sums = [at for at, _ in ordered], [0]
    for _, amount in ordered:
        sums.append(sums[-1] + amount)
    starts = range(times[0], until_ms - window_ms, max(1, window_ms // 100))
    loads = [sums[bisect.bisect_left(times, start + window_ms)] - sums[bisect.bisect_left(times, start)] for start in starts]
    return sum(loads) / len(loads)


def run_backlog(
    line: Line, until_ms: int, *, delay_ms: Callable[[Grant], int] = lambda _: 0, is_reported: bool = True, size: int = 2
) -> list[tuple[int, int]]:
    """Serve a backlog for `until_ms`; returns what the provider sees. delay_ms: from grant to sending."""
    sends: list[tuple[int, int, Grant]] = []
    arrivals, unreported, waiting = [], [], 0
    end_ms = line.clock.now_ms + until_ms
    while line.clock.now_ms < end_ms:
        if waiting < 300:
            line.enqueue(*line.jobs(500, size=size))
            waiting += 500
        reply = line.step(100, sent=sent(unreported) if is_reported else (), settle=() if is_reported else ended(unreported))
        if is_reported:
            line.step(settle=ended(unreported, input_tokens=1, output_tokens=size - 1))
        unreported.clear()
        waiting -= len(reply.granted)
        for grant in reply.granted:
            heapq.heappush(sends, (reply.now_ms + delay_ms(grant), len(arrivals) + len(sends), grant))
        following = [sends[0][0]] if sends else []
        if not reply.has_more:
            following += [reply.next_ready_ms] if reply.next_ready_ms else []
            line.go_to(min(following))
        while sends and sends[0][0] <= line.clock.now_ms:
            at_ms, _, grant = heapq.heappop(sends)
            arrivals.append((at_ms, grant.input_tokens + grant.max_output_tokens))
            unreported.append(grant)
    return arrivals


@pytest.mark.parametrize(
    ("window_ms", "guard_ms", "burst", "least"),
    [
        (1_000, 0, 1000, 0.98),
        (1_000, 50, 1000, 0.93),
        (10_000, 0, 1000, 0.98),
        (10_000, 100, 1000, 0.95),
        (10_000, 100, 200, 0.95),
        (10_000, 100, 5, 0.95),
        (60_000, 500, 1000, 0.97),
        (60_000, 500, 50, 0.97),
    ],
)
def test_no_sliding_window_is_over_and_a_backlog_uses_nearly_all(line, window_ms, guard_ms, burst, least):
    line.open(requests("a:r", 200, window_ms, guard_ms=guard_ms, burst_permille=burst), models=[model("m", deployment("a:r"))])

    arrivals = [(at, 1) for at, _ in run_backlog(line, 5 * window_ms)]

    assert worst_load(arrivals, window_ms) == 200
    assert mean_load(arrivals, window_ms, START_MS + 5 * window_ms) >= least * 200


@pytest.mark.parametrize("burst", [1000, 100])
def test_no_sliding_window_is_over_in_tokens_of_mixed_sizes(line, burst):
    rnd = random.Random(1)
    limit = window("a:t", Metric.PROVIDER_TOKENS, 100_000, 10_000, guard_ms=100, burst_permille=burst, gives_back=False)
    line.open(limit, models=[model("m", deployment("a:t"))])
    for size in [rnd.randint(2, 500) for _ in range(2_400)]:
        line.enqueue(line.job(size=size))

    arrivals = run_backlog(line, 48_000, size=400)

    assert 100_000 - 500 <= worst_load(arrivals, 10_000) <= 100_000
    assert mean_load(arrivals, 10_000, START_MS + 48_000) >= 0.95 * 100_000


def slow_then_fast(seed: int) -> Callable[[Grant], int]:
    """Delays of 0–2,000 ms in one window, none in the next."""
    rnd, cycle_ms = random.Random(seed), 61_000

    def delay_ms(grant: Grant) -> int:
        granted_ms = grant.send_by_ms - 5_000 - START_MS
        return rnd.randint(0, 2_000) if granted_ms // cycle_ms % 2 == 0 else 0

    return delay_ms


@pytest.mark.parametrize("seed", [1, 2])
def test_a_charge_moves_to_the_slice_of_the_sending_so_that_slow_then_fast_sending_is_never_over(line, seed):
    line.open(requests("a:r", 300, guard_ms=500), models=[model("m", deployment("a:r"))])

    arrivals = run_backlog(line, 250_000, delay_ms=slow_then_fast(seed))

    assert worst_load([(at, 1) for at, _ in arrivals], 60_000) == 300


def test_charged_at_the_grant_alone_the_same_sending_would_be_over(line):
    line.open(requests("a:r", 300, guard_ms=500), models=[model("m", deployment("a:r"))])

    arrivals = run_backlog(line, 250_000, delay_ms=slow_then_fast(1), is_reported=False)

    assert worst_load([(at, 1) for at, _ in arrivals], 60_000) > 300


def test_a_request_that_may_have_been_counted_later_than_sent_moves_to_that_later_moment(line):
    line.open(requests("a:r", 1), models=[model("m", deployment("a:r"))])
    line.enqueue(*line.jobs(2))
    granted = line.step(1).granted
    line.wait(2_000)
    line.step(sent=sent(granted))
    line.wait(5_000)
    settlement = Settlement(granted[0].reservation, used=True, counted_ago_ms=1_000)

    reply = line.step(1, settle=(settlement,))

    assert reply.granted == ()
    assert reply.next_ready_ms is not None
    counted_ms = START_MS + 6_000
    assert counted_ms + 60_000 <= reply.next_ready_ms <= counted_ms + 60_500


def test_a_window_that_is_full_opens_when_its_first_slice_has_left(line):
    line.open(requests("a:r", 2), models=[model("m", deployment("a:r"))])
    line.enqueue(*line.jobs(5))
    assert len(line.admit_all()) == 2

    reply = line.step(5)
    assert reply.binding == "a:r"
    line.go_to(reply.next_ready_ms - 1)
    assert line.step(5).granted == ()
    line.go_to(reply.next_ready_ms)
    assert len(line.step(5).granted) == 2


def test_burst_lets_a_backlog_flow_evenly_instead_of_in_one_gulp(line):
    line.open(requests("a:r", 100, 10_000, burst_permille=100), models=[model("m", deployment("a:r"))])
    line.enqueue(*line.jobs(60))
    by_second = collections.Counter()

    while line.clock.now_ms < START_MS + 4_000:
        reply = line.step(100)
        by_second[(line.clock.now_ms - START_MS) // 1_000] += len(reply.granted)
        line.go_to(reply.next_ready_ms or START_MS + 4_000)

    assert by_second[0] <= 10 + 10
    assert all(9 <= by_second[second] <= 11 for second in (1, 2, 3))


def test_used_up_by_a_job_that_is_larger_than_the_burst_it_is_still_granted(line):
    line.open(window("a:t", Metric.TOKENS, 1_000, 10_000, burst_permille=10), models=[model("m", deployment("a:t"))])
    line.enqueue(*line.jobs(2, size=900))

    assert len(line.admit_all()) == 1
    line.go_to(line.step(1).next_ready_ms)
    assert len(line.step(1).granted) == 1
