"""Nonsense, asked or answered, is refused or an error: never a crash in a worker."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.errors import InvalidRequest, ProviderError
from tests.dialects.anthropic_asked import STREAMED, chat, provider, read, target
from tests.dialects.anthropic_speech import event_of

FIELDS = st.sampled_from(
    [
        *(
            "tools",
            "tool_choice",
            "response_format",
            "reasoning_effort",
            "thinking",
            "temperature",
            "top_k",
            "stop",
            "service_tier",
            "user",
        ),
        *(
            "web_search_options",
            "n",
            "max_tokens",
            "cache_control",
            "messages",
            "functions",
            "stream_options",
            "parallel_tool_calls",
            "speed",
        ),
    ]
)
FIELD_WORDS = st.sampled_from(["type", "function", "name", "parameters", "json_schema", "schema", "strict", "user_location", "approximate"])
FIELD_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3000)
    | st.sampled_from(["auto", "none", "required", "function", "json_schema", "low", "object"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELD_WORDS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(FIELDS, FIELD_VALUES, max_size=4), st.sampled_from(["claude-3-5-haiku", "claude-haiku-4-5", "claude-opus-5-5"]))
def test_nonsense_in_any_field_is_refused_and_never_crashes(fields: dict[str, Any], model: str):
    at, request = target(model), chat(**fields)
    try:
        provider().check(at, request)
        provider().write(at, request, is_streamed=True)
        provider().reader(at, request, {})
    except InvalidRequest as refusal:
        assert refusal.pointer.startswith("/")  # noqa: PT017 - most are refused


NAMES = [
    "type",
    "index",
    "text",
    "thinking",
    "signature",
    "delta",
    "content_block",
    "partial_json",
    "citation",
    "usage",
    "message",
    "input",
    "url",
]
KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
BLOCKS = ["text", "thinking", "tool_use", "text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta"]
VALUES = st.recursive(
    st.none() | st.integers(0, 1) | st.sampled_from(["a", *BLOCKS]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=8,
)
DELTAS = st.builds(
    lambda kind, rest: {**rest, "type": kind}, st.sampled_from(BLOCKS), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
)
EVENTS = st.builds(
    lambda kind, index, inner, rest: {"index": index, "delta": inner, "content_block": inner, "message": inner, **rest, "type": kind},
    st.sampled_from(KINDS),
    st.integers(0, 1) | VALUES,
    DELTAS | VALUES,
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2),
)


@given(st.lists(EVENTS, max_size=8))
def test_a_stream_of_nonsense_is_an_error_and_never_a_crash(events: list[dict[str, Any]]):
    reader = provider().reader(target(), chat(**STREAMED), {})
    with contextlib.suppress(ProviderError):
        for one in events:
            list(reader.feed(event_of(one)))
    assert orjson.loads(reader.answer().body)["object"] == "chat.completion"


@given(st.lists(DELTAS | VALUES, max_size=4), VALUES, VALUES)
def test_an_answer_of_nonsense_is_an_error_and_never_a_crash(content: list[Any], usage: Any, stop: Any):
    with contextlib.suppress(ProviderError):
        read(content, usage=usage, stop_reason=stop, stop_details=stop)
