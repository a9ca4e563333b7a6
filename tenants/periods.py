"""When the days, weeks and months of a budget begin, in the tenant's time zone.

A period begins with the first moment of its first local day. Days have 23, 24 or 25 hours where clocks change, a midnight that the clock
leaps over begins at the leap, and a day that a country left out (Samoa, 30 December 2011) is no period at all.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from tenants.models.budgets import BudgetPeriod


def period_starts(period: BudgetPeriod, zone: ZoneInfo, now: dt.datetime, count: int) -> tuple[dt.datetime, ...]:
    """The start of the period that holds `now` and those of the next count − 1, in UTC, rising; none of a total.

    Weeks begin on Monday. `now` is aware.

    >>> starts = period_starts(BudgetPeriod.DAY, ZoneInfo("Europe/Berlin"), dt.datetime(2026, 10, 24, 22, 30, tzinfo=dt.UTC), 2)
    >>> [start.isoformat() for start in starts]  # the night in which summer time ends
    ['2026-10-24T22:00:00+00:00', '2026-10-25T23:00:00+00:00']
    """
    if period == BudgetPeriod.TOTAL:
        return ()
    starts = (start_of(date, zone) for date in _first_days(period, now.astimezone(zone).date()))
    rising = (start for start, _ in itertools.groupby(starts))
    current, following = next(rising), next(rising)
    while following <= now:  # a clock that was put back over midnight shows the old date once more
        current, following = following, next(rising)
    return (current, following, *itertools.islice(rising, max(0, count - 2)))[:count]


def _first_days(period: BudgetPeriod, date: dt.date) -> Iterator[dt.date]:
    """The first days of the period around a date and of those after it."""
    match period:
        case BudgetPeriod.DAY:
            yield from (date + dt.timedelta(days=number) for number in itertools.count())
        case BudgetPeriod.WEEK:
            monday = date - dt.timedelta(days=date.weekday())
            yield from (monday + dt.timedelta(weeks=number) for number in itertools.count())
        case BudgetPeriod.MONTH:
            months = itertools.count(date.year * 12 + date.month - 1)
            yield from (dt.date(month // 12, month % 12 + 1, 1) for month in months)


def start_of(date: dt.date, zone: ZoneInfo) -> dt.datetime:
    """The first moment of a local day, or, of a day that was left out, of the next one."""
    midnight = dt.datetime.combine(date, dt.time(), zone)
    start = midnight.astimezone(dt.UTC)
    if start.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return start
    # Nobody's clock showed this midnight: it lies in a leap, which is between its readings by the offsets after and before.
    before, after = midnight.replace(fold=1).astimezone(dt.UTC), start
    while after - before > dt.timedelta(seconds=1):
        middle = before + (after - before) // 2
        before, after = (before, middle) if middle.astimezone(zone).date() >= date else (middle, after)
    return after.replace(microsecond=0)
