"""Celery's results of jobs: the job's row is the result."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import threading
import uuid

import pytest
from celery import shared_task, states
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as WaitedTooLong
from celery.result import AsyncResult, GroupResult
from django.db import connection
from django.utils import timezone
from django_celery_results.models import TaskResult

from rateguard import complete
from rateguard.engine.errors import JobFailed
from rateguard.jobs.ends import follow
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.results import JobResultBackend
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State
from tests.following import follower, looking  # noqa: F401
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

ANSWER = '{"id": "c-1", "choices": [{"message": {"role": "assistant", "content": "Hi"}}]}'


@pytest.fixture
def result(acme, follower):
    return complete.delay("Hello", model=CHAT_MODEL, tenant="acme")


def move(result, state, /, **columns):
    ended = timezone.now() if state in TERMINAL else None
    Job.objects.filter(pk=result.id).update(state=state, finished_at=ended, **columns)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.QUEUED, states.PENDING),
        (State.RUNNING, states.STARTED),
        (State.SUCCEEDED, states.SUCCESS),
        (State.FAILED, states.FAILURE),
        (State.EXPIRED, states.REVOKED),
        (State.CANCELLED, states.REVOKED),
    ],
)
def test_a_jobs_state_is_told_in_celerys_words(result, state, status):
    move(result, state, result=ANSWER if state == State.SUCCEEDED else None)
    assert AsyncResult(result.id).status == status


def test_the_result_is_a_completion_with_the_whole_answer(result):
    move(result, State.SUCCEEDED, result=ANSWER)
    answer = AsyncResult(result.id).get(timeout=5)
    assert (answer.text, answer.response["id"]) == ("Hi", "c-1")
    assert (result.successful(), result.date_done is not None, result.children, result.traceback) == (True, True, [], None)


def test_a_failed_job_raises_its_error(result):
    move(result, State.FAILED, error_code="bad_request", error_message="no such tool")
    with pytest.raises(JobFailed, match="bad_request: no such tool") as caught:
        result.get(timeout=5)
    assert caught.value.code == "bad_request"
    assert isinstance(result.get(propagate=False), JobFailed)


def test_an_expired_job_is_a_revoked_task(result):
    move(result, State.EXPIRED)
    with pytest.raises(TaskRevokedError, match="expired"):
        result.get(timeout=5)


def test_a_cancelled_job_is_a_revoked_task(result):
    cancel(Job.objects.get(pk=result.id))
    with pytest.raises(TaskRevokedError):
        result.get(timeout=5)


def test_a_job_that_does_not_end_in_time_is_a_timeout(result):
    with pytest.raises(WaitedTooLong):
        AsyncResult(result.id).get(timeout=0.1)


def test_nothing_is_stored_for_a_job(result):
    JobResultBackend(app=complete.app).store_result(result.id, {"other": 1}, states.SUCCESS)
    assert not TaskResult.objects.exists()
    assert AsyncResult(result.id).status == states.PENDING


@pytest.mark.parametrize("task_id", ["6f1c8f4e-3f0b-4f4e-9a58-2f4f0a1b7c11", "a-name-of-its-own"])
def test_other_tasks_are_stored_and_answered_as_ever(db, task_id):
    backend = JobResultBackend(app=complete.app)
    backend.store_result(task_id, {"other": 1}, states.SUCCESS)
    assert backend.get_task_meta(task_id, cache=False)["result"] == {"other": 1}
    assert AsyncResult(task_id, backend=backend).get(timeout=5) == {"other": 1}


def test_forgetting_a_jobs_result_leaves_its_row_alone(result):
    move(result, State.SUCCEEDED, result=ANSWER)
    result.forget()
    assert AsyncResult(result.id).get(timeout=5).text == "Hi"


def test_a_saved_group_of_jobs_and_ordinary_tasks_is_found_again(result):
    JobResultBackend(app=complete.app).store_result("ordinary", 7, states.SUCCESS)
    GroupResult("both", [result, AsyncResult("ordinary")]).save()
    move(result, State.SUCCEEDED, result=ANSWER)
    answer, number = GroupResult.restore("both").get(timeout=5)
    assert (answer.text, number) == ("Hi", 7)


def test_a_waiting_job_is_revoked_without_any_worker(result):
    result.revoke()
    assert (Job.objects.get(pk=result.id).state, result.state) == (State.CANCELLED, states.REVOKED)


def test_an_unknown_id_is_pending(db):
    assert AsyncResult(str(uuid.uuid4())).status == states.PENDING


def test_the_projects_backend_is_this_one():
    @shared_task(name="tests.results.ordinary")
    def ordinary():
        return 1

    assert isinstance(ordinary.app.backend, JobResultBackend)


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_result_is_woken_by_its_end(redis_url, acme, follower, looking, monkeypatch):
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 60)  # nothing but the announcement can wake it
    result = complete.delay("Hello", model=CHAT_MODEL, tenant="acme")

    def end():
        looking.wait(20)
        move(result, State.SUCCEEDED, result=ANSWER)
        announce([uuid.UUID(result.id)])
        connection.close()

    thread = threading.Thread(target=end)
    thread.start()
    assert result.get(timeout=4).text == "Hi"
    thread.join()
