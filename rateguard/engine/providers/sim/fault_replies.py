"""The answers of those faults that refuse a request: (status, headers, body)."""

from __future__ import annotations

import email.utils
import math
import time

from rateguard.engine.providers.sim.answers import HTML, JSON, Headers, error, go_duration
from rateguard.engine.providers.sim.faults import Fault, FaultKind, RetryAfterForm

Refusal = tuple[int, Headers, bytes]

_PLAIN: dict[FaultKind, tuple[int, bytes]] = {
    FaultKind.SLOW_DOWN: (429, error("Please slow down: your traffic grew too fast.", "rate_limit_error", "slow_down")),
    FaultKind.INSUFFICIENT_QUOTA: (
        429,
        error("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota", "insufficient_quota"),
    ),
    FaultKind.CONTEXT_LENGTH: (
        400,
        error(
            "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
            "invalid_request_error",
            "context_length_exceeded",
            "messages",
        ),
    ),
    FaultKind.CONTENT_FILTER: (400, error("The prompt was filtered by our content policy.", "invalid_request_error", "content_filter")),
    FaultKind.SERVER_ERROR: (500, error("The server had an error while processing your request.", "server_error", None)),
    FaultKind.OVERLOADED: (503, error("The engine is currently overloaded.", "service_unavailable_error", "server_is_overloaded")),
    FaultKind.ERROR_IN_200: (200, error("The provider returned an error.", "server_error", "server_error")),
}


def refusal(fault: Fault, model: str) -> Refusal | None:
    """What this fault answers instead of working; None for a fault that lets the request in."""
    if fault.kind is FaultKind.RATE_LIMITED:
        return _rate_limited(fault, model)
    if fault.kind is FaultKind.HTML:
        return 502, [HTML], b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    plain = _PLAIN.get(fault.kind)
    if plain is None:
        return None
    status, body = plain
    return status, [JSON], body


def _rate_limited(fault: Fault, model: str) -> Refusal:
    text = f"Rate limit reached for {model} in organization org-sim on requests per min (RPM): Limit 500, Used 500, Requested 1."
    if fault.retry_after is RetryAfterForm.BODY:
        text += f" Please try again in {go_duration(fault.wait_ms)}."
    return 429, [JSON, *_waits(fault)], error(text, "requests", "rate_limit_exceeded")


def _waits(fault: Fault) -> Headers:
    """The headers that name the wait, in the form that the fault chose."""
    seconds = fault.wait_ms / 1_000
    forms: dict[RetryAfterForm, Headers] = {
        RetryAfterForm.SECONDS: [(b"retry-after", str(math.ceil(seconds)).encode())],
        RetryAfterForm.FLOAT: [(b"retry-after", f"{seconds:.3f}".encode())],
        RetryAfterForm.HTTP_DATE: [(b"retry-after", email.utils.formatdate(math.ceil(time.time() + seconds), usegmt=True).encode())],
        RetryAfterForm.MILLISECONDS: [(b"retry-after-ms", str(fault.wait_ms).encode())],
        RetryAfterForm.ZERO: [(b"retry-after", b"0"), (b"retry-after-ms", b"0")],
        RetryAfterForm.RESET: [
            (b"x-ratelimit-limit-requests", b"500"),
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", go_duration(fault.wait_ms).encode()),
        ],
    }
    return forms.get(fault.retry_after, [])
