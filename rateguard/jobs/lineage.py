"""Which runs a piece of work charges, and whether they take any more."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Collection

from django.db.models.functions import Now

from rateguard.engine.errors import InvalidRequest
from tenants.models import Run, RunState

POINTER = "/job/run"


@dataclasses.dataclass(frozen=True, slots=True)
class Lineage:
    """The runs that work charges, the outermost first; until when it may start."""

    runs: tuple[uuid.UUID, ...] = ()
    deadline: dt.datetime | None = None

    @property
    def innermost(self) -> uuid.UUID | None:
        """The run that the work was submitted in."""
        return self.runs[-1] if self.runs else None


NO_RUN = Lineage()


def lineage_of(run_id: uuid.UUID | None, tenant_id: int, pointer: str = POINTER) -> Lineage:
    """The runs of a tenant's work in a run, by one query.

    Raises InvalidRequest: `unknown_run` (also where it is another tenant's), `run_stopped`, `run_deadline_passed`, the latter two also
    where a run around it is stopped or late. pointer: the field that named the run.
    """
    if run_id is None:
        return NO_RUN
    rows = Run.objects.filter(pk=run_id, tenant_id=tenant_id).select_related("parent__parent__parent")
    found = rows.annotate(now=Now()).first()
    if found is None:
        raise InvalidRequest(f"this tenant has no run {run_id}", code="unknown_run", pointer=pointer)
    lineage = _around(found)
    _refuse_ended(lineage, found.now, pointer)
    deadlines = [run.deadline_at for run in lineage if run.deadline_at is not None]
    return Lineage(tuple(run.pk for run in lineage), min(deadlines, default=None))


def _around(run: Run) -> list[Run]:
    """The runs around one whose parents are read, the outermost first, and itself."""
    lineage = [run]
    while (parent := lineage[0].parent) is not None:
        lineage.insert(0, parent)
    return lineage


def _refuse_ended(lineage: list[Run], now: dt.datetime, pointer: str) -> None:
    """By the database's clock."""
    for run in lineage:
        name = f"{run.name} ({run.pk})" if run.name else str(run.pk)
        if run.state == RunState.STOPPED:
            raise InvalidRequest(f"run {name} was stopped: start another one for further work", code="run_stopped", pointer=pointer)
        if run.deadline_at is not None and run.deadline_at <= now:
            raise InvalidRequest(
                f"run {name} was over at {run.deadline_at:%Y-%m-%d %H:%M:%S} UTC: start another one for further work",
                code="run_deadline_passed",
                pointer=pointer,
            )


def runs_around(run_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[uuid.UUID, ...]]:
    """The lineage of each of these runs that exists: those around it, the outermost first, and itself."""
    runs = Run.objects.filter(pk__in=run_ids).select_related("parent__parent__parent")
    return {run.pk: tuple(one.pk for one in _around(run)) for run in runs}


def with_nested(run_id: uuid.UUID) -> list[uuid.UUID]:
    """The ids of a run and of all runs inside it, the outermost first."""
    found = level = [run_id]
    while level := list(Run.objects.filter(parent__in=level).values_list("pk", flat=True)):
        found = found + level
    return found
