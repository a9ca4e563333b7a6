"""Redis loses its data, its scripts, its time or itself in a run: nothing is lost and no limit is exceeded."""

import pytest

from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tests.line import all_ended, assert_books_close, states, wait_for


@pytest.fixture
def limited():
    """Puts a line under a limit whose window takes half of the jobs."""

    def limited(live, jobs=120):
        live.line.account_limit("tokens", 15 * jobs, 50 * jobs)
        live.line.provider.control.configure(latency={"base_ms": 100, "jitter": 0.5})
        return live.line

    return limited


def assert_all_is_well(live, jobs):
    wait_for(lambda: states() == {State.SUCCEEDED: jobs}, 60)
    stats = live.line.provider.control.stats()
    assert stats["worst_window_ratio"] <= 1.0
    assert stats["replies_429"] == 0
    assert_books_close()


def test_an_emptied_redis_loses_no_job_and_exceeds_no_limit(live, limited):
    line = limited(live, 80)
    live.worker()
    line.submit_many(80)
    for reached in (10, 30):
        wait_for(lambda reached=reached: states()[State.SUCCEEDED] >= reached, 30)
        line.redis.flushall()
    assert_all_is_well(live, 80)


@pytest.mark.long
def test_two_workers_that_find_redis_empty_rebuild_it_once(live, limited):
    from tenants.models import GateEpoch

    line = limited(live)
    for _ in range(2):
        live.worker()
    line.submit_many(120)
    wait_for(lambda: states()[State.SUCCEEDED] >= 20, 30)
    epoch = GateEpoch.current()
    line.redis.flushall()
    assert_all_is_well(live, 120)
    assert GateEpoch.current() == epoch + 1


@pytest.mark.long
def test_a_restarted_redis_has_its_data_but_not_its_scripts(fragile, own_valkey, limited):
    line = limited(fragile)
    fragile.worker()
    fragile.caller(line.acme, 120).finish()
    wait_for(lambda: states()[State.SUCCEEDED] >= 20, 30)
    own_valkey.server.kill()
    own_valkey.start_again()
    assert_all_is_well(fragile, 120)


@pytest.mark.long
@pytest.mark.parametrize("seconds", [2, 15])
def test_a_redis_that_does_not_answer_for_a_while_changes_nothing(fragile, own_valkey, limited, seconds):
    """15 s are longer than a holder's death takes: nobody is called dead for a silence that was the gate's own."""
    import threading

    line = limited(fragile)
    fragile.worker()
    fragile.caller(line.acme, 120).finish()
    wait_for(lambda: states()[State.SUCCEEDED] >= 20, 30)
    own_valkey.server.freeze()
    threading.Event().wait(seconds)
    own_valkey.server.thaw()
    assert_all_is_well(fragile, 120)
    assert not Job.objects.filter(abandoned__gt=0).exists()


@pytest.mark.long
def test_what_is_submitted_while_redis_is_down_runs_once_it_is_back(fragile, own_valkey):
    line = fragile.line
    fragile.worker()
    own_valkey.server.stop()
    fragile.caller(line.acme, 10).finish()
    assert states() == {State.QUEUED: 10}
    own_valkey.start_again()
    wait_for(all_ended, 30)
    assert states() == {State.SUCCEEDED: 10}
    assert_books_close()
