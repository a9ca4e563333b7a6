"""Batches, newest first, in pages that stay what they are while batches are added."""

from __future__ import annotations

import dataclasses

from django.db.models import Q, QuerySet

from rateguard.jobs.insight.keyset import Cursor
from rateguard.jobs.models import Batch


@dataclasses.dataclass(frozen=True, slots=True)
class BatchPage:
    """Batches, and the cursor of the page of older ones, where there are any."""

    batches: list[Batch]
    older: Cursor | None


def list_batches(rows: QuerySet[Batch], cursor: Cursor | None, limit: int, status: str = "") -> BatchPage:
    """A page of these. rows: those within somebody's reach."""
    if status:
        rows = rows.filter(state=status)
    if cursor is not None:
        rows = rows.filter(Q(submitted_at__lte=cursor.at) & (Q(submitted_at__lt=cursor.at) | Q(pk__lt=cursor.id)))
    found = list(rows.select_related("tenant").order_by("-submitted_at", "-pk")[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return BatchPage(found[:limit], None if last is None else Cursor(last.submitted_at, last.pk))
