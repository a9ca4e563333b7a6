"""Redis loses its data, its functions, its replies, its time or itself in a run: nothing is lost and no limit is exceeded."""

import queue
import shutil
import threading

import pytest
import redis
from celery import current_app
from kombu import Consumer, Exchange, Queue

from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import GateEpoch
from tests.concurrency.run import assert_all_is_well, under_a_limit, wait_until_done
from tests.concurrency.servers import admin
from tests.concurrency.wire import Wire
from tests.line import all_ended, assert_books_close, states, wait_for


@pytest.fixture
def wire(own_valkey):
    """A wire to this test's own server."""
    made = Wire(own_valkey.server.port)
    yield made
    made.close()


@pytest.mark.long
def test_an_emptied_redis_loses_no_job_and_exceeds_no_limit(live):
    line = under_a_limit(live, 80)
    live.worker()
    line.submit_many(80)
    for reached in (10, 30):
        wait_until_done(reached)
        line.redis.flushall()
    assert_all_is_well(live, 80)


@pytest.mark.long
def test_two_workers_that_find_redis_empty_rebuild_it_once(live):
    line = under_a_limit(live)
    for _ in range(2):
        live.worker()
    line.submit_many(120)
    wait_until_done(20)
    epoch = GateEpoch.current()
    line.redis.flushall()
    assert_all_is_well(live, 120)
    assert GateEpoch.current() == epoch + 1


@pytest.mark.long
def test_functions_that_are_gone_are_loaded_again_and_nothing_is_rebuilt(live):
    line = under_a_limit(live, 80)
    live.worker()
    line.submit_many(80)
    epoch = GateEpoch.current()
    for reached in (10, 20, 30):
        wait_until_done(reached)
        line.redis.function_flush()
    assert_all_is_well(live, 80)
    assert GateEpoch.current() == epoch


@pytest.mark.long
@pytest.mark.parametrize("file", ["with its file", "without its file"])
def test_a_restarted_redis_is_rebuilt_from_the_rows(fragile, own_valkey, file, tmp_path):
    line = under_a_limit(fragile)
    fragile.worker()
    fragile.caller(line.acme, 120).finish()
    wait_until_done(20)
    epoch = GateEpoch.current()
    own_valkey.server.kill()
    if file == "without its file":
        shutil.rmtree(tmp_path / "valkey" / "appendonlydir")
    own_valkey.start_again()
    assert_all_is_well(fragile, 120)
    assert GateEpoch.current() == epoch + 1


@pytest.mark.long
@pytest.mark.parametrize("seconds", [2, 15])
def test_a_redis_that_does_not_answer_for_a_while_changes_nothing(fragile, own_valkey, seconds):
    """15 s are longer than a holder's death takes: nobody is called dead for a silence that was the gate's own."""
    line = under_a_limit(fragile)
    fragile.worker()
    fragile.caller(line.acme, 120).finish()
    wait_until_done(20)
    epoch = GateEpoch.current()
    own_valkey.server.freeze()
    threading.Event().wait(seconds)
    own_valkey.server.thaw()
    assert_all_is_well(fragile, 120)
    assert not Job.objects.filter(abandoned__gt=0).exists()
    assert GateEpoch.current() == epoch


@pytest.mark.long
def test_a_redis_whose_clients_are_paused_runs_later_what_it_was_told(fragile, own_valkey):
    line = under_a_limit(fragile)
    fragile.worker()
    fragile.caller(line.acme, 120).finish()
    with admin(own_valkey.server.port) as client:
        for reached in (10, 30, 50):
            wait_until_done(reached)
            client.client_pause(1_500)
    assert_all_is_well(fragile, 120)


@pytest.mark.long
def test_a_redis_slower_than_the_gates_timeout_is_away_until_it_is_quick_again(live_on, wire):
    live = live_on(wire.url)
    line = under_a_limit(live)
    live.worker()
    live.caller(line.acme, 120).finish()
    wait_until_done(20)
    wire.be_slow(0.6)
    wait_for(lambda: Job.objects.filter(state=State.RUNNING).count() == 0, 20)
    least = states()[State.SUCCEEDED]
    threading.Event().wait(3)
    assert states()[State.SUCCEEDED] <= least + 30, "granted by calls that nobody heard the end of"
    wire.be_slow(0)
    assert_all_is_well(live, 120)


@pytest.mark.long
def test_replies_that_are_lost_again_and_again_double_nothing(live_on, wire):
    live = live_on(wire.url)
    line = under_a_limit(live)
    live.worker()
    live.caller(line.acme, 120).finish()
    wire.lose_each(3)
    assert_all_is_well(live, 120)
    assert wire.lost >= 10


def test_a_connection_to_the_broker_that_breaks_is_an_error_at_once(wire, own_valkey):
    """Mended behind Celery's back it would be subscribed to nothing, and the worker would read from it for ever."""
    connection = current_app.connection_for_read(wire.url)
    Consumer(connection.channel(), Queue("heard", Exchange("said", "fanout")), accept=["json"]).consume()
    connection.drain_events(timeout=5)
    ends: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    threading.Thread(target=lambda: ends.put(end_of_listening(connection)), daemon=True).start()
    wire.lead_to(own_valkey.server.port)
    assert isinstance(ends.get(timeout=5), redis.ConnectionError)
    connection.close()


def end_of_listening(connection):
    """The error that ends it."""
    try:
        while True:
            connection.drain_events(timeout=20)
    except (OSError, redis.RedisError) as error:
        return error


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
