"""Anthropic's own client believes the simulated provider: against the real process, without a retry of its own."""

import json

import anthropic
import pytest

from rateguard.engine.providers.sim.config import LimitRule, ModelPrice
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.long  # loading the client takes seconds

ASKED = [{"role": "user", "content": "How many clips did Natalia sell?"}]
LONG = "The clips are counted every evening, and the count is written down. " * 120
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]}


CLAUDE = "claude-sonnet-5"


@pytest.fixture
def claude(sim: SimHandle):  # noqa: F811
    with anthropic.Anthropic(base_url=sim.url, api_key="sk-ant-ann", max_retries=0) as client:
        yield client


def ask_claude(client, **fields):
    return client.messages.create(**{"model": CLAUDE, "messages": ASKED, "max_tokens": 40, **fields})


def test_anthropics_client_gets_a_message_that_is_billed_as_it_says(sim: SimHandle, claude):  # noqa: F811
    message = ask_claude(claude)

    (line,) = sim.control.bill()
    assert message.id.startswith("msg_")
    assert message._request_id == line.request_id
    assert message.content[0].type == "text"
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert (message.usage.input_tokens, message.usage.output_tokens) == (line.input_tokens, line.output_tokens)
    assert claude.messages.count_tokens(model=CLAUDE, messages=ASKED).input_tokens == line.input_tokens
    assert len(sim.control.log()) == 1


def test_anthropics_client_puts_a_stream_together(sim: SimHandle, claude):  # noqa: F811
    with claude.messages.stream(model=CLAUDE, messages=ASKED, max_tokens=40, thinking={"type": "adaptive"}) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()

    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert message.usage.output_tokens == sim.control.bill()[0].output_tokens
    assert message.usage.output_tokens_details.thinking_tokens == sim.control.bill()[0].reasoning_tokens > 0


def test_anthropics_client_gets_the_tool_that_it_forces_and_json_that_fits(claude):
    tools = [{"name": "weather", "description": "The weather.", "input_schema": WEATHER}]
    forced = ask_claude(claude, tools=tools, tool_choice={"type": "tool", "name": "weather"})
    with claude.messages.stream(model=CLAUDE, messages=ASKED, max_tokens=40, tools=tools, tool_choice={"type": "any"}) as stream:
        streamed = stream.get_final_message()
    shaped = ask_claude(claude, output_config={"format": {"type": "json_schema", "schema": WEATHER}})

    for message in (forced, streamed):
        (call,) = message.content
        assert (message.stop_reason, call.name, call.id[:6]) == ("tool_use", "weather", "toolu_")
        assert set(call.input) == {"city", "days"}
        assert call.input["days"] >= 1
    assert set(json.loads(shaped.content[0].text)) == {"city", "days"}


def test_anthropics_cache_is_written_where_it_is_marked_and_read_the_second_time(sim: SimHandle, claude):  # noqa: F811
    sim.control.configure(prices={CLAUDE: ModelPrice(1_000_000, 0, cached=100_000, cache_write=1_250_000, cache_write_long=2_000_000)})

    def marked(ttl):
        system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral", "ttl": ttl}}]
        return ask_claude(claude, system=system).usage

    first, second = marked("1h"), marked("1h")

    bill = sim.control.bill()
    assert [arrival.input_tokens for arrival in sim.control.log()] == [bill[0].input_tokens, second.input_tokens]
    assert first.cache_creation.ephemeral_1h_input_tokens == second.cache_read_input_tokens > 1_024
    assert first.cache_read_input_tokens == second.cache_creation_input_tokens == 0
    assert first.input_tokens == second.input_tokens > 0
    assert [line.cached_tokens for line in bill] == [0, second.cache_read_input_tokens]
    assert [line.cache_write_long_tokens for line in bill] == [second.cache_read_input_tokens, 0]
    assert bill[0].nano_usd == 1_000 * first.input_tokens + 2_000 * first.cache_creation_input_tokens
    assert bill[1].nano_usd == 1_000 * first.input_tokens + 100 * second.cache_read_input_tokens


def test_anthropics_limits_count_no_max_tokens_and_output_as_it_comes(sim: SimHandle, claude):  # noqa: F811
    rules = [LimitRule("requests", 50, 60_000), LimitRule("input_tokens", 30_000, 60_000), LimitRule("output_tokens", 8_000, 60_000)]
    sim.control.configure(limits={"*": rules}, output={"least": 0.01, "most": 0.01})

    raw = claude.messages.with_raw_response.create(model=CLAUDE, messages=ASKED, max_tokens=20_000)
    sim.control.configure(output={"least": 1.0})
    ask_claude(claude, max_tokens=7_900)
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask_claude(claude)

    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "49"
    assert raw.headers["anthropic-ratelimit-input-tokens-limit"] == "30000"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "38000"
    assert raw.headers["anthropic-ratelimit-output-tokens-reset"].endswith("Z")
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert caught.value.type == "rate_limit_error"
    assert caught.value.response.headers["anthropic-ratelimit-output-tokens-remaining"] == "0"
    assert sim.control.log()[0].output_tokens == 200


@pytest.mark.parametrize(
    ("kind", "error", "type_", "waits"),
    [
        (FaultKind.RATE_LIMITED, anthropic.RateLimitError, "rate_limit_error", True),
        (FaultKind.SPEND_CAP, anthropic.RateLimitError, "rate_limit_error", False),
        (FaultKind.INSUFFICIENT_QUOTA, anthropic.BadRequestError, "invalid_request_error", False),
        (FaultKind.CONTEXT_LENGTH, anthropic.BadRequestError, "invalid_request_error", False),
        (FaultKind.UNAUTHORIZED, anthropic.AuthenticationError, "authentication_error", False),
        (FaultKind.SERVER_ERROR, anthropic.InternalServerError, "api_error", False),
        (FaultKind.OVERLOADED, anthropic.APIStatusError, "overloaded_error", False),
        (FaultKind.TIMEOUT, anthropic.APIStatusError, "timeout_error", False),
        (FaultKind.HTML, anthropic.InternalServerError, None, False),
        (FaultKind.RESET, anthropic.APIConnectionError, None, False),
    ],
)
def test_anthropics_client_raises_its_class_for_each_fault(sim: SimHandle, claude, kind, error, type_, waits):  # noqa: F811
    sim.control.add_faults(Fault(kind))

    with pytest.raises(error) as caught:
        ask_claude(claude)

    assert getattr(caught.value, "type", None) == type_
    if kind is not FaultKind.RESET:
        assert ("retry-after" in caught.value.response.headers) == waits
    assert ask_claude(claude).content


def test_anthropics_client_sees_an_error_in_the_middle_of_a_stream(sim: SimHandle, claude):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.STREAM_ERROR, events=3))
    with pytest.raises(anthropic.APIStatusError) as caught, claude.messages.stream(model=CLAUDE, messages=ASKED, max_tokens=40) as stream:
        stream.until_done()
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
    assert [line.output_tokens for line in sim.control.bill()] == [3]


def test_anthropics_versions_differ_in_what_they_take(sim: SimHandle, claude):  # noqa: F811
    sampled = {"temperature": 0}
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        ask_claude(claude, extra_body=sampled)
    with pytest.raises(anthropic.BadRequestError, match="valid version"):
        ask_claude(claude, extra_headers={"anthropic-version": "2020-01-01"})
    assert ask_claude(claude, extra_body=sampled, extra_headers={"anthropic-version": "2023-06-01"}).content


def test_anthropics_client_lists_the_models(sim: SimHandle, claude):  # noqa: F811
    sim.control.configure(models=[CLAUDE])
    assert [model.id for model in claude.models.list()] == [CLAUDE]
    with pytest.raises(anthropic.NotFoundError):
        ask_claude(claude, model="claude-1")
