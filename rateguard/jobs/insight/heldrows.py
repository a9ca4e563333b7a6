"""Waiting rows by what decides over them: the same tenant, model, lane, path and marks meet the same limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import NamedTuple

from django.db import connection
from django.db.models import Count

from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState, State

OLDEST = 20_000
"""Waiting rows that are looked at; of a longer line these, the oldest."""


class Group(NamedTuple):
    """Waiting jobs that are alike; there may be thousands of groups. The tokens are what one needs on average, as the gate reserves it.

    route_marks: the deployments that they leave out or prefer, as in their rows.
    """

    tenant_id: int
    model: str
    lane: Lane
    path: str
    route_marks: str
    jobs: int
    input_tokens: int
    output_tokens: int
    max_output_tokens: int


@dataclasses.dataclass(frozen=True, slots=True)
class Groups:
    """The largest first. jobs: waiting rows in them; is_all: whether these are all that wait."""

    groups: tuple[Group, ...] = ()
    jobs: int = 0
    is_all: bool = True


_GROUPED = """
    SELECT tenant_id, model, lane, path, route_marks, COUNT(*),
        CAST(AVG(input_tokens) AS INTEGER), CAST(AVG(output_tokens) AS INTEGER), CAST(AVG(max_output_tokens) AS INTEGER)
    FROM ({oldest}) AS oldest GROUP BY tenant_id, model, lane, path, route_marks ORDER BY COUNT(*) DESC, path, route_marks
"""
LANES = {lane.value: lane for lane in Lane}
_COLUMNS = ("tenant_id", "model", "lane", "path", "route_marks", "input_tokens", "output_tokens", "max_output_tokens")


def waiting_groups(tenant_ids: Collection[int] | None = None) -> Groups:
    """The groups of the oldest waiting rows, of these tenants (None: of all). One statement."""
    if tenant_ids is not None and not tenant_ids:
        return Groups()
    rows = Job.objects.filter(state=State.QUEUED)
    if tenant_ids is not None:
        rows = rows.filter(tenant__in=tenant_ids)
    oldest = rows.order_by("queued_at", "pk").values(*_COLUMNS)[:OLDEST]
    sql, params = oldest.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_GROUPED.format(oldest=sql), params)
        found = tuple(Group(row[0], row[1], LANES[row[2]], *row[3:]) for row in cursor.fetchall())
    jobs = sum(group.jobs for group in found)
    return Groups(found, jobs, is_all=jobs < OLDEST)


def running_by_holder() -> Mapping[str, int]:
    """Attempts under way by the process that runs them. One statement, from an index alone."""
    rows = Attempt.objects.filter(state=AttemptState.RUNNING)
    return dict(rows.values_list("holder").annotate(Count("pk")).order_by())
