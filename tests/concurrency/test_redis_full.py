"""A Redis that is full, or that may not write, is as good as away: jobs wait, and go on when there is room."""

import threading

import pytest

from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Step
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import GateEpoch
from tests.concurrency.run import assert_all_is_well, under_a_limit, wait_until_done
from tests.concurrency.servers import admin
from tests.contract.gate_line import Clock, Line
from tests.line import states, wait_for


def out_of_memory(client):
    client.config_set("maxmemory", 1_000_000)
    yield
    client.config_set("maxmemory", 0)


def without_replicas(client):
    client.config_set("min-replicas-to-write", 1)
    yield
    client.config_set("min-replicas-to-write", 0)


def held_by_a_script(client):
    client.config_set("busy-reply-threshold", 1)
    script = threading.Thread(target=client.eval, args=("local at = os.clock() while os.clock() - at < 0.7 do end", 0))
    script.start()
    threading.Event().wait(0.2)
    yield
    script.join()
    client.config_set("busy-reply-threshold", 5_000)


@pytest.mark.parametrize("trouble", [out_of_memory, without_replicas, held_by_a_script])
def test_a_server_that_refuses_is_away_and_nothing_of_a_call_is_dropped(redis_url, valkey, trouble):
    with connect(redis_url, 5_000) as client, admin(valkey.port) as other:
        clock = Clock()
        line = Line(RedisGate(client, now_ms=clock), clock)
        line.open()
        step = Step("one", 1, 5, enqueue=line.jobs(3))
        under_way = trouble(other)
        next(under_way)
        try:
            with pytest.raises(GateUnavailable):
                line.gate.step(step)
        finally:
            next(under_way, None)
        assert len(line.gate.step(step).granted) == 3


@pytest.mark.long
def test_jobs_wait_while_redis_is_full_and_go_on_when_there_is_room(fragile, own_valkey):
    line = under_a_limit(fragile, 100)
    worker = fragile.worker()
    fragile.caller(line.acme, 60).finish()
    wait_until_done(15)
    epoch = GateEpoch.current()
    with admin(own_valkey.server.port) as client:
        client.config_set("maxmemory", 1_000_000)
        wait_for(lambda: not Job.objects.filter(state=State.RUNNING).exists(), 20)
        done = states()[State.SUCCEEDED]
        assert done < 60
        fragile.caller(line.acme, 40, name="later").finish()
        threading.Event().wait(5)
        assert states() == {State.SUCCEEDED: done, State.QUEUED: 100 - done}
        client.config_set("maxmemory", 0)
    assert_all_is_well(fragile, 100)
    assert GateEpoch.current() == epoch
    assert worker.running.poll() is None


@pytest.mark.long
def test_a_worker_outlives_a_broker_that_may_not_write(fragile, own_valkey):
    line = under_a_limit(fragile, 40)
    worker = fragile.worker()
    fragile.caller(line.acme, 20).finish()
    wait_until_done(5)
    with admin(own_valkey.server.port) as client:
        client.config_set("min-replicas-to-write", 1)
        threading.Event().wait(4)  # its consumer asks again each second
        client.config_set("min-replicas-to-write", 0)
    fragile.caller(line.acme, 20, name="later").finish()
    assert_all_is_well(fragile, 40)
    assert worker.running.poll() is None
