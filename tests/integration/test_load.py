"""What a process holds is bounded: bytes of requests and answers, and jobs that wait. Beyond it, it says no at once."""

import asyncio
import threading

import pytest

from rateguard.api.jobs import listing
from rateguard.api.layers import bounded, paced
from rateguard.engine.errors import ErrorKind, LimitInTheWay, ProviderError
from rateguard.engine.in_flight import InFlight
from rateguard.engine.providers import http as providers_http
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.jobs.intake import queue_bound
from rateguard.jobs.models import Job
from tenants.keys import issue_key
from tests.api import Api
from tests.asgi import Caller
from tests.line import state_of, wait_for

# ---- answers of a provider


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_beyond_the_bound_is_an_error_and_what_it_brought_is_let_go(sim, monkeypatch, streamed):
    monkeypatch.setattr(providers_http, "MOST_ANSWER_BYTES", 100)
    in_flight = InFlight(1_000_000)
    async with HttpClient(in_flight) as client:
        provider = ProviderRegistry(client).get("sim")
        at = Target(provider="sim", base_url=sim.base_url, api_key="sk-x", upstream_model="gpt-4o-mini")
        body = {"messages": [{"role": "user", "content": "Tell me more"}], "max_tokens": 200}
        request = Request(Endpoint.CHAT, body, "a-1", connect_timeout_s=5.0, first_token_timeout_s=5.0, total_timeout_s=10.0)
        with pytest.raises(ProviderError) as caught:
            await (provider.stream(at, request, _nobody) if streamed else provider.call(at, request))
    assert (caught.value.kind, caught.value.may_be_billed) == (ErrorKind.ANSWER_TOO_LARGE, True)
    assert in_flight.held == 0


async def _nobody(_chunk):
    pass


@pytest.mark.long
def test_a_worker_that_holds_too_much_claims_nothing_until_it_has_written(line, station, monkeypatch):
    held = station.runtime._commit.in_flight
    held.add(held.most)
    job = line.submit()
    assert wait_for(lambda: not station.heard.empty())
    assert state_of(job) == "queued"
    held.give_back(held.most)
    assert wait_for(lambda: Job.objects.filter(pk=job.pk, state="succeeded").exists(), 20)
    assert wait_for(lambda: held.held == 0)


# ---- jobs that wait


@pytest.fixture
def counted_anew():
    queue_bound.forget()
    yield
    queue_bound.forget()


def test_all_tenants_together_fill_the_queue_and_none_is_told_how_others_use_it(line, settings, counted_anew):
    settings.RATEGUARD = {**settings.RATEGUARD, "MAX_WAITING_IN_ALL": 3}
    other = line.tenant("globex")
    line.submit_many(2)
    with pytest.raises(LimitInTheWay):
        line.submit_many(2, other)
    line.submit(other)
    with pytest.raises(LimitInTheWay) as caught:
        line.submit(other)
    refusal = caught.value
    assert (refusal.code, refusal.scope_kind, refusal.amount, refusal.left) == ("queue_full", "global", None, None)
    assert refusal.retry_after_ms == 60_000
    assert "3" not in str(refusal)
    assert Job.objects.count() == 3


def test_a_slow_count_is_taken_again_beside_those_who_are_refused(line, settings, counted_anew, monkeypatch):
    settings.RATEGUARD = {**settings.RATEGUARD, "MAX_WAITING_IN_ALL": 1}
    line.submit()
    figure = queue_bound._figures[queue_bound.ALL]
    figure.cost_s, figure.read_at = 0.06, figure.read_at - 10
    begun, may_go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(queue_bound, "_count_apart", lambda *_: (begun.set(), may_go_on.wait(10)))
    with pytest.raises(LimitInTheWay):
        line.submit()
    assert begun.wait(10)
    with pytest.raises(LimitInTheWay):
        line.submit()  # while it is counted
    may_go_on.set()


# ---- what a web process holds


@pytest.fixture
def room(monkeypatch):
    """Room for 200,000 bytes."""
    made = InFlight(200_000)
    for module in (bounded, paced):
        monkeypatch.setattr(module, "in_flight", lambda: made)
    return made


def answering(count, got):
    """An application that reads its body and answers so many bytes."""

    async def application(_scope, receive, send):
        message = await receive()
        while message["type"] == "http.request" and message.get("more_body"):
            message = await receive()
        if message["type"] == "http.disconnect":
            return
        got.append(message)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(count).encode())]})
        await send({"type": "http.response.body", "body": b"x" * count})

    return application


async def test_a_body_for_which_there_is_no_room_is_refused_at_once_and_leaves_no_trace(room):
    got = []
    application = bounded.bounded(answering(2, got))
    room.add(150_000)
    refused = await Caller(application, "POST", "/api/v1/jobs", b"x" * 60_000).done()
    assert (refused.status, refused.json()["code"], refused.headers["retry-after"], got) == (503, "busy", "1", [])
    assert (await Caller(application, "POST", "/api/v1/jobs", b"x" * 40_000).done()).status == 200
    assert room.held == 150_000


async def test_who_falls_silent_within_a_body_holds_nothing_for_long(room, monkeypatch):
    monkeypatch.setattr(bounded, "SILENCE_S", 0.02)
    caller = Caller(bounded.bounded(answering(2, [])), "POST", "/api/v1/jobs", b"x" * 1_000, has_more=True)
    await caller.done()
    assert (room.held, caller.messages) == (0, [])


async def test_a_large_answer_goes_out_as_fast_as_it_is_read_and_is_counted_meanwhile(room, monkeypatch):
    sizes, may_read = [], asyncio.Semaphore(1)

    async def read_slowly(message):
        if message["type"] == "http.response.body":
            await may_read.acquire()
            sizes.append((len(message["body"]), message["more_body"], room.held))

    application = paced.paced(answering(150_000, []))
    reading = asyncio.ensure_future(application({"type": "http", "headers": []}, _empty, read_slowly))
    await asyncio.sleep(0.01)
    other = await Caller(application, "GET", "/").done()
    assert (other.status, other.json()["code"]) == (503, "busy")
    may_read.release(), may_read.release()
    await reading
    assert sizes == [(65_536, True, 150_000), (65_536, True, 150_000), (18_928, False, 150_000)]
    monkeypatch.setattr(paced, "SILENCE_S", 0.02)
    await application({"type": "http", "headers": []}, _empty, read_slowly)  # nobody reads: it is cut off
    assert room.held == 0


async def _empty():
    return {"type": "http.request", "body": b""}


# ---- pages of answers


def test_a_page_of_large_answers_has_fewer_jobs_and_leads_on_to_the_others(line, monkeypatch):
    jobs = line.submit_many(4)
    Job.objects.update(result='"' + "x" * 98 + '"')
    monkeypatch.setattr(listing, "MOST_RESULT_CHARS", 250)
    api, path, seen = Api(issue_key(line.acme, "t")[1]), "/api/v1/jobs?include=result", []
    while path:
        page = api.get(path).json()
        assert 1 <= len(page["data"]) <= 2
        assert all(len(job["result"]) == 98 for job in page["data"])
        seen += [job["id"] for job in page["data"]]
        path = page["next_cursor"] and f"/api/v1/jobs?include=result&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(str(job.pk) for job in jobs)
