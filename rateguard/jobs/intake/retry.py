"""Retry by a person: a job that failed, was cancelled or expired waits again, in place. What its earlier attempts cost stays charged."""

from __future__ import annotations

import datetime as dt
from typing import Any

import orjson
from django.db import transaction
from django.db.models.functions import Now

from rateguard.engine.errors import ErrorKind, InvalidRequest
from rateguard.jobs import clock
from rateguard.jobs.attempts import inplace
from rateguard.jobs.bodies import opened, why_gone
from rateguard.jobs.ends.transition import end
from rateguard.jobs.intake.affordable import check_budgets
from rateguard.jobs.intake.allowed import check_row
from rateguard.jobs.intake.building import places_for_work, route
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.intake.marking import session_in
from rateguard.jobs.intake.queue_bound import take_places
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.lineage import Lineage, lineage_of
from rateguard.jobs.models import Delivery, Job
from rateguard.jobs.states import RESUBMIT, State
from tenants.models import ApiKey

AS_NEW: dict[str, Any] = {
    "tries": 0,
    "abandoned": 0,
    "result": None,
    "error_code": "",
    "error_message": "",
    "cancel_requested": False,
    "requeue_requested": False,
    "fingerprint": "",
    "holder": "",
    "deployment": "",
    "downgraded_from": "",
    "fallen_back_from": "",
    "fallbacks": 0,
    "started_at": None,
    "finished_at": None,
    "latency_ms": None,
    "queue_ms": None,
    "run_at": None,
}
"""What a retry forgets. The number of the last attempt stays, for numbers only rise, and so do cost and usage, which are sums."""

RENEWED = ("model", "route_marks", "counted_tokens", "input_tokens", "output_tokens", "deadline_at")
"""What a retry counts anew."""


def retry(job: Job, *, by: str = "", deadline: dt.datetime | None = None, key: ApiKey | None = None) -> Job:
    """Let a job wait again and return its row as it is now. In a transaction it waits when that commits.

    deadline: a new one; else the old one holds, unless it has passed. key: of who asks, whose rules hold. A job that went to another
    model begins at its own again. Raises InvalidRequest: `not_retryable` where it succeeded or has not ended, `not_stored` where its
    request is gone, `unknown_model`, `no_deployment`, `run_stopped`, `run_deadline_passed`, `deadline_passed`, `exceeds_limit`; NotAllowed;
    LimitInTheWay: `queue_full`, `budget_exhausted`.
    """
    row = Job.objects.get(pk=job.pk)
    if row.state not in RESUBMIT.sources:
        raise _refusal(row)
    prepare(row, lineage_of(row.run, row.tenant_id, pointer=""), deadline=deadline, key=key)
    renewed = {name: getattr(row, name) for name in RENEWED}
    here = inplace.caller()
    with transaction.atomic():
        as_it_was = Job.objects.filter(pk=row.pk, attempt=row.attempt)
        is_moved = bool(end(as_it_was, RESUBMIT, by=by, queued_at=Now(), **{**AS_NEW, **renewed}))
        job.refresh_from_db()
        if not is_moved:
            raise _refusal(job)
        if here is None:
            hint = waiting_of(job)
            transaction.on_commit(lambda: process_pump().enqueue([hint]), robust=True)
    if here is not None:
        inplace.run_here([job], here, with_fallbacks)
        job.refresh_from_db()
    return job


def _refusal(job: Job) -> InvalidRequest:
    remedy = "submit a new one" if job.state == State.SUCCEEDED else "somebody else moves it"
    return InvalidRequest(
        f"what failed, was cancelled or expired can be tried again; this job is {job.state}: {remedy}", code="not_retryable"
    )


def prepare(job: Job, lineage: Lineage, *, deadline: dt.datetime | None = None, key: ApiKey | None = None) -> None:
    """Judge the row as a submit would, and count anew what it needs. It is not written yet. Raises InvalidRequest, as `retry` says."""
    if why := why_gone(job):
        raise InvalidRequest(f"{why}: submit a new one", code="not_stored")
    if job.delivery == Delivery.AT_MOST_ONCE and job.attempts.exclude(error_code=ErrorKind.NEVER_SENT).exists():
        raise InvalidRequest("it is sent at most once, and may have been sent: submit a new one", code="not_retryable")
    if key is not None:
        check_row(job, key)
    job.model = job.asked_model
    places = places_for_work(job.model, job.tenant_id)
    job.deadline_at = _deadline(job, deadline, lineage.deadline)
    job.state, job.run_at = State.QUEUED, None
    body = orjson.loads(opened(job.request))
    route(job, body, places, session_in(body))
    check_budgets([job])
    take_places([job])


def _deadline(job: Job, new: dt.datetime | None, of_run: dt.datetime | None) -> dt.datetime | None:
    """The new one, else the old one where it lies ahead; never after its run's."""
    now = clock.now()
    if new is not None and new <= now:
        raise InvalidRequest("the deadline has passed already", code="deadline_passed", pointer="/deadline")
    old = job.deadline_at if job.deadline_at is not None and job.deadline_at > now else None
    return min((one for one in (new or old, of_run) if one is not None), default=None)
