"""OpenAI's errors: all four keys of `error` are always there."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from rateguard.engine.providers.sim.answers import BAD_GATEWAY, JSON, event, go_duration, waits
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.voices.asked import Refusal, Wrong


def error(message: str, kind: str, code: str | None, param: str | None = None) -> bytes:
    """An error's body."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


_INVALID = "invalid_request_error"
_WRONG: Mapping[Wrong, tuple[int, str, str | None]] = {
    Wrong.KEY: (401, "Incorrect API key provided.", "invalid_api_key"),
    Wrong.ADDRESS: (404, "Invalid URL ({})", None),
    Wrong.BODY: (400, "We could not parse the JSON body of your request.", None),
    Wrong.MAX_TOKENS: (400, "max_tokens must be at least 1.", "integer_below_min_value"),
    Wrong.MODEL: (404, "The model `{}` does not exist or you do not have access to it.", "model_not_found"),
    Wrong.VERSION: (400, "{}", None),
    Wrong.PREVIOUS: (400, "Previous response with id '{}' not found.", "previous_response_not_found"),
}
_PLAIN: Mapping[FaultKind, tuple[int, bytes]] = {
    FaultKind.SLOW_DOWN: (429, error("Please slow down: your traffic grew too fast.", "rate_limit_error", "slow_down")),
    FaultKind.INSUFFICIENT_QUOTA: (
        429,
        error("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"),
    ),
    FaultKind.CONTEXT_LENGTH: (
        400,
        error(
            "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
            _INVALID,
            "context_length_exceeded",
            "messages",
        ),
    ),
    FaultKind.CONTENT_FILTER: (400, error("The prompt was filtered by our content policy.", _INVALID, "content_filter")),
    FaultKind.SERVER_ERROR: (500, error("The server had an error while processing your request.", "server_error", None)),
    FaultKind.OVERLOADED: (503, error("The engine is currently overloaded.", "service_unavailable_error", "server_is_overloaded")),
    FaultKind.ERROR_IN_200: (200, error("The provider returned an error.", "server_error", "server_error")),
    FaultKind.SPEND_CAP: (
        429,
        error("The organization's spend limit has been reached.", "insufficient_quota", "organization_spend_limit_exceeded"),
    ),
    FaultKind.UNAUTHORIZED: (401, error("Incorrect API key provided.", _INVALID, "invalid_api_key")),
    FaultKind.TIMEOUT: (504, error("The request timed out.", "server_error", None)),
}

BREAKS: Mapping[FaultKind, bytes] = {
    FaultKind.MALFORMED: event(b'{"id":"chatcmpl-1","choices":[{"index":0,"del'),
    FaultKind.STREAM_ERROR: event(error("The server had an error while streaming.", "server_error", "server_error")),
}
"""What a stream ends with where a fault breaks it, before its connection ends."""


def wrong(what: Wrong, detail: str) -> Refusal:
    """A request that makes no sense."""
    status, text, code = _WRONG[what]
    return status, [JSON], error(text.format(detail), _INVALID, code)


def fault_refusal(fault: Fault, model: str) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind in {FaultKind.RATE_LIMITED, FaultKind.DAILY_QUOTA}:
        return _rate_limited(fault, model)
    if fault.kind is FaultKind.HTML:
        return BAD_GATEWAY
    plain = _PLAIN.get(fault.kind)
    return (plain[0], [JSON], plain[1]) if plain else None


def _rate_limited(fault: Fault, model: str) -> Refusal:
    is_daily = fault.kind is FaultKind.DAILY_QUOTA
    what = "requests per day (RPD)" if is_daily else "requests per min (RPM)"
    text = f"Rate limit reached for {model} in organization org-sim on {what}: Limit 500, Used 500, Requested 1."
    if fault.retry_after is RetryAfterForm.BODY:
        text += f" Please try again in {go_duration(fault.wait_ms)}."
    reset = [
        (b"x-ratelimit-limit-requests", b"500"),
        (b"x-ratelimit-remaining-requests", b"0"),
        (b"x-ratelimit-reset-requests", go_duration(fault.wait_ms).encode()),
    ]
    return 429, [JSON, *waits(fault, reset)], error(text, "requests", "rate_limit_exceeded")
