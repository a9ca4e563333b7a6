"""The spans of time that a tenant's page shows, in a zone, each with the span before it to compare with."""

from __future__ import annotations

import dataclasses
import datetime as dt
from zoneinfo import ZoneInfo

from tenants.periods import start_of
from tenants.usage.past import quarter_of
from tenants.usage.question import Per, Period

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """A span that people choose. back: pieces before the current one."""

    name: str
    words: str
    per: Per
    back: int


CHOICES = {
    choice.name: choice
    for choice in (
        Choice("24h", "24 hours", Per.HOUR, 23),
        Choice("7d", "7 days", Per.DAY, 6),
        Choice("30d", "30 days", Per.DAY, 29),
        Choice("12m", "12 months", Per.MONTH, 11),
    )
}
DEFAULT = "24h"


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A span that was chosen: its pieces begin with a whole hour, day or month of the zone, and the last one goes on now.

    before: as long a span before it, up to the same moment of its last piece.
    """

    choice: Choice
    per: Per
    zone: ZoneInfo
    period: Period
    before: Period


def chosen(name: str, zone: ZoneInfo, now: dt.datetime, *, is_by_day: bool = False) -> Span:
    """The span of that name. is_by_day: in whole days, where hours are not kept: 24 hours become today and yesterday."""
    choice = CHOICES[name]
    if choice.per == Per.HOUR and not is_by_day:
        begin = _hour_of(now, zone) - choice.back * HOUR
        length = (choice.back + 1) * HOUR
        before = Period(begin - length, quarter_of(now) - length)
        return Span(choice, Per.HOUR, zone, Period(begin, now), before)
    per, back = (Per.DAY, 1) if choice.per == Per.HOUR else (choice.per, choice.back)
    today = now.astimezone(zone).date()
    first, earlier = (_shifted(today, per, -pieces) for pieces in (back, 2 * back + 1))
    same_moment = dt.datetime.combine(_shifted(today, per, -back - 1, keep_day=True), now.astimezone(zone).time(), zone)
    end = min(quarter_of(same_moment), start_of(first, zone))
    return Span(choice, per, zone, Period(start_of(first, zone), now), Period(start_of(earlier, zone), max(end, start_of(earlier, zone))))


def _hour_of(now: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    """The start of the hour that the zone's clock shows, in UTC."""
    shift = (now.astimezone(zone).utcoffset() or dt.timedelta()) % HOUR
    return (now.astimezone(dt.UTC) + shift).replace(minute=0, second=0, microsecond=0) - shift


def _shifted(date: dt.date, per: Per, by: int, *, keep_day: bool = False) -> dt.date:
    """A day some days or months away: of a month the first one, or with keep_day the same day, or the month's last."""
    if per == Per.DAY:
        return date + by * DAY
    month = date.year * 12 + date.month - 1 + by
    first = dt.date(month // 12, month % 12 + 1, 1)
    if not keep_day:
        return first
    last = dt.date((month + 1) // 12, (month + 1) % 12 + 1, 1) - DAY
    return min(first + (date.day - 1) * DAY, last)
