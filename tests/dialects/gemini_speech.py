"""Gemini's dialect at its own API. Sources: google-genai 3.4, Google's pages, recorded replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from rateguard.engine.errors import ErrorKind
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.gemini.adapter import GeminiProvider
from rateguard.engine.providers.provider import Provider
from tests.dialects.speech import Said, Wrong

_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_NO_WRITES = "gemini bills what it keeps by the hour, never by tokens that it writes"


class GeminiSpeech:
    """The Gemini API."""

    provider: type[Provider] = GeminiProvider
    target = Target("gemini", "https://generativelanguage.googleapis.com", "AIzaSy-secret-0123456789", "gemini-2.5-flash")
    lacks: Mapping[str, str] = {"cache_written": _NO_WRITES, "cache_written_long": _NO_WRITES}
    model_version = "gemini-2.5-flash"
    end_of_line = b"\r\n"

    def whole(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """One GenerateContentResponse, printed over several lines as Google does."""
        parts = [*_thoughts(said.reasoning), *([{"text": said.text}] if said.text else []), *_calls(said)]
        return {"content-type": "application/json; charset=UTF-8"}, orjson.dumps(
            self._response(parts, said, is_last=True), option=orjson.OPT_INDENT_2
        )

    def stream(self, said: Said) -> tuple[Mapping[str, str], bytes]:
        """Events without names or [DONE]; each with the usage so far, the last with the reason of the end."""
        pieces = [
            *_thoughts(said.reasoning[:5]),
            *_thoughts(said.reasoning[5:]),
            *({"text": piece} for piece in said.pieces),
            *_calls(said),
        ]
        told = [self._response([part], said, is_last=False) for part in pieces[:-1]]
        told.append(self._response(pieces[-1:], said, is_last=True))
        line = self.end_of_line
        return {"content-type": "text/event-stream"}, b"".join(b"data: " + orjson.dumps(one) + line + line for one in told)

    def errors(self) -> Mapping[str, Wrong]:
        """The classes of Google's pages on errors and rate limits, each form of a delay."""
        minute, day = "GenerateContentInputTokensPerModelPerMinute-FreeTier", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
        limit, spent = ErrorKind.RATE_LIMITED, ErrorKind.QUOTA_EXHAUSTED
        return {
            "minute": Wrong(429, _exhausted(minute, "5.723s"), limit, retry_after_ms=5_723, cools="deployment"),
            "minute_in_parts": Wrong(429, _exhausted(minute, {"seconds": "2", "nanos": 500_000_000}), limit, retry_after_ms=2_500),
            "minute_in_words": Wrong(429, _exhausted(minute, None, "Please retry in 1m2.5s."), limit, retry_after_ms=62_500),
            "minute_in_header": Wrong(429, _exhausted(minute, None), limit, {"retry-after": "3"}, 3_000),
            "of_the_project": Wrong(429, _exhausted("RequestsPerMinutePerProject", "1s"), limit, retry_after_ms=1_000, cools="account"),
            "in_a_list": Wrong(429, b"[" + _exhausted(minute, "37s") + b"\n]", limit, retry_after_ms=37_000),
            "day": Wrong(429, _exhausted(day, "37s", "Please retry in 10h17m5.7s."), spent, cools="deployment"),
            "nothing_allowed": Wrong(429, _exhausted(minute, "37s", "Quota exceeded, limit: 0, model: gemini-2.5-pro"), spent),
            "prepaid": Wrong(402, google_error(402, "FAILED_PRECONDITION", "no credits for {key}"), spent, cools="account"),
            "context": Wrong(400, google_error(400, "INVALID_ARGUMENT", _TOO_LONG), ErrorKind.CONTEXT_TOO_LONG),
            "caller": Wrong(400, google_error(400, "INVALID_ARGUMENT", 'Unknown name "x"'), ErrorKind.BAD_REQUEST),
            "key": Wrong(400, google_error(400, "INVALID_ARGUMENT", "API key {key} not valid", _BAD_KEY), ErrorKind.AUTH),
            "permission": Wrong(403, google_error(403, "PERMISSION_DENIED", "no access"), ErrorKind.AUTH),
            "model": Wrong(404, google_error(404, "NOT_FOUND", "models/x is not found"), ErrorKind.NOT_FOUND),
            "internal": Wrong(500, google_error(500, "INTERNAL", "oops"), ErrorKind.SERVER),
            "overloaded": Wrong(503, google_error(503, "UNAVAILABLE", "The model is overloaded."), ErrorKind.OVERLOADED),
            "deadline": Wrong(504, google_error(504, "DEADLINE_EXCEEDED", "late"), ErrorKind.SERVER),
            "html": Wrong(502, b"<html>Bad gateway</html>", ErrorKind.SERVER, {"content-type": "text/html"}),
        }

    def errors_in_stream(self) -> Mapping[str, tuple[bytes, ErrorKind]]:
        """Bare JSON over several lines, in a list or not; as an event too; and what is none of these."""
        busy = google_error(503, "UNAVAILABLE", "The model is overloaded.")
        return {
            "bare": (busy + b"\r\n", ErrorKind.OVERLOADED),
            "in_a_list": (b"[" + busy + b"\n]\n", ErrorKind.OVERLOADED),
            "without_an_end_of_line": (busy, ErrorKind.OVERLOADED),
            "as_an_event": (b"data: " + orjson.dumps(orjson.loads(busy)) + b"\r\n\r\n", ErrorKind.OVERLOADED),
            "limit": (_exhausted("PerModelPerMinute", "1s"), ErrorKind.RATE_LIMITED),
            "half": (b'data: {"candidates": \r\n\r\n', ErrorKind.SERVER),
            "no_object": (b"data: 7\r\n\r\n", ErrorKind.SERVER),
        }

    def usage_of(self, usage: Usage) -> dict[str, Any]:
        """`usageMetadata`: a field that is 0 is left out."""
        told = {
            "promptTokenCount": usage.input_tokens + usage.cached_tokens,
            "cachedContentTokenCount": usage.cached_tokens,
            "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
            "thoughtsTokenCount": usage.reasoning_tokens,
            "totalTokenCount": usage.all_input_tokens + usage.output_tokens,
        }
        return {name: tokens for name, tokens in told.items() if tokens}

    def _response(self, parts: list[dict[str, Any]], said: Said, *, is_last: bool) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
        usage = self.usage_of(said.usage)
        if is_last:
            candidate["finishReason"] = _FINISH[said.finish]
        else:
            usage |= {"totalTokenCount": usage["promptTokenCount"] + 1}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self.model_version, "responseId": "Il0taoSYJ5Cez7IP"}


_TOO_LONG = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
_BAD_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}


def google_error(code: int, status: str, message: str, *details: Mapping[str, Any]) -> bytes:
    """An error as Google prints it."""
    error = {"code": code, "message": message, "status": status, **({"details": details} if details else {})}
    return orjson.dumps({"error": error}, option=orjson.OPT_INDENT_2)


def _exhausted(quota_id: str, delay: Any, message: str = "You exceeded your current quota.") -> bytes:
    dimensions = {"model": "gemini-2.5-flash"} if "PerModel" in quota_id else {"location": "global"}
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/x",
        "quotaId": quota_id,
        "quotaDimensions": dimensions,
        "quotaValue": "20",
    }
    details: list[dict[str, Any]] = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}]
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return google_error(429, "RESOURCE_EXHAUSTED", message, *details)


def _thoughts(text: str) -> list[dict[str, Any]]:
    return [{"text": text, "thought": True}] if text else []


def _calls(said: Said) -> list[dict[str, Any]]:
    return [{"functionCall": {"id": one.id, "name": one.name, "args": orjson.loads(one.arguments)}} for one in said.tool_calls]


SPEECH = GeminiSpeech()
