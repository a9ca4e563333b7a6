"""New rows of jobs with their first events; on commit one hint to the waiting room. Where jobs run in place, they do so now."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from rateguard.jobs import inplace
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.pump import process_pump
from rateguard.jobs.states import SCHEDULE, SUBMIT, State
from rateguard.jobs.waiting import waiting_of


def insert(rows: Sequence[Job]) -> None:
    """Insert them all or none. In a transaction they are submitted when it commits."""
    here = inplace.caller()
    with transaction.atomic():
        Job.objects.bulk_create(rows, batch_size=1_000)
        JobEvent.objects.bulk_create(
            [JobEvent(job=row, kind=SCHEDULE.name if row.state == State.SCHEDULED else SUBMIT.name) for row in rows], batch_size=1_000
        )
        hints = [waiting_of(row) for row in rows if row.state == State.QUEUED] if here is None else []
        if hints:
            transaction.on_commit(lambda: process_pump().enqueue(hints), robust=True)
    if here is not None:
        inplace.run_here(rows, here)
