"""`rateguard.testing`: canned answers for host projects' tests; and CELERY_TASK_ALWAYS_EAGER. No gate, no worker, no Redis."""

import asyncio
import contextlib
import json
import re

import pytest
from asgiref.sync import async_to_sync
from celery import chain, chord, group, shared_task
from django.test import TestCase, override_settings

from rateguard import InvalidRequest, JobFailed, complete, embed
from rateguard.jobs.attempts import inplace
from rateguard.jobs.models import Attempt, Job
from rateguard.testing import Unanswered, WithAnswers, answers
from rateguard.testing.plugin import llm  # noqa: F401
from tenants.keys import issue_key
from tenants.models import LedgerEntry, Tenant

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_redis(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


@pytest.fixture
def eager():
    complete.app.conf.task_always_eager = True
    yield complete.app.conf
    complete.app.conf.task_always_eager = complete.app.conf.task_eager_propagates = False


def reversing(llm):
    return llm.on(re.compile(r"\d"), lambda asked: asked.prompt[::-1])


class Asking(WithAnswers, TestCase):
    def test_a_test_case_which_commits_nothing_gets_answers(self):
        self.llm.on("rivers", "Danube, Rhine, Elbe")
        asked = complete.delay("Name three rivers", model="any", user="ada", tenant="shop")
        assert str(asked.get(timeout=1)) == "Danube, Rhine, Elbe"
        assert (asked.job.state, asked.job.tenant.name, asked.job.attempts.count()) == ("succeeded", "shop", 1)
        assert (self.llm.count("rivers"), self.llm.calls[0].user, self.llm.calls[0].model) == (1, "ada", "any")


def test_the_first_rule_that_fits_answers_and_may_be_used_up(llm):
    llm.on("a", "once", times=1).on(lambda asked: asked.user == "ada", "hers").on(re.compile("^a"), "again").default("ok")
    said = [str(complete.delay(text, model="any", user=user).get()) for text, user in (("a", ""), ("a", "ada"), ("a", ""), ("b", ""))]
    assert said == ["once", "hers", "again", "ok"]


def test_a_failure_that_is_tried_again_is_tried_again_at_once(llm):
    llm.fails("boom", code="server", times=2).on("boom", "at last").fails("bad", message="no such tool")
    result = complete.delay("boom", model="any")
    assert (str(result.get()), result.get().attempts, llm.count("boom")) == ("at last", 3, 3)
    with pytest.raises(JobFailed, match="bad_request: no such tool"):
        complete.delay("bad", model="any").get()
    assert list(Attempt.objects.values_list("state", flat=True)) == ["failed", "failed", "succeeded", "failed"]
    with pytest.raises(ValueError, match="bad_request"):
        llm.fails("x", code="nonsense")


def test_a_limit_of_the_provider_that_never_ends_ends_the_job(llm):
    llm.fails("x", code="rate_limited")
    with pytest.raises(JobFailed, match="rate_limited"):
        complete.delay("x", model="any").get()


def test_a_prompt_without_an_answer_is_shown_with_the_line_to_write(db):
    with pytest.raises(Unanswered, match=r"Name three rivers\n[^$]*llm.on\('Name three rivers'"), answers():
        complete.delay("Name three rivers", model="any")


def test_one_that_the_code_swallowed_fails_the_test_all_the_same(db):
    with pytest.raises(Unanswered):
        swallow()
    assert inplace.caller() is None


@answers()
def swallow():
    with contextlib.suppress(AssertionError):
        complete.delay("?", model="any")


def test_usage_is_counted_and_costs_what_the_test_says(db):
    with answers(default="one two three", input_usd=1, output_usd=2):
        answer = complete.delay("Count", model="any").get()
    usage = answer.usage
    assert usage["completion_tokens"] == 3
    assert answer.cost_nano_usd == usage["prompt_tokens"] * 1_000 + 3 * 2_000 == LedgerEntry.objects.get().nano_usd


def test_a_message_a_whole_response_and_vectors_may_be_said(llm):
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    llm.on("tool", {"role": "assistant", "content": None, "tool_calls": [call]})
    llm.on("whole", {"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})
    llm.on("Danube", [0.5, 0.5])
    assert complete.delay("tool", model="any").get().message["tool_calls"] == [call]
    assert complete.delay("whole", model="any").get().usage["total_tokens"] == 12
    assert embed.delay("the Danube", model="any").get().embeddings == [[0.5, 0.5]]
    first, second = embed.delay(["a", "a"], model="any").get().embeddings  # nothing is said: each text has its own
    assert first == second


@pytest.mark.parametrize("is_eager", [False, True])
def test_canvases_go_on_as_with_workers(llm, is_eager, eager):
    eager.task_always_eager = is_eager
    reversing(llm).fails("bad").default("else")
    assert str(chain(step("12"), step("Say {previous}9")).apply_async().get()) == "912 yaS"
    assert [str(one) for one in group(step("12"), step("34")).apply_async().get()] == ["21", "43"]
    assert str(chord([step("12"), step("34")], step("{previous}")).apply_async().get()) == "34\n\n12"
    complete.apply_async(("12",), {"model": "any"}, link=step("linked"))
    assert llm.count("linked") == 1
    with pytest.raises(JobFailed):
        chain(step("bad"), step("{previous}")).apply_async().get(timeout=1)


def step(text):
    return complete.s(text, model="any")


def test_map_gives_the_answers_in_order_and_is_never_further_ahead_than_its_window(llm):
    reversing(llm).fails("7")
    many = complete.map(map(str, range(10, 99)), model="any", chunk=2, window=5)
    assert (len(llm.calls), str(next(many)), len(llm.calls)) == (0, "01", 4)
    assert [str(next(many)) for _ in range(5)] == ["11", "21", "31", "41", "51"]
    assert len(llm.calls) <= 11
    with pytest.raises(InvalidRequest, match="chunk"):
        next(complete.map(["a"], model="any", chunk=0))


def test_map_gives_errors_in_their_place_where_that_is_asked(llm):
    llm.fails("b").default("ok")
    found = list(complete.map("abc", model="any", return_exceptions=True))
    assert [type(one).__name__ for one in found] == ["Completion", "JobFailed", "Completion"]
    with pytest.raises(JobFailed):
        list(complete.map("abc", model="any"))


def test_coroutines_work_too(llm):
    reversing(llm)

    async def numbers():
        for number in range(10, 15):
            yield str(number)
            await asyncio.sleep(0)

    async def ask():
        result = await complete.adelay("12", model="any")
        return [str(await result.aget()), *[str(one) async for one in complete.amap(numbers(), model="any", chunk=2, window=3)]]

    assert async_to_sync(ask)() == ["21", "01", "11", "21", "31", "41"]


def test_rest_is_answered_too(llm, client):
    llm.default("ok")
    _, secret = issue_key(Tenant.objects.create(name="shop"), "tests")
    body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "Hello"}]})
    response = client.post("/api/v1/jobs", body, content_type="application/json", headers={"Authorization": f"Bearer {secret}"})
    assert response.status_code == 202
    assert Job.objects.get().state == "succeeded"


def test_a_decorated_function_has_answers(db):
    @answers(default="ok")
    def ask():
        return str(complete.delay("Hello", model="any").get())

    assert [ask(), ask()] == ["ok", "ok"]


# ---- eager


def test_eager_runs_the_job_at_once_and_raises_at_once_where_that_is_set(llm, eager):
    llm.fails("bad").default("ok")
    late = complete.apply_async(("Hello",), {"model": "any"}, countdown=3_600)
    assert (str(late.get()), late.job.state) == ("ok", "succeeded")
    failed = complete.delay("bad", model="any")
    assert (failed.status, failed.job.state) == ("FAILURE", "failed")
    eager.task_eager_propagates = True
    with pytest.raises(JobFailed):
        complete.delay("bad", model="any")


came: list[str] = []


@shared_task
def note(what):
    came.append(str(what))


def test_eager_mixes_jobs_and_ordinary_tasks(llm, eager):
    llm.fails("bad").default("ok")
    came.clear()
    failed = complete.apply_async(("bad",), {"model": "any"}, link_error=note.s())
    chain(step("good"), note.s()).apply_async()
    assert came == [failed.id, "ok"]


@override_settings(RATEGUARD={"DEFAULT_TENANT": "acme"})
def test_eager_calls_the_real_provider_where_no_test_answers(line, eager):
    line.provider.control.configure(keys=[])
    result = complete.delay("Hello", model="sim-1", max_tokens=5)
    assert result.get().text
    entry = LedgerEntry.objects.get()
    assert (result.job.state, result.get().cost_nano_usd, entry.nano_usd > 0) == ("succeeded", entry.nano_usd, True)
    assert line.messages.empty()


def test_eager_refuses_a_bad_call_where_it_is_made(eager, db):
    Tenant.objects.create(name="acme")
    with pytest.raises(InvalidRequest, match="no model"):
        complete.delay("Hello", model="nobody-knows", tenant="acme")
