"""How long a provider asks us to wait, from whichever of its headers or words says so.

Order (first that yields a positive wait): `retry-after-ms`, `retry-after` as seconds, `retry-after` as an HTTP date, the delay named in the
body ("Please try again in 5.289s"), the reset of the rate-limit axis with the least left.
"""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping

MAX_WAIT_MS = 3_600_000
"""A longer wait than an hour is taken as an hour: the next answer tells more."""

_DELAY_IN_BODY = re.compile(r"(?:try again|retry) in ((?:\d+(?:\.\d+)?(?:h|ms|m|s))+)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNIT_MS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_AXES = ("requests", "tokens", "project-tokens")


def retry_after_ms(headers: Mapping[str, str], message: str = "", now_s: float | None = None) -> int | None:
    """The wait in milliseconds, rounded up, at most an hour; None where the provider names none.

    `headers` must find names regardless of case (aiohttp's do). `message` is the error's text. `now_s` is the wall clock, against which an
    HTTP date is read where the answer has no `date` header of its own.
    """
    wait = (
        _milliseconds(headers.get("retry-after-ms"))
        or _seconds_or_date(headers, now_s)
        or _delay_in_body(message)
        or _reset_of_fullest_axis(headers)
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
    seconds = _number(text)
    return None if seconds is None else seconds * 1_000


def _number(text: str | None) -> float | None:
    """A finite number, also with thousands' commas; None where it is not one."""
    try:
        value = float((text or "").replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _milliseconds(text: str | None) -> float | None:
    value = _number(text)
    return value if value and value > 0 else None


def _seconds_or_date(headers: Mapping[str, str], now_s: float | None) -> float | None:
    text = headers.get("retry-after")
    if text is None:
        return None
    seconds = _number(text)
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
    return parse_duration_ms(found.group(1)) if found else None


def _reset_of_fullest_axis(headers: Mapping[str, str]) -> float | None:
    """The reset of the axis with the smallest share of its limit left; -1 and nonsense are ignored."""
    waits: list[tuple[float, float]] = []
    for axis in _AXES:
        limit = _number(headers.get(f"x-ratelimit-limit-{axis}"))
        left = _number(headers.get(f"x-ratelimit-remaining-{axis}"))
        reset = parse_duration_ms(headers.get(f"x-ratelimit-reset-{axis}", ""))
        if left is not None and left >= 0 and reset is not None and reset > 0:
            waits.append((left / limit if limit and limit > 0 else left, reset))
    return min(waits)[1] if waits else None
