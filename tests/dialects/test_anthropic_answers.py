"""What Anthropic's dialect answers beside the table: what has to come back, ends, usage, limits, exact counts."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from rateguard.engine.errors import ErrorKind, ProviderError
from rateguard.engine.money import Usage
from rateguard.engine.providers.anthropic.usage import parse_usage
from rateguard.engine.providers.http import Reply
from rateguard.engine.readings import Axis, Reading
from tests.dialects.anthropic_asked import HISTORY_END, chat, events_of, provider, read, refusal, sent, streamed, target
from tests.dialects.anthropic_speech import SPEECH, error_of
from tests.dialects.cases import MESSAGES, WEATHER

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
    events = events_of([], [], "refusal")
    events[-2]["delta"]["stop_details"] = {**details, "explanation": None}
    chunks, whole = streamed(events)
    assert chunks[-2]["choices"][0]["delta"] == {"refusal": "cyber"}
    assert (whole["choices"][0]["message"]["refusal"], whole["choices"][0]["finish_reason"]) == ("cyber", "content_filter")


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
    assert provider().read_count(target(), Reply(200, {}, b'{"input_tokens":41}', 0.0, 0.0)) == 41
    with pytest.raises(ProviderError):
        provider().read_count(target(), Reply(200, {}, b'{"input_tokens":"many"}', 0.0, 0.0))


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
