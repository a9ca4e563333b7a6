"""The gate's server is another one than before: a replica that was promoted, the same one started again, a slot that moved. Rows win."""

import contextlib

import pytest
import redis
from redis.crc import key_slot

from rateguard.engine.errors import GateEpochLost, GateUnavailable
from rateguard.engine.gate.contract import Configuration, Step
from rateguard.engine.gate.redis import RedisGate, connect
from tenants.models import GateEpoch
from tests.concurrency.run import assert_all_is_well, under_a_limit, wait_until_done
from tests.concurrency.servers import Cluster, Pair, Watched, admin
from tests.contract.gate_line import Line, deployment, model, node, requests
from tests.simprovider import wait_for


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    yield made
    made.close()


@pytest.fixture
def line_to():
    """Makes an open line to a gate at a URL, where a window has room for 10 requests."""
    clients = []

    def line_to(url):
        clients.append(connect(url, 2_000))
        made = Line(RedisGate(clients[-1]), None)
        rebuild(made)
        return made

    yield line_to
    for client in clients:
        client.close()


def rebuild(line, epoch=1):
    line.gate.clear()
    line.gate.configure(Configuration(1, (requests("a:r", 10),), (node("p"),), (model("m", deployment("a:r")),)))
    line.gate.open(epoch)
    line.beat()


def has_answered(line):
    try:
        line.gate.epoch()
    except GateUnavailable:
        return False
    return True


def is_lost(line):
    """The gate says so itself, and refuses to decide."""
    wait_for(lambda: has_answered(line), 30)
    with pytest.raises(GateEpochLost):
        line.step(9)
    return line.gate.epoch() is None


def test_a_promoted_replica_decides_nothing_before_it_is_rebuilt(pair, line_to):
    line = line_to(pair.url)
    pair.wait_in_step()
    pair.link.cut()
    assert len(line.step(9, enqueue=line.jobs(9)).granted) == 9
    pair.fail_over()

    assert is_lost(line)
    rebuild(line, 2)
    assert line.step().epoch == 2


@pytest.mark.long
def test_a_replica_with_every_write_is_rebuilt_all_the_same(pair, line_to):
    """It cannot know that it lacks nothing."""
    line = line_to(pair.url)
    pair.wait_in_step()
    pair.fail_over()
    assert is_lost(line)


def test_a_rebuild_that_began_at_the_old_master_is_not_opened_at_the_new_one(pair, line_to):
    line = line_to(pair.url)
    line.gate.clear()
    line.gate.configure(Configuration(1))
    pair.wait_in_step()
    pair.promote()
    for part in (lambda: line.gate.restore((), (), line.jobs(1)), lambda: line.gate.open(2)):
        with pytest.raises(GateEpochLost):
            part()
    assert line.gate.epoch() is None


def test_a_master_that_became_a_replica_is_away_and_nothing_of_a_call_is_dropped(pair, line_to):
    line = line_to(f"redis://127.0.0.1:{pair.master.port}/0")
    step = Step("c", 1, 9, enqueue=line.jobs(2))
    with admin(pair.master.port) as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(GateUnavailable):
            line.gate.step(step)
        client.replicaof("NO", "ONE")
    assert len(line.gate.step(step).granted) == 2


def test_a_server_that_was_started_again_is_rebuilt_although_it_has_its_file(own_valkey, line_to):
    """After a power cut the last second may be missing from the file, and nothing tells whether it is."""
    line = line_to(own_valkey.url)
    own_valkey.server.stop()
    own_valkey.start_again()
    assert is_lost(line)
    with admin(own_valkey.server.port) as client:
        assert client.exists("{rg:default}:epoch")


# ---- Sentinels


@pytest.fixture
def watched(tmp_path):
    made = Watched(tmp_path)
    yield made
    made.close()


@pytest.mark.long
def test_the_master_that_sentinels_name_is_found_and_found_again_after_a_failover(watched, line_to):
    line = line_to(watched.url)
    job = line.jobs(1)
    assert len(line.step(1, enqueue=job).granted) == 1
    listening = connect(watched.url, 2_000)
    subscription = listening.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe("heard")

    watched.servers[0].kill()
    assert is_lost(line)
    rebuild(line, 2)
    assert len(line.step(1, enqueue=job).granted) == 1

    with admin(watched.servers[1].port) as client:
        assert client.exists("{rg:default}:epoch")
    with contextlib.suppress(redis.RedisError):  # whether the break is told or mended depends on who reads first
        subscription.get_message(timeout=5)
    wait_for(lambda: heard(subscription, listening), 20)
    listening.close()


def heard(subscription, client):
    """A listener that goes on after an error, as ours do, hears what is said at the new master."""
    try:
        subscription.get_message(timeout=0.1)
        client.publish("heard", b"1")
        return subscription.get_message(timeout=1)
    except redis.RedisError:
        return False


def test_sentinels_that_are_away_or_name_no_such_service_make_the_gate_unavailable():
    for url in ("redis+sentinel://127.0.0.1:1,127.0.0.1:2/gate", "redis+cluster://127.0.0.1:1"):
        with connect(url, 200) as client, pytest.raises(GateUnavailable):
            RedisGate(client).epoch()


# ---- a cluster


def test_a_partition_lives_in_one_slot_of_a_cluster(tmp_path, line_to):
    cluster = Cluster(tmp_path)
    line = line_to(cluster.url)
    assert len(line.step(9, enqueue=line.jobs(3)).granted) == 3
    cluster.close()


@pytest.mark.long
def test_a_slot_that_moved_to_another_node_is_followed_and_the_gate_rebuilt(tmp_path, line_to):
    cluster = Cluster(tmp_path, nodes=2)
    line = line_to(cluster.url)
    cluster.move(gate_slot())
    with pytest.raises(GateUnavailable):
        line.step(1)
    assert is_lost(line)
    rebuild(line, 2)
    assert len(line.step(9, enqueue=line.jobs(3)).granted) == 3
    cluster.close()


def gate_slot():
    return key_slot(b"{rg:default}:")


# ---- whole runs


@pytest.mark.long
def test_a_failover_that_loses_the_last_writes_loses_no_job_and_exceeds_no_limit(pair, live_on):
    """The replica knows of no job: what came and ran meanwhile stands in the rows alone."""
    live = live_on(pair.url)
    line = under_a_limit(live)
    live.worker()
    epoch = GateEpoch.current()
    pair.wait_in_step()
    pair.link.cut()
    live.caller(line.acme, 120, threads=3).finish()
    wait_until_done(50)
    pair.fail_over()
    assert_all_is_well(live, 120)
    assert GateEpoch.current() == epoch + 1


@pytest.mark.long
def test_sentinels_fail_over_in_a_run_and_it_goes_on_at_the_new_master(watched, live_on):
    """The gate's clients and Celery's find the new master by the same URL."""
    live = live_on(watched.url)
    line = under_a_limit(live)
    workers = [live.worker() for _ in range(2)]
    live.caller(line.acme, 120).finish()
    wait_until_done(20)
    watched.servers[0].kill()
    live.caller(line.acme, 10, name="meanwhile").finish()
    assert_all_is_well(live, 130, within_s=90)
    assert all(worker.running.poll() is None for worker in workers)


@pytest.mark.long
def test_a_run_with_its_gate_in_a_cluster(tmp_path, live_on, redis_url):
    cluster = Cluster(tmp_path / "cluster", nodes=2)
    live = live_on(cluster.url, BROKER_URL=redis_url)
    line = under_a_limit(live, 60)
    live.worker()
    live.caller(line.acme, 60).finish()
    wait_until_done(10)
    cluster.move(gate_slot())
    assert_all_is_well(live, 60)
    cluster.close()
