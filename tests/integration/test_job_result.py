"""What `.delay()` gives: it waits, or says at once why waiting is no use."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import json
import pickle
import threading
import uuid

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from celery import chain, group
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as NotInTime
from celery.result import AsyncResult
from django.db import connection, connections, transaction
from django.utils import timezone

import rateguard
from rateguard import Completion, JobDoesNotExist, JobFailed, JobNotCommitted, complete, embed
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ids import new_id
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.python.job_result import job_result
from tests.following import follower  # noqa: F401
from tests.line import MODEL
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Danube"}}], "usage": {"total_tokens": 3}}


def ask(**options):
    return complete.delay("Name a river", model=CHAT_MODEL, tenant="acme", **options)


def ended(asked, state=State.SUCCEEDED, **columns):
    columns = {"result": json.dumps(ANSWER), "nano_usd": 750, "used_input_tokens": 2, "used_output_tokens": 1, "attempt": 1, **columns}
    Job.objects.filter(pk=asked.id).update(state=state, finished_at=timezone.now(), **columns)
    return asked


def test_the_answer_is_a_completion_that_is_json_too(acme):
    answer = ended(ask()).get(timeout=5)
    assert isinstance(answer, Completion)
    assert (str(answer), f"{answer}", answer.text, answer.message["role"]) == ("Danube", "Danube", "Danube", "assistant")
    assert (answer.usage["total_tokens"], str(answer.cost), answer.attempts, answer.model) == (3, "7.5E-7", 1, CHAT_MODEL)
    assert answer.response == ANSWER
    again = rateguard.jobs.ends.completion.revive(json.loads(json.dumps([answer])))
    assert (again, again[0].text) == ([answer], "Danube")


def test_embeddings_come_in_the_order_of_the_texts(acme):
    vectors = {"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}
    result = embed.delay(["a", "b"], model=EMBEDDING_MODEL, tenant="acme")
    assert ended(result, result=json.dumps(vectors)).get(timeout=5).embeddings == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("state", "error"), [(State.FAILED, JobFailed), (State.CANCELLED, TaskRevokedError), (State.EXPIRED, TaskRevokedError)]
)
def test_another_end_is_raised_or_given_back(acme, state, error):
    result = ended(ask(), state, error_code="bad_request", result=None)
    with pytest.raises(error):
        result.get(timeout=5)
    assert isinstance(result.get(propagate=False), error)
    with pytest.raises(error):
        async_to_sync(result.aget)()


def test_an_unknown_id_is_said_at_once(db):
    for wait in (complete.AsyncResult(str(new_id())).get, async_to_sync(embed.AsyncResult(str(new_id())).aget)):
        with pytest.raises(JobDoesNotExist, match="there is no job"):
            wait()
    with pytest.raises(NotInTime):
        AsyncResult(str(new_id())).get(timeout=0)  # an ordinary task may yet come
    with pytest.raises(NotInTime, match="the step before it"):
        complete.AsyncResult(str(uuid.uuid4())).get(timeout=0)  # so may a step of a canvas, whose ids Celery makes


def test_a_later_step_of_a_chain_may_yet_come(acme):
    result = chain(ask_step(), ask_step()).apply_async()
    connection.run_on_commit.clear()  # as after the commit
    with pytest.raises(NotInTime, match="the step before it"):
        result.get(timeout=0)


def ask_step():
    return complete.s("Name a river", model=CHAT_MODEL, tenant="acme")


@pytest.mark.parametrize(
    "submit",
    [
        ask,
        lambda: complete.delay_many(["a"], model=CHAT_MODEL, tenant="acme")[0],
        lambda: group(ask_step(), ask_step()).apply_async(),
        lambda: chain(ask_step(), ask_step()).apply_async(),
    ],
)
def test_waiting_in_the_transaction_that_submits_is_refused_at_once(acme, submit):
    result = submit()
    with pytest.raises(JobNotCommitted, match="after the commit"):
        result.get()
    if not hasattr(result, "results"):
        with pytest.raises(JobNotCommitted):
            async_to_sync(result.aget)()


@pytest.mark.django_db(transaction=True)
def test_only_an_open_transaction_that_submits_it_refuses(acme, redis_url, follower):
    with transaction.atomic():
        committed = ask()
    with transaction.atomic():
        with pytest.raises(NotInTime):
            committed.get(timeout=0)
        with transaction.atomic():
            taken_back = ask()
            transaction.set_rollback(True)
        with pytest.raises(JobDoesNotExist):
            taken_back.get()


def test_a_timeout_says_where_the_job_is_and_what_it_lacks(line, follower):
    first, second = complete.delay_many(["a", "b"], model=MODEL, tenant="acme", lane="high")
    line.settled()
    with pytest.raises(NotInTime, match=r"queued in lane high.*no live worker serves lane high.*llm\.high"):
        first.get(timeout=0)
    line.limit("requests", 1)
    line.beat()
    line.claim(line.next_message())
    with pytest.raises(NotInTime, match="runs at deployment sim-1"):
        first.get(timeout=0)
    with pytest.raises(NotInTime, match=r"in its way: tenant acme: 1 requests? ") as caught:
        async_to_sync(second.aget)(timeout=0)
    assert "no live worker" not in str(caught.value)


@pytest.mark.django_db(transaction=True)
def test_a_coroutine_is_woken_by_the_end(acme, redis_url, follower):
    async def wait():
        result = await complete.adelay("Name a river", model=CHAT_MODEL, tenant="acme")
        waiting = asyncio.create_task(result.aget(timeout=20))
        await asyncio.sleep(0)
        await asyncio.to_thread(end, result)
        answer = await waiting
        await sync_to_async(connections.close_all)()
        return answer

    def end(result):
        ended(result)
        announce([uuid.UUID(result.id)])
        connection.close()

    assert str(asyncio.run(wait())) == "Danube"


def test_a_result_goes_by_its_id(acme):
    result = ask()
    for again in (pickle.loads(pickle.dumps(result)), complete.AsyncResult(result.id), job_result(complete.app, result.id)):
        assert (again.id, again.status, again.job.pk) == (result.id, "PENDING", uuid.UUID(result.id))
    assert result.as_tuple() == ((result.id, None), None)


@pytest.mark.parametrize("word", ["cancel", "revoke"])
def test_a_result_cancels_its_job(acme, redis_url, word):
    result = ask()
    getattr(result, word)()
    assert (result.job.state, result.status) == (State.CANCELLED, "REVOKED")
    with pytest.raises(JobDoesNotExist):
        complete.AsyncResult(str(uuid.uuid4())).cancel()


@pytest.mark.django_db(transaction=True)
def test_answers_come_in_order_and_leaving_early_cancels_what_has_not_begun(acme, redis_url, follower):
    def end_two():
        while Job.objects.count() < 3:
            threading.Event().wait(0.005)
        rows = sorted(Job.objects.all(), key=lambda row: json.loads(row.request)["messages"][0]["content"])
        for row in (rows[1], rows[0]):  # the second before the first
            ended(row, result=json.dumps({"choices": [{"message": {"content": json.loads(row.request)["messages"][0]["content"]}}]}))
        announce([row.pk for row in rows])
        connection.close()

    ender = threading.Thread(target=end_two)
    ender.start()
    many = complete.map((text for text in "abcdefg"), model=CHAT_MODEL, tenant="acme", chunk=3, window=3)
    assert [str(next(many)), str(next(many))] == ["a", "b"]
    many.close()
    ender.join()
    assert sorted(Job.objects.values_list("state", flat=True)) == ["cancelled", "succeeded", "succeeded"]


def test_map_refuses_a_transaction_before_it_submits(acme):
    for take in (lambda: next(complete.map(["a"], model=CHAT_MODEL, tenant="acme")),):
        with pytest.raises(JobNotCommitted, match="map"):
            take()
    assert not Job.objects.exists()
