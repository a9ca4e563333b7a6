"""Requeue: a running job's call is given up and the job waits again at its place; one that waits for its time goes on now.

A running job's holder does it within a second; the reaper where the holder is dead. What the given-up call may cost is charged as it was
reserved, if it had left; it counts as no try.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import cast

from django.db.models import Q

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.keys import requeue_channel
from rateguard.jobs.ends.asking import ask, requeue_word, tell
from rateguard.jobs.ends.release import bring_in, release
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.intake.allowed import check_row
from rateguard.jobs.intake.refusals import Refusals
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.models import Delivery, Job
from rateguard.jobs.states import State
from tenants.models import ApiKey

PAGE = 500
ASKED_BACK = "requeue_requested"
"""The kind of a running job's event; when its call is given up, `requeued` follows."""
_STOPPABLE = Q(state=State.RUNNING, cancel_requested=False) & ~Q(delivery=Delivery.AT_MOST_ONCE)
REQUEUEABLE = _STOPPABLE & Q(requeue_requested=False) | Q(state=State.SCHEDULED)
"""What a requeue moves. What may never be sent twice stays with its call, which may have left; what is queued stands in line already."""


def is_requeueable(job: Job) -> bool:
    """Whether a requeue moves it."""
    return job.state == State.SCHEDULED or (job.state == State.RUNNING and _is_stoppable(job) and not job.requeue_requested)


@dataclasses.dataclass(frozen=True, slots=True)
class Requeued:
    """What became of a page. asked: ran, and their holders give their calls up. released: waited for their time, and go on now."""

    asked: tuple[uuid.UUID, ...]
    released: tuple[uuid.UUID, ...]
    refused: Refusals = dataclasses.field(default_factory=Refusals)


def requeue(job: Job, *, by: str = "", key: ApiKey | None = None) -> Job:
    """Put a job back in line and return its row as it is now. Repeating it changes nothing; the gate and the holder are told again.

    key: of who asks, whose rules hold. Raises InvalidRequest: `not_requeueable` where it has ended or is asked to, `at_most_once` where it
    runs and may never be sent twice; NotAllowed.
    """
    row = Job.objects.get(pk=job.pk)
    if key is not None:
        check_row(row, key)
    pump = process_pump()
    moved = _requeue_page([row.pk], pump, by)
    job.refresh_from_db()
    if moved.asked or moved.released:
        return job
    if job.state == State.QUEUED:
        bring_in([job.pk], pump)
    elif job.state == State.RUNNING and job.requeue_requested:
        _tell_holders([(job.pk, job.attempt)])
    elif job.state != State.RUNNING or not _is_stoppable(job):
        raise _refusal(job)
    return job


def requeue_many(jobs: Sequence[uuid.UUID], pump: Pump, *, by: str = "", key: ApiKey | None = None) -> Iterator[Requeued]:
    """The same with these jobs, page by page: a page that is not fetched is not done. What cannot be put back stays as it is."""
    for start in range(0, len(jobs), PAGE):
        allowed, refused = _allowed(jobs[start : start + PAGE], key)
        yield dataclasses.replace(_requeue_page(allowed, pump, by), refused=refused)


def _allowed(ids: Sequence[uuid.UUID], key: ApiKey | None) -> tuple[Sequence[uuid.UUID], Refusals]:
    found, refusals = [], Refusals()
    for row in Job.objects.filter(pk__in=ids).defer(*HEAVY) if key is not None else ():
        try:
            check_row(row, cast("ApiKey", key))
            found.append(row.pk)
        except InvalidRequest as refusal:
            refusals.add(refusal)
    return (ids if key is None else found), refusals


def _requeue_page(ids: Sequence[uuid.UUID], pump: Pump, by: str) -> Requeued:
    """What runs first: what is released here and starts at once is not meant."""
    rows = Job.objects.filter(pk__in=ids)
    asked = ask(rows.filter(_STOPPABLE), ASKED_BACK, by)
    _tell_holders(asked)
    released = release(rows, pump, by=by)
    return Requeued(tuple(job for job, _ in asked), tuple(released))


def _tell_holders(asked: Sequence[tuple[uuid.UUID, int]]) -> None:
    if asked:
        tell(requeue_channel(conf().partition), (requeue_word(*one) for one in asked))


def _is_stoppable(job: Job) -> bool:
    return not job.cancel_requested and job.delivery != Delivery.AT_MOST_ONCE


def _refusal(job: Job) -> InvalidRequest:
    if job.state != State.RUNNING:
        return InvalidRequest(
            f"what waits or runs can be put back in line; this job is {job.state}: retry it, if it is to be done again",
            code="not_requeueable",
        )
    if job.cancel_requested:
        return InvalidRequest("this job is asked to end: it cannot be put back in line", code="not_requeueable")
    return InvalidRequest(
        "this job may never be sent twice (at_most_once), and its call may have left: wait for its end, or cancel it",
        code="at_most_once",
    )
