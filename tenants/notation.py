"""Limits as people type them.

    600/min                    600 requests in any minute
    280000 tokens/10s          tokens; also `input tokens`, `output tokens`
    50 concurrent              at most 50 at once

Amounts may be grouped (`280_000`, `280,000`) or shortened (`280k`, `1.5M`);
windows are `ms`, `s`, `min`, `h`, `day` with an optional number.
`format_limit` writes the shortest form, and `parse_limit` reads it back to the same value.
"""

from __future__ import annotations

import dataclasses
import re
from decimal import Decimal

from rateguard.engine.errors import InvalidRequest
from tenants.models.limits import MAX_AMOUNT, MAX_WINDOW_MS, MIN_WINDOW_MS, LimitKind, Metric

_UNITS_MS = {"day": 86_400_000, "h": 3_600_000, "min": 60_000, "s": 1_000, "ms": 1}
_OTHER_NAMES = {
    "d": "day",
    "days": "day",
    "hour": "h",
    "hours": "h",
    "m": "min",
    "minute": "min",
    "minutes": "min",
    "sec": "s",
    "second": "s",
    "seconds": "s",
}
_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_AMOUNT = r"(?P<digits>\d[\d_,]*(?:\.\d+)?)(?P<suffix>[kKmMgG]?)"
_WINDOWED = re.compile(rf"{_AMOUNT}\s*(?P<metric>[a-z][a-z_ ]*?)?\s*/\s*(?P<count>\d*)\s*(?P<unit>[a-z]+)")
_CONCURRENT = re.compile(rf"{_AMOUNT}\s*concurrent")
_REMEDY = "write it like 600/min, 280000 tokens/10s or 50 concurrent"


@dataclasses.dataclass(frozen=True, slots=True)
class LimitValue:
    """What a limit says, apart from what it is on. window_ms is 0 for concurrency."""

    amount: int
    metric: Metric
    kind: LimitKind
    window_ms: int


def _wrong(text: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{text!r} is no limit: {reason}; {_REMEDY}", code="bad_limit")


def _amount(text: str, match: re.Match[str]) -> int:
    exact = Decimal(re.sub("[_,]", "", match["digits"])) * _SUFFIXES[match["suffix"].lower()]
    if exact != int(exact) or not 1 <= exact <= MAX_AMOUNT:
        raise _wrong(text, f"the amount must be a whole number from 1 to {MAX_AMOUNT}")
    return int(exact)


def _metric(text: str, match: re.Match[str]) -> Metric:
    name = (match["metric"] or Metric.REQUESTS.value).strip().replace(" ", "_")
    windowed = {metric.value: metric for metric in Metric if metric != Metric.CONCURRENCY}
    if name not in windowed:
        raise _wrong(text, f"{name!r} is not counted, {', '.join(windowed)} are")
    return windowed[name]


def _window_ms(text: str, match: re.Match[str]) -> int:
    unit = _OTHER_NAMES.get(match["unit"], match["unit"])
    if unit not in _UNITS_MS:
        raise _wrong(text, f"{unit!r} is no unit of time, {', '.join(_UNITS_MS)} are")
    window_ms = int(match["count"] or 1) * _UNITS_MS[unit]
    if not MIN_WINDOW_MS <= window_ms <= MAX_WINDOW_MS:
        raise _wrong(text, f"the window must be from {MIN_WINDOW_MS} ms to 31 days")
    return window_ms


def parse_limit(text: str) -> LimitValue:
    """Read a limit. Raises InvalidRequest(code="bad_limit"), which says what is wrong and how to write it."""
    tidy = text.strip()
    if match := _CONCURRENT.fullmatch(tidy):
        return LimitValue(_amount(text, match), Metric.CONCURRENCY, LimitKind.CONCURRENCY, 0)
    if match := _WINDOWED.fullmatch(tidy):
        return LimitValue(_amount(text, match), _metric(text, match), LimitKind.WINDOW, _window_ms(text, match))
    raise _wrong(text, "it cannot be read")


def format_limit(value: LimitValue) -> str:
    """Write a limit in its shortest form.

    >>> format_limit(parse_limit("600 requests / 60 s")), format_limit(parse_limit("280k tokens/10s"))
    ('600/min', '280000 tokens/10s')
    """
    if value.kind == LimitKind.CONCURRENCY:
        return f"{value.amount} concurrent"
    metric = "" if value.metric == Metric.REQUESTS else " " + value.metric.value.replace("_", " ")
    unit = next(unit for unit, unit_ms in _UNITS_MS.items() if value.window_ms % unit_ms == 0)
    count = value.window_ms // _UNITS_MS[unit]
    return f"{value.amount}{metric}/{count if count > 1 else ''}{unit}"
