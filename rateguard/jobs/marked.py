"""A job's marks: which of its model's deployments may do it, and how the marks stand in its row."""

from __future__ import annotations

from rateguard import wiring
from rateguard.engine.routing.marks import Marks, read, write
from rateguard.jobs.models import Job
from tenants.directory import Place

MOST_CHARS = 128
"""As many as the column has."""


def places_of_row(row: Job) -> tuple[Place, ...]:
    """Where a job may go, perhaps nowhere."""
    return able_places(row.model, row.tenant_id, row.route_marks)


def able_places(model: str, tenant_id: int, route_marks: str) -> tuple[Place, ...]:
    """The deployments of a model that a tenant may use, but those that these marks leave out; none of a model that is gone.

    Where an edit of the model has left none but those, they are asked all the same, as the gate does: an error ends what nobody can do.
    """
    places = wiring.directory().places_for(model, tenant_id) or ()
    if not route_marks:
        return places
    never = read(route_marks).never
    return tuple(place for place in places if str(place.id) not in never) or places


def as_column(marks: Marks) -> str | None:
    """Marks as a job's row holds them; None: they are too long."""
    text = write(marks)
    return text if len(text) <= MOST_CHARS else None
