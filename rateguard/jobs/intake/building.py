"""The row of a submission: where it goes, what it needs, whom it charges."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.asked import price_words
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.tokens import count_input, count_output
from rateguard.engine.tokens.calibration import reserved
from rateguard.jobs import clock
from rateguard.jobs.attempts.retrying import max_tries_of
from rateguard.jobs.ids import new_id
from rateguard.jobs.inherit import current_run
from rateguard.jobs.insight.calibrated import reserve_permille
from rateguard.jobs.insight.expect import expected_output_tokens
from rateguard.jobs.intake.allowed import under_key
from rateguard.jobs.intake.bodies import length_of
from rateguard.jobs.intake.fits import check_limits
from rateguard.jobs.intake.hearing import tells_of
from rateguard.jobs.intake.marking import marks_of, session_in
from rateguard.jobs.intake.screened import screened
from rateguard.jobs.intake.submission import NAMES, Submission, fingerprint
from rateguard.jobs.intake.supported import supporting
from rateguard.jobs.lineage import Lineage, lineage_of
from rateguard.jobs.models import Job
from rateguard.jobs.places import places_of
from rateguard.jobs.states import State
from tenants.directory import Place, tell_unpriced


def build(submission: Submission, known: dict[tuple[uuid.UUID | None, int], Lineage] | None = None) -> Job:
    """The row of a checked submission, not yet inserted. known: runs that this call has read already.

    Raises InvalidRequest, NotAllowed, MiddlewareBroke.
    """
    request_hash = "" if submission.idempotency_key is None else fingerprint(submission)
    submission, lane = _as_allowed(submission)
    places = places_for_work(str(submission.body["model"]), submission.tenant.pk)
    body = _with_max_tokens(submission.body, submission.endpoint)
    row = _row(submission, lane, body, _lineage(submission, {} if known is None else known))
    row.request_hash, row.tenant = request_hash, submission.tenant
    route(row, body, places, submission.session or session_in(body), submission.only)
    return row


def route(row: Job, body: dict[str, Any], places: tuple[Place, ...], session: str = "", only: int | None = None) -> None:
    """Mark in the row where its request may go among these deployments of its model, and count what it needs there.

    only: the one to which the caller lets it go. Raises InvalidRequest: `unsupported_by_provider` and the like, where none can do it;
    `exceeds_limit`.
    """
    able = supporting(body, Endpoint(row.endpoint), tuple(place for place in places if only in {None, place.id}))
    row.route_marks = marks_of(row.model, places, able, session)
    estimate(row, body, able)
    check_limits(row, able)


def _as_allowed(submission: Submission) -> tuple[Submission, Lane]:
    """The submission and its lane as its key lets it, with the request that the middlewares made of it."""
    submission, lane = under_key(submission)
    if (passed := screened(submission)) is not submission:
        return under_key(passed)  # a middleware may have named another model
    return submission, lane


def _row(submission: Submission, lane: Lane, body: dict[str, Any], lineage: Lineage) -> Job:
    now, model = clock.now(), str(submission.body["model"])
    return _new(
        id=submission.id or new_id(),
        tenant_id=submission.tenant.pk,
        model=model,
        endpoint=submission.endpoint.value,
        lane=lane,
        state=State.SCHEDULED if submission.run_at and submission.run_at > now else State.QUEUED,
        request=orjson.dumps(body).decode(),
        path=_path(submission, lineage),
        run=lineage.innermost,
        max_output_tokens=_max_output_tokens(body, submission.endpoint),
        submitted_at=now,
        queued_at=now,
        run_at=submission.run_at,
        deadline_at=_deadline(submission, lineage, now),
        timeout_s=submission.timeout_s or conf().call_timeout_s,
        max_tries=submission.max_tries or max_tries_of(model),
        tells=tells_of(submission.tenant, submission.webhook),
        is_stored=submission.store,
        batch_id=submission.batch,
        price_words=" ".join(price_words(body)),
        **_carried(submission),
    )


def _new(**values: Any) -> Job:
    """`Job(**values)` by columns, in their order: a third of the time, for Django asks none of sixty fields for its default."""
    make: Callable[..., Job] = Job
    return make(*{**_defaults(), **values}.values())


@functools.cache
def _defaults() -> dict[str, Any]:
    """What every column is unless somebody says otherwise."""
    return {field.attname: field.get_default() for field in Job._meta.concrete_fields}  # noqa: SLF001 - Django's public name for it


def _lineage(submission: Submission, known: dict[tuple[uuid.UUID | None, int], Lineage]) -> Lineage:
    """The run that the caller names, else the one around the call."""
    key = (submission.run or current_run(), submission.tenant.pk)
    if key not in known:
        known[key] = lineage_of(*key)
    return known[key]


def _path(submission: Submission, lineage: Lineage) -> str:
    return wiring.path_of(
        submission.tenant.pk,
        team=submission.team,
        rolegroup=submission.rolegroup,
        role=submission.role,
        user=submission.user,
        runs=lineage.runs,
        key=submission.api_key_id,
    )


def estimate(row: Job, body: dict[str, Any], places: tuple[Place, ...]) -> None:
    """Write into the row what its request needs at these deployments of its model."""
    first = places[0]
    row.counted_tokens = _count(body, first.target.base_model, first.target.provider)
    row.input_tokens = reserved(row.counted_tokens, reserve_permille(first.id))
    row.output_tokens = expected_output_tokens(row.tenant_id, row.model, row.max_output_tokens)


_CARRIED = (
    *NAMES,
    "labels",
    "metadata",
    "delivery",
    "idempotency_key",
    "api_key_id",
    "request_id",
    "via",
    "canvas",
    "webhook",
    "connect_timeout_s",
    "first_token_timeout_s",
    "line",
    "custom_id",
)


def _carried(submission: Submission) -> dict[str, Any]:
    return {name: getattr(submission, name) for name in _CARRIED}


def places_for_work(model: str, tenant_id: int) -> tuple[Place, ...]:
    """Where the model's work may go; at least one place. Raises InvalidRequest: `unknown_model`, `no_deployment`."""
    mine = places_of(model, tenant_id, "/model")
    if not mine:
        raise InvalidRequest(f"model {model!r} has no deployment that this tenant may use", code="no_deployment", pointer="/model")
    tell_unpriced(mine)
    return mine


def _count(body: dict[str, Any], model: str, provider: str) -> int:
    """A schema of a tool may be of a form that the counter does not read: then the body costs what its text costs."""
    try:
        return count_input(body, model, provider)
    except (AttributeError, KeyError, TypeError, ValueError):
        return count_output(orjson.dumps(body).decode(), model, provider)


def _with_max_tokens(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """A completion always says how long it may get: a budget reserves the most that it can cost."""
    if endpoint == Endpoint.EMBEDDINGS:
        return body
    name = length_of(body, endpoint)
    return body if body.get(name) is not None else {**body, name: conf().default_max_tokens}


def _max_output_tokens(body: dict[str, Any], endpoint: Endpoint) -> int:
    """The most output tokens over all choices: what a provider counts at admission and a budget reserves."""
    if endpoint == Endpoint.EMBEDDINGS:
        return 0
    choices = int(body.get("n") or 1) if endpoint == Endpoint.CHAT else 1
    return int(body[length_of(body, endpoint)]) * choices


def _deadline(submission: Submission, lineage: Lineage, now: dt.datetime) -> dt.datetime | None:
    """By when it must have started: its own deadline, or that of its run where it comes first."""
    if submission.deadline and submission.deadline <= now:
        raise InvalidRequest("the deadline has passed already", code="deadline_passed", pointer="/job/deadline")
    if lineage.deadline is None:
        return submission.deadline
    if submission.run_at and submission.run_at >= lineage.deadline:
        raise InvalidRequest("its run is over by this time", code="run_deadline_passed", pointer="/job/run_at")
    return min(submission.deadline or lineage.deadline, lineage.deadline)
