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

SETTINGS = "reasoning_effort thinking temperature top_k stop service_tier user n max_tokens cache_control speed stream_options"
FIELDS = [
    *SETTINGS.split(),
    *["tools", "tool_choice", "response_format", "web_search_options", "messages", "functions", "parallel_tool_calls"],
]
FIELD_WORDS = st.sampled_from(["type", "function", "name", "parameters", "json_schema", "schema", "strict", "user_location", "approximate"])
WORDS = ["auto", "none", "required", "function", "json_schema", "low", "object"]
FIELD_VALUES = st.recursive(
    st.sampled_from([None, False, True, -1, 0, 1, 3_000, *WORDS]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELD_WORDS, inner, max_size=4),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(FIELDS), FIELD_VALUES, max_size=4),
    st.sampled_from(["claude-3-5-haiku", "claude-haiku-4-5", "claude-opus-5-5"]),
)
def test_nonsense_in_any_field_is_refused_and_never_crashes(fields: dict[str, Any], model: str):
    at, request = target(model), chat(**fields)
    try:
        provider().check(at, request)
        provider().write(at, request, is_streamed=True)
        provider().reader(at, request, {})
    except InvalidRequest as refusal:
        assert refusal.pointer.startswith("/")  # noqa: PT017 - most are refused


KINDS = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
BLOCKS = [
    "text",
    "thinking",
    "tool_use",
    "server_tool_use",
    "text_delta",
    "thinking_delta",
    "input_json_delta",
    "signature_delta",
    "citations_delta",
]
NAMES = [
    "type",
    "text",
    "thinking",
    "signature",
    "partial_json",
    "citation",
    "citations",
    "usage",
    "input",
    "id",
    "name",
    "stop_reason",
    "stop_details",
    "url",
]
ODD = st.sampled_from([None, 0, 7, -1.5, "", "ab", [], [7], ["ab"], {}, {"url": 7}, {"a": {}}])
INNER = st.builds(
    lambda kind, rest: {"type": kind, **rest}, st.sampled_from(BLOCKS), st.dictionaries(st.sampled_from(NAMES), ODD, max_size=5)
)
EVENTS = st.builds(
    lambda kind, index, inner, rest: {
        "type": kind,
        "index": index,
        "delta": inner,
        "content_block": inner,
        "message": inner,
        "usage": rest,
    },
    st.sampled_from(KINDS),
    st.sampled_from([0, 0, 1, None, "0", []]),
    INNER | ODD,
    ODD,
)


@given(st.lists(EVENTS, max_size=8))
def test_a_stream_of_nonsense_is_an_error_and_never_a_crash(events: list[dict[str, Any]]):
    reader = provider().reader(target(), chat(**STREAMED), {})
    with contextlib.suppress(ProviderError):
        for one in events:
            list(reader.feed(event_of(one)))
    assert orjson.loads(reader.answer().body)["object"] == "chat.completion"


@given(st.lists(INNER | ODD, max_size=4), ODD, ODD)
def test_an_answer_of_nonsense_is_an_error_and_never_a_crash(content: list[Any], usage: Any, stop: Any):
    with contextlib.suppress(ProviderError):
        read(content, usage=usage, stop_reason=stop, stop_details=stop)
