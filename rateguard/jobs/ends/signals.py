"""The signal `rateguard.signals.job_ended`, sent for a row of the outbox.

Receivers are the host's own code. They run outside of any transaction, so that they see the end and may do what they like with the
database; then the row goes. While they run it is put forward in time, which keeps other tellers away. Killed in between, they are called
again: at least once.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid

from django.db.models.functions import Now

from rateguard.jobs.models import Job, OutboxKind, OutboxRow
from rateguard.jobs.states import TERMINAL
from rateguard.signals import job_ended

logger = logging.getLogger(__name__)

HELD = dt.timedelta(seconds=60)
"""Another teller leaves the row alone for so long."""
LOOKED_FOR = dt.timedelta(hours=1)
"""So long a process without receivers leaves the row to one that has some."""


def deliver(job_id: uuid.UUID) -> bool:
    """Send the signal of one job, here. False: somebody else did, or is about to, or has the receivers."""
    row = OutboxRow.objects.filter(job=job_id, kind=OutboxKind.SIGNAL).first()
    if row is None:
        return False
    if not job_ended.has_listeners(Job):
        return _leave(row)
    if not OutboxRow.objects.filter(pk=row.pk, created_at__lte=Now()).update(created_at=Now() + HELD):
        return False
    state = Job.objects.values_list("state", flat=True).get(pk=job_id)
    if state in TERMINAL:  # else somebody had it tried again: its next end is told
        _send(job_id, state)
    OutboxRow.objects.filter(pk=row.pk).delete()
    return True


def _send(job_id: uuid.UUID, state: str) -> None:
    for receiver, answer in job_ended.send_robust(Job, job=job_id, state=state):
        if isinstance(answer, Exception):
            logger.error("%r, a receiver of job_ended, failed with job %s", receiver, job_id, exc_info=answer)


def _leave(row: OutboxRow) -> bool:
    """Nobody listens here: another process of the project may; after a while nobody does."""
    if Job.objects.filter(pk=row.job_id, finished_at__gt=Now() - LOOKED_FOR).exists():
        OutboxRow.objects.filter(pk=row.pk).update(created_at=Now() + HELD)  # not among the oldest, which are looked at first
        return False
    OutboxRow.objects.filter(pk=row.pk).delete()
    logger.warning("nobody listens to job_ended any more: job %s is told to nobody", row.job_id)
    return True
