"""`anthropic-ratelimit-…` → readings.

Each of requests, input tokens and output tokens is a bucket a minute for a class of models. `tokens` shows the most restrictive limit in
force: the workspace's, else input and output together. What is left of tokens is rounded to thousands. `reset` is the moment (RFC 3339) at
which the bucket is full again; it may lie in the past. In fast mode `anthropic-fast-…` hold instead (their exact names are not verified).
Source: Anthropic's page on rate limits, recorded replies.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import functools
from collections.abc import Mapping

from rateguard.engine.readings import Axis, Reading

WINDOW_MS = 60_000
_AXES = (
    (Axis.REQUESTS, "requests"),
    (Axis.TOKENS, "tokens"),
    (Axis.INPUT_TOKENS, "input-tokens"),
    (Axis.OUTPUT_TOKENS, "output-tokens"),
)
_FAST = "anthropic-fast-"
_STANDARD = "anthropic-ratelimit-"


def readings(headers: Mapping[str, str]) -> tuple[Reading, ...]:
    """What an answer says of the limits. Times are told from the answer's own date; without one no reset is."""
    found = (_reading(headers, axis, name) for axis, name in _AXES)
    return tuple(reading for reading in found if reading is not None)


def _reading(headers: Mapping[str, str], axis: Axis, name: str) -> Reading | None:
    prefix = _FAST if f"{_FAST}{name}-limit" in headers else _STANDARD
    limit = _number(headers.get(f"{prefix}{name}-limit"))
    remaining = _number(headers.get(f"{prefix}{name}-remaining"))
    if limit is None and remaining is None:
        return None
    return Reading(axis, WINDOW_MS, limit, remaining, _reset_ms(headers.get(f"{prefix}{name}-reset"), headers.get("date")))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _reset_ms(until: str | None, date: str | None) -> int | None:
    now_s = date_s(date) if until and date else None
    if now_s is None or until is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(until)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0, round((moment.timestamp() - now_s) * 1_000))


@functools.lru_cache(maxsize=8)
def date_s(text: str) -> float | None:
    """An answer's date in epoch seconds, None where it is none. The many answers of one second say the same."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None
