"""How long a provider asks us to wait, from whichever of its headers or words says so.

Order (first that yields a positive wait): `retry-after-ms`, `retry-after` as seconds, `retry-after` as an HTTP date, the delay named in the
body ("Please try again in 5.289s", "Please retry after 12 seconds"), the reset of the rate-limit axis with the least left. A zero is never
trusted: Azure sends `retry-after: 1` beside `retry-after-ms: 0`.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
import time
from collections.abc import Mapping

MAX_WAIT_MS = 3_600_000
"""A longer wait than an hour is taken as an hour: the next answer tells more."""

_DELAY_IN_BODY = re.compile(
    r"(?:try again|retry) (?:in|after) (?:((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)\b|(\d+(?:\.\d+)?) seconds?)", re.IGNORECASE
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNIT_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_Axis = tuple[str, str, str]
_AXES: tuple[_Axis, ...] = (
    *(
        (f"x-ratelimit-limit-{axis}", f"x-ratelimit-remaining-{axis}", f"x-ratelimit-reset-{axis}")
        for axis in ("requests", "tokens", "project-tokens")
    ),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),  # OpenRouter, Together
    *(
        (f"anthropic-ratelimit-{axis}-limit", f"anthropic-ratelimit-{axis}-remaining", f"anthropic-ratelimit-{axis}-reset")
        for axis in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)
"""The headers of an axis: its limit, what is left, when it is full again."""
_EPOCH_MS, _EPOCH_S = 1e11, 1e9
"""A reset from here on is no number of seconds but a moment: milliseconds or seconds since the epoch."""


def retry_after_ms(headers: Mapping[str, str], message: str = "", now_s: float | None = None, *, of_limit: bool = True) -> int | None:
    """The wait in milliseconds, rounded up, at most an hour; None where the provider names none.

    `headers` must find names regardless of case (aiohttp's do). `message` is the error's text. `now_s` is the wall clock, against which an
    HTTP date is read where the answer has no `date` header of its own. of_limit: a limit was in the way; an overload has nothing to do with
    the limits that are told beside it.
    """
    wait = (
        _milliseconds(headers.get("retry-after-ms"))
        or _seconds_or_date(headers, now_s)
        or _delay_in_body(message)
        or (_reset_of_fullest_axis(headers, now_s) if of_limit else None)
    )
    return min(math.ceil(wait), MAX_WAIT_MS) if wait else None


def parse_duration_ms(text: str) -> float | None:
    """A Go duration (`6m0s`, `120ms`, `1h2m3s`, `59.996s`) or plain seconds, in milliseconds; None where it is neither.

    >>> parse_duration_ms("1m0.5s"), parse_duration_ms("12"), parse_duration_ms("soon")
    (60500.0, 12000.0, None)
    """
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNIT_MS[unit] for number, unit in parts)
    seconds = number(text)
    return None if seconds is None else seconds * 1_000


def wait_until_ms(text: str, now_s: float) -> float | None:
    """How long it is to a reset, in milliseconds: a Go duration, seconds, a moment since the epoch, or a date (RFC 3339).

    A moment that has passed is 0; None where it is nothing of these.

    >>> wait_until_ms("59.5s", 0), wait_until_ms("1790000003000", 1_790_000_000), wait_until_ms("2026-09-21T14:13:23Z", 1_790_000_000)
    (59500.0, 3000.0, 3000.0)
    """
    if not text:
        return None
    wait = parse_duration_ms(text)
    if wait is None:
        moment = _moment_s(text)
        return None if moment is None else max(0.0, moment - now_s) * 1_000
    if wait >= _EPOCH_S * 1_000:
        moment_s = wait / 1_000
        return max(0.0, (moment_s / 1_000 if moment_s >= _EPOCH_MS else moment_s) - now_s) * 1_000
    return wait


def _moment_s(text: str) -> float | None:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=dt.UTC).timestamp()


def number(text: str | None) -> float | None:
    """A finite number, also with thousands' commas; None where it is not one."""
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _milliseconds(text: str | None) -> float | None:
    value = number(text)
    return value if value and value > 0 else None


def _seconds_or_date(headers: Mapping[str, str], now_s: float | None) -> float | None:
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = number(text)
    if seconds is not None:
        return seconds * 1_000 if seconds > 0 else None
    until = _date_s(text)
    if until is None:
        return None
    sent = _date_s(headers.get("date"))
    now = sent if sent is not None else (time.time() if now_s is None else now_s)
    return max(0.0, until - now) * 1_000


def _date_s(text: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() if text else None
    except ValueError:
        return None


def _delay_in_body(message: str) -> float | None:
    found = _DELAY_IN_BODY.search(message)
    return parse_duration_ms(found.group(1) or found.group(2)) if found else None


def _reset_of_fullest_axis(headers: Mapping[str, str], now_s: float | None) -> float | None:
    """The reset of the axis with the smallest share of its limit left; -1 and nonsense are ignored."""
    waits: list[tuple[float, float]] = []
    now = time.time() if now_s is None else now_s
    for limit_name, left_name, reset_name in _AXES:
        left = number(headers.get(left_name))
        reset = wait_until_ms(headers.get(reset_name, ""), now)
        if left is not None and left >= 0 and reset is not None and reset > 0:
            limit = number(headers.get(limit_name))
            waits.append((left / limit if limit and limit > 0 else left, reset))
    return min(waits)[1] if waits else None
