"""Rows against the ledger: each attempt that ended has one charge of its own figures, and a job comes to the sum of its entries."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from django.db.models import BigIntegerField, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from rateguard.jobs.books.span import Span, day_of
from rateguard.jobs.books.values import Found, Kind
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.bill import Amount, attempt_id
from tenants.models import EntryKind, LedgerEntry

CHUNK = 2_000
LOST = "the settle of this attempt was lost or undone: restored rows, or a fault in the code"
FOREIGN = "its job's row was deleted, or comes from another database"
CHANGED = "a row was changed by hand, or a fault in the code"
SUMS_CHANGED = "a settle or a correction wrote one of the two, or a row was changed by hand"


def differing(span: Span) -> Iterator[Found]:
    """All of it, of attempts that began in that time."""
    yield from _not_charged(span)
    yield from _charge_differs(span)
    yield from _no_attempt(span)
    yield from _job_differs(span)


def _ended(span: Span) -> QuerySet[Attempt]:
    return span.of(Attempt.objects.exclude(state=AttemptState.RUNNING), "started_at")


_CHARGE = LedgerEntry.objects.filter(kind=EntryKind.CHARGE, reservation_id=OuterRef("reservation_id"), attempt=OuterRef("number"))


def _not_charged(span: Span) -> Iterator[Found]:
    rows = _ended(span).filter(~Exists(_CHARGE))
    for row in rows.iterator(chunk_size=CHUNK):
        yield _of_attempt(Kind.NOT_CHARGED, row, _amount(row), LOST)


_PARTS = ("cache_write_long_tokens", "audio_input_tokens", "audio_output_tokens", "reasoning_tokens", "tier", "terms", "searches")


def _charge_differs(span: Span) -> Iterator[Found]:
    names = ("nano_usd", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", *_PARTS)
    charged = {f"charged_{name}": Subquery(_CHARGE.values(name)[:1]) for name in names}
    differs = Q(*((f"charged_{name}__isnull", False) for name in names[:1]))
    unlike = Q()
    for name in names:
        unlike |= ~Q(**{name: F(f"charged_{name}")})
    for row in _ended(span).annotate(**charged).filter(differs & unlike).iterator(chunk_size=CHUNK):
        values: Any = row
        charge = Amount(
            values.charged_input_tokens + values.charged_cached_tokens + values.charged_cache_write_tokens,
            values.charged_output_tokens,
            values.charged_nano_usd,
        )
        yield _of_attempt(Kind.ATTEMPT_DIFFERS, row, _amount(row) - charge, CHANGED)


def _no_attempt(span: Span) -> Iterator[Found]:
    attempts = Attempt.objects.filter(reservation_id=OuterRef("reservation_id"), number=OuterRef("attempt"))
    rows = span.of(LedgerEntry.objects.filter(kind=EntryKind.CHARGE), "created_at").filter(~Exists(attempts))
    for row in rows.iterator(chunk_size=CHUNK):
        name = attempt_id((row.reservation_id, row.attempt))
        yield Found(Kind.NO_ATTEMPT, day_of(row.created_at), row.deployment, _amount(row), FOREIGN, name)


def _job_differs(span: Span) -> Iterator[Found]:
    own = Attempt.objects.filter(job=OuterRef(OuterRef("pk"))).values("reservation_id")  # a second call has a reservation of its own
    entries = LedgerEntry.objects.filter(reservation_id__in=own).order_by().values("tenant")
    all_input = F("input_tokens") + F("cached_tokens") + F("cache_write_tokens")
    sums = {"used_input_tokens": Sum(all_input), "used_output_tokens": Sum("output_tokens"), "nano_usd": Sum("nano_usd")}
    booked = {f"booked_{name}": _sum(entries, total) for name, total in sums.items()}
    unlike = Q()
    for name in sums:
        unlike |= ~Q(**{name: F(f"booked_{name}")})
    rows = span.of(Job.objects.filter(attempt__gt=0), "submitted_at").annotate(**booked).filter(unlike)
    columns = ("pk", "deployment", "submitted_at", *sums, *booked)
    for pk, deployment, submitted_at, *figures in rows.values_list(*columns).iterator(chunk_size=CHUNK):
        amount = Amount(*figures[:3]) - Amount(*figures[3:])
        yield Found(Kind.JOB_DIFFERS, day_of(submitted_at), deployment, amount, SUMS_CHANGED, str(pk))


def _sum(entries: QuerySet[Any, Any], total: Sum) -> Coalesce:
    return Coalesce(Subquery(entries.annotate(total=total).values("total"), output_field=BigIntegerField()), Value(0))


def _amount(row: Any) -> Amount:
    return Amount(row.input_tokens + row.cached_tokens + row.cache_write_tokens, row.output_tokens, row.nano_usd)


def _of_attempt(kind: Kind, row: Attempt, amount: Amount, cause: str) -> Found:
    key: tuple[uuid.UUID, int] = (row.reservation_id, row.number)
    return Found(kind, day_of(row.started_at), row.deployment, amount, cause, attempt_id(key))
