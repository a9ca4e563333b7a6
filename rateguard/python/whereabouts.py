"""Where a job is, in one sentence a fact: for whoever waited for it in vain."""

from __future__ import annotations

import uuid

from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateError, InvalidRequest
from rateguard.engine.lanes import Lane, queue_name
from rateguard.jobs.insight.inquiry import inquire, inquiry_of
from rateguard.jobs.insight.naming import in_words
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

MOST_COUNTED = 10_000
"""More jobs before one are not counted: the sentence says so."""


def whereabouts(job_id: uuid.UUID) -> str:
    """The job's state, its place in the line, what is in its way, and whether a live worker serves its lane."""
    job = Job.objects.filter(pk=job_id).defer("request", "result").first()
    if job is None:
        return f"there is no job {job_id}: the step before it has not ended, or nobody submitted it"
    lane = Lane(job.lane).label
    match job.state:
        case State.SCHEDULED:
            told = [f"job {job_id} is scheduled for {job.run_at:%Y-%m-%d %H:%M:%S} UTC"]
        case State.QUEUED:
            told = [f"job {job_id} is queued in lane {lane}, {_place(job)}", *_obstacle(job)]
        case State.RUNNING:
            told = [f"job {job_id} runs at deployment {job.deployment}, for {_age_s(job)} s"]
        case _:
            return f"job {job_id} has {job.state}"
    return "; ".join([*told, *_unserved(Lane(job.lane))])


def _place(job: Job) -> str:
    waiting = Job.objects.filter(state=State.QUEUED, lane=job.lane, model=job.model, queued_at__lt=job.queued_at)
    ahead = waiting.order_by()[: MOST_COUNTED + 1].count()
    if not ahead:
        return f"the first of model {job.model}"
    return f"{'more than ' if ahead > MOST_COUNTED else ''}{min(ahead, MOST_COUNTED):,} of model {job.model} were there before it"


def _age_s(job: Job) -> int:
    return 0 if job.started_at is None else max(0, int((timezone.now() - job.started_at).total_seconds()))


def _obstacle(job: Job) -> list[str]:
    """The limit, budget, pause or breaker that it meets first."""
    try:
        found = inquire(inquiry_of(job, job.tenant_id)).binding
    except (GateError, InvalidRequest):
        return []
    if found is None or found.fits:
        return []
    what = in_words(found.id) if found.kind in {"limit", "budget", "pause"} else f"{found.kind} of {found.scope_kind} {found.scope}"
    wait = "" if found.wait_ms is None else f", for {-(-found.wait_ms // 1_000):,} s"
    return [f"in its way: {what}{wait}"]


def _unserved(lane: Lane) -> list[str]:
    try:
        holders = wiring.gate().inspect(()).holders
    except GateError as error:
        return [f"the gate does not answer, so nothing starts: {error}"]
    if any(lane in holder.lanes and holder.slots for holder in holders):
        return []
    return [f"no live worker serves lane {lane.label}: start one that reads the queue {queue_name(lane)}"]
