"""Submit: validate, estimate, insert the row; on commit one hint to the waiting room. The one way in for REST and `.delay()` alike."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import Waiting
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Need
from rateguard.engine.money import most_nano_usd
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.tokens import count_input, count_text
from rateguard.jobs.expect import expected_output_tokens
from rateguard.jobs.ids import new_id
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.pump import process_pump
from rateguard.jobs.states import SCHEDULE, SUBMIT, State
from rateguard.jobs.submission import Submission, check, fingerprint
from tenants.directory import Place, tell_unpriced

__all__ = ["Submission", "Submitted", "build", "submit", "submit_many", "waiting_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Submitted:
    """The job, and whether this call made it (False: an earlier one with the same idempotency key did)."""

    job: Job
    is_new: bool


def submit(submission: Submission) -> Submitted:
    """Accept one job. In a transaction it is submitted when that commits.

    Raises InvalidRequest: `unknown_model`, `exceeds_limit`, `idempotency_mismatch` and what validation finds.
    """
    check(submission)
    if submission.idempotency_key is not None:
        return _submit_once(submission)
    row = build(submission)
    _insert([row])
    return Submitted(row, is_new=True)


def submit_many(submissions: Sequence[Submission]) -> list[Job]:
    """Accept many jobs in one insert; all or none. Idempotency keys are for single jobs."""
    for submission in submissions:
        check(submission)
    rows = [build(submission) for submission in submissions]
    _insert(rows)
    return rows


def _submit_once(submission: Submission) -> Submitted:
    """Of racing twins one inserts; the others find its row, also when it could not be submitted a second time."""
    found = _find_twin(submission)
    if found is None:
        row = build(submission)
        try:
            with transaction.atomic():
                _insert([row])
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


def _insert(rows: list[Job]) -> None:
    with transaction.atomic():
        Job.objects.bulk_create(rows, batch_size=1_000)
        JobEvent.objects.bulk_create(
            [JobEvent(job=row, kind=SCHEDULE.name if row.state == State.SCHEDULED else SUBMIT.name) for row in rows], batch_size=1_000
        )
        hints = [waiting_of(row) for row in rows if row.state == State.QUEUED]
        if hints:
            transaction.on_commit(lambda: process_pump().enqueue(hints), robust=True)


WAITING_COLUMNS = ("id", "queued_at", "model", "tenant_id", "path", "lane", "input_tokens", "output_tokens", "max_output_tokens", "attempt")
"""What the waiting room needs of a row."""


def waiting_of(row: Job) -> Waiting:
    """A queued row as the waiting room knows it."""
    return waiting_from(*(getattr(row, name) for name in WAITING_COLUMNS))


def waiting_from(  # noqa: PLR0917 - a row's columns, in their order
    job: uuid.UUID,
    queued_at: dt.datetime,
    model: str,
    tenant_id: int,
    path: str,
    lane: int,
    input_tokens: int,
    output_tokens: int,
    max_output_tokens: int,
    attempt: int,
) -> Waiting:
    """The same from WAITING_COLUMNS alone: many rows at a third of the cost."""
    gate_model = wiring.directory().gate_model(model, tenant_id)
    order_ms = int(queued_at.timestamp() * 1000)
    return Waiting(job, gate_model, path, Lane(lane), input_tokens, output_tokens, max_output_tokens, order_ms, attempt)


# ---- the row


def build(submission: Submission) -> Job:
    """The row of a checked submission, not yet inserted. Raises InvalidRequest."""
    model, places = _route(submission)
    tell_unpriced(places)
    body = _with_max_tokens(submission.body, submission.endpoint)
    input_tokens = _count(body, places[0].target.upstream_model)
    max_output_tokens = _max_output_tokens(body, submission.endpoint)
    now = timezone.now()
    _check_times(submission, now)
    row = Job(
        id=submission.id or new_id(),
        tenant=submission.tenant,
        model=model,
        endpoint=submission.endpoint.value,
        lane=submission.lane,
        state=State.SCHEDULED if submission.run_at and submission.run_at > now else State.QUEUED,
        request=orjson.dumps(body).decode(),
        path=wiring.path_id(submission.tenant.pk),
        input_tokens=input_tokens,
        output_tokens=expected_output_tokens(submission.tenant.pk, model, max_output_tokens),
        max_output_tokens=max_output_tokens,
        submitted_at=now,
        queued_at=now,
        run_at=submission.run_at,
        deadline_at=submission.deadline,
        timeout_s=submission.timeout_s or conf().call_timeout_s,
        max_tries=submission.max_tries or conf().max_tries,
        request_hash=fingerprint(submission),
        **_carried(submission),
    )
    _check_limits(row, places)
    return row


_CARRIED = (
    "user",
    "team",
    "rolegroup",
    "role",
    "cost_center",
    "labels",
    "metadata",
    "delivery",
    "idempotency_key",
    "api_key_id",
    "request_id",
    "via",
)


def _carried(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in _CARRIED}


def _route(submission: Submission) -> tuple[str, tuple[Place, ...]]:
    model = submission.body.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidRequest("name a model", code="missing_model", pointer="/model")
    mine = wiring.directory().places_for(model, submission.tenant.pk)
    if mine is None:
        known = ", ".join(sorted(wiring.directory().routes)[:20]) or "none are configured yet"
        raise InvalidRequest(f"there is no model {model!r}; the models are: {known}", code="unknown_model", pointer="/model")
    if not mine:
        raise InvalidRequest(f"model {model!r} has no deployment that this tenant may use", code="no_deployment", pointer="/model")
    return model, mine


def _count(body: dict[str, Any], model: str) -> int:
    """A schema of a tool may be of a form that the counter does not read: then the body costs what its text costs."""
    try:
        return count_input(body, model)
    except (AttributeError, KeyError, TypeError, ValueError):
        return count_text(orjson.dumps(body).decode(), model)


def _with_max_tokens(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """A completion always says how long it may get: a budget reserves the most that it can cost."""
    if endpoint != Endpoint.CHAT or any(body.get(name) is not None for name in ("max_tokens", "max_completion_tokens")):
        return body
    return {**body, "max_tokens": conf().default_max_tokens}


def _max_output_tokens(body: dict[str, Any], endpoint: Endpoint) -> int:
    """The most output tokens over all choices: what a provider counts at admission and a budget reserves."""
    if endpoint == Endpoint.EMBEDDINGS:
        return 0
    given = body.get("max_completion_tokens")
    most = body.get("max_tokens") if given is None else given
    name = "max_tokens" if given is None else "max_completion_tokens"
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= 10_000_000:
        raise InvalidRequest(f"{name} is a whole number from 1 to 10000000", code="invalid_field", pointer=f"/{name}")
    choices = 1 if body.get("n") is None else body["n"]
    if isinstance(choices, bool) or not isinstance(choices, int) or not 1 <= choices <= 128:
        raise InvalidRequest("n is a whole number from 1 to 128", code="invalid_field", pointer="/n")
    return most * choices


def _check_times(submission: Submission, now: dt.datetime) -> None:
    if submission.deadline and submission.deadline <= now:
        raise InvalidRequest("the deadline has passed already", code="deadline_passed", pointer="/job/deadline")


def _check_limits(row: Job, places: tuple[Place, ...]) -> None:
    """A need above a limit itself can never be met: it is refused now, not after a wait."""
    cost = max(most_nano_usd(place.price, row.input_tokens, row.max_output_tokens) for place in places)
    need = Need(row.input_tokens, row.output_tokens, row.max_output_tokens, cost)
    for record in wiring.limits_of_tenant(row.tenant_id):
        wanted = need.of(record.metric)
        if wanted > record.amount:
            what = "money left in the budget" if record.kind == Kind.BUDGET else f"{record.metric.name.lower()} per window"
            raise InvalidRequest(
                f"this request needs {wanted} of {what}, and {record.amount} is all there is: make it smaller",
                code="exceeds_limit",
                pointer="/max_tokens",
            )
