"""Google's errors: a status in words, and details that say which quota and how long to wait. No header says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from rateguard.engine.providers.sim.answers import BAD_GATEWAY
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.voices.asked import Asked, Refusal, Wrong
from rateguard.engine.providers.sim.voices.gemini.request import SSE

JSON = (b"content-type", b"application/json; charset=UTF-8")
_TYPE = "type.googleapis.com/google.rpc."
_METRIC = "generativelanguage.googleapis.com/generate_content_"
_EXHAUSTED = "RESOURCE_EXHAUSTED"
_SHARED = "Resource exhausted. Please try again later."
_QUOTA = "You exceeded your current quota, please check your plan and billing details."


def error(status: int, word: str, message: str, details: Sequence[Mapping[str, Any]] = ()) -> bytes:
    """An error's body, over several lines."""
    what: dict[str, Any] = {"code": status, "message": message, "status": word}
    if details:
        what["details"] = list(details)
    return orjson.dumps({"error": what}, option=orjson.OPT_INDENT_2)


def seconds(milliseconds: float) -> str:
    """As a protobuf duration writes it.

    >>> seconds(37_000), seconds(5_723), seconds(0)
    ('37s', '5.723s', '0s')
    """
    return f"{round(milliseconds / 1_000, 3):g}s"


def quota(metric: str, quota_id: str, value: int, model: str, retry: str = "") -> bytes:
    """A 429 that names the quota; retry: the delay that it tells, "" for none."""
    name = _METRIC + metric
    violation = {
        "quotaMetric": name,
        "quotaId": quota_id,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(value),
    }
    details: list[dict[str, Any]] = [{"@type": _TYPE + "QuotaFailure", "violations": [violation]}]
    text = f"{_QUOTA}\n* Quota exceeded for metric: {name}, limit: {value}, model: {model}"
    if retry:
        details.append({"@type": _TYPE + "RetryInfo", "retryDelay": retry})
        text += f"\nPlease retry in {retry}."
    return error(429, _EXHAUSTED, text, details)


_INFO = {"@type": _TYPE + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
_BAD_KEY = (400, error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [_INFO]))
_BAD_TOKEN = (401, error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token."))
_PLAIN: Mapping[FaultKind, tuple[int, str, str]] = {
    FaultKind.SHARED_CAPACITY: (429, _EXHAUSTED, _SHARED),
    FaultKind.SPEND_CAP: (429, _EXHAUSTED, "Your project has exceeded its monthly spending cap."),
    FaultKind.CONTEXT_LENGTH: (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    FaultKind.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred. Please retry."),
    FaultKind.OVERLOADED: (503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    FaultKind.TIMEOUT: (504, "DEADLINE_EXCEEDED", "The request timed out. Please try again."),
}
_QUOTAS: Mapping[FaultKind, tuple[str, str, int]] = {
    FaultKind.RATE_LIMITED: ("paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel", 500),
    FaultKind.SLOW_DOWN: ("paid_tier_input_token_count", "GenerateContentInputTokensPerMinutePerProjectPerModel", 10_000),
    FaultKind.DAILY_QUOTA: ("paid_tier_requests", "GenerateRequestsPerDayPerProjectPerModel", 1_500),
    FaultKind.INSUFFICIENT_QUOTA: ("free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", 0),
}


def wrong(what: Wrong, detail: str, *, on_vertex: bool) -> Refusal:
    """A request that makes no sense."""
    if what is Wrong.KEY:
        status, body = _BAD_TOKEN if on_vertex else _BAD_KEY
        return status, [JSON], body
    if what in {Wrong.ADDRESS, Wrong.MODEL}:
        return 404, [JSON], error(404, "NOT_FOUND", f"{detail} is not found for API version v1.")
    return 400, [JSON], error(400, "INVALID_ARGUMENT", detail or "Invalid JSON payload received.")


def fault_refusal(fault: Fault, asked: Asked, *, on_vertex: bool) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind is FaultKind.HTML:
        return BAD_GATEWAY
    if fault.kind is FaultKind.CONTENT_FILTER:
        body = orjson.dumps({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": asked.model})
        return 200, [JSON], _framed(body, asked)
    if fault.kind is FaultKind.ERROR_IN_200:
        return 200, [JSON], _as_array(error(500, "INTERNAL", "An internal error has occurred."), asked)
    found = _refused(fault, asked.model, on_vertex=on_vertex)
    return (found[0], [JSON], _as_array(found[1], asked)) if found else None


def _refused(fault: Fault, model: str, *, on_vertex: bool) -> tuple[int, bytes] | None:
    if fault.kind is FaultKind.UNAUTHORIZED:
        return _BAD_TOKEN if on_vertex else _BAD_KEY
    if fault.kind in {FaultKind.RATE_LIMITED, FaultKind.SLOW_DOWN} and on_vertex:
        return 429, error(429, _EXHAUSTED, _SHARED)
    if fault.kind in _QUOTAS:
        return 429, quota(*_QUOTAS[fault.kind], model, "" if fault.kind is FaultKind.INSUFFICIENT_QUOTA else _delay(fault))
    plain = _PLAIN.get(fault.kind)
    return (plain[0], error(*plain)) if plain else None


def _delay(fault: Fault) -> str:
    """Google has one form for it: every other form that a fault may choose is that one."""
    if fault.retry_after is RetryAfterForm.NONE:
        return ""
    return "0s" if fault.retry_after is RetryAfterForm.ZERO else seconds(fault.wait_ms)


def _framed(body: bytes, asked: Asked) -> bytes:
    """An answer, as the address would stream it."""
    if asked.is_streamed and asked.place.form == SSE:
        return b"data: " + body + b"\r\n\r\n"
    return _as_array(body, asked)


def _as_array(body: bytes, asked: Asked) -> bytes:
    """An address that streams an array sends an error as one, too."""
    return b"[" + body + b"]" if asked.is_streamed and asked.place.form != SSE else body


def broken(kind: FaultKind, asked: Asked) -> bytes:
    """What a broken stream ends with: the error's object over several lines without `data:`, or half an answer."""
    comma = b"" if asked.place.form == SSE else b",\r\n"
    if kind is FaultKind.STREAM_ERROR:
        text = error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
        return comma + text + (b"\n" if asked.place.form == SSE else b"]")
    if kind is FaultKind.MALFORMED:
        return (b"data: " if asked.place.form == SSE else comma) + b'{"candidates":[{"content":{"par\r\n\r\n'
    return b""
