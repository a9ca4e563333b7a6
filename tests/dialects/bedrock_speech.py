"""Bedrock's dialect: Converse, and ConverseStream in binary frames. Source: botocore's service model; boto3 hears it in test_bedrock.py."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.bedrock.adapter import BedrockProvider
from tests.dialects.speech import Said, Wrong

REQUEST_ID = "1f2e3d4c-0000-4000-8000-1234567890ab"
_HEADERS = {"content-type": "application/json", "x-amzn-requestid": REQUEST_ID}
STREAM_TYPE = "application/vnd.amazon.eventstream"
_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "guardrail_intervened"}


class BedrockSpeech:
    """A Claude of Anthropic's at Bedrock."""

    provider = BedrockProvider
    target = Target(
        "bedrock",
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        '{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}',
        "us.anthropic.claude-sonnet-4-6",
    )
    lacks: Mapping[str, str] = {"reasoning": "Converse does not tell how many tokens were reasoning"}

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """What Converse answers."""
        content: list[dict[str, Any]] = []
        if said.reasoning:
            content.append({"reasoningContent": {"reasoningText": {"text": said.reasoning, "signature": "c2ln"}}})
        if said.text:
            content.append({"text": said.text})
        content += [{"toolUse": {"toolUseId": one.id, "name": one.name, "input": orjson.loads(one.arguments)}} for one in said.tool_calls]
        body = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _STOPS[said.finish],
            "usage": usage_of(said.usage),
            "metrics": {"latencyMs": 812},
        }
        return _HEADERS, orjson.dumps(body | _tier(said.usage))

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """What ConverseStream answers, frame by frame."""
        events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
        number = 0
        if said.reasoning:
            pieces = [{"text": said.reasoning[:5]}, {"text": said.reasoning[5:]}, {"signature": "c2ln"}]
            events += _block(number, [{"reasoningContent": piece} for piece in pieces])
            number += 1
        if said.pieces:
            events += _block(number, [{"text": piece} for piece in said.pieces])
            number += 1
        for one in said.tool_calls:
            cut = len(one.arguments) // 2
            deltas = [{"toolUse": {"input": part}} for part in (one.arguments[:cut], one.arguments[cut:])]
            events += _block(number, deltas, {"toolUse": {"toolUseId": one.id, "name": one.name}})
            number += 1
        end = {"usage": usage_of(said.usage), "metrics": {"latencyMs": 812}} | _tier(said.usage)
        events += [("messageStop", {"stopReason": _STOPS[said.finish]}), ("metadata", end)]
        return {**_HEADERS, "content-type": STREAM_TYPE}, b"".join(event(name, payload) for name, payload in events)

    def errors(self) -> Mapping[str, Wrong]:
        """Every exception of the service, by header, by `__type`, and without either."""
        return {
            "limit": _wrong(
                429, "ThrottlingException", "Too many tokens, please wait before trying again.", ErrorKind.RATE_LIMITED, cools="deployment"
            ),
            "limit_with_wait": _wrong(
                429, "ThrottlingException", "slow", ErrorKind.RATE_LIMITED, {"retry-after": "3"}, retry_after_ms=3_000
            ),
            "limit_by_day": _wrong(
                429,
                "ThrottlingException",
                "Too many tokens per day, please wait before trying again.",
                ErrorKind.QUOTA_EXHAUSTED,
                cools="deployment",
            ),
            "cold_model": _wrong(429, "ModelNotReadyException", "The model is not ready for inference.", ErrorKind.SERVER, cools=""),
            "quota": _wrong(400, "ServiceQuotaExceededException", "over", ErrorKind.QUOTA_EXHAUSTED, cools="account"),
            "context": _wrong(400, "ValidationException", "Input is too long for requested model.", ErrorKind.CONTEXT_TOO_LONG),
            "request": _wrong(400, "ValidationException", "Malformed input request", ErrorKind.BAD_REQUEST),
            "model_name": _wrong(400, "ValidationException", "The provided model identifier is invalid.", ErrorKind.NOT_FOUND),
            "filter": _wrong(400, "ValidationException", "Output blocked by content filtering policy", ErrorKind.CONTENT_FILTER),
            "access": _wrong(403, "AccessDeniedException", "User {key} is not authorized", ErrorKind.AUTH),
            "token": _wrong(403, "ExpiredTokenException", "The security token included in the request is expired", ErrorKind.AUTH),
            "client": _wrong(403, "UnrecognizedClientException", "AKIAIOSFODNN7EXAMPLE is invalid", ErrorKind.AUTH),
            "signature": _wrong(403, "InvalidSignatureException", "Signature expired", ErrorKind.AUTH),
            "missing": _wrong(404, "ResourceNotFoundException", "no such model", ErrorKind.NOT_FOUND),
            "slow_model": _wrong(408, "ModelTimeoutException", "took too long", ErrorKind.TIMEOUT),
            "broken_model": _wrong(424, "ModelErrorException", "failed", ErrorKind.SERVER),
            "server": _wrong(500, "InternalServerException", "oops", ErrorKind.SERVER),
            "unavailable": _wrong(503, "ServiceUnavailableException", "busy", ErrorKind.OVERLOADED),
            "name_with_suffix": Wrong(
                429,
                b'{"message":"x"}',
                ErrorKind.RATE_LIMITED,
                {"x-amzn-errortype": "ThrottlingException:http://internal.amazon.com/coral/"},
            ),
            "name_in_body": Wrong(429, b'{"__type":"com.amazon.coral.service#ThrottlingException","Message":"x"}', ErrorKind.RATE_LIMITED),
            "status_alone": Wrong(529, b"{}", ErrorKind.OVERLOADED),
            "html": Wrong(502, b"<html>Bad gateway</html>", ErrorKind.SERVER, {"content-type": "text/html"}),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """Exception frames, an error frame, and frames that are broken."""
        good = event("messageStart", {"role": "assistant"})
        return {
            "limit": (exception("throttlingException", "Too many tokens"), ErrorKind.RATE_LIMITED),
            "server": (exception("internalServerException", "x"), ErrorKind.SERVER),
            "model": (exception("modelStreamErrorException", "x"), ErrorKind.SERVER),
            "unavailable": (exception("serviceUnavailableException", "x"), ErrorKind.OVERLOADED),
            "context": (exception("validationException", "Input is too long"), ErrorKind.CONTEXT_TOO_LONG),
            "error_frame": (
                frame({":message-type": "error", ":error-code": "InternalFailure", ":error-message": "x"}, b""),
                ErrorKind.SERVER,
            ),
            "half": (frame({":message-type": "event", ":event-type": "messageStart"}, b'{"role": '), ErrorKind.SERVER),
            "form": (event("contentBlockDelta", {"delta": "text"}), ErrorKind.SERVER),
            "checksum": (good[:-1] + bytes([good[-1] ^ 1]), ErrorKind.SERVER),
            "head": (bytes([good[0] ^ 1]) + good[1:], ErrorKind.SERVER),
        }


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame of AWS's event stream; all headers are strings."""
    packed = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    start = lengths + struct.pack(">I", crc32(lengths)) + packed + payload
    return start + struct.pack(">I", crc32(start))


def event(name: str, payload: Mapping[str, Any]) -> bytes:
    """An event's frame."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, orjson.dumps(payload))


def exception(name: str, message: str) -> bytes:
    """The frame of an exception, which ends a stream."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, orjson.dumps({"message": message}))


def usage_of(usage: Usage) -> dict[str, Any]:
    """As Converse tells it: what is not there is left out."""
    told: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.all_input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        told["cacheReadInputTokens"] = usage.cached_tokens
    if usage.cache_write_tokens:
        told["cacheWriteInputTokens"] = usage.cache_write_tokens
        short = usage.cache_write_tokens - usage.cache_write_long_tokens
        told["cacheDetails"] = [{"ttl": "5m", "inputTokens": short}, {"ttl": "1h", "inputTokens": usage.cache_write_long_tokens}]
    return told


def _tier(usage: Usage) -> dict[str, Any]:
    return {"serviceTier": {"type": usage.tier}} if usage.tier else {}


def _block(number: int, deltas: list[dict[str, Any]], start: Mapping[str, Any] | None = None) -> list[tuple[str, dict[str, Any]]]:
    """A content block's events; text and reasoning begin without a start."""
    events: list[tuple[str, dict[str, Any]]] = [("contentBlockStart", {"start": start, "contentBlockIndex": number})] if start else []
    events += [("contentBlockDelta", {"contentBlockIndex": number, "delta": delta}) for delta in deltas]
    return [*events, ("contentBlockStop", {"contentBlockIndex": number})]


def _wrong(status: int, name: str, message: str, kind: ErrorKind, headers: Mapping[str, str] | None = None, **more: Any) -> Wrong:
    return Wrong(status, orjson.dumps({"message": message}), kind, {"x-amzn-errortype": name, **(headers or {})}, **more)


SPEECH = BedrockSpeech()
