"""Workers and callers in processes of their own race on one limit; the provider's own count says whether it was ever exceeded."""

import pytest

from rateguard.jobs.states import State
from tests.line import assert_books_close, states, wait_for


def assert_never_over(live):
    stats = live.line.provider.control.stats()
    assert stats["worst_window_ratio"] <= 1.0
    assert stats["replies_429"] == 0


@pytest.mark.long
@pytest.mark.parametrize("metric", ["tokens", "requests"])
def test_two_workers_and_two_callers_never_exceed_a_providers_limit(live, metric):
    line = live.line
    line.account_limit(metric, {"tokens": 1_200, "requests": 40}[metric], 4_000)  # half of the jobs fit a window
    workers = [live.start_worker() for _ in range(2)]
    for worker in workers:
        worker.wait_for("ready.")
    callers = [live.caller(line.acme, 40, threads=3, name=f"caller {number}") for number in range(2)]
    for caller in callers:
        caller.finish()
    wait_for(lambda: states() == {State.SUCCEEDED: 80}, 40)
    assert_never_over(live)
    assert all(worker.running.poll() is None for worker in workers)
    assert_books_close()


@pytest.mark.long
def test_a_limit_on_jobs_at_once_holds_over_workers(live):
    line = live.line
    places = line.account_limit("concurrency", 5, 0)
    line.provider.control.configure(latency={"base_ms": 150})
    for _ in range(2):
        live.start_worker()
    live.caller(line.acme, 60).finish()
    most = 0

    def has_ended():
        nonlocal most
        most = max(most, line.used(places).used)
        return states() == {State.SUCCEEDED: 60}

    wait_for(has_ended, 40)
    assert most == 5
    arrivals = sorted(one.arrived_ms for one in line.provider.control.log())
    assert all(later - earlier >= 140 for earlier, later in zip(arrivals, arrivals[5:], strict=False))
    assert_books_close()
