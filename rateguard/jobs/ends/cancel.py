"""Cancel: a waiting job ends at once; a running one is asked to, and its holder ends it within a second."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import cancel_channel
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import CANCEL, TERMINAL, State

logger = logging.getLogger(__name__)


def cancel(job: Job, *, by: str = "") -> Job:
    """Cancel a job and return its row as it is now. An ended job stays as it is."""
    while not (_end_waiting(job, by) or _ask_running(job)):
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


def _ask_running(job: Job) -> bool:
    is_asked = bool(Job.objects.filter(pk=job.pk, state=State.RUNNING).update(cancel_requested=True))
    if is_asked:
        tell_holders([job.pk])
    return is_asked


def tell_holders(jobs: Sequence[uuid.UUID]) -> None:
    """By publish/subscribe; a holder that misses it reads the row at its next heartbeat."""
    try:
        with wiring.redis_client().pipeline(transaction=False) as calls:
            for job in jobs:
                calls.publish(cancel_channel(conf().partition), job.bytes)
            calls.execute()
    except redis.RedisError as error:
        logger.warning("the holders of %d jobs were not told, they will see at their next heartbeat: %s", len(jobs), error)
