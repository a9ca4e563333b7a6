"""Canvases of jobs and ordinary tasks, by real workers."""

import datetime as dt
import os
import uuid

import pytest
from celery import chain, chord, current_app, group, states
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from django.utils import timezone
from django_celery_results.models import ChordCounter, TaskResult
from kombu import Connection, Exchange, Producer

from rateguard import complete
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.models import Job, OutboxRow
from rateguard.jobs.states import State
from tests.canvas_tasks import add, count, explain, note, shout, shout_on_the_loop
from tests.line import MODEL, PROJECT, all_ended, assert_books_close, wait_for

WAIT_S = 40
POOLS = {
    "ours": ((), {}),
    "prefork": (("-c", "2"), {"RATEGUARD_WORKER_POOL": "prefork"}),
    "threads": (("-P", "threads", "-c", "4"), {}),
}
pytestmark = pytest.mark.long


def ask(text="hello", **options):
    """A call of the simulated model, as a step of a canvas."""
    return complete.s(text, model=MODEL, tenant="acme", max_tokens=20, **options)


@pytest.fixture
def reports(live):
    """The next so many reports of tasks, sorted."""

    def reports(how_many):
        wait_for(lambda: live.line.redis.llen("reports") >= how_many, WAIT_S)
        return sorted(one.decode() for one in live.line.redis.lrange("reports", 0, -1))

    return reports


@pytest.mark.parametrize("pool", POOLS)
def test_jobs_and_ordinary_tasks_are_steps_of_one_canvas(live, reports, pool):
    arguments, environment = POOLS[pool]
    live.worker("-I", "tests.canvas_tasks", *arguments, **environment)
    middle = shout if pool != "ours" else shout_on_the_loop
    chained = chain(ask("first"), middle.s(), ask("Answer {previous}"), shout.s())()
    mixed = chord([ask("part"), add.s(1, 2), ask("part")])(count.s())
    back = chord([add.s(1, 2), add.s(3, 4)])(complete.s("Sum up", model=MODEL, tenant="acme"))
    assert chained.get(WAIT_S) == str(chained.parent.get()).upper()
    assert mixed.get(WAIT_S) == 3
    assert back.get(WAIT_S).text
    assert reports(3) == ["Completion", "Completion", "Completion int Completion"]
    assert not ChordCounter.objects.exists()


def test_errbacks_of_both_styles_are_called_once_with_the_error(live, reports):
    live.worker("-I", "tests.canvas_tasks")
    live.line.provider.control.configure(models=["another"])
    errback = note.s().set(task_id=str(uuid.uuid4()))
    result = chain(ask("first"), shout.s()).apply_async(link_error=[errback, explain.s()])
    job = result.parent.id
    assert reports(2) == [f"explain {job} JobFailed", f"note {errback.id} {job} {job}"]
    assert (result.parent.state, result.state) == (states.FAILURE, states.FAILURE)
    assert live.line.redis.llen("reports") == 2


@pytest.mark.parametrize("point", ["telling", "told"])
def test_a_worker_that_dies_while_it_tells_loses_and_doubles_nothing(live, reports, point):
    """`told`: the ordinary task is published, and the transaction that says so is not committed: it comes again under the same id."""
    killed = live.mortal(point, 2, RATEGUARD_CARETAKER_PERIOD_MS="200")
    summary = chord([ask("a"), ask("b")])(ask("All: {previous}"))
    linked = note.s().set(task_id=str(uuid.uuid4()))
    ask("c").apply_async(link=linked)
    wait_for(lambda: killed.running.poll() is not None, WAIT_S)
    assert OutboxRow.objects.exists()
    live.worker("-I", "tests.canvas_tasks")
    assert summary.get(WAIT_S).text
    assert {one.split()[1] for one in reports(1)} == {linked.id}
    wait_for(lambda: all_ended() and not OutboxRow.objects.exists(), WAIT_S)
    assert Job.objects.count() == 4
    assert not ChordCounter.objects.exists()
    assert_books_close()


# ---- messages


@pytest.mark.parametrize("pool", POOLS)
def test_a_message_under_a_jobs_name_is_that_job(live, reports, pool):
    arguments, environment = POOLS[pool]
    live.worker("-I", "tests.canvas_tasks", *arguments, **environment)
    asked = {"model": MODEL, "tenant": "acme", "max_tokens": 20}
    sent = current_app.send_task("rateguard.complete", ("hello",), asked, link=note.si("linked"), expires=600)
    assert sent.get(WAIT_S)["text"]
    job = Job.objects.get(pk=sent.id)
    assert (job.state, job.deadline_at is not None) == (State.SUCCEEDED, True)
    assert reports(1)[0].split()[2] == "linked"
    later = current_app.send_task("rateguard.complete", ("hello",), asked, countdown=3_600)
    wait_for(lambda: Job.objects.filter(pk=later.id, state=State.SCHEDULED).exists(), WAIT_S)
    assert not TaskResult.objects.filter(task_id__in=[sent.id, later.id]).exists()


def raw(live, task_id, args, kwargs):
    """A message of protocol 2, by a producer that has neither Celery nor rateguard."""
    headers = {"lang": "py", "task": "rateguard.complete", "id": task_id, "root_id": task_id, "parent_id": None, "group": None}
    with Connection(live.url) as connection, connection.channel() as channel:
        Producer(channel, Exchange("celery"), "celery").publish(
            (args, kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}),
            serializer="json",
            headers=headers,
            correlation_id=task_id,
        )


def test_a_raw_message_that_comes_twice_is_one_job_and_a_bad_one_fails(live):
    live.worker()
    good, bad, unpaid = (str(uuid.uuid4()) for _ in range(3))
    for _ in range(2):
        raw(live, good, ["hello"], {"model": MODEL, "tenant": "acme", "max_tokens": 20})
    raw(live, bad, ["hello"], {"model": "nobody-knows", "tenant": "acme"})
    raw(live, unpaid, [], {"tenant": "nobody"})
    for task_id in (bad, unpaid):
        with pytest.raises(InvalidRequest):
            AsyncResult(task_id).get(WAIT_S)
    assert AsyncResult(good).get(WAIT_S).text
    assert Job.objects.count() == 1
    assert not TaskResult.objects.filter(task_id=good).exists()


def test_beat_submits_jobs(live, tmp_path):
    live.worker()
    asked = {
        "task": "rateguard.complete",
        "schedule": 1.0,
        "args": ["hello"],
        "kwargs": {"model": MODEL, "tenant": "acme", "max_tokens": 20},
    }
    (tmp_path / "beaten.py").write_text(f"from rateguard.celery import app\napp.conf.beat_schedule = {{'ask': {asked!r}}}\n")
    paths = os.pathsep.join([str(tmp_path), str(PROJECT)])
    live._start(["celery", "-A", "beaten", "beat", "-s", str(tmp_path / "schedule")], {"PYTHONPATH": paths})
    wait_for(lambda: Job.objects.filter(state=State.SUCCEEDED).count() >= 2, WAIT_S)


# ---- revoke


def test_a_revoked_job_is_cancelled_by_any_worker(live):
    live.line.provider.control.configure(latency={"base_ms": 30_000})
    live.worker()
    running = ask("running").apply_async()
    waiting = group(ask("waiting", run_at=timezone.now() + dt.timedelta(hours=1)) for _ in range(2)).apply_async()
    wait_for(lambda: running.state == states.STARTED, WAIT_S)
    current_app.control.revoke(running.id)
    waiting.revoke()
    for result in (running, *waiting.results):
        with pytest.raises(TaskRevokedError):
            result.get(WAIT_S)
    assert set(Job.objects.values_list("state", flat=True)) == {State.CANCELLED}
    assert not TaskResult.objects.exists()
