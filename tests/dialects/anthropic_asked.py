"""What Anthropic is asked and what it answers, in a line each."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.anthropic.adapter import AnthropicProvider
from rateguard.engine.providers.base import Endpoint, Request, Target
from rateguard.engine.providers.http import HttpClient, Reply
from tests.dialects.anthropic_speech import event_of
from tests.dialects.cases import body

OLDEST, BUDGET, MIDDLE, NEWEST = "claude-3-5-haiku", "claude-haiku-4-5", "claude-opus-4-6", "claude-opus-5-5"
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
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
    reader = provider().reader(target(), chat(**STREAMED, **fields), {})
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
