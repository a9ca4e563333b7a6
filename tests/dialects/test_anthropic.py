"""What Anthropic's dialect has beside the table: its models' families, thinking, JSON by a tool, caches, tiers, limits, exact counts."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from rateguard.engine.errors import ConfigurationError, ErrorKind, InvalidRequest, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.anthropic.adapter import AnthropicProvider
from rateguard.engine.providers.anthropic.request import write_body
from rateguard.engine.providers.anthropic.usage import parse_usage
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.capabilities import Feature
from rateguard.engine.providers.http import HttpClient, Reply
from rateguard.engine.readings import Axis, Reading
from tests.dialects.anthropic_speech import SPEECH, error_of, event_of
from tests.dialects.cases import MESSAGES, SCHEMA, WEATHER, body

OLDEST, BUDGET, MIDDLE, NEWEST = "claude-3-5-haiku", "claude-haiku-4-5", "claude-opus-4-6", "claude-opus-5-5"
HISTORY_END = {"role": "user", "content": "And now?"}


def target(model: str = MIDDLE, base_url: str = "https://api.anthropic.com", **options: Any) -> Target:
    return Target("anthropic", base_url, "sk-ant-secret", model, options=options)


def chat(**fields: Any) -> Request:
    return Request(Endpoint.CHAT, body(**fields), "attempt-1")


def provider() -> AnthropicProvider:
    return AnthropicProvider(HttpClient())


def sent(model: str = MIDDLE, options: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """What goes out, once checked."""
    at, asked = target(model, **(options or {})), chat(**fields)
    provider().check(at, asked)
    return orjson.loads(provider().write(at, asked, is_streamed=False).body)


def refusal(model: str = MIDDLE, options: dict[str, Any] | None = None, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        sent(model, options, **fields)
    return raised.value


def read(content: list[dict[str, Any]], **head: Any) -> dict[str, Any]:
    """A whole answer with these blocks, in OpenAI's shape."""
    message = {"id": "msg_1", "type": "message", "model": MIDDLE, "content": content, "stop_reason": "end_turn"}
    told = orjson.dumps({**message, "usage": {"input_tokens": 1, "output_tokens": 1}, **head})
    return orjson.loads(provider().read(target(), chat(), Reply(200, {}, told, 0.0, 0.0)).body)


def streamed(events: list[dict[str, Any]], **fields: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The chunks of a stream and the answer put together."""
    reader = provider().reader(target(), chat(stream=True, stream_options={"include_usage": True}, **fields), {})
    chunks = [orjson.loads(chunk.data) for chunk in reader.feed(b"".join(map(event_of, events)))]
    assert reader.is_complete
    return chunks, orjson.loads(reader.answer().body)


def events_of(content: list[dict[str, Any]], deltas: list[list[dict[str, Any]]], stop: str = "end_turn") -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "msg_1", "model": MIDDLE, "usage": {"input_tokens": 1}}}]
    for index, (block, pieces) in enumerate(zip(content, deltas, strict=True)):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": piece} for piece in pieces]
        events.append({"type": "content_block_stop", "index": index})
    return [*events, {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 2}}, {"type": "message_stop"}]


# ---- settings of a request


def test_zero_stays_zero_and_each_setting_has_its_own_name():
    written = sent(temperature=0, top_k=5, stop="END", max_completion_tokens=9, user="u-1", service_tier="default")
    assert (written["temperature"], written["top_k"], written["max_tokens"]) == (0, 5, 9)
    assert (written["stop_sequences"], written["metadata"], written["service_tier"]) == (["END"], {"user_id": "u-1"}, "standard_only")
    assert sent(service_tier="standard_only", safety_identifier="s", user="u")["metadata"] == {"user_id": "s"}


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"temperature": 1.5}, "/temperature"),
        ({"max_tokens": None}, "/max_tokens"),
        ({"stop": ["\n"]}, "/stop"),
        ({"service_tier": "priority"}, "/service_tier"),
        ({"metadata": {"a": "b"}}, "/metadata"),
        ({"store": True}, "/store"),
        ({"nobody_knows": 1}, "/nobody_knows"),
        ({"functions": [{"name": "f"}]}, "/functions"),
        ({"tool_choice": "required"}, "/tool_choice"),
        ({"tools": [{"type": "custom", "custom": {}}]}, "/tools/0/type"),
        ({"response_format": {"type": "json_object"}, "tools": [WEATHER]}, "/response_format"),
        ({"web_search_options": {"search_context_size": "high"}}, "/web_search_options/search_context_size"),
        ({"reasoning_effort": "high", "temperature": 0}, "/temperature"),
        ({"reasoning_effort": "high", "top_k": 5}, "/top_k"),
        ({"reasoning_effort": "enormous"}, "/reasoning_effort"),
        ({"reasoning_effort": "low", "thinking": {"type": "adaptive"}}, "/thinking"),
        ({"thinking": "adaptive"}, "/thinking"),
        ({"messages": {"role": "user"}}, "/messages"),
        ({"service_tier": ["auto"]}, "/service_tier"),
    ],
)
def test_what_cannot_be_said_is_refused_by_its_field(fields, pointer):
    assert refusal(**fields).pointer == pointer


def test_the_newer_version_takes_no_sampling_parameters_of_any_model():
    newer = {"api_version": "2026-10-21"}
    assert refusal(options=newer, temperature=1).pointer == "/temperature"
    assert refusal(options=newer, top_k=1).code == "unsupported_by_provider"
    assert refusal(NEWEST, temperature=1).pointer == "/temperature"


def test_the_account_says_version_key_header_and_betas():
    old = provider().write(target(base_url="https://host/v1/"), chat(), is_streamed=False)
    new = provider().write(target(api_version="2026-10-21", auth="bearer", beta=["a", "b"]), chat(), is_streamed=True)
    assert (old.url, old.headers["x-api-key"], old.headers["anthropic-version"]) == (
        "https://host/v1/messages",
        "sk-ant-secret",
        "2023-06-01",
    )
    assert (new.headers["Authorization"], new.headers["anthropic-version"]) == ("Bearer sk-ant-secret", "2026-10-21")
    assert (new.headers["anthropic-beta"], "x-api-key" in new.headers, orjson.loads(new.body)["stream"]) == ("a,b", False, True)


def test_a_cloud_that_hosts_claude_gets_the_body_without_the_model():
    written = write_body(target("claude-haiku-4-5@20251001", api_version="v1"), chat(temperature=0), is_streamed=True)
    assert "model" not in written
    assert (written["stream"], written["temperature"]) == (True, 0)


# ---- families of models


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        (OLDEST, {Feature.REASONING}),
        (BUDGET, set()),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", set()),
        (MIDDLE, {Feature.PREFILL}),
        ("claude-opus-4-7", {Feature.PREFILL, Feature.SAMPLING, Feature.TOP_K}),
        ("claude-sonnet-5-5", {Feature.PREFILL, Feature.SAMPLING, Feature.TOP_K, Feature.FORCED_TOOL, Feature.JSON_MODE}),
        ("claude-opus-9", set()),
    ],
)
def test_a_family_lacks_what_it_lacks(model, lacks):
    never = {"audio", "penalties", "logit_bias", "logprobs", "seed", "several_choices", "prediction", "service_tier"}
    assert set(Feature) - provider().capabilities_of(target(model)).features - {Feature(word) for word in never} == lacks


def test_an_account_may_know_better_what_its_model_can():
    knows = {"capabilities": {"sampling": False, "images": False, "prefill": True}}
    features = provider().capabilities_of(target(**knows)).features
    assert Feature.PREFILL in features
    assert not features & {Feature.SAMPLING, Feature.TOP_K, Feature.IMAGES}
    with pytest.raises(ConfigurationError, match="telepathy"):
        provider().capabilities_of(target(capabilities={"telepathy": True}))


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "told"),
    [
        (MIDDLE, "minimal", "adaptive", {"effort": "low"}),
        (MIDDLE, "xhigh", "adaptive", {"effort": "max"}),
        (NEWEST, "xhigh", "adaptive", {"effort": "xhigh"}),
        (BUDGET, "high", "enabled", None),
        ("claude-opus-4-5", "max", "enabled", {"effort": "high"}),
        ("claude-opus-5", "none", "disabled", None),
        ("claude-sonnet-5-5", "none", "between_tools", None),
        (MIDDLE, "none", None, None),
    ],
)
def test_effort_is_said_as_the_family_takes_it(model, effort, thinking, told):
    written = sent(model, reasoning_effort=effort, max_tokens=32_000)
    assert (written.get("thinking", {}).get("type"), written.get("output_config")) == (thinking, told)


def test_a_model_goes_on_from_what_it_is_said_to_have_said_but_not_from_white_space():
    def said(text: str) -> dict[str, Any]:
        return {"messages": [*MESSAGES, {"role": "assistant", "content": text}], "max_tokens": 4_000}

    assert sent(BUDGET, **said("She sold"))["messages"][-1]["content"] == [{"type": "text", "text": "She sold"}]
    assert refusal(BUDGET, **said("She sold ")).pointer == "/messages"
    assert refusal(BUDGET, **said("She sold"), reasoning_effort="low").pointer == "/reasoning_effort"
    assert refusal(MIDDLE, **said("She sold")).pointer == "/messages/2"


def test_a_budget_of_thinking_lies_within_max_tokens():
    assert sent(BUDGET, reasoning_effort="high", max_tokens=4_000)["thinking"] == {"type": "enabled", "budget_tokens": 3_000}
    assert sent(BUDGET, reasoning_effort="low", max_tokens=1_025)["thinking"]["budget_tokens"] == 1_024
    assert refusal(BUDGET, reasoning_effort="low", max_tokens=1_024).pointer == "/max_tokens"
    forced = {"tools": [WEATHER], "tool_choice": "required", "max_tokens": 4_000}
    assert refusal(BUDGET, reasoning_effort="low", **forced).pointer == "/reasoning_effort"
    assert sent(MIDDLE, reasoning_effort="low", **forced)["tool_choice"] == {"type": "any"}


def test_thinking_that_cannot_be_turned_off_is_not_said_to_be_off():
    assert refusal(NEWEST, reasoning_effort="none").pointer == "/reasoning_effort"


def test_how_thinking_is_shown_is_the_accounts_to_say():
    hidden = {"thinking": {"display": "omitted"}}
    assert sent(reasoning_effort="low")["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert sent(options=hidden, reasoning_effort="low")["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert sent(NEWEST, hidden)["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert "thinking" not in sent(MIDDLE, hidden)
    assert sent(thinking={"type": "enabled", "budget_tokens": 2_000})["thinking"]["budget_tokens"] == 2_000


# ---- tools and JSON


def test_tools_go_out_with_their_marks_and_choices():
    marked = {**WEATHER, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    strict = {"type": "function", "function": {"name": "now", "strict": True}}
    own = {"type": "web_fetch_20250910", "name": "web_fetch"}
    written = sent(
        tools=[marked, strict, own], parallel_tool_calls=False, web_search_options={"user_location": {"approximate": {"city": "Oslo"}}}
    )
    weather, now, fetch, search = written["tools"]
    assert (weather["name"], weather["input_schema"], weather["cache_control"]["ttl"]) == (
        "weather",
        WEATHER["function"]["parameters"],
        "1h",
    )
    assert (now, fetch) == ({"name": "now", "input_schema": {"type": "object"}, "strict": True}, own)
    assert (search["name"], search["user_location"]) == ("web_search", {"type": "approximate", "city": "Oslo"})
    assert written["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    named = sent(tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "weather"}}, parallel_tool_calls=False)
    assert named["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}


def test_a_schema_is_answered_by_structured_output_where_the_model_has_it():
    format_ = {"type": "json_schema", "json_schema": {**SCHEMA, "description": "How many."}}
    written = sent(response_format=format_, reasoning_effort="low", tools=[WEATHER])
    schema = {**SCHEMA["schema"], "description": "How many."}
    assert written["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": schema}}
    loose = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA["schema"]}}
    older = sent(OLDEST, response_format=loose)
    assert (older["tools"][0]["input_schema"], older["tool_choice"]["name"]) == (SCHEMA["schema"], "answer_in_json")
    assert refusal(OLDEST, response_format=format_).pointer == "/response_format/json_schema/strict"


def test_json_without_a_schema_is_the_input_of_a_tool_and_comes_out_as_content():
    assert sent(response_format={"type": "json_object"})["tool_choice"] == {"type": "tool", "name": "answer_in_json"}
    call = {"type": "tool_use", "id": "toolu_1", "name": "answer_in_json", "input": {}}
    choice = read([{**call, "input": {"n": 72}}], stop_reason="tool_use")["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"], choice["native_finish_reason"]) == ('{"n":72}', "stop", "tool_use")
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ('{"n": ', "72}")]
    chunks, whole = streamed(events_of([call], [deltas], "tool_use"))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]) == '{"n": 72}'
    assert orjson.loads(whole["choices"][0]["message"]["content"]) == {"n": 72}
    assert (whole["choices"][0]["finish_reason"], "tool_calls" in whole["choices"][0]["message"]) == ("stop", False)


# ---- what comes back with the next request

THINKING = {"type": "thinking", "thinking": "24 and 48.", "signature": "Eq=="}
REDACTED = {"type": "redacted_thinking", "data": "Em=="}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "clips"}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "encrypted_content": "E"}],
}
CITED = {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "encrypted_index": "E", "cited_text": "72"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
TURN = [
    THINKING,
    REDACTED,
    {"type": "text", "text": "Let me see. "},
    SEARCH,
    FOUND,
    {"type": "text", "text": "It is 72.", "citations": [CITED]},
    CALL,
]


def sent_back(message: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    result = {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"}
    messages = [*MESSAGES, message, result]
    return sent(messages=messages, tools=[WEATHER], **fields)["messages"][1]["content"]


def test_a_turn_comes_back_word_for_word():
    message = read(TURN, stop_reason="tool_use")["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("Let me see. It is 72.", "24 and 48.")
    assert message["annotations"] == [{"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}]
    assert sent_back(message) == TURN


def test_a_streamed_turn_says_the_same_and_comes_back_word_for_word():
    starts = [{**THINKING, "thinking": "", "signature": ""}, REDACTED, {"type": "text", "text": ""}, {**SEARCH, "input": {}}, FOUND]
    deltas: list[list[dict[str, Any]]] = [
        [{"type": "thinking_delta", "thinking": "24 and "}, {"type": "thinking_delta", "thinking": "48."}],
        [],
        [{"type": "text_delta", "text": "Let me see. "}],
        [{"type": "input_json_delta", "partial_json": '{"query":"clips"}'}],
        [],
        [{"type": "text_delta", "text": "It is 72."}, {"type": "citations_delta", "citation": CITED}],
        [{"type": "input_json_delta", "partial_json": '{"city":"Oslo"}'}],
    ]
    deltas[0].append({"type": "signature_delta", "signature": "Eq=="})
    chunks, whole = streamed(events_of([*starts, {"type": "text", "text": ""}, {**CALL, "input": {}}], deltas, "tool_use"))
    message = whole["choices"][0]["message"]
    assert sent_back(message) == TURN
    assert message == read(TURN, stop_reason="tool_use")["choices"][0]["message"]
    assert chunks[-2]["choices"][0]["delta"]["provider_fields"] == message["provider_fields"]


def test_what_a_caller_changed_is_sent_as_changed():
    message = read(TURN, stop_reason="tool_use")["choices"][0]["message"]
    blocks = sent_back({**message, "content": "It was [removed]."})
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == "It was [removed]."
    assert [block["type"] for block in blocks if block["type"] != "text"] == [one["type"] for one in TURN if one["type"] != "text"]
    broken = {**message, "provider_fields": {"anthropic": {"blocks": [7]}}}
    assert refusal(messages=[*MESSAGES, broken, HISTORY_END]).pointer == "/messages/2/provider_fields/anthropic"


def test_a_plain_answer_needs_nothing_back():
    assert "provider_fields" not in read([{"type": "text", "text": "72"}, CALL])["choices"][0]["message"]


# ---- ends, usage, limits, counts


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("stop_sequence", "stop"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("new_word", "stop"),
        (None, "stop"),
    ],
)
def test_the_stop_word_stands_beside_openais(word, finish):
    choice = read([{"type": "text", "text": "a"}], stop_reason=word)["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, word)


def test_a_refusal_says_why():
    details = {"type": "refusal", "category": "cyber", "explanation": "No such help."}
    assert read([], stop_reason="refusal", stop_details=details)["choices"][0]["message"]["refusal"] == "No such help."


def test_usage_is_as_billed():
    told = {
        "input_tokens": 5,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 7},
    }
    tokens = Usage(5, 100, 30, 9, 4, cache_write_long_tokens=20, searches=2)
    assert parse_usage(told) == tokens
    assert parse_usage({**told, "service_tier": "priority", "inference_geo": "us", "speed": "fast"}) == dataclasses.replace(
        tokens, tier="priority", terms=("us", "fast")
    )
    assert (
        parse_usage({**told, "cache_creation": None, "cache_creation_input_tokens": None, "service_tier": "standard"}).cache_write_tokens
        == 0
    )
    assert parse_usage({}) == Usage()


def test_the_last_usage_of_a_stream_replaces_what_came_before():
    events = events_of([{"type": "text", "text": ""}], [[{"type": "text_delta", "text": "a"}]])
    events[0]["message"]["usage"] = {"input_tokens": 3, "cache_read_input_tokens": 8, "output_tokens": 1, "service_tier": "batch"}
    events[-2]["usage"] = {"input_tokens": 13, "cache_read_input_tokens": None, "output_tokens": 6}
    chunks, whole = streamed(events)
    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"], whole["service_tier"]) == (21, 6, "batch")
    assert chunks[-1]["usage"] == whole["usage"]


def test_headers_tell_the_limits_of_a_minute():
    headers = {
        "date": "Thu, 21 Aug 2025 12:40:30 GMT",
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-requests-remaining": "999",
        "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:29Z",
        "anthropic-ratelimit-input-tokens-limit": "2000000",
        "anthropic-ratelimit-input-tokens-remaining": "1500000",
        "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:40:45Z",
        "anthropic-ratelimit-output-tokens-limit": "-1",
        "anthropic-ratelimit-tokens-limit": "2400000",
        "anthropic-ratelimit-tokens-reset": "soon",
    }
    assert provider().readings(target(), headers) == (
        Reading(Axis.REQUESTS, 60_000, 1000, 999, 0),
        Reading(Axis.TOKENS, 60_000, 2_400_000),
        Reading(Axis.INPUT_TOKENS, 60_000, 2_000_000, 1_500_000, 15_000),
    )
    assert provider().readings(target(), {}) == ()


def test_an_exact_count_is_asked_without_what_does_not_count():
    asked = provider().write_count(target(), chat(tools=[WEATHER], temperature=0, max_tokens=None, reasoning_effort="high"))
    assert asked.url == "https://api.anthropic.com/v1/messages/count_tokens"
    assert set(orjson.loads(asked.body)) == {"model", "messages", "system", "tools", "thinking", "output_config"}
    assert provider().read_count(Reply(200, {}, b'{"input_tokens":41}', 0.0, 0.0)) == 41
    with pytest.raises(ProviderError):
        provider().read_count(Reply(200, {}, b'{"input_tokens":"many"}', 0.0, 0.0))


def test_a_whole_body_where_a_stream_was_asked_for_is_an_error():
    overloaded = error_of("overloaded_error")
    for told, kind in ((overloaded, ErrorKind.OVERLOADED), (b'{"type":"message"}', ErrorKind.SERVER), (b"<html>", ErrorKind.SERVER)):
        reader = provider().reader(target(), chat(stream=True), {"content-type": "application/json"})
        with pytest.raises(ProviderError) as raised:
            [*reader.feed(told), *reader.finish()]
        assert (raised.value.kind, raised.value.may_be_billed) == (kind, True)


def test_it_is_asked_for_its_models_where_that_costs_nothing():
    probe = provider().probe(SPEECH.target)
    assert probe is not None
    assert (probe.url, probe.headers["x-api-key"]) == ("https://api.anthropic.com/v1/models?limit=1000", SPEECH.target.api_key)
    assert probe.names(b'{"data":[{"type":"model","id":"claude-opus-5-5"}],"has_more":false}') == ("claude-opus-5-5",)
