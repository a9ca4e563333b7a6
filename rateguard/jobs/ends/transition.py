"""Transitions outside the hot path: a conditional UPDATE that names its sources, and the event row, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, Case, ExpressionWrapper, F, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Now

from rateguard.jobs.ends import outbox
from rateguard.jobs.failures import fingerprint_of
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import TERMINAL, State, Transition

_UNLESS_STORED = Case(When(is_stored=True, then=F("request")), default=Value(""), output_field=TextField())
_HAS_CANVAS = ExpressionWrapper(Q(canvas__isnull=False), output_field=BooleanField())


def end(
    jobs: QuerySet[Job], transition: Transition, *, by: str = "", told: Mapping[str, Any] | None = None, **columns: Any
) -> list[uuid.UUID]:
    """Move these jobs; returns the ids of those that moved. Others were in another state already: somebody was first.

    An end that somebody is to hear of (its canvas, a webhook, a receiver of the signal) is written into the outbox and told on commit.
    Where a job is not to be stored, its request goes with its end.

    by: who did it, for the event. told: what else the event tells. columns: further columns to set.
    """
    with transaction.atomic():
        open_ones = jobs.filter(state__in=transition.sources).select_for_update().order_by("pk")
        moved = list(open_ones.values_list("pk", "attempt", _HAS_CANVAS, "tells"))
        if transition.target in TERMINAL:
            columns["finished_at"] = Now()
            columns["request"] = _UNLESS_STORED
            if error_code := columns.get("error_code"):
                columns["fingerprint"] = (
                    fingerprint_of(error_code, columns.get("error_message", "")) if transition.target == State.FAILED else ""
                )
            if hung := {pk: outbox.kinds_of(has_canvas, tells) for pk, _, has_canvas, tells in moved if has_canvas or tells}:
                outbox.write(hung)
                outbox.tell_on_commit(list(hung))
        ids = [pk for pk, *_ in moved]
        Job.objects.filter(pk__in=ids).update(state=transition.target, **columns)
        detail = {**(told or {}), **({"by": by} if by else {})}
        if columns.get("error_code"):
            detail["error"] = columns["error_code"]
        JobEvent.objects.bulk_create(
            [JobEvent(job_id=pk, kind=transition.name, attempt=attempt, detail=detail) for pk, attempt, *_ in moved]
        )
    return ids
