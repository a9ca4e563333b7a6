"""Middlewares: every door passes through them, what they make is what is stored, and what they refuse or break leaves nothing behind."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import logging

import orjson
import pytest
from django.core.checks import run_checks
from django.test import override_settings

from rateguard import checks, complete
from rateguard.engine.errors import ConfigurationError
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.events.ids import START
from rateguard.jobs.ends.events.reading import Kind
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import State
from rateguard.screening import chain as chains
from rateguard.screening.contract import MiddlewareBroke, Refused
from tenants.models import LedgerEntry
from tests.api import Api, problem_of
from tests.line import MODEL, assert_books_close, has_ended, wait_for
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

HERE = f"{__name__}."
SECRET = "the prompt's own words"
seen = []


class Stamps:
    """Says in a request and in an answer that it was here; synchronous."""

    def before(self, request, context):
        seen.append(context)
        request["messages"][0]["content"] += " one"

    def after(self, answer, request, context):
        seen.append(context)
        return {**answer, "stamps": [*answer.get("stamps", []), "one"]}


class Slowly:
    """The same; asynchronous."""

    async def before(self, request, context):
        await asyncio.sleep(0)
        return {**request, "messages": [{**request["messages"][0], "content": request["messages"][0]["content"] + " two"}]}

    async def after(self, answer, request, context):
        await asyncio.sleep(0)
        answer["stamps"] = [request["messages"][0]["content"]]


class Refuses:
    def before(self, request, context):
        if "forbidden" in request["messages"][0]["content"]:
            raise Refused("ask for something else", pointer="/messages/0/content")


class RefusesAnswers:
    def after(self, answer, request, context):
        raise Refused("the answer is not for you")


class Breaks:
    def before(self, request, context):
        raise ValueError(request["messages"][0]["content"])


class BreaksAnswers:
    def after(self, answer, request, context):
        raise ValueError(str(answer))


class GivesNone:
    def before(self, request, context):
        return {"model": CHAT_MODEL, "messages": SECRET}


class GivesAText:
    def before(self, request, context):
        return SECRET


class Renames:
    def before(self, request, context):
        return {**request, "model": "not-allowed"}


class Nothing:
    pass


def by(*names):
    return override_settings(RATEGUARD={"MIDDLEWARE": [HERE + name for name in names]})


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


@pytest.fixture
def api(acme):
    return Api(acme.secret)


def asks(text="Hello", **fields):
    return {"model": CHAT_MODEL, "messages": [{"role": "user", "content": text}], "max_tokens": 20, **fields}


def stored():
    return [orjson.loads(job.request)["messages"][0]["content"] for job in Job.objects.order_by("pk")]


@pytest.mark.django_db
class TestBefore:
    def test_every_door_stores_what_they_made_one_after_the_other(self, api, acme):
        with by("Stamps", "Slowly"):
            assert api.submit(asks(job={"user": "ada", "labels": {"a": "b"}})).status_code == 202
            api.post("/api/v1/batches", {"jobs": [asks("line")]})
            complete.delay("delayed", model=CHAT_MODEL, tenant="acme")
        assert stored() == ["Hello one two", "line one two", "delayed one two"]
        first = seen[0]
        assert (first.tenant_id, first.model, first.names["user"], first.labels, first.via) == (
            acme.tenant.pk,
            CHAT_MODEL,
            "ada",
            {"a": "b"},
            "rest",
        )

    def test_the_same_idempotency_key_is_the_same_request_as_the_caller_sent_it(self, api):
        with by("Stamps"):
            first = api.submit(asks(), Idempotency_Key="k").json()["id"]
            assert api.submit(asks(), Idempotency_Key="k").json()["id"] == first
        with by("Slowly"):
            assert api.submit(asks(), Idempotency_Key="k").json()["id"] == first
        assert len(stored()) == 1

    def test_a_refusal_is_told_with_its_reason_and_nothing_is_stored(self, api):
        with by("Refuses"):
            problem = problem_of(api.submit(asks("forbidden")), 400, "refused_by_middleware")
            assert problem["errors"] == [{"pointer": "/messages/0/content", "detail": "ask for something else"}]
            told = api.post("/api/v1/batches", {"on_error": "skip", "jobs": [asks("forbidden"), asks("allowed")]}).json()
            assert told["rejected"] == 1
            with pytest.raises(Refused):
                complete.delay("forbidden", model=CHAT_MODEL, tenant="acme")
        assert stored() == ["allowed"]

    @pytest.mark.parametrize("name", ["Breaks", "GivesNone", "GivesAText"])
    def test_one_that_breaks_refuses_all_without_a_word_of_the_prompt_in_answer_or_log(self, api, caplog, name):
        with by(name), caplog.at_level(logging.DEBUG):
            problem = problem_of(api.submit(asks(SECRET)), 500, "middleware_broke")
            problem_of(api.post("/api/v1/batches", {"on_error": "skip", "jobs": [asks(SECRET)]}), 500, "middleware_broke")
            with pytest.raises(MiddlewareBroke) as caught:
                complete.delay(SECRET, model=CHAT_MODEL, tenant="acme")
        assert not Job.objects.exists()
        assert "middleware" in caplog.text
        assert SECRET not in caplog.text + str(problem) + str(caught.value)

    def test_a_model_that_they_name_is_under_the_keys_rules_too(self, acme, api):
        with by("Renames"):
            problem_of(api.submit(asks()), 400, "unknown_model")
        acme.key.allowed_models = [CHAT_MODEL]
        acme.key.save()
        with by("Renames"):
            problem_of(api.submit(asks()), 403, "model_not_allowed")


def ended(job):
    wait_for(lambda: has_ended(job), 15)
    job.refresh_from_db()
    return job


class TestAfter:
    def test_an_answer_passes_from_the_last_to_the_first_and_is_stored_as_they_made_it(self, line, station):
        with by("Stamps", "Slowly"):
            job = ended(line.submit(text="Hello"))
        assert orjson.loads(job.result)["stamps"] == ["Hello one two", "one"]
        after = seen[-1]
        assert (after.job, after.attempt, after.deployment, after.model) == (job.pk, 1, job.deployment, MODEL)
        assert_books_close()

    @pytest.mark.parametrize(("name", "code"), [("RefusesAnswers", "refused_by_middleware"), ("BreaksAnswers", "middleware_broke")])
    def test_an_answer_that_does_not_pass_fails_the_job_once_and_is_paid_for(self, line, station, caplog, name, code):
        with by(name):
            job = ended(line.submit())
        attempt = Attempt.objects.get()
        assert (job.state, job.result, job.error_code) == (State.FAILED, None, code)
        assert attempt.nano_usd == LedgerEntry.objects.get().nano_usd == sum(one.nano_usd for one in line.provider.control.bill()) > 0
        assert not attempt.is_estimated
        assert "choices" not in caplog.text + job.error_message
        assert_books_close()

    def test_of_a_streamed_answer_nothing_is_told_before_it_passed(self, line, station):
        with by("Stamps"):
            job = ended(submit(submission_of_a_stream(line)).job)
        (entries,) = event_stream.read([(job.pk, START)])
        assert {entry.kind for entry in entries} == {Kind.GRANTED, Kind.WHOLE}
        assert orjson.loads(job.result)["stamps"] == ["one"]


def submission_of_a_stream(line):
    submission = line.submission()
    submission.body["stream"] = True
    return submission


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "said"),
        [("nowhere.at_all", "cannot be imported"), (HERE + "Nothing", "is not a class or an object with `before` or `after`")],
    )
    def test_one_that_is_none_is_named_and_the_process_does_not_start(self, name, said):
        with override_settings(RATEGUARD={"MIDDLEWARE": [name]}):
            assert any(said in one.msg for one in run_checks(tags=["rateguard"]) if one.id == "rateguard.E003")
            with pytest.raises(ConfigurationError, match=said):
                checks.refuse_at_start()

    def test_an_object_will_do_and_none_costs_nothing(self):
        with by("an_object"):
            assert (chains.chain().has_before, chains.chain().has_after) == (True, False)
        assert not chains.chain().has_before


an_object = Refuses()


def test_what_takes_too_long_to_let_an_answer_through_broke(monkeypatch):
    class Hangs:
        async def after(self, answer, request, context):
            await asyncio.sleep(60)

    monkeypatch.setattr(chains, "AFTER_S", 0.01)
    with pytest.raises(MiddlewareBroke):
        chains.Chain([("hangs", Hangs())]).after_here({}, {}, None)
