"""The caretaker's part in batches: it closes those whose jobs have all ended, and cancels on where a cancelling process died."""

from __future__ import annotations

from rateguard.jobs.batches.cancelling import cancel_batch
from rateguard.jobs.batches.closing import close_if_done, done
from rateguard.jobs.ends.cancel_many import UNENDED
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.models import Batch, BatchState, Job

AT_ONCE = 100


def tend_batches(pump: Pump) -> int:
    """A page of each. Returns how many were closed."""
    for batch in Batch.objects.filter(state=BatchState.IN_PROGRESS, cancel_requested=True).order_by("submitted_at")[:AT_ONCE]:
        if Job.objects.filter(UNENDED, batch=batch.pk).exists():
            cancel_batch(batch, pump)
    return sum(close_if_done(batch) for batch in done(Batch.objects.all()).order_by("submitted_at")[:AT_ONCE])
