"""Asking for something of running jobs, which their holders do: a flag in the row, an event of its name, and a word to the holders.

The word goes by publish/subscribe; a holder that misses it reads the row at its next heartbeat.
"""

from __future__ import annotations

import logging
import struct
import uuid
from collections.abc import Iterable

import redis
from django.db import transaction
from django.db.models import QuerySet

from rateguard import wiring
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

_REQUEUE_WORD = struct.Struct(">16sI")


def ask(jobs: QuerySet[Job], flag: str, by: str) -> list[tuple[uuid.UUID, int]]:
    """Raise this flag on the running ones of these jobs. Returns (job, attempt) of those on which nobody had raised it before."""
    with transaction.atomic():
        running = jobs.filter(state=State.RUNNING, **{flag: False}).select_for_update().order_by("pk")
        asked = list(running.values_list("pk", "attempt"))
        Job.objects.filter(pk__in=[pk for pk, _ in asked]).update(**{flag: True})
        detail = {"by": by} if by else {}
        JobEvent.objects.bulk_create([JobEvent(job_id=pk, kind=flag, attempt=attempt, detail=detail) for pk, attempt in asked])
    return asked


def tell(channel: str, words: Iterable[bytes]) -> None:
    """Tell the holders, as far as Redis is there."""
    try:
        with wiring.redis_client().pipeline(transaction=False) as calls:
            for word in words:
                calls.publish(channel, word)
            calls.execute()
    except redis.RedisError as error:
        logger.warning("the holders of running jobs were not told, they will see at their next heartbeat: %s", error)


def requeue_word(job: uuid.UUID, attempt: int) -> bytes:
    """Which attempt is to be given up: a later one of the same job is not meant."""
    return _REQUEUE_WORD.pack(job.bytes, attempt)


def read_requeue_word(word: bytes) -> tuple[uuid.UUID, int]:
    """The job and the attempt."""
    job, attempt = _REQUEUE_WORD.unpack(word)
    return uuid.UUID(bytes=job), attempt
