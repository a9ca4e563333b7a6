"""Each deployment on each day: what the rows, the ledger, the rollups and the bill come to."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import TruncDate

from rateguard.jobs.books.span import Span, day_of
from rateguard.jobs.books.values import DayLine
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import NOTHING, Amount, Bill, Key
from tenants.models import EntryKind, LedgerEntry, UsageQuarter

PAGE = 1_000
BOOKED = (EntryKind.CHARGE, EntryKind.CORRECTION)
Place = tuple[dt.date, str]
"""A day and a deployment's name."""


def lines(span: Span, bill: Bill | None) -> list[DayLine]:
    """All of them, by day and deployment. bill: one by attempts, or None."""
    found: dict[Place, DayLine] = {}
    for place, attempts, amount in _rows(span):
        _line(found, place).attempts = attempts
        _line(found, place).rows = amount
    for place, amount in _ledger(span):
        _line(found, place).ledger = amount
    for place, amount in _by_day(span.of(LedgerEntry.objects.filter(kind__in=BOOKED), "created_at"), "created_at"):
        _line(found, place).booked = amount
    for place, amount in _by_day(span.of(UsageQuarter.objects.all(), "starts_at"), "starts_at"):
        _line(found, place).rollups = amount
    for place, amount in _billed(bill or {}, span):
        line = _line(found, place)
        line.bill = (line.bill or NOTHING) + amount
    return [found[place] for place in sorted(found)]


def places_of(keys: Iterable[Key]) -> Iterator[tuple[Key, Attempt]]:
    """The attempts of these keys that there are, with what tells their day, place and story."""
    pending = iter(sorted(keys))
    while page := set(itertools.islice(pending, PAGE)):
        for row in Attempt.objects.filter(reservation_id__in={job for job, _ in page}):
            if (row.reservation_id, row.number) in page:
                yield (row.reservation_id, row.number), row


def _line(found: dict[Place, DayLine], place: Place) -> DayLine:
    return found.setdefault(place, DayLine(*place))


def _rows(span: Span) -> Iterator[tuple[Place, int, Amount]]:
    ended = span.of(Attempt.objects.exclude(state=AttemptState.RUNNING), "started_at")
    for day, deployment, read, output, cost, count in _summed(ended, "started_at", attempts=Count("pk")):
        yield (day, deployment), count, Amount(read, output, cost)


def _ledger(span: Span) -> Iterator[tuple[Place, Amount]]:
    """By the day on which the attempt began, whenever it was booked or corrected."""
    attempt = Attempt.objects.filter(reservation_id=OuterRef("reservation_id"), number=OuterRef("attempt"))
    entries = LedgerEntry.objects.filter(kind__in=BOOKED).annotate(began_at=Subquery(attempt.values("started_at")[:1]))
    yield from _by_day(span.of(entries.filter(began_at__isnull=False), "began_at"), "began_at")


def _by_day(rows: QuerySet[Any, Any], time: str) -> Iterator[tuple[Place, Amount]]:
    for day, deployment, *figures in _summed(rows, time):
        yield (day, deployment), Amount(*figures)


def _summed(rows: QuerySet[Any, Any], time: str, **more: Any) -> QuerySet[Any, Any]:
    sums = {
        "all_input": Sum(F("input_tokens") + F("cached_tokens") + F("cache_write_tokens")),
        "all_output": Sum("output_tokens"),
        "cost": Sum("nano_usd"),
        **more,
    }
    by = rows.annotate(of_day=TruncDate(time, tzinfo=dt.UTC)).order_by().values("of_day", "deployment")
    found: QuerySet[Any, Any] = by.annotate(**sums).values_list("of_day", "deployment", *sums)
    return found


def _billed(bill: Bill, span: Span) -> Iterator[tuple[Place, Amount]]:
    for key, row in places_of(bill):
        day = day_of(row.started_at)
        if span.holds(day):
            yield (day, row.deployment), bill[key]
