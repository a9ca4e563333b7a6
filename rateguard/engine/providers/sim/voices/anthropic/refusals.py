"""Anthropic's errors: {"type": "error", "error": {"type", "message", "details"?}, "request_id"}."""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Mapping

import orjson

from rateguard.engine.providers.sim.answers import BAD_GATEWAY, JSON, event, waits
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm
from rateguard.engine.providers.sim.voices.asked import Refusal, Wrong


def error(kind: str, message: str, request_id: str, code: str = "") -> bytes:
    """An error's body."""
    what: dict[str, object] = {"type": kind, "message": message}
    if code:
        what["details"] = {"error_code": code}
    return orjson.dumps({"type": "error", "error": what, "request_id": request_id})


def rfc3339(epoch_ms: float) -> bytes:
    """A moment, rounded up to the second."""
    return dt.datetime.fromtimestamp(math.ceil(epoch_ms / 1_000), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


_INVALID = "invalid_request_error"
_LIMIT = "rate_limit_error"
_CAP = "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."
_WRONG: Mapping[Wrong, tuple[int, str, str]] = {
    Wrong.KEY: (401, "authentication_error", "invalid x-api-key"),
    Wrong.ADDRESS: (404, "not_found_error", "Not found: {}"),
    Wrong.MODEL: (404, "not_found_error", "model: {}"),
}
_FAULTS: Mapping[FaultKind, tuple[int, str, str, str]] = {
    FaultKind.INSUFFICIENT_QUOTA: (400, _INVALID, _CAP, ""),  # a spend cap in a 400: only its message tells
    FaultKind.SPEND_CAP: (429, _LIMIT, "Your organization has reached its spend limit.", "enforced_spend_limit_reached"),
    FaultKind.CONTEXT_LENGTH: (400, _INVALID, "prompt is too long: 250000 tokens > 200000 maximum", ""),
    FaultKind.CONTENT_FILTER: (400, _INVALID, "Output blocked by content filtering policy", ""),
    FaultKind.SERVER_ERROR: (500, "api_error", "Internal server error", ""),
    FaultKind.OVERLOADED: (529, "overloaded_error", "Overloaded", ""),
    FaultKind.ERROR_IN_200: (200, "api_error", "Internal server error", ""),
    FaultKind.UNAUTHORIZED: (401, "authentication_error", "invalid x-api-key", ""),
    FaultKind.TIMEOUT: (504, "timeout_error", "Request timed out", ""),
}


def invalid(message: str, request_id: str) -> Refusal:
    """A request that makes no sense."""
    return 400, [JSON], error(_INVALID, message, request_id)


def wrong(what: Wrong, detail: str, request_id: str) -> Refusal:
    """Likewise, by a name."""
    if what not in _WRONG:
        return invalid(detail or "The request is not valid", request_id)
    status, kind, text = _WRONG[what]
    return status, [JSON], error(kind, text.format(detail), request_id)


def fault_refusal(fault: Fault, request_id: str) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind in {FaultKind.RATE_LIMITED, FaultKind.SLOW_DOWN}:
        return _rate_limited(fault, request_id)
    if fault.kind is FaultKind.HTML:
        return BAD_GATEWAY
    if fault.kind not in _FAULTS:
        return None
    status, kind, text, code = _FAULTS[fault.kind]
    return status, [JSON], error(kind, text, request_id, code)


def _rate_limited(fault: Fault, request_id: str) -> Refusal:
    is_ramp = fault.kind is FaultKind.SLOW_DOWN
    text = "This request would exceed your organization's rate limit of 50 requests per minute."
    if is_ramp:
        text = "This request would exceed your organization's acceleration limit: raise your traffic more slowly."
    elif fault.retry_after is RetryAfterForm.BODY:
        text += f" Please try again in {fault.wait_ms / 1_000:g}s."
    reset = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-requests-reset", rfc3339(time.time() * 1_000 + fault.wait_ms)),
    ]
    return 429, [JSON, *waits(fault, reset)], error(_LIMIT, text, request_id, "ramp_limit_exceeded" if is_ramp else "")


def broken(kind: FaultKind, request_id: str) -> bytes:
    """What a broken stream ends with: an event of an error, or half of one."""
    if kind is FaultKind.STREAM_ERROR:
        return event(error("overloaded_error", "Overloaded", request_id), "error")
    if kind is FaultKind.MALFORMED:
        return event(b'{"type":"content_block_delta","index":0,"del', "content_block_delta")
    return b""
