"""A worker dies as a crash would make it: all its jobs end, each attempt has one charge, and its reservations come back."""

import time

import pytest

from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState, State
from tenants.models import LedgerEntry
from tests.line import assert_books_close, states, wait_for

HASTE = {"RATEGUARD_HEARTBEAT_MS": "300", "RATEGUARD_DEAD_AFTER_MS": "2000"}
"""Death is noticed sooner; the suite's time is short."""


@pytest.mark.long
def test_all_jobs_of_a_killed_worker_end_and_its_reservations_come_back(live):
    line, jobs = live.line, 50
    budget = line.budget(10**9)
    line.provider.control.configure(latency={"base_ms": 60_000})
    line.submit_many(jobs)
    victim = live.worker()
    wait_for(lambda: len(line.provider.control.log()) == jobs, 30)
    heir = live.worker()
    line.provider.control.configure(latency={"base_ms": 10})
    victim.kill()
    killed_at = time.monotonic()
    wait_for(lambda: not Attempt.objects.filter(number=1, state=AttemptState.RUNNING).exists(), 20)
    wait_for(lambda: line.gate.inspect().reservations <= Attempt.objects.filter(state=AttemptState.RUNNING).count(), 5)
    assert time.monotonic() - killed_at <= 15
    wait_for(lambda: states() == {State.SUCCEEDED: jobs}, 30)

    abandoned = Attempt.objects.filter(state=AttemptState.ABANDONED)
    assert (abandoned.count(), set(abandoned.values_list("is_estimated", "number"))) == (jobs, {(True, 1)})
    assert Attempt.objects.count() == LedgerEntry.objects.count() == 2 * jobs
    wait_for(lambda: line.used(budget).reserved == 0)
    assert line.used(budget).used == sum(LedgerEntry.objects.values_list("nano_usd", flat=True))
    assert_books_close()
    assert heir.running.poll() is None


@pytest.mark.long
def test_workers_that_are_killed_again_and_again_lose_nothing(live):
    line = live.line
    line.account_limit("tokens", 1_800, 6_000)
    line.provider.control.configure(latency={"base_ms": 300})
    live.worker(**HASTE)
    line.submit_many(150)
    for round_ in range(3):
        victim = live.worker(**HASTE)
        reached = 20 * (round_ + 1)
        wait_for(lambda reached=reached: states()[State.SUCCEEDED] >= reached, 40)
        victim.kill()
    wait_for(lambda: states() == {State.SUCCEEDED: 150}, 60)
    assert line.provider.control.stats()["worst_window_ratio"] <= 1.0
    assert_books_close()
