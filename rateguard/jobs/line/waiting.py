"""Rows as the gate knows them: queued jobs in its waiting room, running attempts as reservations."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Collection, Iterator

from django.db.models import QuerySet

from rateguard import wiring
from rateguard.engine.gate.contract import ReservationId, Running, Waiting
from rateguard.engine.lanes import Lane
from rateguard.engine.routing.marks import MARK
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState

WAITING_COLUMNS = (
    "id",
    "queued_at",
    "model",
    "tenant_id",
    "path",
    "lane",
    "input_tokens",
    "output_tokens",
    "max_output_tokens",
    "attempt",
    "deadline_at",
    "price_words",
    "route_marks",
)
"""What the waiting room needs of a row."""


def waiting_of(row: Job) -> Waiting:
    """A queued row."""
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
    deadline_at: dt.datetime | None,
    price_words: str,
    route_marks: str,
) -> Waiting:
    """The same from WAITING_COLUMNS alone: many rows at a third of the cost."""
    gate_model = wiring.directory().gate_model(model, tenant_id, price_words.split(), input_tokens)
    deadline_ms = None if deadline_at is None else int(deadline_at.timestamp() * 1000)
    return Waiting(
        job,
        f"{gate_model}{MARK}{route_marks}" if route_marks else gate_model,
        path,
        Lane(lane),
        input_tokens,
        output_tokens,
        max_output_tokens,
        order_ms=int(queued_at.timestamp() * 1000),
        attempt=attempt,
        deadline_ms=deadline_ms,
    )


def waiting_among(rows: QuerySet[Job]) -> list[Waiting]:
    """These rows, read by WAITING_COLUMNS alone: requests and answers stay where they are."""
    return list(itertools.starmap(waiting_from, rows.values_list(*WAITING_COLUMNS)))


def running_attempts(among: Collection[ReservationId] | None = None) -> Iterator[Running]:
    """Running attempts as the gate gets them back, all by default. When each was sent is not known: it counts as of now."""
    rows = Attempt.objects.filter(state=AttemptState.RUNNING, job__isnull=False)
    if among is not None:
        rows = rows.filter(reservation_id__in=[one.job for one in among])
    for deployment, holder, cost, *job in rows.values_list(*_OF_ATTEMPT, *(f"job__{name}" for name in WAITING_COLUMNS)):
        yield Running(waiting_from(*job), str(deployment), holder, 0, cost)


_OF_ATTEMPT = ("deployment_id", "holder", "reserved_nano_usd")
