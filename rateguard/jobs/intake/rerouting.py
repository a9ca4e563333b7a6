"""A job goes on at another model than before: it is marked and counted for that one, as if it were submitted there."""

from __future__ import annotations

from typing import Any

from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.building import estimate, places_for_work
from rateguard.jobs.intake.marking import marks_of, session_in
from rateguard.jobs.intake.supported import supporting
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import DOWNGRADE, FALL_BACK, RESUBMIT
from tenants.directory import Place


def been_at(row: Job) -> set[str]:
    """The models at which a job was since it was submitted, or tried again by a person."""
    found = {row.model}
    moves = JobEvent.objects.filter(job=row, kind__in=[one.name for one in (DOWNGRADE, FALL_BACK, RESUBMIT)]).order_by("pk")
    for kind, detail in moves.values_list("kind", "detail"):
        found = {row.model} if kind == RESUBMIT.name else {*found, str(detail.get("from"))}
    return found


def reroute(row: Job, model: str, body: dict[str, Any]) -> tuple[Place, ...]:
    """Count a row for this model; it is not written yet. Returns where it may go.

    Raises InvalidRequest, and leaves the row as it is, where the model has no deployment that can do it.
    """
    places = places_for_work(model, row.tenant_id)
    able = supporting(body, Endpoint(row.endpoint), places)
    row.model, row.route_marks = model, marks_of(model, places, able, session_in(body))
    estimate(row, body, able)
    return able
