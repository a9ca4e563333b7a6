"""Time in pieces of a zone: the local hours, days and months over rollups of 15 minutes.

Days have 23, 24 or 25 hours where clocks change. Where the clock is put back, an hour that is shown twice is two hours.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from django.db.models import DateField
from django.db.models.functions import TruncDate, TruncHour, TruncMonth

from tenants.models import BudgetPeriod
from tenants.models.usage import QUARTER_S
from tenants.periods import period_starts
from tenants.usage.question import Per, Period

HOUR = dt.timedelta(hours=1)
QUARTER = dt.timedelta(seconds=QUARTER_S)
_PERIODS = {Per.DAY: BudgetPeriod.DAY, Per.MONTH: BudgetPeriod.MONTH}


@dataclasses.dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a span in which hours begin at the same minute. minutes: how far they are shifted against those of UTC."""

    span: Period
    minutes: dt.timedelta = dt.timedelta()
    is_first: bool = True


def stretches(per: Per, zone: ZoneInfo, span: Period) -> Iterator[Stretch]:
    """The parts of a span, which are one but for hours of a zone that moves its clocks by a part of an hour (Lord Howe Island)."""
    if per != Per.HOUR:
        yield Stretch(span)
        return
    begun, minutes = span.start, _minutes_at(span.start, zone)
    moment = span.start
    while (moment := moment + QUARTER) < span.end:
        if (now := _minutes_at(moment, zone)) != minutes:
            yield Stretch(Period(begun, moment), minutes, begun == span.start)
            begun, minutes = moment, now
    yield Stretch(Period(begun, span.end), minutes, begun == span.start)


def _minutes_at(moment: dt.datetime, zone: ZoneInfo) -> dt.timedelta:
    return (moment.astimezone(zone).utcoffset() or dt.timedelta()) % HOUR


def piece_of(field: str, per: Per, zone: ZoneInfo, stretch: Stretch) -> TruncHour | TruncDate | TruncMonth | None:
    """What the rows are grouped by; None for the whole span."""
    match per:
        case Per.HOUR:
            return TruncHour(field, tzinfo=dt.timezone(stretch.minutes))
        case Per.DAY:
            return TruncDate(field, tzinfo=zone)
        case Per.MONTH:
            return TruncMonth(field, tzinfo=zone, output_field=DateField())
        case Per.TOTAL:
            return None


def period_of(found: dt.datetime | dt.date | None, per: Per, zone: ZoneInfo, stretch: Stretch) -> Period:
    """The period that a database's answer means, in the zone's time."""
    if found is None:
        return _in(zone, stretch.span.start, stretch.span.end)
    if isinstance(found, dt.datetime):
        start, end = found.astimezone(dt.UTC), found.astimezone(dt.UTC) + HOUR
        if not stretch.is_first:  # the clock leapt within this hour: it begins at the leap
            start = max(start, stretch.span.start)
        return _in(zone, start, end)
    noon = dt.datetime.combine(found, dt.time(12), zone).astimezone(dt.UTC)
    start, end = period_starts(_PERIODS[per], zone, noon, 2)
    return _in(zone, start, end)


def _in(zone: ZoneInfo, start: dt.datetime, end: dt.datetime) -> Period:
    return Period(start.astimezone(zone), end.astimezone(zone))
