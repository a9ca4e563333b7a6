"""Submit: validate, estimate, insert the row; on commit one hint to the waiting room. The one way in for REST and `.delay()` alike."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.intake.affordable import check_budgets
from rateguard.jobs.intake.building import build
from rateguard.jobs.intake.checking import check
from rateguard.jobs.intake.in_time import check_start
from rateguard.jobs.intake.insert import insert
from rateguard.jobs.intake.queue_bound import check_place, take_places
from rateguard.jobs.intake.submission import Submission, fingerprint
from rateguard.jobs.lineage import Lineage
from rateguard.jobs.models import Job

__all__ = ["Submission", "Submitted", "submit", "submit_many"]


@dataclasses.dataclass(frozen=True, slots=True)
class Submitted:
    """The job, and whether this call made it (False: an earlier one with the same idempotency key did)."""

    job: Job
    is_new: bool


def submit(submission: Submission) -> Submitted:
    """Accept one job. In a transaction it is submitted when that commits.

    Raises InvalidRequest: `unknown_model`, `exceeds_limit`, `idempotency_mismatch` and what validation finds; NotAllowed, where its key
    does not let it; LimitInTheWay: `queue_full`, `budget_exhausted`, `no_room_in_time`. GateError, where it must start in time.
    """
    check(submission)
    if submission.idempotency_key is not None:
        return _submit_once(submission)
    row = _admitted(submission)
    insert([row])
    return Submitted(row, is_new=True)


def submit_many(submissions: Sequence[Submission]) -> list[Job]:
    """Accept many jobs in one insert; all or none. Idempotency keys are for single jobs."""
    for submission in submissions:
        check(submission)
    known: dict[tuple[uuid.UUID | None, int], Lineage] = {}
    rows = [build(submission, known) for submission in submissions]
    check_budgets(rows)
    take_places(rows)
    insert(rows)
    return rows


def _admitted(submission: Submission) -> Job:
    """The row of a checked submission that nothing stands in the way of."""
    check_place(submission.tenant)  # a full queue says so before anything is counted
    row = build(submission)
    check_budgets([row])
    if submission.must_start_within_s is not None:
        check_start(row, submission.must_start_within_s)
    take_places([row])
    return row


def _submit_once(submission: Submission) -> Submitted:
    """Of racing twins one inserts; the others find its row, also when it could not be submitted a second time."""
    found = _find_twin(submission)
    if found is None:
        row = _admitted(submission)
        try:
            with transaction.atomic():
                insert([row])
        except IntegrityError:
            found = _find_twin(submission)
            if found is None:
                raise
        else:
            return Submitted(row, is_new=True)
    if found.request_hash != fingerprint(submission):
        raise InvalidRequest(
            "this Idempotency-Key came with another request before: use a new key for a new request", code="idempotency_mismatch"
        )
    return Submitted(found, is_new=False)


def _find_twin(submission: Submission) -> Job | None:
    """The job of the same key. A key older than IDEMPOTENCY_HOURS is forgotten and may be used again."""
    found = Job.objects.filter(tenant=submission.tenant, idempotency_key=submission.idempotency_key).first()
    if found is None or found.submitted_at > timezone.now() - dt.timedelta(hours=conf().idempotency_hours):
        return found
    Job.objects.filter(pk=found.pk).update(idempotency_key=None)
    return None
