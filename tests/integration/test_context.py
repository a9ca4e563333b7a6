"""`rateguard.context`: who pays and in whose name, around code, on the way to tasks, and around web requests."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import asyncio
import threading

import pytest
from asgiref.sync import async_to_sync
from celery import shared_task
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory, override_settings

import rateguard
from rateguard import InvalidRequest, complete
from rateguard.engine.lanes import Lane
from rateguard.jobs import inherit
from rateguard.jobs.models import Job
from rateguard.middleware import ContextMiddleware
from tenants.models import Member
from tests.tenancy import CHAT_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db


def ask(**options):
    return Job.objects.get(pk=complete.delay("Hello", model=CHAT_MODEL, **options).id)


def refused(act, *args, **options):
    with pytest.raises(InvalidRequest) as caught:
        act(*args, **options)
    return caught.value.code


def test_the_inner_context_wins_labels_are_gathered_and_the_call_has_the_last_word(acme):
    with rateguard.context(tenant="acme", user="ada", team="red", labels={"a": "1", "b": "1"}, lane="high", cost_center="7"):
        with rateguard.context(team="blue", labels={"b": "2"}, role="lead", rolegroup="staff"):
            inner, said = ask(), ask(user="bob", labels={"b": "3"}, lane="low")
        outer = ask()
    assert (inner.tenant, inner.user, inner.team, inner.role, inner.rolegroup) == (acme.tenant, "ada", "blue", "lead", "staff")
    assert (inner.labels, inner.lane, inner.cost_center) == ({"a": "1", "b": "2"}, Lane.HIGH, "7")
    assert (said.user, said.labels, said.lane) == ("bob", {"a": "1", "b": "3"}, Lane.LOW)
    assert (outer.team, outer.labels, outer.role) == ("red", {"a": "1", "b": "1"}, "")


def test_outside_nothing_of_it_is_left_also_after_an_error(acme):
    with pytest.raises(ZeroDivisionError), rateguard.context(user="ada"):
        _ = 1 / 0
    assert ask(tenant="acme").user == ""


def test_a_coroutine_has_its_own_and_a_thread_has_none(acme):
    seen = {}

    async def inside(user):
        async with rateguard.context(user=user):
            await asyncio.sleep(0)
            seen[user] = inherit.said_around()

    async def both():
        await asyncio.gather(inside("ada"), inside("bob"))

    asyncio.run(both())
    with rateguard.context(user="ada"):
        thread = threading.Thread(target=lambda: seen.update(thread=inherit.said_around()))
        thread.start()
        thread.join()
    assert seen == {"ada": {"user": "ada"}, "bob": {"user": "bob"}, "thread": {}}


@pytest.mark.parametrize(
    ("words", "code"), [({"user": "x" * 129}, "invalid_field"), ({"lane": "fast"}, "unknown_lane"), ({"tenant": 7}, "invalid_field")]
)
def test_a_word_that_cannot_be_is_refused_where_it_is_said(words, code):
    assert refused(rateguard.context, **words) == code


def test_a_run_inside_a_context_is_its_tenants_and_keeps_its_own_where_it_names_one(acme):
    globex = add_tenant("globex").tenant
    with rateguard.context(tenant="acme", user="ada"):
        with rateguard.run() as mine:
            assert (ask().tenant, mine.row.tenant) == (acme.tenant, acme.tenant)
        with rateguard.run(tenant="globex"):
            assert (ask().tenant, ask().user) == (globex, "ada")
            with rateguard.context(tenant="acme"):
                assert refused(ask) == "unknown_run"  # another tenant's work is not charged to the run


@shared_task
def see_context():
    return inherit.said_around()


def test_a_message_carries_the_context_and_the_task_works_in_it(acme):
    headers, outside = {}, {}
    inherit.tell(headers=outside)
    with rateguard.context(tenant=acme.tenant, lane=Lane.LOW, labels={"a": "b"}):
        inherit.tell(headers=headers)
        assert see_context.apply().get()["lane"] == Lane.LOW  # in place: that of its caller
    assert (headers, outside) == ({inherit.CONTEXT_HEADER: {"tenant": "acme", "lane": "low", "labels": {"a": "b"}}}, {})
    try:
        inherit.begin_as_told(type("Request", (), headers))
        job = ask()
        inherit.begin_as_told(type("Request", (), {inherit.CONTEXT_HEADER: "nonsense"}))
        assert inherit.said_around() == {}
    finally:
        inherit.begin_in(None)
    assert (job.tenant, job.lane, job.labels) == (acme.tenant, Lane.LOW, {"a": "b"})


def test_the_later_steps_of_a_canvas_have_the_context_of_the_first(acme):
    with rateguard.context(tenant="acme", user="ada"):
        job = Job.objects.get(pk=complete.apply_async(("Hello",), {"model": CHAT_MODEL}, link=see_context.s()).id)
    with inherit.resumed(job.canvas["context"], None):
        assert ask().user == "ada"


# ---- web requests


def of_header(request):
    return {"team": request.headers["X-Team"]}


def answer_by(view, user):
    request = RequestFactory().get("/", headers={"X-Team": "red"})
    if user is not None:
        request.user = user
    return ContextMiddleware(view)(request)


@pytest.fixture
def ada():
    return get_user_model().objects.create(username="ada")


def submitting(_):
    ask()
    return HttpResponse()


@override_settings(RATEGUARD={"DEFAULT_TENANT": "acme"})
def test_a_request_submits_in_the_name_of_whoever_is_signed_in(acme, ada):
    globex = add_tenant("globex").tenant
    Member.objects.create(tenant=globex, user=ada)
    answer_by(submitting, ada)
    job = Job.objects.get()
    assert (job.user, job.tenant) == ("ada", globex)  # the one tenant that she is a member of
    Member.objects.create(tenant=acme.tenant, user=ada)
    for user, expected in ((ada, "ada"), (AnonymousUser(), ""), (None, "")):
        Job.objects.all().delete()
        answer_by(submitting, user)
        assert (Job.objects.get().user, Job.objects.get().tenant) == (expected, acme.tenant)
    assert inherit.said_around() == {}


def test_a_request_that_submits_nothing_asks_nothing(ada, django_assert_num_queries):
    with django_assert_num_queries(0):
        answer_by(lambda _: HttpResponse(), ada)


@override_settings(RATEGUARD={"REQUEST_CONTEXT": "tests.integration.test_context.of_header"})
def test_a_function_of_the_project_says_the_context(acme):
    def view(request):
        return HttpResponse(ask(tenant="acme").team)

    assert answer_by(view, None).content == b"red"


@override_settings(RATEGUARD={"DEFAULT_TENANT": "acme"})
def test_an_asynchronous_request_has_it_too(acme, ada):
    async def view(request):
        result = await complete.adelay("Hello", model=CHAT_MODEL)
        return HttpResponse(result.id)

    async def respond():
        return await answer_by(view, ada)

    response = async_to_sync(respond)()
    assert Job.objects.get(pk=response.content.decode()).user == "ada"
