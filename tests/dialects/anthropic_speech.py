"""Anthropic's dialect. Source: Anthropic's API reference, the types of its Python client, and recorded replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.anthropic.adapter import AnthropicProvider
from rateguard.engine.providers.base import Target
from tests.dialects.speech import Said, Wrong

_STOP = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
_HEAD = {"id": "msg_01", "type": "message", "role": "assistant", "model": "claude-opus-4-6"}
_HEADERS = {"content-type": "application/json", "request-id": "req_1"}
_PING = {"type": "ping"}
_LEFT = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-requests-reset": "2025-08-21T12:41:07Z",
    "anthropic-ratelimit-input-tokens-limit": "2000000",
    "anthropic-ratelimit-input-tokens-remaining": "1999000",
    "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:41:01Z",
}


class AnthropicSpeech:
    """Messages of a model that thinks adaptively and still takes sampling parameters."""

    provider = AnthropicProvider
    target = Target("anthropic", "https://api.anthropic.com", "sk-ant-secret-0123456789", "claude-opus-4-6")
    lacks: Mapping[str, str] = {}

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """A message."""
        message = {**_HEAD, "content": blocks_of(said), "stop_reason": _STOP[said.finish], "stop_sequence": None}
        return _HEADERS, orjson.dumps({**message, "usage": usage_of(said.usage)})

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Events, with a ping and one that nobody knows yet."""
        usage = usage_of(said.usage)
        message = {**_HEAD, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": message}, _PING]
        for index, block in enumerate(blocks_of(said)):
            start, deltas = _in_pieces(block, said)
            events.append({"type": "content_block_start", "index": index, "content_block": start})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events += [_PING, {"type": "content_block_stop", "index": index}, {"type": "something_new", "index": index}]
        told = {name: usage[name] for name in ("output_tokens", "output_tokens_details", "cache_read_input_tokens")}
        events.append({"type": "message_delta", "delta": {"stop_reason": _STOP[said.finish], "stop_sequence": None}, "usage": told})
        events.append({"type": "message_stop"})
        return {**_HEADERS, "content-type": "text/event-stream; charset=utf-8"}, b"".join(map(event_of, events))

    def errors(self) -> Mapping[str, Wrong]:
        """The classes of its errors page, with the spend limits that hide."""
        limited, spent, cap = ErrorKind.RATE_LIMITED, ErrorKind.QUOTA_EXHAUSTED, "You have reached your specified"
        date = "Thu, 21 Aug 2025 12:41:00 GMT"
        return {
            "limit": Wrong(429, error_of("rate_limit_error", "x"), limited, {"retry-after": "12"}, 12_000, "deployment"),
            "limit_float": Wrong(429, error_of("rate_limit_error", "x"), limited, {"retry-after": "0.5"}, 500, "deployment"),
            "limit_date": Wrong(
                429, error_of("rate_limit_error"), limited, {"retry-after": "Thu, 21 Aug 2025 12:41:05 GMT", "date": date}, 5_000
            ),
            "limit_by_reset": Wrong(429, error_of("rate_limit_error"), limited, {**_LEFT, "date": date}, 7_000, "deployment"),
            "overloaded_beside_limits": Wrong(529, error_of("overloaded_error"), ErrorKind.OVERLOADED, {**_LEFT, "date": date}),
            "overloaded_for": Wrong(529, error_of("overloaded_error"), ErrorKind.OVERLOADED, {**_LEFT, "retry-after": "4"}, 4_000),
            "filtered": Wrong(
                400, error_of("invalid_request_error", "Output blocked by content filtering policy"), ErrorKind.CONTENT_FILTER
            ),
            "limit_bare": Wrong(429, error_of("rate_limit_error"), limited, cools="deployment"),
            "ramp": Wrong(429, error_of("rate_limit_error", code="ramp_limit_exceeded"), limited, {"retry-after": "3"}, 3_000),
            "spend_limit": Wrong(429, error_of("rate_limit_error", code="enforced_spend_limit_reached"), spent, cools="account"),
            "contract": Wrong(429, error_of("rate_limit_error", code="contract_spend_limit_reached"), spent, cools="account"),
            "spend_in_400": Wrong(400, error_of("invalid_request_error", f"{cap} API usage limits."), spent, cools="account"),
            "workspace_in_400": Wrong(400, error_of("invalid_request_error", f"{cap} workspace API usage limits."), spent),
            "credit": Wrong(400, error_of("invalid_request_error", "Your credit balance is too low to access it"), spent),
            "billing": Wrong(402, error_of("billing_error"), spent, cools="account"),
            "linked": Wrong(402, error_of("billing_error", code="linked_organization_spend_limit_reached"), spent),
            "hold": Wrong(400, error_of("invalid_request_error", code="organization_on_hold"), spent, cools="account"),
            "too_long": Wrong(
                400, error_of("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), ErrorKind.CONTEXT_TOO_LONG
            ),
            "too_long_with_output": Wrong(
                400, error_of("invalid_request_error", "input length and `max_tokens` exceed context limit"), ErrorKind.CONTEXT_TOO_LONG
            ),
            "request": Wrong(400, error_of("invalid_request_error", "max_tokens: Field required"), ErrorKind.BAD_REQUEST),
            "size": Wrong(413, error_of("request_too_large"), ErrorKind.BAD_REQUEST),
            "key": Wrong(401, error_of("authentication_error", "invalid x-api-key {key}"), ErrorKind.AUTH),
            "permission": Wrong(403, error_of("permission_error"), ErrorKind.AUTH),
            "model": Wrong(404, error_of("not_found_error", "model: claude-none"), ErrorKind.NOT_FOUND),
            "conflict": Wrong(409, error_of("invalid_request_error"), ErrorKind.CONFLICT),
            "timeout_408": Wrong(408, error_of("invalid_request_error"), ErrorKind.TIMEOUT),
            "server": Wrong(500, error_of("api_error"), ErrorKind.SERVER),
            "timeout": Wrong(504, error_of("timeout_error"), ErrorKind.SERVER),
            "overloaded": Wrong(529, error_of("overloaded_error", "Overloaded"), ErrorKind.OVERLOADED),
            "compaction": Wrong(529, error_of("overloaded_error", code="compaction_unavailable"), ErrorKind.OVERLOADED),
            "account_key": Wrong(503, error_of("api_error", code="cmek_key_unreachable"), limited, cools="account"),
            "html": Wrong(502, b"<html>Bad gateway</html>", ErrorKind.SERVER, {"content-type": "text/html"}),
            "empty": Wrong(529, b"", ErrorKind.OVERLOADED),
            "empty_429": Wrong(429, b"", limited, {"retry-after": "1"}, 1_000, "deployment"),
            "empty_402": Wrong(402, b"{}", spent, cools="account"),
            "empty_403": Wrong(403, b"[]", ErrorKind.AUTH),
            "empty_404": Wrong(404, b'{"error": "not here"}', ErrorKind.NOT_FOUND),
            "empty_503": Wrong(503, b"busy", ErrorKind.OVERLOADED),
            "empty_400": Wrong(400, b"", ErrorKind.BAD_REQUEST),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """An event of type error, which has a status of 200 and is known by its type."""
        return {
            "overloaded": (b"event: error\ndata: " + error_of("overloaded_error") + b"\n\n", ErrorKind.OVERLOADED),
            "server": (b"event: error\ndata: " + error_of("api_error") + b"\n\n", ErrorKind.SERVER),
            "limit": (b"event: error\ndata: " + error_of("rate_limit_error") + b"\n\n", ErrorKind.RATE_LIMITED),
            "half": (b'event: message_start\ndata: {"type": \n\n', ErrorKind.SERVER),
            "delta_of_nothing": (event_of({"type": "content_block_delta", "index": 9, "delta": {}}), ErrorKind.SERVER),
        }


def blocks_of(said: Said) -> list[dict[str, Any]]:
    """The content of a message."""
    blocks: list[dict[str, Any]] = []
    if said.reasoning:
        blocks.append({"type": "thinking", "thinking": said.reasoning, "signature": "EqQBCgIYAhIM"})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    return [
        *blocks,
        *({"type": "tool_use", "id": one.id, "name": one.name, "input": orjson.loads(one.arguments)} for one in said.tool_calls),
    ]


def _in_pieces(block: Mapping[str, Any], said: Said) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block begins, and its deltas."""
    if block["type"] == "thinking":
        text = block["thinking"]
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in (text[:5], text[5:])]
        return {**block, "thinking": "", "signature": ""}, [*thoughts, {"type": "signature_delta", "signature": block["signature"]}]
    if block["type"] == "text":
        return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.pieces]
    whole = orjson.dumps(block["input"]).decode() if block["input"] else ""  # a call without arguments has none in the stream
    pieces = ("", whole[: len(whole) // 2], whole[len(whole) // 2 :])
    return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def usage_of(usage: Usage) -> dict[str, Any]:
    """A message's usage as Anthropic tells it."""
    short = usage.cache_write_tokens - usage.cache_write_long_tokens
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": usage.cache_write_long_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
        "inference_geo": "global",
    }


def event_of(data: Mapping[str, Any]) -> bytes:
    """One event as it stands in the stream."""
    return b"event: " + str(data["type"]).encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def error_of(kind: str, message: str = "x", code: str | None = None) -> bytes:
    """An error's body."""
    details = {"details": {"error_code": code}} if code else {}
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message, **details}, "request_id": "req_1"})


SPEECH = AnthropicSpeech()
