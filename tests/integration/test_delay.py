"""`.delay()`: jobs from any Django app, in the form of Celery tasks."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import ast
import datetime as dt
import subprocess
import sys
import threading
import uuid

import orjson
import pytest
from celery import Celery, group
from celery.contrib.testing.app import TestApp
from django.db import connection, transaction
from django.test import override_settings
from django.utils import timezone

from rateguard import complete, embed, wiring
from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State
from rateguard.python.delay import job_result
from tenants.models import ModelRoute, TenantStatus
from tests.conftest import PROJECT
from tests.following import follower  # noqa: F401
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db


def submitted(result):
    return Job.objects.get(pk=result.id)


class TestCall:
    def test_a_text_is_one_message_of_the_user(self, acme):
        job = submitted(complete.delay("Hello", model=CHAT_MODEL, tenant="acme", max_tokens=5, temperature=0.1))
        assert orjson.loads(job.request) == {
            "model": CHAT_MODEL,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 5,
            "temperature": 0.1,
        }
        assert (job.state, job.tenant, job.via, job.endpoint) == (State.QUEUED, acme.tenant, "delay", "chat")

    def test_messages_go_as_they_are(self, acme):
        messages = ({"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"})
        assert orjson.loads(submitted(complete.delay(messages, model=CHAT_MODEL, tenant="acme")).request)["messages"] == list(messages)

    def test_texts_are_embedded(self, acme):
        job = submitted(embed.delay(["a", "b"], model=EMBEDDING_MODEL, tenant=acme.tenant))
        assert (job.endpoint, orjson.loads(job.request)["input"]) == ("embeddings", ["a", "b"])

    def test_what_is_said_of_the_job_is_carried(self, acme):
        run_at = timezone.now() + dt.timedelta(hours=1)
        said = {
            "user": "ada",
            "team": "red",
            "role": "lead",
            "labels": {"a": "b"},
            "cost_center": "7",
            "metadata": {"n": 1},
            "max_tries": 2,
        }
        job = submitted(complete.delay("Hello", model=CHAT_MODEL, tenant="acme", lane="high", timeout=9, run_at=run_at, **said))
        assert {name: getattr(job, name) for name in said} == said
        assert (job.lane, job.timeout_s, job.run_at, job.state) == (Lane.HIGH, 9, run_at, State.SCHEDULED)

    def test_without_a_tenant_the_setting_says_who_pays(self, acme):
        with override_settings(RATEGUARD={"DEFAULT_TENANT": "acme"}):
            assert submitted(complete.delay("Hello", model=CHAT_MODEL)).tenant == acme.tenant
        with pytest.raises(ConfigurationError, match="DEFAULT_TENANT"):
            complete.delay("Hello", model=CHAT_MODEL)

    def test_a_tenant_that_is_unknown_or_paused_submits_nothing(self, acme):
        acme.tenant.status = TenantStatus.PAUSED
        acme.tenant.save()
        for name in ("acme", "nobody"):
            with pytest.raises(InvalidRequest) as caught:
                complete.delay("Hello", model=CHAT_MODEL, tenant=name)
            assert caught.value.code == "unknown_tenant"

    @pytest.mark.parametrize(
        ("given", "options", "pointer"),
        [
            ("Hello", {"model": "nobody-knows"}, "/model"),
            ([], {}, "/messages"),
            ("Hello", {"labels": {"a": 1}}, "/job/labels/a"),
            ("Hello", {"user": "x" * 129}, "/job/user"),
            ("Hello", {"delivery": "twice"}, "/job/delivery"),
            ("Hello", {"run_at": dt.datetime(2099, 1, 1)}, "/job/run_at"),  # noqa: DTZ001 - the fault that is tested
            ("Hel\0lo", {}, "/messages/0/content"),
            ("Hel\ud800lo", {}, ""),
            ("Hello", {"seed": 2**70}, ""),
            ("Hello", {"tools": [{"a": object()}]}, ""),
        ],
    )
    def test_a_bad_call_is_refused_where_it_is_made(self, acme, given, options, pointer):
        with pytest.raises(InvalidRequest) as caught:
            complete.delay(given, **{"model": CHAT_MODEL, "tenant": "acme", **options})
        assert caught.value.pointer == pointer
        assert not Job.objects.exists()

    def test_many_are_submitted_at_once_or_none(self, acme):
        results = complete.delay_many((f"Hello {n}" for n in range(30)), model=CHAT_MODEL, tenant="acme")
        assert {result.id for result in results} == {str(pk) for pk in Job.objects.values_list("pk", flat=True)}
        assert JobEvent.objects.count() == 30
        with pytest.raises(InvalidRequest):
            complete.delay_many(["a", "b\0"], model=CHAT_MODEL, tenant="acme")
        assert Job.objects.count() == 30


class TestTransaction:
    pytestmark = pytest.mark.django_db(transaction=True)

    def test_a_job_is_submitted_when_the_transaction_commits(self, acme, redis_url):
        hints = []
        with pytest.MonkeyPatch.context() as patch, transaction.atomic():
            patch.setattr("rateguard.jobs.line.pump.Pump.enqueue", lambda _, jobs: hints.extend(jobs))
            result = complete.delay_on_commit("Hello", model=CHAT_MODEL, tenant="acme")
            assert (seen_by_others(result.id), hints) == (False, [])
            transaction.on_commit(lambda: hints.append("committed"))
        assert (seen_by_others(result.id), hints[-1]) == (True, "committed")

    def test_a_transaction_that_is_rolled_back_submits_nothing(self, acme, redis_url):
        with transaction.atomic():
            complete.delay("Hello", model=CHAT_MODEL, tenant="acme")
            transaction.set_rollback(True)
        assert not Job.objects.exists()


def seen_by_others(job_id):
    """Whether another connection sees the row."""
    found = []

    def look():
        found.append(Job.objects.filter(pk=job_id).exists())
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


class TestCelery:
    def test_the_tasks_have_their_names(self):
        assert (complete.name, embed.name) == ("rateguard.complete", "rateguard.embed")

    def test_an_id_that_a_canvas_gives_is_the_jobs(self, acme):
        given = str(uuid.uuid4())
        assert complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, task_id=given).id == given
        assert submitted(complete.AsyncResult(given)).state == State.QUEUED

    def test_a_canvas_that_comes_again_is_the_same_job(self, acme):
        signature = complete.s("Hello", model=CHAT_MODEL, tenant="acme").set(task_id=str(uuid.uuid4()))
        first = signature.apply_async()
        ModelRoute.objects.all().delete()  # it could not be submitted now
        wiring.forget_directory()
        assert signature.apply_async().id == first.id
        assert (Job.objects.count(), JobEvent.objects.count()) == (1, 1)

    def test_another_tenants_id_is_not_the_same_job(self, acme):
        add_tenant("globex")
        given = str(uuid.uuid4())
        complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, task_id=given)
        with pytest.raises(Exception, match=r"(?i)unique"):
            complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "globex"}, task_id=given)

    def test_a_group_is_as_many_jobs(self, acme):
        result = group(complete.s(text, model=CHAT_MODEL, tenant="acme") for text in "abc").apply_async()
        assert {child.id for child in result.results} == {str(pk) for pk in Job.objects.values_list("pk", flat=True)}

    def test_countdown_and_expires_are_the_jobs_times(self, acme):
        job = submitted(complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, countdown=60, expires=3_600))
        assert job.state == State.SCHEDULED
        assert dt.timedelta(minutes=58) < job.deadline_at - job.run_at < dt.timedelta(minutes=60)

    @pytest.mark.parametrize("option", ["queue", "routing_key", "exchange", "priority"])
    def test_a_queue_and_a_priority_are_refused_and_the_lane_is_named(self, acme, option):
        with pytest.raises(InvalidRequest, match=f"{option}=.*lane=") as caught:
            complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, **{option: "high"})
        assert (caught.value.pointer, Job.objects.exists()) == ("/job/lane", False)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"task_id": "no-uuid"}, "no UUID"),
            ({"countdown": "soon"}, "a number of seconds"),
            ({"eta": "tomorrow"}, "a datetime"),
            ({"lane": "high"}, "among its keywords"),
        ],
    )
    def test_an_option_that_means_nothing_is_refused(self, acme, options, said):
        with pytest.raises(InvalidRequest, match=said):
            complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, **options)

    def test_what_concerns_a_message_alone_is_passed_over(self, acme):
        harmless = {
            "retry": False,
            "retry_policy": {},
            "serializer": "json",
            "compression": "zlib",
            "headers": {"a": "b"},
            "ignore_result": True,
        }
        result = complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, **harmless)
        assert submitted(result).state == State.QUEUED

    def test_times_and_limits_are_the_jobs_own(self, acme):
        eta = timezone.now() + dt.timedelta(hours=1)
        options = {"eta": eta.replace(tzinfo=None), "expires": eta + dt.timedelta(hours=1), "time_limit": 9, "soft_time_limit": 7.5}
        job = submitted(complete.apply_async(("Hello",), {"model": CHAT_MODEL, "tenant": "acme"}, **options))
        assert (job.run_at, job.deadline_at, job.timeout_s) == (eta, eta + dt.timedelta(hours=1), 8)

    @pytest.mark.parametrize(
        ("given", "messages"),
        [
            ("Summarise: {previous}!", ["Summarise: It rains.!"]),
            ("Summarise:", ["Summarise:\n\nIt rains."]),
            ([{"role": "system", "content": "Of {previous}"}, {"role": "user", "content": "Why?"}], ["Of It rains.", "Why?"]),
            ([{"role": "user", "content": "Why?"}], ["Why?", "It rains."]),
            (None, ["It rains."]),
        ],
    )
    def test_a_step_gets_what_the_step_before_it_came_to(self, acme, given, messages):
        previous = {"object": "rateguard.completion", "text": "It rains."}
        args = (previous,) if given is None else (previous, given)
        job = submitted(complete.apply_async(args, {"model": CHAT_MODEL, "tenant": "acme"}))
        assert [message["content"] for message in orjson.loads(job.request)["messages"]] == messages

    def test_of_many_answers_all_texts_are_asked_and_each_is_embedded(self, acme):
        many = [{"object": "rateguard.completion", "text": text} for text in "ab"]
        asked = submitted(complete.apply_async((many, "All: {previous}"), {"model": CHAT_MODEL, "tenant": "acme"}))
        embedded = submitted(embed.apply_async((many,), {"model": EMBEDDING_MODEL, "tenant": "acme"}))
        assert orjson.loads(asked.request)["messages"][0]["content"] == "All: a\n\nb"
        assert orjson.loads(embedded.request)["input"] == ["a", "b"]

    def test_retry_says_that_a_job_tries_by_itself(self):
        with pytest.raises(ConfigurationError, match="max_tries"):
            complete.retry()

    def test_the_result_knows_the_job_whatever_backend_the_project_has(self, acme, follower):
        job = submitted(complete.delay("Hello", model=CHAT_MODEL, tenant="acme"))
        Job.objects.update(state=State.SUCCEEDED, finished_at=timezone.now(), result='{"a": 1}')
        elsewhere: Celery = TestApp(backend="cache+memory://", broker="memory://", set_as_current=False)
        assert job_result(elsewhere, job.pk).get(timeout=5).response == {"a": 1}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [("import rateguard", "django celery redis"), ("from rateguard import JobFailed, InvalidRequest", "django celery redis")],
)
def test_importing_rateguard_loads_nothing_it_does_not_need(statement, absent):
    code = f"{statement}; import sys; print([name for name in '{absent}'.split() if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_an_unknown_name_of_rateguard_is_an_attribute_error():
    import rateguard

    with pytest.raises(AttributeError, match="nonsense"):
        _ = rateguard.nonsense
    assert {"complete", "embed", "JobFailed"} <= set(dir(rateguard))


def test_the_stub_names_what_the_package_gives():
    import rateguard

    stub = ast.parse((PROJECT / "rateguard" / "__init__.pyi").read_text())
    named = next(node.value for node in stub.body if isinstance(node, ast.Assign))
    assert ast.literal_eval(named) == rateguard.__all__
    assert all(getattr(rateguard, name) is not None for name in rateguard.__all__)
