"""What only OpenAI has: fields of its own, models that reason, bounds of embeddings, tiers and audio in usage, its limits."""

import asyncio

import orjson
import pytest

from rateguard.engine.errors import ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.providers.listing import look
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from rateguard.engine.readings import Axis, Reading
from tests.dialects.cases import MESSAGES, body
from tests.dialects.openai_speech import SPEECH, usage_of
from tests.dialects.speech import Said
from tests.dialects.test_dialects import STREAMED, read_in
from tests.simprovider import sim, sim_process  # noqa: F401 - fixtures


@pytest.fixture
def provider():
    return OpenAIProvider(HttpClient())


def at(model="gpt-4o-mini") -> Target:
    return Target("openai", "https://api.openai.com/v1", "sk-secret-0123456789", model)


def chat(**fields):
    return Request(Endpoint.CHAT, body(**fields), "a-1")


def embed(given, **fields):
    return Request(Endpoint.EMBEDDINGS, {"model": "m", "input": given, **fields}, "e-1")


def pointers_refused(provider, target, request):
    try:
        provider.check(target, request)
    except InvalidRequest as refusal:
        return [pointer for pointer, _ in refusal.errors] if refusal.code == "unsupported_by_provider" else [refusal.code]
    return []


# ---- what is sent

MOST = {"max_completion_tokens": 64}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"max_tokens": 64}, 64),
        ({"max_tokens": None, "max_completion_tokens": 32}, 32),
        ({"max_tokens": 64, "max_completion_tokens": 32}, 32),
        ({"max_tokens": None}, None),
    ],
)
def test_the_most_that_may_be_written_has_the_name_that_every_model_takes(provider, fields, sent):
    written = orjson.loads(provider.write(at(), chat(**fields), is_streamed=False).body)
    assert written.get("max_completion_tokens") == sent
    assert "max_tokens" not in written


def test_a_stream_asks_for_its_usage_and_for_no_padding_whatever_the_caller_asked(provider):
    asked = chat(stream_options={"include_usage": False, "include_obfuscation": True})
    written = orjson.loads(provider.write(at(), asked, is_streamed=True).body)
    assert written["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert asked.body["stream_options"] == {"include_usage": False, "include_obfuscation": True}


def test_what_it_knows_goes_through_and_the_callers_body_stays_as_it_was(provider):
    asked = body(temperature=0, n=1, seed=0, metadata={"a": "b"}, prompt_cache_key="k", verbosity="low", top_logprobs=0)
    before = orjson.dumps(asked)
    written = orjson.loads(provider.write(at(), Request(Endpoint.CHAT, asked, "a-1"), is_streamed=False).body)
    assert orjson.dumps(asked) == before
    assert written == {**{name: value for name, value in asked.items() if name != "max_tokens"}, "model": "gpt-4o-mini", **MOST}


# ---- what models cannot


@pytest.mark.parametrize(
    ("model", "fields", "refused"),
    [
        ("gpt-4o-mini", {"reasoning_effort": "high"}, ["/reasoning_effort"]),
        ("ft:gpt-4o-mini-2024-07-18:acme::1", {"reasoning_effort": "high"}, ["/reasoning_effort"]),
        ("gpt-4o-mini", {"top_k": 5}, ["/top_k"]),
        ("gpt-4o-mini", {"stop": list("abcde")}, ["/stop"]),
        ("gpt-4o-mini", {"stop": list("abcd"), "temperature": 0}, []),
        ("o3-mini", {"temperature": 0}, ["/temperature"]),
        ("o3-mini", {"temperature": 1, "top_p": 1.0, "reasoning_effort": "low"}, []),
        ("o3-mini", {"temperature": 1, "top_p": 0.5}, ["/top_p"]),
        ("o3-mini", {"top_p": 1}, []),
        ("o3-mini", {"logprobs": True, "frequency_penalty": 0.5}, ["/logprobs", "/frequency_penalty"]),
        ("gpt-5-mini", {"temperature": 0.2}, ["/temperature"]),
        ("gpt-5-chat-latest", {"temperature": 0.2}, []),
        ("gpt-5.4", {"temperature": 0.2}, []),
        ("gpt-5.4", {"temperature": 0.2, "reasoning_effort": "none"}, []),
        ("gpt-5.4", {"temperature": 0.2, "reasoning_effort": "high"}, ["/temperature"]),
        ("gpt-6.1-terra", {"top_p": 0.2, "reasoning_effort": "low"}, ["/top_p"]),
        ("our-alias", {"temperature": 0.2, "reasoning_effort": "high", "stop": "x"}, []),
        ("gpt-4o-audio-preview", {"audio": {"voice": "alloy"}}, []),
        ("gpt-4o", {"audio": {"voice": "alloy"}}, ["/audio"]),
    ],
)
def test_what_a_model_cannot_do_is_refused_with_its_field(provider, model, fields, refused):
    assert sorted(pointers_refused(provider, at(model), chat(**fields))) == sorted(refused)


def test_marks_for_a_cache_are_refused_in_messages_and_tools(provider):
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [*MESSAGES, {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "text", "text": "y", **mark}]}]
    tools = [{"type": "function", "function": {"name": "f"}, **mark}]
    assert pointers_refused(provider, at(), chat(messages=messages, tools=tools)) == [
        "/tools/0/cache_control",
        "/messages/2/content/1/cache_control",
    ]


# ---- embeddings


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ("text", []),
        (["a"] * 2_048, []),
        (["a"] * 2_049, ["/input"]),
        ("", ["/input"]),
        ([], ["/input"]),
        (["a", "", "b"], ["/input/1"]),
        ([["a"], []], ["/input/1"]),
        ([1] * 8_192, []),
        ([1] * 8_193, ["/input"]),
        ([[1] * 8_000] * 37, []),
        ([[1] * 8_000] * 38, ["/input"]),
    ],
)
def test_inputs_that_it_does_not_take_are_refused(provider, given, refused):
    assert pointers_refused(provider, at("text-embedding-3-small"), embed(given)) == refused


def test_dimensions_are_for_models_that_have_several(provider):
    assert pointers_refused(provider, at("text-embedding-3-large"), embed("x", dimensions=8)) == []
    assert pointers_refused(provider, at("text-embedding-ada-002"), embed("x", dimensions=8)) == ["/dimensions"]
    assert pointers_refused(provider, at("our-own-model"), embed("x", dimensions=8)) == []


# ---- usage


@pytest.mark.parametrize(("told", "tier"), [("default", ""), ("priority", "priority"), ("fast", "priority"), ("flex", "flex"), (None, "")])
def test_the_tier_is_the_one_that_was_used(provider, told, tier):
    headers, raw = SPEECH.whole(Said())
    whole = provider.read(at(), chat(), Reply(200, headers, orjson.dumps({**orjson.loads(raw), "service_tier": told}), 0.0, 0.0))
    headers, raw = SPEECH.stream(Said())
    reader = provider.reader(at(), chat(**STREAMED), headers)
    read_in(reader, [raw.replace(b'"created"', b'"service_tier":' + orjson.dumps(told) + b',"created"')])
    assert (whole.usage.tier, reader.answer().usage.tier) == (tier, tier)


def test_audio_is_a_part_of_what_it_is_counted_in(provider):
    said = Said()
    told = usage_of(said.usage)
    told["prompt_tokens_details"]["audio_tokens"], told["completion_tokens_details"]["audio_tokens"] = 5, 99
    _, raw = SPEECH.whole(said)
    answer = provider.read(at(), chat(), Reply(200, {}, orjson.dumps({**orjson.loads(raw), "usage": told}), 0.0, 0.0))
    assert (answer.usage.audio_input_tokens, answer.usage.audio_output_tokens) == (5, said.usage.output_tokens)


# ---- limits


def test_its_limits_are_read_whatever_their_notation(provider):
    headers = {
        "x-ratelimit-limit-requests": "10,000",
        "x-ratelimit-remaining-requests": "9,999",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-tokens": "1500000",
        "x-ratelimit-reset-tokens": "1m0.5s",
        "x-ratelimit-limit-project-tokens": "500000",
        "x-ratelimit-remaining-project-tokens": "0",
    }
    assert provider.readings(at(), headers) == (
        Reading(Axis.REQUESTS, 60_000, 10_000, 9_999, 6),
        Reading(Axis.TOKENS, 60_000, 2_000_000, 1_500_000, 60_500),
        Reading(Axis.TOKENS, 60_000, 500_000, 0),
    )


@pytest.mark.parametrize(("limit", "left"), [("-1", "5"), ("0", "0"), ("100", "-1"), ("nonsense", "x")])
def test_a_value_that_is_none_says_nothing(provider, limit, left):
    headers = {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": left}
    assert provider.readings(at(), headers) == ()


# ---- asked at no cost


async def test_it_is_asked_for_its_models_over_http(sim):  # noqa: F811
    listing = await asyncio.to_thread(look, "sim", Target("sim", sim.base_url, "key", ""))
    assert listing.is_good
    sim.control.configure(keys=["another"])
    assert (await asyncio.to_thread(look, "openai", Target("openai", sim.base_url, "key", ""))).is_refused
    assert look("nobody", at()).status == 0


def test_nothing_of_a_stream_that_the_provider_broke_off_is_lost(provider):
    headers, raw = SPEECH.stream(Said())
    reader = provider.reader(at(), chat(), headers)
    cut = raw[: raw.index(b'"finish_reason":"stop"') - 200]
    with pytest.raises(ProviderError) as raised:
        read_in(reader, [cut, b"\n\n" + b'data: {"error":{"code":"server_error"}}\n\n'])
    assert raised.value.kind is ErrorKind.SERVER
    assert Said().text.startswith(reader.answer().text)
