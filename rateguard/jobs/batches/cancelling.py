"""Cancel the rest of a batch: what waits ends at once, what runs is asked to end, what has ended stays."""

from __future__ import annotations

import dataclasses

from rateguard.jobs.batches.closing import close_if_done
from rateguard.jobs.ends.cancel_many import cancel_all
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.models import Batch, BatchState, Job


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """What became of it: jobs that waited and are cancelled; jobs that ran and are asked to end."""

    ended: int
    asked: int


def cancel_batch(batch: Batch, pump: Pump | None = None, *, by: str = "") -> Rest:
    """Cancel what has not ended; the row is then as it is now. A batch that is over stays as it is.

    The row says so first: who dies in the middle of it leaves the rest to the caretaker.
    """
    Batch.objects.filter(pk=batch.pk, state=BatchState.IN_PROGRESS, cancel_requested=False).update(cancel_requested=True)
    batch.refresh_from_db()
    if batch.state != BatchState.IN_PROGRESS:
        return Rest(0, 0)
    pages = list(cancel_all(Job.objects.filter(batch=batch.pk), pump or process_pump(), by=by))
    close_if_done(batch)
    return Rest(sum(len(page.ended) for page in pages), sum(len(page.asked) for page in pages))
