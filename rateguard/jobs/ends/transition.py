"""Transitions outside the hot path: a conditional UPDATE that names its sources, and the event row, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from rateguard.jobs.ends import outbox
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import TERMINAL, Transition

_HAS_CANVAS = ExpressionWrapper(Q(canvas__isnull=False), output_field=BooleanField())


def end(
    jobs: QuerySet[Job], transition: Transition, *, by: str = "", told: Mapping[str, Any] | None = None, **columns: Any
) -> list[uuid.UUID]:
    """Move these jobs; returns the ids of those that moved. Others were in another state already: somebody was first.

    The end of a job with a canvas is written into the outbox and told on commit.

    by: who did it, for the event. told: what else the event tells. columns: further columns to set.
    """
    with transaction.atomic():
        open_ones = jobs.filter(state__in=transition.sources).select_for_update().order_by("pk")
        moved = list(open_ones.values_list("pk", "attempt", _HAS_CANVAS))
        if transition.target in TERMINAL:
            columns["finished_at"] = Now()
            if hung := [pk for pk, _, has_canvas in moved if has_canvas]:
                outbox.write(hung)
                outbox.tell_on_commit(hung)
        ids = [pk for pk, *_ in moved]
        Job.objects.filter(pk__in=ids).update(state=transition.target, **columns)
        detail = {**(told or {}), **({"by": by} if by else {})}
        if columns.get("error_code"):
            detail["error"] = columns["error_code"]
        JobEvent.objects.bulk_create(
            [JobEvent(job_id=pk, kind=transition.name, attempt=attempt, detail=detail) for pk, attempt, _ in moved]
        )
    return ids
