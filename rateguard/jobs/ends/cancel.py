"""Cancel: a waiting job ends at once; a running one is asked to, and its holder ends it within a second."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db.models import QuerySet

from rateguard.conf import conf
from rateguard.engine.keys import cancel_channel
from rateguard.jobs.ends.asking import ask, tell
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import CANCEL, TERMINAL, State

ASKED = "cancel_requested"
"""The kind of a running job's event; its end, if it comes to that, is `stopped`."""


def cancel(job: Job, *, by: str = "") -> Job:
    """Cancel a job and return its row as it is now. An ended job stays as it is."""
    while not (_end_waiting(job, by) or _ask_running(job, by)):
        job.refresh_from_db()
        if job.state in TERMINAL:
            break  # else it moved between the two looks: look again
    job.refresh_from_db()
    return job


def _end_waiting(job: Job, by: str) -> bool:
    ended = end(Job.objects.filter(pk=job.pk), CANCEL, by=by)
    if ended:
        job.refresh_from_db(fields=["attempt"])
        process_pump().withdraw([waiting_of(job)])
        announce(ended)
    return bool(ended)


def _ask_running(job: Job, by: str) -> bool:
    rows = Job.objects.filter(pk=job.pk)
    if ask_running(rows, by=by):
        return True
    is_asked = rows.filter(state=State.RUNNING).exists()
    if is_asked:
        tell_holders([job.pk])  # again, for what was told before may have been lost
    return is_asked


def ask_running(jobs: QuerySet[Job], *, by: str = "") -> list[uuid.UUID]:
    """Ask the running ones of these jobs to end, with an event each. Returns those that nobody had asked before."""
    ids = [pk for pk, _ in ask(jobs, ASKED, by)]
    if ids:
        tell_holders(ids)
    return ids


def tell_holders(jobs: Sequence[uuid.UUID]) -> None:
    """By publish/subscribe; a holder that misses it reads the row at its next heartbeat."""
    tell(cancel_channel(conf().partition), (job.bytes for job in jobs))
