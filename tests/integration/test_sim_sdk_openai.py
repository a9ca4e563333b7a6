"""OpenAI's own client believes the simulated provider, as OpenAI and as Azure: against the real process, without a retry of its own."""

import json
import time

import openai
import pytest

from rateguard.engine.providers.sim.config import LimitRule, ModelPrice
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

pytestmark = pytest.mark.long  # dozens of calls; what the quick suite holds of OpenAI's client is in test_sim_provider.py

ASKED = [{"role": "user", "content": "How many clips did Natalia sell?"}]
LONG = "The clips are counted every evening, and the count is written down. " * 120
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


@pytest.fixture
def gpt(sim: SimHandle):  # noqa: F811
    with openai.OpenAI(base_url=sim.base_url, api_key="sk-ann", max_retries=0) as client:
        yield client


@pytest.fixture
def azure(sim: SimHandle):  # noqa: F811
    with openai.AzureOpenAI(azure_endpoint=sim.url, api_key="az-ann", api_version="2024-10-21", max_retries=0) as client:
        yield client


def ask(client, **fields):
    return client.chat.completions.create(**{"model": "gpt-5.5", "messages": ASKED, "max_completion_tokens": 40, **fields})


# What a model may be asked for


def test_a_tool_that_must_be_called_is_called_whole_and_streamed(gpt):
    whole = ask(gpt, tools=TOOLS, tool_choice="required").choices[0]
    with gpt.chat.completions.stream(model="gpt-5.5", messages=ASKED, tools=TOOLS, tool_choice="required", max_tokens=40) as stream:
        streamed = stream.get_final_completion().choices[0]

    for choice in (whole, streamed):
        (call,) = choice.message.tool_calls
        assert (choice.finish_reason, call.id[:5], call.function.name) == ("tool_calls", "call_", "weather")
        assert set(json.loads(call.function.arguments)) == {"city", "days"}


def test_a_tool_that_may_be_called_is_called_by_chance_and_never_where_none_may(gpt):
    def calls(number, **fields):
        return bool(ask(gpt, messages=[{"role": "user", "content": f"{number}?"}], tools=TOOLS, **fields).choices[0].message.tool_calls)

    assert {calls(number) for number in range(12)} == {True, False}
    assert not any(calls(number, tool_choice="none") for number in range(6))


@pytest.mark.parametrize(
    "schema",
    [
        WEATHER,
        {"type": "object", "properties": {"kinds": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2}}},
        {"$defs": {"N": {"type": "integer", "minimum": 7, "maximum": 9}}, "type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}},
        {"type": "object", "properties": {"x": {"anyOf": [{"type": "null"}, {"type": "string"}]}, "y": {"type": ["null", "boolean"]}}},
    ],
)
def test_json_fits_the_schema_that_was_sent(gpt, schema):
    jsonschema = pytest.importorskip("jsonschema")
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    jsonschema.validate(json.loads(ask(gpt, response_format=wanted).choices[0].message.content), schema)


def test_what_was_thought_is_billed_and_told_and_what_is_cut_is_cut(sim: SimHandle, gpt):  # noqa: F811
    thought = ask(gpt, reasoning_effort="high")
    cut = ask(gpt, tools=TOOLS, tool_choice="required", max_completion_tokens=3).choices[0]

    bill = sim.control.bill()
    assert thought.usage.completion_tokens_details.reasoning_tokens == bill[0].reasoning_tokens > 0
    assert thought.usage.completion_tokens == bill[0].output_tokens
    assert cut.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut.message.tool_calls[0].function.arguments)


def test_a_prompt_that_begins_like_one_before_is_cached_until_its_time_is_over(sim: SimHandle, gpt):  # noqa: F811
    sim.control.configure(prices={"gpt-6.1-sol": ModelPrice(2_000_000, 0, cached=100_000, cache_write=2_500_000)})

    def used(end, model="gpt-6.1-sol"):
        return ask(gpt, model=model, messages=[{"role": "user", "content": LONG + end}]).usage

    first, second, other = used("One?"), used("Two, then?"), used("One?", "gpt-5.5")
    bill = sim.control.bill()
    sim.control.reset()
    sim.control.configure(cache={"ttl_ms": 1})
    used("One?")
    time.sleep(0.005)
    late = used("One?")

    kept = second.prompt_tokens_details.cached_tokens
    assert first.prompt_tokens_details.cached_tokens == other.prompt_tokens_details.cached_tokens == 0
    assert kept >= 1_024
    assert kept % 128 == 0
    assert first.prompt_tokens_details.cache_write_tokens >= kept
    assert bill[0].nano_usd == 2_000 * first.prompt_tokens + 500 * first.prompt_tokens_details.cache_write_tokens
    assert late.prompt_tokens_details.cached_tokens == 0


def test_a_tier_is_told_and_has_its_price(sim: SimHandle, gpt):  # noqa: F811
    sim.control.configure(prices={"*": ModelPrice(1_000_000, 0)})
    tiers = [ask(gpt, service_tier=tier) for tier in ("auto", "flex", "priority", "fast")]
    assert [reply.service_tier for reply in tiers] == ["default", "flex", "priority", "priority"]
    plain, *rest = (line.nano_usd for line in sim.control.bill())
    assert rest == [plain // 2, plain * 2, plain * 2]


# Responses


def test_a_response_is_whole_and_its_stream_comes_to_the_same(sim: SimHandle, gpt):  # noqa: F811
    asked = {"model": "gpt-5.5", "input": "How many?", "instructions": "Be brief.", "max_output_tokens": 40, "reasoning": {"effort": "low"}}
    whole = gpt.responses.create(**asked)
    with gpt.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()

    assert whole.id.startswith("resp_")
    assert whole.output_text
    assert [item.type for item in whole.output] == ["reasoning", "message"]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == f"response.{streamed.status}"
    assert (whole.status == "incomplete") == (whole.usage.output_tokens == 40)
    first, second = sim.control.bill()
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (first.input_tokens, first.output_tokens)
    assert streamed.usage.output_tokens == second.output_tokens
    assert gpt.responses.input_tokens.count(model="gpt-5.5", input="How many?", instructions="Be brief.").input_tokens == first.input_tokens


def test_a_response_calls_tools_and_fits_a_schema(gpt):
    tools = [{"type": "function", "name": "weather", "parameters": WEATHER, "strict": False}]
    called = gpt.responses.create(model="gpt-5.5", input="Oslo?", tools=tools, tool_choice="required", max_output_tokens=40)
    with gpt.responses.stream(model="gpt-5.5", input="Oslo?", tools=tools, tool_choice="required", max_output_tokens=40) as stream:
        streamed = stream.get_final_response()
    form = {"format": {"type": "json_schema", "name": "answer", "schema": WEATHER}}
    shaped = gpt.responses.create(model="gpt-5.5", input="Oslo?", text=form, max_output_tokens=40)

    for response in (called, streamed):
        (call,) = response.output
        assert (call.type, call.name, response.status) == ("function_call", "weather", "completed")
        assert "city" in json.loads(call.arguments)
    assert "city" in json.loads(shaped.output_text)


def test_a_responses_stream_tells_an_error_as_an_event(sim: SimHandle, gpt):  # noqa: F811
    sim.control.add_faults(Fault(FaultKind.STREAM_ERROR, events=3), Fault(FaultKind.RATE_LIMITED))
    events = list(gpt.responses.create(model="gpt-5.5", input="How many?", stream=True, max_output_tokens=40))
    with pytest.raises(openai.RateLimitError):
        gpt.responses.create(model="gpt-5.5", input="How many?")
    with pytest.raises(openai.BadRequestError, match="Previous"):
        gpt.responses.create(model="gpt-5.5", input="And now?", previous_response_id="resp_1")

    assert (events[-1].type, events[-1].code) == ("error", "server_error")
    assert [line.output_tokens for line in sim.control.bill()] == [3]


# Azure


@pytest.mark.parametrize("is_v1", [False, True], ids=["classic", "v1"])
def test_azure_answers_with_the_verdicts_of_its_filter(sim: SimHandle, is_v1: bool):  # noqa: F811
    with (
        openai.OpenAI(base_url=f"{sim.url}/openai/v1", api_key="az-ann", max_retries=0)
        if is_v1
        else openai.AzureOpenAI(azure_endpoint=sim.url, api_key="az-ann", api_version="2024-10-21", max_retries=0)
    ) as client:
        whole = ask(client, model="our-gpt")
        chunks = list(ask(client, model="our-gpt", stream=True, stream_options={"include_usage": True}))
        vectors = client.embeddings.create(model="our-embed", input=["one", "two"]).data

    assert whole.model == "our-gpt"
    assert whole.model_extra["prompt_filter_results"]
    assert whole.choices[0].model_extra["content_filter_results"]["hate"]["filtered"] is False
    assert chunks[0].choices == []
    assert chunks[0].usage is None
    assert chunks[-1].usage.completion_tokens == sim.control.bill()[1].output_tokens
    assert len(vectors) == 2
    assert {(line.key, line.model) for line in sim.control.bill()} == {("az-ann", "our-gpt"), ("az-ann", "our-embed")}


def test_azure_holds_requests_in_renewal_periods_and_says_seconds(sim: SimHandle, azure):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 12, 60_000), LimitRule("tokens", 6_000, 60_000)]})
    raw = azure.chat.completions.with_raw_response.create(model="our-gpt", messages=ASKED, max_tokens=40)
    ask(azure)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(azure)

    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-renewalperiod-requests"] == "10"
    assert raw.headers["x-ratelimit-renewalperiod-tokens"] == "60"
    assert raw.headers["x-ratelimit-remaining-tokens"] == str(6_000 - 40 - sim.control.log()[0].input_tokens)
    assert raw.headers["x-ratelimit-reset-tokens"] == "60"
    assert raw.headers["apim-request-id"] == sim.control.bill()[0].request_id
    assert caught.value.code == "429"
    assert caught.value.response.headers["x-ratelimit-type"] == "Requests"
    assert 9 <= int(caught.value.response.headers["retry-after"]) <= 10


@pytest.mark.parametrize(
    ("kind", "error", "code"),
    [
        (FaultKind.CONTENT_FILTER, openai.BadRequestError, "content_filter"),
        (FaultKind.SLOW_DOWN, openai.RateLimitError, "429"),
        (FaultKind.UNAUTHORIZED, openai.AuthenticationError, "401"),
        (FaultKind.OVERLOADED, openai.InternalServerError, "503"),
        (FaultKind.INSUFFICIENT_QUOTA, openai.RateLimitError, "insufficient_quota"),
    ],
)
def test_azure_has_its_own_words_for_faults(sim: SimHandle, azure, kind, error, code):  # noqa: F811
    sim.control.add_faults(Fault(kind))
    with pytest.raises(error) as caught:
        ask(azure)
    assert caught.value.code == code
    if kind is FaultKind.CONTENT_FILTER:
        assert caught.value.body["innererror"]["content_filter_result"]["violence"]["filtered"]


def test_azure_wants_a_deployment_that_there_is_and_a_version(sim: SimHandle, azure):  # noqa: F811
    sim.control.configure(models=["our-gpt"])
    with pytest.raises(openai.NotFoundError) as caught:
        ask(azure, model="theirs")
    with (
        openai.OpenAI(base_url=f"{sim.url}/openai/deployments/our-gpt", api_key="az-ann", max_retries=0) as bare,
        pytest.raises(openai.NotFoundError),
    ):
        ask(bare)
    assert caught.value.code == "DeploymentNotFound"


# Quirks


def test_quirks_of_other_providers_can_be_switched_on(sim: SimHandle, gpt):  # noqa: F811
    sim.control.configure(limits={"*": [LimitRule("requests", 9, 60_000)]}, quirks=["comments", "blank_lines", "minus_one_limits"])
    raw = gpt.chat.completions.with_raw_response.create(model="m", messages=ASKED)
    chunks = list(ask(gpt, stream=True))
    sim.control.configure(quirks=["no_limit_headers"])
    bare = gpt.chat.completions.with_raw_response.create(model="m", messages=ASKED)

    assert raw.content.startswith(b"\n")
    assert raw.parse().choices
    assert raw.headers["x-ratelimit-remaining-requests"] == "-1"
    assert chunks[-1].choices[0].finish_reason
    assert "x-ratelimit-remaining-requests" not in bare.headers
