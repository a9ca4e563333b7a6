"""A question about usage and one line of its answer, as values."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping
from zoneinfo import ZoneInfo

Group = tuple[str | int, ...]
"""The values of a line's dimensions, in the order in which they were asked for."""


class Per(enum.StrEnum):
    """How time is divided."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


LONGEST = {
    Per.HOUR: dt.timedelta(days=31),
    Per.DAY: dt.timedelta(days=366),
    Per.MONTH: dt.timedelta(days=1_100),
    Per.TOTAL: dt.timedelta(days=1_100),
}
"""The longest span that may be asked for."""


@dataclasses.dataclass(frozen=True, slots=True)
class Period:
    """One piece of time; both ends aware, the end is not in it."""

    start: dt.datetime
    end: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where an answer was left off: the last line's period and group."""

    period: Period
    group: Group


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What is asked. The lines are ordered by period, then by group.

    tenant_id: whose usage, None for everybody's. dimensions: what is told apart. filters: what must hold, by dimension.
    span: what begins in it counts. after: where the page before ended.
    """

    tenant_id: int | None
    dimensions: tuple[str, ...]
    per: Per
    zone: ZoneInfo
    span: Period
    filters: Mapping[str, str | int]
    limit: int
    after: Place | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Percentiles:
    """Of a time in milliseconds, within 4.6 %; None where nothing was measured."""

    p50: int | None
    p90: int | None
    p95: int | None
    p99: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What was used in a period by a group. None: not kept for this dimension. Tokens and money hold the corrections of the period."""

    period: Period
    group: Group
    jobs: int
    input_tokens: int
    output_tokens: int
    nano_usd: int
    succeeded: int | None = None
    failed: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    latency: Percentiles | None = None
    wait: Percentiles | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """A page of lines. is_last: nothing follows."""

    lines: tuple[Line, ...]
    is_last: bool
