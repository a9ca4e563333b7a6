"""OpenAI's dialect. Source: OpenAI's API reference, and recorded replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.openai.adapter import OpenAIProvider
from tests.dialects.speech import Said, Wrong

_HEAD = {"id": "chatcmpl-1", "created": 1_790_000_000, "model": "gpt-4o-mini-2024-07-18"}


class OpenAISpeech:
    """OpenAI itself."""

    provider = OpenAIProvider
    target = Target("openai", "https://api.openai.com/v1", "sk-secret-0123456789", "gpt-4o-mini")
    lacks: Mapping[str, str] = {"cache_written_long": "chat completions tell one figure of cache writes"}

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """A chat completion."""
        message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
        if said.tool_calls:
            message["tool_calls"] = [{"id": one.id, "type": "function", "function": _function(one)} for one in said.tool_calls]
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish}
        return _HEADERS, orjson.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": usage_of(said.usage)})

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Chunks, the last with the usage."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if said.reasoning:
            deltas += [{"reasoning_content": said.reasoning[:5]}, {"reasoning_content": said.reasoning[5:]}]
        deltas += [{"content": piece} for piece in said.pieces]
        for number, one in enumerate(said.tool_calls):
            deltas.append(
                {"tool_calls": [{"index": number, "id": one.id, "type": "function", "function": {"name": one.name, "arguments": ""}}]}
            )
            cut = len(one.arguments) // 2
            deltas += [
                {"tool_calls": [{"index": number, "function": {"arguments": part}}]} for part in (one.arguments[:cut], one.arguments[cut:])
            ]
        chunks: list[dict[str, Any]] = [_chunk(delta, None) for delta in deltas]
        chunks += [_chunk({}, said.finish), {**_HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage_of(said.usage)}]
        events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks]
        return {**_HEADERS, "content-type": "text/event-stream; charset=utf-8"}, b"".join([*events, b"data: [DONE]\n\n"])

    def errors(self) -> Mapping[str, Wrong]:
        """The classes of its errors page."""
        return {
            "limit": Wrong(
                429, _error("Rate limit reached", "rate_limit_exceeded", "tokens"), ErrorKind.RATE_LIMITED, {"retry-after": "2"}, 2_000
            ),
            "limit_ms": Wrong(
                429, _error("x", "rate_limit_exceeded"), ErrorKind.RATE_LIMITED, {"retry-after-ms": "250", "retry-after": "1"}, 250
            ),
            "quota": Wrong(429, _error("You exceeded {key}", "insufficient_quota"), ErrorKind.QUOTA_EXHAUSTED, cools="account"),
            "context": Wrong(400, _error("too long", "context_length_exceeded"), ErrorKind.CONTEXT_TOO_LONG),
            "filter": Wrong(400, _error("policy", "content_policy_violation"), ErrorKind.CONTENT_FILTER),
            "auth": Wrong(401, _error("Incorrect API key provided: {key}", "invalid_api_key"), ErrorKind.AUTH),
            "model": Wrong(404, _error("no such model", "model_not_found"), ErrorKind.NOT_FOUND),
            "server": Wrong(500, _error("oops", None, "server_error"), ErrorKind.SERVER),
            "overloaded": Wrong(503, _error("busy", None, "service_unavailable_error"), ErrorKind.OVERLOADED),
            "html": Wrong(502, b"<html>Bad gateway</html>", ErrorKind.SERVER, {"content-type": "text/html"}),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """An object with a key `error`."""
        return {
            "server": (b"data: " + _error("x", "server_error") + b"\n\n", ErrorKind.SERVER),
            "overloaded": (b"data: " + _error("x", "server_is_overloaded") + b"\n\n", ErrorKind.OVERLOADED),
            "half": (b'data: {"id": \n\n', ErrorKind.SERVER),
        }


_HEADERS = {"content-type": "application/json", "x-request-id": "req_1"}


def _function(one: Any) -> dict[str, str]:
    return {"name": one.name, "arguments": one.arguments}


def _chunk(delta: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice], "usage": None}


def usage_of(usage: Usage) -> dict[str, Any]:
    """A chat's usage as OpenAI tells it."""
    return {
        "prompt_tokens": usage.all_input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.all_input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _error(message: str, code: str | None, kind: str = "invalid_request_error") -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


SPEECH = OpenAISpeech()
