"""One job with all that is known of it: row, attempts, events, corrections, what it waited for, and what it waits for now."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.db.models.functions import Length, Substr
from django.http import Http404

from dashboard.queries.in_the_way import InTheWay, in_the_way_of
from rateguard.jobs.bodies import is_sealed
from rateguard.jobs.insight.hindrances import WaitedFor, hindrances_of
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.models import Attempt, Job, JobEvent, Tells, WebhookMessage
from rateguard.jobs.states import TERMINAL, State
from tenants.access import Access, Power
from tenants.models import ApiKey, Deployment, EntryKind, LedgerEntry, Run
from tenants.told import names_told, told_by

Row = TypeVar("Row", bound=Model)

MOST_STEPS = 500
"""Attempts and events that a page tells of; more, and the first ones are left out."""
MOST_BODY_CHARS = 100_000
"""Of a request and of an answer, so much is on the page; the rest is a file to take along."""
UNREADABLE = "It was encrypted with a key that is not there. An operator can put the key back into ENCRYPTION_KEYS."


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """A job's row and what hangs on it, the oldest first.

    by: who did what, by the event's id, as whoever looks may be told. accounts: names by the id of a deployment. key, run: in words.
    waits_for: what is in its way now; None where it does not wait. told: the webhook messages of its end.
    """

    job: Job
    events: Sequence[JobEvent]
    attempts: Sequence[Attempt]
    corrections: Sequence[LedgerEntry] = ()
    waited_for: Sequence[WaitedFor] = ()
    waits_for: InTheWay | None = None
    told: Sequence[WebhookMessage] = ()
    by: dict[int, str] = dataclasses.field(default_factory=dict)
    accounts: dict[int, str] = dataclasses.field(default_factory=dict)
    key: str = ""
    run: str = ""


def job_of(access: Access, job_id: uuid.UUID) -> Job:
    """A job within reach, without its large columns. Raises Http404."""
    job = access.within(Job.objects.filter(pk=job_id)).select_related("tenant").defer(*HEAVY).first()
    if job is None:
        raise Http404
    return job


def past_of(access: Access, job: Job) -> Past:
    """What is known of a job."""
    events = _last(JobEvent.objects.filter(job=job).order_by("-at", "-pk"))
    attempts = _last(Attempt.objects.filter(job=job).order_by("-number")) if job.attempt else []
    key = ApiKey.objects.filter(pk=job.api_key_id).first() if job.api_key_id is not None else None
    run = Run.objects.filter(pk=job.run).first() if job.run is not None else None
    return Past(
        job,
        events,
        attempts,
        corrections=_corrections(job, events),
        waited_for=hindrances_of(job, sees_all=access.is_operator),
        waits_for=in_the_way_of(job, None if access.is_operator else job.tenant_id) if job.state == State.QUEUED else None,
        told=_messages(job) if job.state in TERMINAL and job.tells & Tells.WEBHOOK else (),
        by=_told(access, job, events),
        accounts=_accounts(attempts),
        key=str(key) if key else (f"key {job.api_key_id}, which is gone" if job.api_key_id is not None else ""),
        run=run.name if run else "",
    )


def _last(rows: QuerySet[Row]) -> list[Row]:
    return list(reversed(rows[:MOST_STEPS]))


def _corrections(job: Job, events: Sequence[JobEvent]) -> Sequence[LedgerEntry]:
    """Only a job with such an event has any."""
    if not any(event.kind == "corrected" for event in events):
        return ()
    own = Attempt.objects.filter(job=job).values("reservation_id")
    rows = LedgerEntry.objects.filter(tenant=job.tenant_id, reservation_id__in=own).exclude(kind=EntryKind.CHARGE)
    return list(rows.order_by("created_at", "pk")[:MOST_STEPS])


def _messages(job: Job) -> list[WebhookMessage]:
    """To whom its end was told, or is to be."""
    rows = WebhookMessage.objects.filter(job=job).select_related("endpoint").defer("body", "last_error")
    return list(rows.order_by("created_at", "pk")[:MOST_STEPS])


def _told(access: Access, job: Job, events: Sequence[JobEvent]) -> dict[int, str]:
    done = {event.pk: str(event.detail["by"]) for event in events if event.detail.get("by")}
    known = None if access.is_operator or not done else names_told([job.tenant_id])
    return {pk: told_by(by, known) for pk, by in done.items()}


def _accounts(attempts: Sequence[Attempt]) -> dict[int, str]:
    ids = {attempt.deployment_id for attempt in attempts}
    return dict(Deployment.objects.filter(pk__in=ids).values_list("pk", "account__name")) if ids else {}


# ---- what was asked and answered


@dataclasses.dataclass(frozen=True, slots=True)
class Body:
    """A request or an answer: its beginning, and how many characters it has in all."""

    text: str
    size: int

    @property
    def is_whole(self) -> bool:
        """Whether this is all of it."""
        return len(self.text) == self.size


@dataclasses.dataclass(frozen=True, slots=True)
class Bodies:
    """What was asked and, where there is one, what was answered."""

    request: Body
    result: Body | None


def bodies_of(access: Access, job: Job) -> Bodies | None:
    """The bodies, cut; None for who sees figures and no contents."""
    if not access.may(Power.READ, job.tenant_id):
        return None
    return Bodies(_cut(job, "request") or Body("", 0), _cut(job, "result"))


def _cut(job: Job, name: str) -> Body | None:
    """The database cuts a body, for it may be large. A sealed one has no beginning: it comes whole, and is opened."""
    of_job = Job.objects.filter(pk=job.pk)
    text, size = of_job.values_list(Substr(name, 1, MOST_BODY_CHARS), Length(name))[0]
    if text is None:
        return None
    if not is_sealed(text):
        return Body(text, size)
    whole = of_job.values_list(name, flat=True)[0] or ""
    return Body(UNREADABLE, len(UNREADABLE)) if is_sealed(whole) else Body(whole[:MOST_BODY_CHARS], len(whole))


def whole_body(access: Access, job: Job, name: str) -> str:
    """All of a request (`request`) or an answer (`result`). Raises Http404 where there is none to read, or for who may not read it."""
    text: str | None = None
    if access.may(Power.READ, job.tenant_id):
        text = Job.objects.filter(pk=job.pk).values_list(name, flat=True)[0]
    if not text or is_sealed(text):
        raise Http404
    return text
