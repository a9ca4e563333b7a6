"""How a tenant's use went over a span, piece by piece, split by a dimension: the dearest groups apart, all others together."""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import functools
from collections.abc import Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, CharField, F, Q, Value, When

from tenants.models import UsageDay
from tenants.periods import start_of
from tenants.usage.days import first_day
from tenants.usage.past import past, past_until
from tenants.usage.pieces import HOUR, Stretch, piece_of, stretches
from tenants.usage.quarters import COLUMNS
from tenants.usage.question import Per, Period
from tenants.usage.sums import Tallies, grouped, sum_days, sum_quarters, sum_times, together
from tenants.usage.tally import Tally, total

Part = str | int | None
"""A value of the dimension; None: all others."""


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is asked. before: a span to compare with. dimension: "" for none. most: groups that are told apart."""

    tenant_id: int
    per: Per
    zone: ZoneInfo
    span: Period
    before: Period
    dimension: str = ""
    most: int = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Course:
    """The answer. parts: the groups told apart, dearest first. cells: by (number of the piece, part). before: all of the span before."""

    pieces: tuple[Period, ...]
    parts: tuple[Part, ...]
    cells: Mapping[tuple[int, Part], Tally]
    before: Tally = dataclasses.field(default_factory=Tally)

    def by_piece(self) -> tuple[Tally, ...]:
        """All parts of each piece."""
        found = grouped((number, tally) for (number, _), tally in self.cells.items())
        return tuple(found.get(number, Tally()) for number in range(len(self.pieces)))

    def by_part(self) -> Mapping[Part, Tally]:
        """Each part over the whole span, None: the others; in the order of `parts`."""
        found = grouped((part, tally) for (_, part), tally in self.cells.items())
        return {part: found[part] for part in (*self.parts, None) if part in found}

    def total(self) -> Tally:
        """The whole span."""
        return total(self.cells.values())


def read_course(asked: Asked, now: dt.datetime) -> Course:
    """From the quarters: seven statements, without a dimension six; two while the past is known."""
    closed = min(max(past_until(now), asked.span.start), asked.span.end)
    over, live = Period(asked.span.start, closed), Period(closed, asked.span.end)
    latest = _cells(asked, live, None)
    parts: tuple[Part, ...] = ()
    if asked.dimension:
        totals = past(("totals", asked.tenant_id, asked.dimension), over, functools.partial(_totals, asked))
        parts = dearest(together(totals, _summed_by_part(latest)), asked.most)
    key = ("cells", asked.tenant_id, asked.dimension, asked.per, asked.zone.key, parts)
    earlier = past(key, over, lambda span: _cells(asked, span, parts))
    before = past(("before", asked.tenant_id), asked.before, functools.partial(_whole, asked))
    return Course(*_folded(asked, parts, earlier, latest), total(before.values()))


def read_course_of_days(asked: Asked) -> Course:
    """By user or by label, from the rollups of days, which are days of UTC: the zone is UTC. Two statements; nothing is compared."""
    wanted = Q(tenant=asked.tenant_id, dimension=asked.dimension)
    wanted &= Q(day__gte=first_day(asked.span.start), day__lt=first_day(asked.span.end))
    parts = dearest(sum_days(UsageDay.objects.filter(wanted), ("value",)), asked.most)
    one = Case(When(value__in=parts, then=F("value")), default=Value(None)) if parts else Value(None, CharField())
    found = sum_days(UsageDay.objects.filter(wanted).annotate(part=one), ("day", "part"))
    return Course(*_folded(asked, parts, {(_moment(day, asked.zone), part): tally for (day, part), tally in found.items()}))


def dearest(totals: Mapping[Any, Tally], most: int) -> tuple[Part, ...]:
    """The values that cost most, by tallies whose key is the tuple of a value; in a tie those with more jobs, then by name."""
    ranked = sorted(totals, key=lambda key: (-totals[key].nano_usd, -totals[key].jobs, str(key[0])))
    return tuple(key[0] for key in ranked[:most])


def pieces_of(per: Per, zone: ZoneInfo, span: Period) -> tuple[Period, ...]:
    """All hours, days or months of a span, also those in which nothing happened."""
    starts = [start for stretch in stretches(per, zone, span) for start in _starts(per, zone, stretch)]
    ends = [*starts[1:], span.end]
    return tuple(Period(start.astimezone(zone), end.astimezone(zone)) for start, end in zip(starts, ends, strict=True))


def _starts(per: Per, zone: ZoneInfo, stretch: Stretch) -> Iterable[dt.datetime]:
    start, end = stretch.span.start.astimezone(dt.UTC), stretch.span.end.astimezone(dt.UTC)
    if per == Per.HOUR:
        first = (start + stretch.minutes).replace(minute=0, second=0, microsecond=0) - stretch.minutes
        count = -((first - end) // HOUR)
        return [max(first + number * HOUR, start) for number in range(count)]
    date, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    found = []
    while date <= last and start_of(date, zone) < end:
        found.append(max(start_of(date, zone), start))
        date = date + dt.timedelta(days=1) if per == Per.DAY else (date.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return found


# ---- reading the quarters


def _totals(asked: Asked, span: Period) -> Tallies:
    return sum_quarters((COLUMNS[asked.dimension],), _inside(asked, span, ""))


def _whole(asked: Asked, span: Period) -> Tallies:
    sums = sum_quarters(("tenant",), _inside(asked, span, ""))
    took = sum_times(("quarter__tenant",), _inside(asked, span, "quarter__"))
    return together(sums, took)


def _cells(asked: Asked, span: Period, parts: tuple[Part, ...] | None) -> Tallies:
    """Tallies by (moment of a piece, part). parts: those told apart; None: all."""
    found: Tallies = {}
    for stretch in stretches(asked.per, asked.zone, span) if span.start < span.end else ():
        for prefix, read in (("", sum_quarters), ("quarter__", sum_times)):
            by = {
                "piece": piece_of(f"{prefix}starts_at", asked.per, asked.zone, stretch),
                "part": _part(asked.dimension, parts, prefix),
            }
            sums = read(tuple(by), _inside(asked, stretch.span, prefix), **by)
            found = together(found, {(_moment(piece, asked.zone), part): tally for (piece, part), tally in sums.items()})
    return found


def _inside(asked: Asked, span: Period, prefix: str) -> Q:
    return Q((f"{prefix}tenant", asked.tenant_id), (f"{prefix}starts_at__gte", span.start), (f"{prefix}starts_at__lt", span.end))


def _part(dimension: str, parts: tuple[Part, ...] | None, prefix: str) -> Any:
    if not dimension or parts == ():
        return Value(None, CharField())
    column = prefix + COLUMNS[dimension]
    return F(column) if parts is None else Case(When(Q((f"{column}__in", parts)), then=F(column)), default=Value(None))


def _moment(found: dt.datetime | dt.date, zone: ZoneInfo) -> dt.datetime:
    """The first moment of a piece."""
    return found if isinstance(found, dt.datetime) else start_of(found, zone)


# ---- putting together


def _summed_by_part(cells: Mapping[Any, Tally]) -> Tallies:
    return grouped(((part,), tally) for (_, part), tally in cells.items())


def _folded(
    asked: Asked, parts: tuple[Part, ...], *found: Mapping[Any, Tally]
) -> tuple[tuple[Period, ...], tuple[Part, ...], Mapping[tuple[int, Part], Tally]]:
    """Moments become numbers of pieces, and what is not told apart becomes the others."""
    pieces = pieces_of(asked.per, asked.zone, asked.span)
    starts = [piece.start.astimezone(dt.UTC) for piece in pieces]
    known = set(parts)

    def place(moment: dt.datetime, part: Part) -> tuple[int, Part]:
        return max(0, bisect.bisect_right(starts, moment) - 1), part if part in known else None

    cells = grouped((place(*key), tally) for tallies in found for key, tally in tallies.items())
    return pieces, parts, cells
