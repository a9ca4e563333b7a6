"""What a process holds is bounded: bytes of requests and answers, and jobs that wait. Beyond it, it says no at once."""

import threading

import pytest

from rateguard.engine.errors import ErrorKind, LimitInTheWay, ProviderError
from rateguard.engine.in_flight import InFlight
from rateguard.engine.providers import http as providers_http
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.jobs.intake import queue_bound
from rateguard.jobs.models import Job
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
