"""Anthropic's own client under the gate, against the simulated provider."""

import asyncio

import anthropic
import pytest

import rateguard
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.jobs.states import AttemptState
from rateguard.screening.contract import Refused
from tests.gated import CLAUDE, charged, gated  # noqa: F401 - a fixture
from tests.line import CREDENTIALS

pytestmark = pytest.mark.long  # loading the client takes seconds

ASKED = [{"role": "user", "content": "How many clips did Natalia sell?"}]
WEATHER = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


@pytest.fixture
def claude(gated):  # noqa: F811
    with anthropic.Anthropic(api_key="sk-ant-client", http_client=rateguard.transport.http_client(tenant="acme")) as client:
        yield client


def ask(client, **fields):
    return client.messages.create(**{"model": "claude", "messages": ASKED, "max_tokens": 40, **fields})


def test_a_message_is_let_in_answered_and_charged_as_it_says(gated, claude):  # noqa: F811
    message = ask(claude, system="Count well", tools=[WEATHER], tool_choice={"type": "none"})

    (line,) = gated.provider.control.bill()
    ((attempt, entry),) = charged()
    assert (line.key, line.model, message.model) == (CREDENTIALS, CLAUDE, CLAUDE)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (entry.input_tokens, entry.output_tokens)
    assert (attempt.provider_request_id, message._request_id) == (line.request_id, line.request_id)
    assert (attempt.state, attempt.job) == (AttemptState.SUCCEEDED, None)


def test_a_stream_is_passed_on_with_its_thoughts_and_charged_as_it_ends(gated, claude):  # noqa: F811
    with claude.messages.stream(model="claude", messages=ASKED, max_tokens=40, thinking={"type": "adaptive"}) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()

    ((_, entry),) = charged()
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert (message.usage.output_tokens, message.usage.output_tokens_details.thinking_tokens) == (
        entry.output_tokens,
        entry.reasoning_tokens,
    )


def test_a_stream_that_breaks_is_charged_by_what_came(gated, claude):  # noqa: F811
    gated.provider.control.add_faults(Fault(FaultKind.STREAM_ERROR, events=3))
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        claude.messages.stream(model="claude", messages=ASKED, max_tokens=40) as stream,
    ):
        stream.until_done()

    ((attempt, entry),) = charged()
    assert caught.value.type == "overloaded_error"
    assert (attempt.state, attempt.error_code) == (AttemptState.FAILED, "overloaded")
    assert 0 < entry.output_tokens < 40


def test_the_asynchronous_client_goes_the_same_way(gated):  # noqa: F811
    async def both():
        http = rateguard.transport.async_http_client(tenant="acme", user="ann")
        async with anthropic.AsyncAnthropic(api_key="sk-ant-client", http_client=http) as client:
            whole = await ask(client)
            async with client.messages.stream(model="claude", messages=ASKED, max_tokens=40) as stream:
                return whole, [text async for text in stream.text_stream]

    whole, texts = asyncio.run(both())

    assert whole.content[0].text
    assert "".join(texts)
    assert {entry.user for _, entry in charged(2)} == {"ann"}


def test_betas_are_asked_for_as_the_client_does(gated, claude):  # noqa: F811
    message = claude.beta.messages.create(model="claude", messages=ASKED, max_tokens=40, betas=["some-beta-2030-01-01"])
    assert message.content[0].text
    charged()


def test_refusals_and_failures_are_errors_of_the_clients_own(gated, claude):  # noqa: F811
    with pytest.raises(anthropic.NotFoundError) as unknown:
        ask(claude, model="nobody")
    with pytest.raises(anthropic.BadRequestError, match="no deployment of model 'gpt' speaks Anthropic's dialect"):
        ask(claude, model="gpt")
    with pytest.raises(anthropic.BadRequestError, match="does not go through rateguard"):
        claude.messages.count_tokens(model="claude", messages=ASKED)
    assert gated.provider.control.log() == []
    gated.provider.control.add_faults(Fault(FaultKind.OVERLOADED))
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        ask(claude)

    ((attempt, _),) = charged()
    assert (unknown.value.type, overloaded.value.type) == ("not_found_error", "overloaded_error")
    assert len(gated.provider.control.log()) == 1
    assert attempt.error_code == "overloaded"


class Redacts:
    """A middleware that sees Anthropic's request in OpenAI's shape."""

    def before(self, request, context):
        assert [message["role"] for message in request["messages"]] == ["system", "user"]
        request["messages"][1]["content"] = "Say less"
        return request


def test_a_middleware_changes_the_texts_of_a_message(gated, claude, settings):  # noqa: F811
    settings.RATEGUARD = {**settings.RATEGUARD, "MIDDLEWARE": [f"{__name__}.Redacts"]}
    long = [{"role": "user", "content": "The clips are counted every evening. " * 50}]

    ask(claude, system="Be kind", messages=long)

    assert gated.provider.control.log()[0].input_tokens < 40


class Looks:
    """A middleware that looks at answers, and lets none through that follows a question for secrets."""

    def after(self, answer, request, context):
        assert answer["choices"][0]["message"]["content"]
        if "secret" in str(request["messages"]):
            raise Refused("nothing of this is told")


def test_a_middleware_sees_an_answer_whole_before_the_caller_does(gated, claude, settings):  # noqa: F811
    settings.RATEGUARD = {**settings.RATEGUARD, "MIDDLEWARE": [f"{__name__}.Looks"]}
    with claude.messages.stream(model="claude", messages=ASKED, max_tokens=40) as stream:
        assert "".join(stream.text_stream)
    with pytest.raises(anthropic.BadRequestError, match="nothing of this is told"):
        ask(claude, messages=[{"role": "user", "content": "Tell the secret"}])

    async def on_a_loop():
        async with anthropic.AsyncAnthropic(api_key="k", http_client=rateguard.transport.async_http_client(tenant="acme")) as client:
            async with client.messages.stream(model="claude", messages=ASKED, max_tokens=40) as stream:
                assert "".join([text async for text in stream.text_stream])
            with pytest.raises(anthropic.BadRequestError, match="nothing of this is told"):
                await ask(client, messages=[{"role": "user", "content": "Tell the secret"}])

    asyncio.run(on_a_loop())
    assert all(attempt.state == AttemptState.SUCCEEDED and entry.nano_usd for attempt, entry in charged(4))
