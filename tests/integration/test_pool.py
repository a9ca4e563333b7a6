"""The asyncio Celery pool, by real `celery worker` processes on a real Redis-protocol server."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery, chain, chord, group
from celery.exceptions import SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded
from celery.result import AsyncResult

from rateguard.embedded.valkey import ValkeyServer, start_valkey
from rateguard.worker.callbacks import Callbacks

HERE = Path(__file__).parent
TIMEOUT_S = 15
POSTS = 2000
PREFIX = "pool_project.app."


class Worker:
    """A `celery worker` of the tiny project, and what it has printed."""

    def __init__(self, url: str, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "celery", "-A", "pool_project.app", "worker", "-l", "INFO", "-c", "4", *arguments]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        paths = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
        self.process = subprocess.Popen(
            [*command, *quiet],
            cwd=HERE,
            env={**inherited, "PYTHONPATH": paths, "POOL_PROJECT_REDIS": url, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: list[str] = []
        self._has_ended = False
        self._printed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def wait_for(self, text: str, times: int = 1) -> None:
        with self._printed:
            self._printed.wait_for(lambda: self.log.count(text) >= times or self._has_ended, TIMEOUT_S)
        assert self.log.count(text) >= times, f"the worker never printed {text!r}:\n{self.log}"

    def end(self, by: signal.Signals = signal.SIGTERM, within_s: float = TIMEOUT_S) -> int:
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            return self.process.wait(within_s)
        finally:
            self.process.kill()
            self._reader.join()
            self.process.stdout.close()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._printed:
                self._lines.append(line)
                self._printed.notify_all()
        with self._printed:
            self._has_ended = True
            self._printed.notify_all()


class Bench:
    """One database of the server: a Celery client, the lists by which tasks report, and the workers started on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url, decode_responses=True, socket_timeout=None)
        self.celery = Celery("client", broker=url, backend=url)
        self.celery.conf.update(broker_connection_retry_on_startup=True)
        self._workers: list[Worker] = []

    def start(self, *arguments: str, **environment: str) -> Worker:
        self._workers.append(Worker(self.url, *arguments, **environment))
        return self._workers[-1]

    def ready(self, *arguments: str, **environment: str) -> Worker:
        worker = self.start(*arguments, **environment)
        worker.wait_for("ready.")
        return worker

    def task(self, name: str, *args: object, **options: object):
        return self.celery.signature(PREFIX + name, args=args, options=options)

    def send(self, name: str, *args: object, **options: object) -> AsyncResult:
        return self.task(name, *args, **options).apply_async()

    def take(self, key: str, count: int = 1) -> list[str]:
        """The next `count` entries of a list, waiting for them."""
        return [self._take_one(key) for _ in range(count)]

    def let_go(self, count: int, key: str = "release") -> None:
        self.redis.rpush(key, *["go"] * count)

    def queued(self) -> int:
        return self.redis.llen("celery")

    def close(self) -> None:
        for worker in self._workers:
            worker.end(signal.SIGKILL)
        results = self.celery.backend.result_consumer
        results.stop()
        results._pubsub = None  # else each AsyncResult that dies later connects once more
        self.celery.close()
        self.redis.close()

    def _take_one(self, key: str) -> str:
        found = self.redis.blpop([key], timeout=TIMEOUT_S)
        assert found, f"nothing came to {key!r}; the workers said:\n" + "\n".join(worker.log for worker in self._workers)
        return found[1]


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory) -> Iterator[ValkeyServer]:
    server = start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def databases() -> Iterator[int]:
    return iter(range(16))


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads change places as often as they can, so that races come out."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture
def bench(valkey, databases) -> Iterator[Bench]:
    """A database of its own, with no worker yet."""
    bench = Bench(f"redis://127.0.0.1:{valkey.port}/{next(databases)}")
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def shared(valkey, databases) -> Iterator[Bench]:
    """A database with one worker that has seen other tests."""
    bench = Bench(f"redis://127.0.0.1:{valkey.port}/{next(databases)}")
    bench.ready()
    yield bench
    bench.close()


def test_callbacks_from_other_threads_wake_the_main_thread_in_their_order(often_switching):
    callbacks, heard = Callbacks(is_direct=False), []
    threads = [threading.Thread(target=_post_many, args=(callbacks, heard, number), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()

    while len(heard) < 3 * POSTS:
        began_s = time.monotonic()
        callbacks.wait(10)
        assert time.monotonic() - began_s < 9, "callbacks were posted and nobody woken"

    callbacks.close()
    for number in range(3):
        assert [count for poster, count in heard if poster == number] == list(range(POSTS))


def test_async_and_sync_tasks_return_their_results(shared):
    results = [shared.send(name, 2, 3) for name in ("add", "aadd")]

    assert [result.get(TIMEOUT_S) for result in results] == [5, 5]


def test_coroutines_run_on_one_loop_and_sync_tasks_in_threads(shared):
    on_loop, in_thread = shared.send("where"), shared.send("sync_where")

    assert on_loop.get(TIMEOUT_S) == ["rateguard-loop", "uvloop"]
    assert in_thread.get(TIMEOUT_S).startswith("rateguard-task")


@pytest.mark.parametrize("name", ["boom", "sync_boom"])
def test_a_failure_is_stored_with_the_tasks_own_traceback(shared, name):
    result = shared.send(name, "the reason")

    with pytest.raises(ValueError, match="the reason"):
        result.get(TIMEOUT_S)
    assert result.state == "FAILURE"
    assert f"in {name}" in result.traceback
    assert "coroutines.py" not in result.traceback
    assert "stepping.py" not in result.traceback


def test_wrong_arguments_fail_the_task_and_nothing_else(shared):
    with pytest.raises(TypeError):
        shared.send("aadd", 1).get(TIMEOUT_S)
    assert shared.send("aadd", 1, 1).get(TIMEOUT_S) == 2


@pytest.mark.parametrize("name", ["leave_process", "cancelled_within"])
def test_a_coroutine_that_exits_or_is_cancelled_within_fails_alone(shared, name):
    result = shared.send(name)

    eventually(lambda: result.state == "FAILURE")
    assert shared.send("aadd", 1, 1).get(TIMEOUT_S) == 2


def test_a_coroutine_retries_and_sees_its_own_request(shared):
    result = shared.send("flaky")

    assert result.get(TIMEOUT_S) == {"retries": 2, "id": result.id, "child": result.id, "current": result.id}


def test_autoretry_retries_a_coroutine(shared):
    assert shared.send("flaky_by_itself", "tries").get(TIMEOUT_S) == 3


def test_chain_chord_and_link_pass_through_coroutines(shared):
    linked = shared.task("aadd", 10).set(task_id="the-linked-task")

    chained = chain(shared.task("aadd", 1, 1), shared.task("add", 3), shared.task("aadd", 4)).apply_async()
    summed = chord(group(shared.task("aadd", i, i) for i in range(3)), shared.task("total")).apply_async()
    shared.task("aadd", 1, 1).apply_async(link=linked)

    assert chained.get(TIMEOUT_S) == 9
    assert summed.get(TIMEOUT_S) == 6
    assert shared.celery.AsyncResult("the-linked-task").get(TIMEOUT_S) == 12


def test_a_signal_receiver_that_asks_for_one_coroutine_task_hears_it(shared):
    shared.send("aadd", 1, 1).get(TIMEOUT_S)

    assert shared.take("aadd was traced") == ["yes"]


def test_a_task_called_by_a_coroutine_is_its_child(shared):
    result = shared.send("parent")
    child = result.get(TIMEOUT_S)

    assert [found.id for found in result.children] == [child]


def test_a_hot_task_skips_the_tracer_but_not_its_links(shared):
    shared.send("hot", "runs")
    shared.send("hot", "fails")
    linked = shared.task("add", 1, 1).set(immutable=True, task_id="linked-to-hot")
    shared.task("hot", "has a link").apply_async(link=linked)

    assert sorted(shared.take("hot", 3)) == ["fails", "has a link", "runs"]
    assert shared.celery.AsyncResult("linked-to-hot").get(TIMEOUT_S) == 2
    shared._workers[0].wait_for("raised unexpected")
    assert shared.redis.llen("traced") == 1


def test_a_soft_limit_is_raised_inside_the_coroutine(shared):
    caught, uncaught = shared.send("tidy_up", soft_time_limit=0.05), shared.send("sleep", soft_time_limit=0.05)

    assert caught.get(TIMEOUT_S) == "tidied"
    with pytest.raises(SoftTimeLimitExceeded):
        uncaught.get(TIMEOUT_S)


def test_a_hard_limit_cancels_the_coroutine(shared):
    result = shared.send("hold", "too long", time_limit=0.1)

    with pytest.raises(TimeLimitExceeded):
        result.get(TIMEOUT_S)
    assert shared.take("cancelled") == ["too long"]
    assert shared.take("started") == ["too long"]


def test_a_sync_task_past_its_hard_limit_runs_on_and_is_named_in_the_log(shared):
    result = shared.send("sync_sleep", 0.3, time_limit=0.05)

    assert result.get(TIMEOUT_S) == "slept"
    shared._workers[0].wait_for(f"sync_sleep[{result.id}] has passed its hard time limit (0.05s)")


def test_revoke_terminate_cancels_that_coroutine_alone(shared):
    kept, revoked = shared.send("hold", "kept"), shared.send("hold", "revoked")
    shared.take("started", 2)

    shared.celery.control.revoke(revoked.id, terminate=True)

    assert shared.take("cancelled") == ["revoked"]
    with pytest.raises(TaskRevokedError):
        revoked.get(TIMEOUT_S)
    shared.let_go(1)
    assert shared.take("ended") == ["kept"]
    assert kept.get(TIMEOUT_S) is None


@pytest.mark.long
def test_only_what_has_a_slot_leaves_the_queue(bench):
    worker = bench.ready()

    sent = [bench.send("hold", str(i)) for i in range(60)]
    bench.take("started", 4)
    unbound = bench.send("where")
    stats = bench.celery.control.inspect(timeout=TIMEOUT_S, limit=1).stats()

    (pool,) = (node["pool"] for node in stats.values())
    assert (pool["in-flight"], pool["waiting"], pool["max-concurrency"]) == (4, 4, 4)
    assert bench.queued() == 60 + 1 - 4 - 4
    assert bench.redis.llen("started") == 0
    bench.let_go(60)
    assert len(bench.take("ended", 60)) == 60
    assert [result.get(TIMEOUT_S) for result in sent] == [None] * 60
    assert unbound.get(TIMEOUT_S)
    assert worker.end() == 0


def test_a_task_without_slots_is_accepted_at_once_and_sync_tasks_do_not_block_the_line(bench):
    bench.ready("--prefetch-multiplier", "4")
    for name in ("sync_hold", "hold"):
        for i in range(2):
            bench.send(name, f"{name}{i}")
    bench.take("started", 4)

    for i in range(3):
        bench.send("unbound_hold", f"unbound{i}")

    assert sorted(bench.take("started", 3)) == ["unbound0", "unbound1", "unbound2"]
    bench.let_go(3, "release_unbound")
    bench.let_go(4)
    bench.take("ended", 7)


def test_a_task_revoked_while_it_waits_for_a_slot_never_runs(bench):
    worker = bench.ready("-c", "1")
    bench.send("hold", "first")
    bench.take("started")
    waiting = bench.send("hold", "waiting")
    worker.wait_for(f"hold[{waiting.id}] received")

    bench.celery.control.revoke(waiting.id)
    worker.wait_for("flagged as revoked")
    bench.let_go(1)

    with pytest.raises(TaskRevokedError):
        waiting.get(TIMEOUT_S)
    assert bench.take("ended") == ["first"]
    assert bench.send("aadd", 1, 1).get(TIMEOUT_S) == 2  # it came after the revoked one in the line
    assert bench.redis.llen("started") == 0


def test_sigterm_ends_late_acknowledged_work_and_gives_the_rest_back(bench):
    worker = bench.ready()
    for i in range(12):
        bench.send("late_hold", str(i))
    bench.take("started", 4)

    worker.process.terminate()
    assert bench.take("draining") == ["yes"]
    bench.let_go(4)

    assert worker.end() == 0
    assert bench.redis.llen("ended") == 4
    assert bench.redis.lrange("stopped", 0, -1) == ["yes"]
    assert bench.queued() == 8
    assert bench.redis.hlen("unacked") == 0


@pytest.mark.long
def test_sigquit_cancels_and_gives_late_acknowledged_work_back(bench):
    worker = bench.ready()
    for i in range(6):
        bench.send("late_hold", str(i))
    bench.take("started", 4)

    worker.end(signal.SIGQUIT, within_s=10)

    assert len(bench.take("cancelled", 4)) == 4
    assert bench.queued() == 6


def test_a_failing_start_hook_ends_the_worker_and_takes_no_message(bench):
    bench.send("add", 1, 1)

    worker = bench.start(POOL_PROJECT_START="fails")

    assert worker.process.wait(TIMEOUT_S) != 0
    worker.wait_for("the start hook failed")
    assert bench.queued() == 1


@pytest.mark.long
def test_a_hanging_start_hook_accepts_nothing_and_hears_sigterm(bench):
    worker = bench.ready(POOL_PROJECT_START="hangs")
    result = bench.send("add", 1, 1)
    worker.wait_for(f"add[{result.id}] received")

    assert worker.end(within_s=10) == 0
    assert bench.queued() == 1


@pytest.mark.long
def test_a_worker_whose_broker_is_away_hears_sigterm(tmp_path):
    server = start_valkey(tmp_path / "valkey")
    server.stop()
    bench = Bench(server.url)
    worker = bench.start()
    worker.wait_for("Cannot connect to")

    assert worker.end(within_s=10) == 0
    bench.close()


@pytest.mark.long
def test_a_cut_broker_connection_is_made_again_and_work_goes_on(bench):
    worker = bench.ready()
    accepted = [bench.send("hold", f"accepted{i}") for i in range(4)]
    bench.take("started", 4)
    waiting = [bench.send("hold", f"waiting{i}") for i in range(2)]  # fewer than the prefetch count, so that the worker listens
    for result in waiting:
        worker.wait_for(f"hold[{result.id}] received")

    bench.redis.client_kill_filter(_type="normal", skipme=True)
    worker.wait_for("Connection to broker lost")
    worker.wait_for("Connected to", times=2)
    bench.let_go(8)

    assert [result.get(TIMEOUT_S) for result in accepted + waiting] == [None] * 6
    assert sorted(bench.take("ended", 6)) == [f"accepted{i}" for i in range(4)] + [f"waiting{i}" for i in range(2)]
    assert bench.redis.llen("ended") == 0


@pytest.mark.long
def test_what_does_not_end_in_time_is_cut_off(bench):
    worker = bench.ready(POOL_PROJECT_DRAIN_S="0.5")
    bench.send("late_hold", "slow")
    bench.take("started")

    assert worker.end(within_s=10) == 0

    assert bench.take("cancelled") == ["slow"]
    assert "has not ended in time and is cut off" in worker.log
    assert bench.queued() == 1


@pytest.mark.long
def test_autoscale_moves_the_limit(bench):
    worker = bench.ready("--autoscale", "6,2")
    for i in range(6):
        bench.send("hold", str(i))

    bench.take("started", 6)
    assert "Scaling up" in worker.log
    bench.celery.control.pool_shrink(1, reply=True, timeout=TIMEOUT_S, limit=1)
    bench.let_go(6)
    bench.take("ended", 6)


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_an_explicit_other_pool_is_obeyed(bench, pool):
    bench.ready("-P", pool)

    assert bench.send("add", 2, 3).get(TIMEOUT_S) == 5
    stats = bench.celery.control.inspect(timeout=TIMEOUT_S, limit=1).stats()
    (info,) = (node["pool"] for node in stats.values())
    assert f"celery.concurrency.{pool[:6]}" in info["implementation"]


@pytest.mark.long
def test_without_a_hub_the_pool_works_as_well(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    server = start_valkey(tmp_path / "valkey")
    bench = Bench(server.url)
    bench.celery.conf.update(broker_url="filesystem://", broker_transport_options=_folders(folder))
    worker = bench.start(POOL_PROJECT_BROKER_FOLDER=str(folder))
    worker.wait_for("ready.")

    results = [bench.send(name, 2, 3) for name in ("add", "aadd") for _ in range(10)]

    assert [result.get(TIMEOUT_S) for result in results] == [5] * 20
    assert worker.end() == 0
    bench.close()
    server.stop()


def _post_many(callbacks: Callbacks, heard: list[tuple[int, int]], number: int) -> None:
    for count in range(POSTS):
        was_heard = threading.Event()
        callbacks.post(heard.append, (number, count))
        callbacks.post(was_heard.set)
        was_heard.wait()


def _folders(folder: Path) -> dict[str, str]:
    return {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": str(folder / "control")}
