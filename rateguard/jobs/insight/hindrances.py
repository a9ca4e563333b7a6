"""What held waiting jobs back, from the rows that the caretaker wrote: of a job's wait, and of the last moments."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection

from django.db.models import Q, QuerySet

from rateguard.engine.scopes import parts_of
from rateguard.jobs.clock import database_now
from rateguard.jobs.insight.heldwords import in_the_way
from rateguard.jobs.models import Hindrance, Job
from rateguard.jobs.states import State

NODE_LENGTH = 255
"""A longer node is cut where it is written."""
MOST = 50
"""Episodes told of one job, or of the last moments."""
HOLDS_FOR = dt.timedelta(seconds=30)
"""What was seen so long ago holds still, for all that anybody knows."""
ONE_LOOK = dt.timedelta(seconds=1)
"""What one look saw has the same time, or nearly."""


@dataclasses.dataclass(frozen=True, slots=True)
class WaitedFor:
    """What stood in a job's way.

    kind, scope_kind, scope: as in `insight.binding.Obstacle`, or `slots`. text: the limit as people type it, empty where it is not told.
    began_at, ended_at: of the episode, within the job's wait. is_now: it waits for it still.
    """

    kind: str
    scope_kind: str
    scope: str
    text: str
    began_at: dt.datetime
    ended_at: dt.datetime
    is_now: bool

    @property
    def words(self) -> str:
        """`600 requests/min on account openai-main`."""
        return in_the_way(self.kind, self.scope_kind, self.scope, self.text)


def hindrances_of(job: Job, *, sees_all: bool) -> list[WaitedFor]:
    """What a job waited for, the oldest first: what held its model and lane back while it waited, on its path or shared by all.

    sees_all: who looks is an operator, and is told the amounts of what tenants share. One query, and the database's time.
    """
    begins, now = job.queued_at, database_now()
    is_waiting = job.state == State.QUEUED
    ends = now if is_waiting else job.started_at or job.finished_at or now  # who waits again began once before
    models = {job.model, job.asked_model}
    nodes = {"", *(part[:NODE_LENGTH] for part in parts_of(job.path))}
    on_its_way = Q(tenant__isnull=True) | Q(tenant=job.tenant_id, node__in=nodes)
    rows = Hindrance.objects.filter(on_its_way, model__in=models, lane=job.lane, seen_at__gte=begins, began_at__lte=ends)
    return [
        WaitedFor(
            row.kind,
            row.scope_kind,
            row.scope,
            row.text if sees_all or row.tenant_id is not None or row.kind == "slots" else "",
            max(row.began_at, begins),
            min(row.seen_at, ends),
            is_waiting and now - row.seen_at < HOLDS_FOR,
        )
        for row in rows.order_by("began_at", "pk")[:MOST]
    ]


def last_seen(tenant_ids: Collection[int] | None, models: Collection[str]) -> list[Hindrance]:
    """What was in the way when the caretaker last looked, those with the most jobs first.

    tenant_ids: of these tenants and, at these models, of all; None: everything. Empty where nothing was seen for an hour. One query.
    """
    rows: QuerySet[Hindrance] = Hindrance.objects.order_by("-seen_at", "-jobs")
    if tenant_ids is not None:
        rows = rows.filter(Q(tenant__in=tenant_ids) | Q(tenant__isnull=True, model__in=models))
    found = list(rows[:MOST])
    if not found or database_now() - found[0].seen_at > dt.timedelta(hours=1):
        return []
    newest = found[0].seen_at
    return sorted((row for row in found if newest - row.seen_at < ONE_LOOK), key=lambda row: -row.jobs)
