"""Each adapter at the simulated provider, by its base URL alone: what we read is what it says that it billed, refused and limits."""

import asyncio
import dataclasses

import orjson
import pytest

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.providers.base import Endpoint, Outcome, Request, Target
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.engine.providers.sim.config import LimitRule
from rateguard.engine.providers.sim.faults import Fault, FaultKind
from rateguard.engine.providers.sim.process import SimHandle
from rateguard.engine.readings import Axis
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures

KEY = "sk-secret-0123456789"
CLAUDE = "claude-sonnet-4-6"
TARGETS = {
    "openai": Target("openai", "/v1", KEY, "gpt-4o-mini"),
    "azure": Target("azure", "", KEY, "our-gpt", options={"api_version": "2024-10-21"}),
    "azure_v1": Target("azure", "", KEY, "our-gpt"),
    "anthropic": Target("anthropic", "", KEY, CLAUDE),
    "bedrock": Target("bedrock", "", f"ABSK{KEY}", f"us.anthropic.{CLAUDE}", region="us-east-1"),
    "gemini": Target("gemini", "", KEY, "gemini-3.5-flash"),
    "vertex": Target("vertex", "", KEY, "gemini-3.5-flash"),
    "groq": Target("groq", "/v1", KEY, "openai/gpt-oss-120b"),
}
MESSAGES = [{"role": "user", "content": "How many clips did Natalia sell?"}]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": WEATHER}}]


@pytest.fixture(params=TARGETS)
def target(request, sim: SimHandle) -> Target:  # noqa: F811
    found = TARGETS[request.param]
    return dataclasses.replace(found, base_url=sim.url + found.base_url)


@pytest.fixture
async def provider(target: Target):
    async with HttpClient() as http:
        yield ProviderRegistry(http).get(target.provider)


def chat(**fields) -> Request:
    body = {"model": "public-name", "messages": MESSAGES, "max_tokens": 40, **fields}
    return Request(Endpoint.CHAT, body, "a-1", connect_timeout_s=2.0, first_token_timeout_s=5.0, total_timeout_s=10.0)


async def both(provider, target: Target, request: Request) -> tuple[Outcome, Outcome]:
    async def ignore(_):
        pass

    return await provider.call(target, request), await provider.stream(target, request, ignore)


def message_of(outcome: Outcome):
    return orjson.loads(outcome.body)["choices"][0]["message"]


async def test_a_whole_answer_and_a_streamed_one_are_charged_as_they_are_billed(sim: SimHandle, provider, target):  # noqa: F811
    outcomes = await both(provider, target, chat())

    bill = await asyncio.to_thread(sim.control.bill)
    assert [(one.usage.all_input_tokens, one.usage.output_tokens) for one in outcomes] == [
        (line.input_tokens, line.output_tokens) for line in bill
    ]
    assert not any(one.usage.estimated for one in outcomes)
    assert {one.finish_reason for one in outcomes} <= {"stop", "length"}
    assert all(message_of(one)["content"] for one in outcomes)


@pytest.mark.long
async def test_a_forced_tool_is_called(sim: SimHandle, provider, target):  # noqa: F811
    outcomes = await both(provider, target, chat(tools=TOOLS, tool_choice={"type": "function", "function": {"name": "weather"}}))

    for outcome in outcomes:
        (call,) = message_of(outcome)["tool_calls"]
        assert (outcome.finish_reason, call["function"]["name"]) == ("tool_calls", "weather")
        assert "city" in orjson.loads(call["function"]["arguments"])


KINDS = {
    FaultKind.RATE_LIMITED: {ErrorKind.RATE_LIMITED},
    FaultKind.SLOW_DOWN: {ErrorKind.RATE_LIMITED},
    FaultKind.INSUFFICIENT_QUOTA: {ErrorKind.QUOTA_EXHAUSTED},
    FaultKind.CONTEXT_LENGTH: {ErrorKind.CONTEXT_TOO_LONG},
    FaultKind.SERVER_ERROR: {ErrorKind.SERVER},
    FaultKind.OVERLOADED: {ErrorKind.OVERLOADED},
    FaultKind.UNAUTHORIZED: {ErrorKind.AUTH},
    FaultKind.TIMEOUT: {ErrorKind.TIMEOUT, ErrorKind.SERVER},
    FaultKind.HTML: {ErrorKind.SERVER, ErrorKind.OVERLOADED},
    FaultKind.RESET: {ErrorKind.CONNECT, ErrorKind.NETWORK},
    FaultKind.MALFORMED: {ErrorKind.SERVER},
    FaultKind.CONTENT_FILTER: {ErrorKind.CONTENT_FILTER, ErrorKind.BAD_REQUEST},  # Anthropic has no word of its own for it
}


async def test_each_refusal_means_the_same_whoever_says_it(sim: SimHandle, provider, target):  # noqa: F811
    await asyncio.to_thread(sim.control.add_faults, *(Fault(kind, wait_ms=1_500) for kind in KINDS))

    found = {}
    for kind in KINDS:
        try:
            outcome = await provider.call(target, chat())
            found[kind] = outcome.finish_reason
        except ProviderError as error:
            found[kind] = error.kind

    wrong = {kind.value: str(met) for kind, met in found.items() if met not in KINDS[kind] | {"content_filter"}}
    assert not wrong


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.CUT_STREAM, {ErrorKind.SERVER}),
        (FaultKind.MALFORMED, {ErrorKind.SERVER}),
        (FaultKind.RESET_STREAM, {ErrorKind.NETWORK}),
        (FaultKind.STREAM_ERROR, {ErrorKind.SERVER, ErrorKind.OVERLOADED}),
    ],
)
async def test_a_broken_stream_is_an_error_charged_by_what_came(sim: SimHandle, provider, target, kind, expected):  # noqa: F811
    await asyncio.to_thread(sim.control.add_faults, Fault(kind, events=5))

    async def ignore(_):
        pass

    with pytest.raises(ProviderError) as caught:
        await provider.stream(target, chat(), ignore)

    (line,) = await asyncio.to_thread(sim.control.bill)
    assert caught.value.kind in expected
    assert line.output_tokens == 5
    assert 5 <= caught.value.usage.output_tokens <= 8  # where the provider told none yet: our count, with its margin


@pytest.mark.long
async def test_a_full_limit_is_a_passing_one_whose_wait_is_read_where_it_is_told(sim: SimHandle, provider, target):  # noqa: F811
    await asyncio.to_thread(sim.control.configure, limits={"*": [LimitRule("requests", 1, 60_000)]})
    await provider.call(target, chat())
    with pytest.raises(ProviderError) as caught:
        await provider.call(target, chat())

    assert caught.value.kind is ErrorKind.RATE_LIMITED
    if target.provider == "bedrock":
        assert caught.value.retry_after_ms is None
    else:
        assert 50_000 <= caught.value.retry_after_ms <= 60_000


@pytest.mark.long
@pytest.mark.parametrize("target", ["openai", "azure", "anthropic"], indirect=True)
async def test_what_is_left_of_the_limits_is_read_from_the_headers(sim: SimHandle, provider, target):  # noqa: F811
    metric = "input_tokens" if target.provider == "anthropic" else "tokens"
    rules = [LimitRule("requests", 50, 60_000), LimitRule(metric, 900, 60_000)]
    await asyncio.to_thread(sim.control.configure, limits={"*": rules})

    outcome = await provider.call(target, chat())

    (arrival,) = await asyncio.to_thread(sim.control.log)
    left = {reading.axis: (reading.limit, reading.remaining) for reading in outcome.readings}
    assert left[Axis.REQUESTS] == (50, 49)
    assert left[Axis(metric)] == (900, 900 - arrival.counted_tokens)


@pytest.mark.long
@pytest.mark.parametrize("target", ["openai", "anthropic", "bedrock", "gemini"], indirect=True)
async def test_a_cached_prompt_is_read_as_it_is_billed(sim: SimHandle, provider, target):  # noqa: F811
    long = "The clips are counted every evening, and the count is written down. " * 120
    part = {"type": "text", "text": long}
    if target.provider in {"anthropic", "bedrock"}:
        part["cache_control"] = {"type": "ephemeral"}
    request = chat(messages=[{"role": "system", "content": [part]}, *MESSAGES])

    outcomes = [*await both(provider, target, request)]

    bill = await asyncio.to_thread(sim.control.bill)
    assert [(one.usage.cached_tokens, one.usage.cache_write_tokens) for one in outcomes] == [
        (line.cached_tokens, line.cache_write_tokens) for line in bill
    ]
    assert bill[1].cached_tokens >= 1_024
