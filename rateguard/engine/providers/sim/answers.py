"""What the bytes of several dialects have in common: headers of content, server-sent events, vectors, durations."""

from __future__ import annotations

import array
import base64
import email.utils
import math
import time
from collections.abc import Sequence

from rateguard.engine.providers.sim.faults import Fault, RetryAfterForm
from rateguard.engine.providers.sim.voices.asked import Headers, Refusal

JSON = (b"content-type", b"application/json")
HTML = (b"content-type", b"text/html")
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")
COMMENT = b": keep-alive\n\n"
BLANK_LINES_BYTES = b"\n\n\n"
NO_CACHE = (b"cache-control", b"no-cache")

BAD_GATEWAY: Refusal = (502, [HTML], b"<html><body><h1>502 Bad Gateway</h1></body></html>")
"""What a proxy in front of any provider says."""


def event(data: bytes, name: str = "") -> bytes:
    """One server-sent event."""
    if name:
        return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"


def packed(vector: Sequence[float]) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(array.array("f", vector).tobytes()).decode()


def whole_seconds(milliseconds: float) -> bytes:
    """For a header: rounded up, at least 1."""
    return str(max(1, math.ceil(milliseconds / 1_000))).encode()


def go_duration(milliseconds: float) -> str:
    """As OpenAI's reset headers write it.

    >>> go_duration(120), go_duration(59_996), go_duration(360_000), go_duration(3_723_000)
    ('120ms', '59.996s', '6m0s', '1h2m3s')
    """
    whole = max(0, math.ceil(milliseconds))
    if whole < 1_000:
        return f"{whole}ms"
    minutes, rest = divmod(whole, 60_000)
    seconds = f"{rest / 1_000:g}s"
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{seconds}"


def waits(fault: Fault, reset: Headers) -> Headers:
    """The headers that name a fault's wait, in the form that it chose; reset: those of the dialect's own limit headers."""
    seconds = fault.wait_ms / 1_000
    forms: dict[RetryAfterForm, Headers] = {
        RetryAfterForm.SECONDS: [(b"retry-after", str(math.ceil(seconds)).encode())],
        RetryAfterForm.FLOAT: [(b"retry-after", f"{seconds:.3f}".encode())],
        RetryAfterForm.HTTP_DATE: [(b"retry-after", email.utils.formatdate(math.ceil(time.time() + seconds), usegmt=True).encode())],
        RetryAfterForm.MILLISECONDS: [(b"retry-after-ms", str(fault.wait_ms).encode())],
        RetryAfterForm.ZERO: [(b"retry-after", b"0"), (b"retry-after-ms", b"0")],
        RetryAfterForm.RESET: reset,
    }
    return forms.get(fault.retry_after, [])
