"""A job's events for a loop in Python: what is known, then what comes, until its end."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

from celery.exceptions import TimeoutError  # noqa: A004 -- what callers of `get()` catch

from rateguard.engine.errors import JobDoesNotExist
from rateguard.jobs.ends.event_stream import read
from rateguard.jobs.ends.event_watch import Watch, hub
from rateguard.jobs.ends.events.ids import EventId
from rateguard.jobs.ends.events.known import known
from rateguard.jobs.ends.events.reading import Event, Reading
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL


def events_of(job_id: uuid.UUID, after: str = "", timeout_s: float | None = None) -> Iterator[Event]:
    """What is told of a job from this id on. Raises JobDoesNotExist, celery's TimeoutError."""
    reading, woken = Reading(EventId.parse(after)), threading.Event()
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    with hub().watching(job_id, woken.set) as watch:
        while True:
            job = Job.objects.filter(pk=job_id).first()
            if job is None:
                raise JobDoesNotExist(f"there is no job {job_id}: it was deleted, or the transaction that made it was rolled back")
            yield from known(reading, job)
            if job.state in TERMINAL:
                return
            yield from _pieces(job_id, reading, watch, woken, deadline)


def _pieces(job_id: uuid.UUID, reading: Reading, watch: Watch, woken: threading.Event, deadline: float | None) -> Iterator[Event]:
    """What comes by the stream, until its row says something new."""
    read_to = reading.told
    while True:
        if not woken.wait(None if deadline is None else max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"job {job_id} has not ended in time")
        woken.clear()
        has_grown, standing = watch.take()
        while has_grown and (entries := read([(job_id, max(read_to, reading.told))])[0]):
            read_to = entries[-1].id
            yield from reading.take(entries)
        if standing is not None:
            return
