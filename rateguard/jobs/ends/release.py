"""Release: scheduled jobs go on into the line, because their time has come or because a person says so."""

from __future__ import annotations

import uuid

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import waiting_among
from rateguard.jobs.models import Job
from rateguard.jobs.states import RELEASE, State


def release(rows: QuerySet[Job], pump: Pump, *, by: str = "") -> list[uuid.UUID]:
    """Let these go on, and return those that did. One that was tried keeps its old place. The gate hears of it when this commits."""
    with transaction.atomic():
        first_time, tried = rows.filter(attempt=0), rows.filter(attempt__gt=0)
        moved = end(first_time, RELEASE, by=by, queued_at=Now()) + end(tried, RELEASE, by=by)
        if moved:
            transaction.on_commit(lambda: bring_in(moved, pump), robust=True)
    return moved


def bring_in(ids: list[uuid.UUID], pump: Pump) -> None:
    """Those of these jobs that are queued wait in the gate too."""
    pump.enqueue(waiting_among(Job.objects.filter(pk__in=ids, state=State.QUEUED)))
