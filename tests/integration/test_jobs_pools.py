"""Real workers: the same jobs end on our pool, on prefork and on threads."""

import pytest

from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import LedgerEntry
from tests.line import all_ended, assert_books_close, states, wait_for

POOLS = {
    "ours": ((), {}),
    "prefork": (("-c", "2"), {"RATEGUARD_WORKER_POOL": "prefork"}),
    "threads": (("-P", "threads", "-c", "4"), {}),
}


@pytest.mark.long
@pytest.mark.parametrize("pool", POOLS)
def test_jobs_end_and_the_books_close_on_every_pool(live, pool):
    arguments, environment = POOLS[pool]
    live.line.submit_many(30, user="ada")
    worker = live.start_worker(*arguments, **environment)
    wait_for(lambda: states() == {State.SUCCEEDED: 30}, 40)
    assert worker.end() == 0
    assert_books_close()
    bill = {one.attempt_id: one.nano_usd for one in live.line.provider.control.bill()}
    assert bill == {f"{entry.job_id}.{entry.attempt}": entry.nano_usd for entry in LedgerEntry.objects.all()}
    wait_for(lambda: live.line.gate.inspect().reservations == 0)
    assert live.line.gate.inspect().holders == ()


@pytest.mark.long
@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_that_is_told_to_leave_loses_nothing(live, pool):
    """Calls in flight end; what waits, waits on; the worker is gone in time."""
    arguments, environment = POOLS[pool]
    live.line.provider.control.configure(latency={"base_ms": 2_000})
    live.line.limit("concurrency", 20, 0)
    live.line.submit_many(50)
    worker = live.worker(*arguments, **environment)
    wait_for(live.line.provider.control.log, 20)
    assert worker.end(grace_s=40) == 0
    assert set(states()) <= {State.SUCCEEDED, State.QUEUED}
    assert not Job.objects.filter(state=State.RUNNING).exists()
    assert_books_close()
    live.worker(*arguments, **environment)
    live.line.provider.control.configure(latency={})
    wait_for(all_ended, 40)
    assert states() == {State.SUCCEEDED: 50}
    assert_books_close()


@pytest.mark.long
def test_a_worker_has_room_for_the_lanes_that_it_consumes_and_for_no_other(live):
    """A worker of a host's own tasks counts for nothing: jobs granted on its account would lie until their grants come back."""
    live.worker("-Q", "celery", "-c", "2", RATEGUARD_WORKER_POOL="prefork")
    live.worker("-Q", "celery")
    live.line.submit_many(5)
    live.line.submit_many(5, lane=Lane.LOW)
    live.worker("-Q", "llm.low,celery")
    wait_for(lambda: states() == {State.SUCCEEDED: 5, State.QUEUED: 5}, 40)
    (holder,) = live.line.gate.inspect().holders
    assert holder.lanes == (Lane.LOW,)
    assert set(Job.objects.filter(state=State.SUCCEEDED).values_list("lane", flat=True)) == {Lane.LOW}
    wait_for(lambda: live.line.gate.inspect().reservations == 0, 20)  # those that ended settle after their commit
