"""Batches within somebody's reach: a page of them, and one with its progress and the lines that became no jobs."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping

from django.http import Http404

from rateguard.jobs.batches.closing import close_if_done
from rateguard.jobs.batches.listing import list_batches
from rateguard.jobs.batches.progress import Progress, counts_of, progress_of
from rateguard.jobs.insight.keyset import Cursor
from rateguard.jobs.models import Batch, BatchError
from tenants.access import Access

PAGE = 25
MOST_ERRORS = 50
"""Lines at fault that a batch's page shows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """A page of batches with their jobs by state. older: the next page's cursor, None where there is none."""

    batches: tuple[Batch, ...]
    counts: Mapping[uuid.UUID, Mapping[str, int]]
    older: Cursor | None


def batches_of(access: Access, tenant: str, cursor: Cursor | None) -> Listed:
    """The newest, or those behind the cursor; of one tenant where it is named."""
    rows = access.within(Batch.objects.all())
    page = list_batches(rows.filter(tenant__name=tenant) if tenant else rows, cursor, PAGE)
    return Listed(tuple(page.batches), counts_of([batch.pk for batch in page.batches]), page.older)


def batch_of(access: Access, batch_id: uuid.UUID) -> Batch:
    """One within reach, as it is now. Raises Http404."""
    batch = access.within(Batch.objects.filter(pk=batch_id)).select_related("tenant").first()
    if batch is None:
        raise Http404
    close_if_done(batch)
    return batch


def progress(batch: Batch) -> Progress:
    """How it stands."""
    return progress_of(batch)


def errors_of(batch: Batch) -> tuple[BatchError, ...]:
    """The first of the lines that became no jobs."""
    return tuple(batch.errors.order_by("line")[:MOST_ERRORS]) if batch.rejected else ()
