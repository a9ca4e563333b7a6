"""A run and a context go with the work: through ordinary Celery tasks, on every pool, to the jobs that they submit."""

import pytest

import rateguard
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from tenants.models import LedgerEntry, Run
from tests import run_tasks
from tests.line import assert_books_close, wait_for

POOLS = {"ours": {}, "prefork": {"RATEGUARD_WORKER_POOL": "prefork"}, "threads": {"RATEGUARD_WORKER_POOL": "threads"}}
TASKS = [run_tasks.ask, run_tasks.pass_on, run_tasks.ask_at_the_second_try]
COROUTINES = [run_tasks.ask_on_the_loop, run_tasks.pass_on_on_the_loop]
"""What only our pool runs."""


def runs_of(user):
    return list(Job.objects.filter(user=user).values_list("run", flat=True))


def said_of(user):
    return {(job.team, job.labels.get("a")) for job in Job.objects.filter(user=user)}


@pytest.mark.long
@pytest.mark.parametrize("pool", POOLS)
def test_what_a_celery_task_submits_is_charged_to_the_run_in_which_it_was_published(live, pool):
    tasks = TASKS + COROUTINES if pool == "ours" else TASKS
    worker = live.worker("-I", "tests.run_tasks", "-c", "4", **POOLS[pool])
    with rateguard.context(team="red", labels={"a": "b"}), rateguard.run(tenant="acme", max_calls=80) as run:
        for task in tasks:
            task.delay("inside")
        run_tasks.begin_inside.delay("inner")
    for task in tasks:
        task.delay("outside")
    wait_for(lambda: Job.objects.filter(state=State.SUCCEEDED).count() == 2 * len(tasks) + 1, 40)
    inner = Run.objects.get(name="inner")
    assert said_of("inside") == said_of("inner") == {("red", "b")}
    assert said_of("outside") == {("", None)}
    assert runs_of("inside") == [run.id] * len(tasks)
    assert runs_of("outside") == [None] * len(tasks)
    assert runs_of("inner") == [inner.pk]
    assert (inner.parent_id, run.calls) == (run.id, len(tasks) + 1)
    assert worker.end() == 0
    assert set(LedgerEntry.objects.values_list("run", flat=True)) == {run.id, inner.pk, None}
    assert_books_close()
