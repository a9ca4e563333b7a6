"""Django in ASGI with few threads: what it answers, on which threads, and what a request leaves behind."""

import asyncio
import gc
import sys
import threading
import time

import pytest
from django.core.signals import request_finished, request_started
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from structlog.contextvars import get_contextvars

from rateguard.api.layers.one_thread import OneThread
from rateguard.api.layers.prompt import stay_prompt
from tests.asgi import Caller

at_work, seen = [], []


@csrf_exempt
def working(request):
    """Say who works, and with how many others."""
    at_work.append(request)
    seen.append((len(at_work), threading.current_thread().name, get_contextvars().get("request_id")))
    time.sleep(0.02)
    at_work.remove(request)
    return HttpResponse(request.body + reverse("working").encode())


async def in_a_coroutine(request):
    await asyncio.sleep(0)
    return HttpResponse("from a coroutine")


def in_parts(request):
    return StreamingHttpResponse(iter([b"one", b"two"]))


urlpatterns = [path("working", working, name="working"), path("coroutine", in_a_coroutine), path("parts", in_parts)]


@pytest.fixture
def django():
    seen.clear()
    with override_settings(ROOT_URLCONF=__name__):
        yield OneThread(threads=2)


async def test_a_few_threads_serve_all_and_each_request_has_its_own_name_in_the_logs(django):
    callers = [Caller(django, "POST", "/working", b"to ", X_Request_ID=f"r{number}") for number in range(6)]
    for caller in callers:
        assert ((await caller.done()).status, caller.body) == (200, b"to /working")
    assert max(count for count, _, _ in seen) == 2
    assert len({thread for _, thread, _ in seen}) == 2
    assert {request_id for _, _, request_id in seen} == {f"r{number}" for number in range(6)}
    assert "request_id" not in get_contextvars()


def test_a_process_that_has_started_takes_short_turns_and_looks_no_more_through_what_stays():
    turn_s = sys.getswitchinterval()
    try:
        stay_prompt()
        assert sys.getswitchinterval() == pytest.approx(0.001)
        assert gc.get_freeze_count() > 50_000
    finally:
        gc.unfreeze()
        sys.setswitchinterval(turn_s)


async def test_coroutines_streams_and_refusals_are_answered_too(django):
    assert (await Caller(django, "GET", "/parts").done()).body == b"onetwo"
    assert (await Caller(django, "GET", "/coroutine").done()).body == b"from a coroutine"
    assert (await Caller(django, "GET", "/nothing").done()).status == 404


async def test_a_request_begins_and_ends_on_its_thread_once_also_where_the_caller_has_left(django):
    told = []

    def began(**_):
        told.append(("began", threading.current_thread().name))

    def ended(**_):
        told.append(("ended", threading.current_thread().name))

    request_started.connect(began)
    request_finished.connect(ended)
    try:
        caller = Caller(django, "GET", "/working")
        caller.leave()
        await caller.done()
    finally:
        request_started.disconnect(began)
        request_finished.disconnect(ended)
    assert [what for what, _ in told] == ["began", "ended"]
    assert {thread.rpartition("_")[0] for _, thread in told} == {"rateguard-django"}
