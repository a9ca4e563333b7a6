"""A batch ends with the last of its jobs. Who sees that closes it: whoever looks at it, else the caretaker."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When
from django.db.models.functions import Now

from rateguard.jobs.ends.webhooks import tell_batch
from rateguard.jobs.models import Batch, BatchState, Job
from rateguard.jobs.states import TERMINAL, State

UNENDED = sorted(set(State) - TERMINAL)

_HAS_UNENDED = Exists(Job.objects.filter(batch=OuterRef("pk"), state__in=UNENDED))


def done(batches: QuerySet[Batch]) -> QuerySet[Batch]:
    """Of these batches those that are open, and whose jobs have all ended."""
    return batches.filter(~_HAS_UNENDED, state=BatchState.IN_PROGRESS)


def close_if_done(batch: Batch) -> bool:
    """Close it where its jobs have all ended; the row is then as it is now. Returns whether this call closed it.

    Its webhook messages are made in the same transaction. A job that is tried again later does not open it again.
    """
    if batch.state != BatchState.IN_PROGRESS or not done(Batch.objects.filter(pk=batch.pk)).exists():
        return False
    target = Case(When(cancel_requested=True, then=Value(BatchState.CANCELLED)), default=Value(BatchState.COMPLETED))
    with transaction.atomic():
        is_closed = bool(done(Batch.objects.filter(pk=batch.pk)).update(state=target, finished_at=Now()))
        batch.refresh_from_db()
        if is_closed:
            tell_batch(batch)
    return is_closed
