"""OpenAI's own client under the gate, against the simulated provider: let in, sent with our credentials, passed on, charged."""

import asyncio
import gc

import openai
import pytest

import rateguard
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.states import AttemptState
from rateguard.screening.contract import Refused
from tenants.models import Deployment, ModelRoute, ProviderAccount, RouteTarget
from tests.gated import charged, gated  # noqa: F401 - a fixture
from tests.line import CREDENTIALS

pytestmark = pytest.mark.long  # loading the clients takes seconds

ASKED = [{"role": "user", "content": "How many clips did Natalia sell?"}]


@pytest.fixture
def gpt(gated):  # noqa: F811
    with openai.OpenAI(api_key="sk-client", http_client=rateguard.transport.http_client(tenant="acme", user="ann")) as client:
        yield client


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "gpt", "messages": ASKED, "max_completion_tokens": 40, **fields})


def test_a_chat_is_let_in_answered_and_charged_as_it_says(gated, gpt):  # noqa: F811
    raw = gpt.chat.completions.with_raw_response.create(model="gpt", messages=ASKED, max_completion_tokens=40)
    answer = raw.parse()

    (line,) = gated.provider.control.bill()
    ((attempt, entry),) = charged()
    assert (line.key, line.model) == (CREDENTIALS, "gpt-5.5")
    assert answer.choices[0].message.content
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (entry.input_tokens, entry.output_tokens)
    assert entry.nano_usd == 1_000 * line.input_tokens + 2_000 * line.output_tokens
    assert (attempt.state, attempt.job, entry.user, attempt.provider_request_id) == (AttemptState.SUCCEEDED, None, "ann", line.request_id)
    assert raw.headers["x-rateguard-attempt"] == f"{attempt.reservation_id}.{attempt.number}" == gated.provider.control.log()[0].attempt_id
    assert (raw.headers["x-rateguard-deployment"], raw.headers["x-rateguard-cost-nano-usd"]) == ("gpt", str(entry.nano_usd))


def test_a_stream_comes_piece_by_piece_and_shows_a_usage_only_where_it_was_asked_for(gated, gpt):  # noqa: F811
    plain = list(ask(gpt, stream=True))
    told = list(ask(gpt, stream=True, stream_options={"include_usage": True}))

    (_, first), (_, second) = charged(2)
    assert all(chunk.choices for chunk in plain)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain)
    assert told[-1].usage.completion_tokens == second.output_tokens
    assert [line.output_tokens for line in gated.provider.control.bill()] == [first.output_tokens, second.output_tokens]


def test_azures_client_goes_the_same_way(gated):  # noqa: F811
    http = rateguard.transport.http_client(tenant="acme")
    azure = openai.AzureOpenAI(azure_endpoint="https://none.example", api_key="az-client", api_version="2020-01-01", http_client=http)
    with azure as client:
        assert ask(client).choices[0].message.content
    assert gated.provider.control.log()[0].key == CREDENTIALS


def test_a_stream_that_is_forgotten_is_charged_all_the_same(gated, gpt):  # noqa: F811
    gated.provider.control.configure(output={"least": 1.0}, latency={"per_token_ms": 20})
    stream = ask(gpt, stream=True, max_completion_tokens=200)
    del stream
    gc.collect()

    ((attempt, entry),) = charged()
    assert attempt.state == AttemptState.CANCELLED
    assert entry.output_tokens < 200


def test_who_leaves_a_stream_early_is_charged_by_what_came(gated, gpt):  # noqa: F811
    gated.provider.control.configure(output={"least": 1.0}, latency={"per_token_ms": 20})
    with ask(gpt, stream=True, max_completion_tokens=200) as stream:
        for _ in zip(range(5), stream, strict=False):
            pass

    ((attempt, entry),) = charged()
    assert attempt.state == AttemptState.CANCELLED
    assert 0 < entry.output_tokens < 200
    assert entry.is_estimated


def test_responses_and_embeddings_go_the_same_way(gated, gpt):  # noqa: F811
    response = gpt.responses.create(model="gpt", input="Say hello", max_output_tokens=30)
    events = list(gpt.responses.create(model="gpt", input="Say hello", max_output_tokens=30, stream=True))
    vectors = gpt.embeddings.create(model="embed", input=["one", "two"])

    entries = [entry for _, entry in charged(3)]
    assert response.output_text
    assert (response.usage.input_tokens, response.usage.output_tokens) == (entries[0].input_tokens, entries[0].output_tokens)
    assert events[-1].response.usage.output_tokens == entries[1].output_tokens
    assert (len(vectors.data), vectors.usage.prompt_tokens) == (2, entries[2].input_tokens)


def test_the_asynchronous_client_waits_on_its_loop(gated):  # noqa: F811
    async def many():
        async with openai.AsyncOpenAI(api_key="sk-client", http_client=rateguard.transport.async_http_client(tenant="acme")) as client:
            answers = await asyncio.gather(*(ask(client) for _ in range(5)))
            texts = [chunk.choices[0].delta.content or "" async for chunk in await ask(client, stream=True)]
            return answers, texts

    answers, texts = asyncio.run(many())

    assert all(answer.choices[0].message.content for answer in answers)
    assert "".join(texts)
    assert sorted(line.output_tokens for line in gated.provider.control.bill()) == sorted(entry.output_tokens for _, entry in charged(6))


def test_a_failed_call_is_passed_on_as_it_came_and_made_once(gated, gpt):  # noqa: F811
    gated.provider.control.add_faults(Fault(FaultKind.SERVER_ERROR))
    with pytest.raises(openai.InternalServerError):
        ask(gpt)

    ((attempt, entry),) = charged()
    assert len(gated.provider.control.log()) == 1
    assert (attempt.state, attempt.error_code, entry.nano_usd) == (AttemptState.FAILED, "server", 0)


def test_a_limit_of_the_providers_cools_its_deployment_and_the_next_call_waits_or_is_told_when(gated):  # noqa: F811
    gated.provider.control.add_faults(Fault(FaultKind.RATE_LIMITED, wait_ms=60_000))
    with openai.OpenAI(api_key="sk-client", http_client=rateguard.transport.http_client(tenant="acme", wait_s=0.2)) as client:
        with pytest.raises(openai.RateLimitError) as by_provider:
            ask(client)
        charged()
        with pytest.raises(openai.RateLimitError) as by_gate:
            ask(client)

    assert "x-rateguard-attempt" in by_provider.value.response.headers
    assert by_gate.value.code == "no_room_in_time"
    assert 0 < int(by_gate.value.response.headers["retry-after"]) <= 60
    assert len(gated.provider.control.log()) == 1


def test_what_cannot_be_taken_is_an_error_of_the_clients_own(gated, gpt):  # noqa: F811
    with pytest.raises(openai.NotFoundError, match="there is no model 'nobody'") as unknown:
        ask(gpt, model="nobody")
    with pytest.raises(openai.BadRequestError, match="no deployment of model 'claude' speaks OpenAI's dialect") as foreign:
        ask(gpt, model="claude")
    with pytest.raises(openai.BadRequestError, match="does not go through rateguard"):
        gpt.models.list()
    with (
        openai.OpenAI(api_key="sk-client", http_client=rateguard.transport.http_client()) as nobodys,
        pytest.raises(openai.APIStatusError, match="say tenant="),
    ):
        ask(nobodys)
    gated.budget(1)
    with pytest.raises(openai.APIStatusError) as spent:
        ask(gpt)

    assert (unknown.value.code, foreign.value.code, foreign.value.param) == ("unknown_model", "no_deployment_speaks", "model")
    assert (spent.value.status_code, spent.value.code) in {(402, "budget_exhausted"), (400, "exceeds_limit")}
    assert gated.provider.control.log() == []


def test_of_a_models_deployments_only_those_that_speak_the_dialect_are_asked(gated, gpt):  # noqa: F811
    for _ in range(3):
        assert ask(gpt, model="all").model == "gpt-5.5"
    assert {attempt.deployment for attempt, _ in charged(3)} == {"gpt"}


def test_a_call_inside_a_run_and_a_context_is_charged_to_them(gated, gpt):  # noqa: F811
    with rateguard.run(tenant="acme", max_calls=1) as run, rateguard.context(team="search", labels={"feature": "answers"}):
        ask(gpt)
        ((_, entry),) = charged()
        with pytest.raises(openai.APIStatusError):
            ask(gpt)
    assert (entry.run, entry.team, entry.user, entry.labels) == (run.id, "search", "ann", {"feature": "answers"})


def test_a_client_that_waits_refuses_to_hold_an_event_loop(gated, gpt):  # noqa: F811
    async def on_a_loop():
        ask(gpt)

    with pytest.raises(openai.BadRequestError, match="async_http_client"):
        asyncio.run(on_a_loop())


def test_a_deployment_that_cannot_be_reached_is_passed_over_once(gated, gpt):  # noqa: F811
    nowhere = ProviderAccount.objects.create(name="nowhere", provider="openai", base_url="http://127.0.0.1:1/v1", credentials="sk-none")
    deployment = Deployment.objects.create(account=nowhere, name="nowhere", upstream_model="gpt-5.5")
    route = ModelRoute.objects.create(name="two")
    RouteTarget.objects.create(route=route, deployment=deployment, position=0)
    RouteTarget.objects.create(route=route, deployment=Deployment.objects.get(name="gpt"), position=1)

    answer = gpt.chat.completions.with_raw_response.create(model="two", messages=ASKED, max_completion_tokens=40)

    found = [(attempt.deployment, attempt.state, attempt.error_code) for attempt, _ in charged(2)]
    assert found == [("nowhere", AttemptState.FAILED, "connect"), ("gpt", AttemptState.SUCCEEDED, "")]
    assert answer.headers["x-rateguard-deployment"] == "gpt"
    RouteTarget.objects.filter(route=route, position=1).delete()
    with pytest.raises(openai.APIConnectionError):
        gpt.with_options(max_retries=0).chat.completions.create(model="two", messages=ASKED)


class Whispers:
    """A middleware that changes what is asked and what is answered."""

    def before(self, request, context):
        assert context.via == "transport"
        if "forbidden" in str(request["messages"]):
            raise Refused("this is not asked here")
        return {**request, "messages": [{"role": "user", "content": "Say less"}]}

    def after(self, answer, request, context):
        answer["choices"][0]["message"]["content"] = "less"
        return answer


def test_middlewares_see_requests_and_answers_and_may_refuse_either(gated, gpt, settings):  # noqa: F811
    settings.RATEGUARD = {**settings.RATEGUARD, "MIDDLEWARE": [f"{__name__}.Whispers"]}

    assert ask(gpt).choices[0].message.content == "less"
    with pytest.raises(openai.BadRequestError, match="this is not asked here"):
        ask(gpt, messages=[{"role": "user", "content": "forbidden"}])
    with pytest.raises(openai.InternalServerError, match="ask without a stream"):
        ask(gpt, stream=True)

    asked, _ = gated.provider.control.log()
    assert asked.input_tokens < 12
    assert all(attempt.state == AttemptState.SUCCEEDED for attempt, _ in charged(2))


def test_older_clients_send_with_httpx(gated):  # noqa: F811
    pytest.importorskip("httpx")
    with openai.OpenAI(api_key="sk-client", http_client=rateguard.transport.http_client(tenant="acme", library="httpx")) as client:
        assert ask(client).choices[0].message.content
        assert "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, stream=True))

    async def streamed():
        http = rateguard.transport.async_http_client(tenant="acme", library="httpx")
        async with openai.AsyncOpenAI(api_key="sk-client", http_client=http) as client:
            return [chunk.choices[0].delta.content or "" async for chunk in await ask(client, stream=True)]

    assert "".join(asyncio.run(streamed()))
    charged(3)
