"""What failed alike: the failures of a time in groups, the newest first, at any number of jobs.

The index of fingerprints is walked from one to the next, so each costs one look however many failures it has. A group's failures are
counted up to MOST_COUNTED, and its models are those of its newest MODELS_AMONG.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connection

from rateguard.jobs.models import Job
from tenants.models import Tenant

MOST_GROUPS = 50
MOST_LOOKED_AT = 2_000
"""Fingerprints that are looked at; of more, the groups among these are shown."""
MOST_COUNTED = 10_000
MODELS_AMONG = 200
_BEGINNING, _END = dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9000, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Failures:
    """Jobs of a tenant that failed alike. jobs: how many, MOST_COUNTED at most. first_at, last_at: when the first and the last ended.

    job, error, message: of the last.
    """

    tenant: int
    fingerprint: str
    jobs: int
    models: tuple[str, ...]
    first_at: dt.datetime
    last_at: dt.datetime
    job: uuid.UUID
    error: str
    message: str

    @property
    def is_more(self) -> bool:
        """Whether there are more of them than were counted."""
        return self.jobs >= MOST_COUNTED


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """Groups, the newest first. is_partial: there were more fingerprints, or more groups, than are shown."""

    groups: tuple[Failures, ...]
    is_partial: bool


def failures(
    tenants: Sequence[int] | None, *, since: dt.datetime | None = None, until: dt.datetime | None = None, model: str = ""
) -> Found:
    """The groups of failures that ended in this time; two statements. tenants: ids; None: of all.

    model: those in which a job of this model is among the newest; what is told of them is of all their jobs.
    """
    asked = list(Tenant.objects.values_list("pk", flat=True)) if tenants is None else list(tenants)
    rows = _walk(asked, since or _BEGINNING, until or _END, model)
    examples = Job.objects.only("error_code", "error_message").in_bulk([row[-1] for row in rows])
    groups = [Failures(*row[1:], *_told(examples[row[-1]])) for row in rows if row[-1] in examples]
    is_partial = len(groups) > MOST_GROUPS or any(row[0] > MOST_LOOKED_AT for row in rows)
    return Found(tuple(groups[:MOST_GROUPS]), is_partial)


def _told(job: Job) -> tuple[str, str]:
    return job.error_code, job.error_message


_Row = tuple[int, int, str, int, tuple[str, ...], dt.datetime, dt.datetime, uuid.UUID]
"""How many fingerprints were looked at, then the columns of Failures up to its job."""
_OF_PAIR = "job.tenant_id = pair.tenant and job.fingerprint = pair.fingerprint and not (job.fingerprint = '')"
_IN_TIME = f"{_OF_PAIR} and job.finished_at >= %(since)s and job.finished_at < %(until)s"
_LATELY = f"""
    (select model from rateguard_jobs_job job where {_IN_TIME} order by finished_at desc limit {MODELS_AMONG}) as lately
"""  # noqa: S608 - names and numbers of our own
_WALK = f"""
with recursive walk(tenant, fingerprint) as (
    select tenant.id, (select min(fingerprint) from rateguard_jobs_job where tenant_id = tenant.id and not (fingerprint = ''))
    from rateguard_tenants_tenant tenant where tenant.id in (select cast(value as bigint) from {{list}})
    union all
    select tenant, (select min(job.fingerprint) from rateguard_jobs_job job
        where job.tenant_id = walk.tenant and job.fingerprint > walk.fingerprint and not (job.fingerprint = ''))
    from walk where fingerprint is not null
), pair as (
    select tenant, fingerprint from walk where fingerprint is not null limit {MOST_LOOKED_AT + 1}
), seen as materialized (
    select tenant, fingerprint, (select max(finished_at) from rateguard_jobs_job job where {_IN_TIME}) as last_at from pair
), newest as (
    select * from (select * from seen where last_at is not null order by last_at desc) as pair
    where %(model)s = '' or exists (select 1 from {_LATELY} where model = %(model)s) limit {MOST_GROUPS + 1}
)
select (select count(*) from pair), tenant, fingerprint,
    (select count(*) from (select 1 from rateguard_jobs_job job where {_IN_TIME} limit {MOST_COUNTED}) as counted),
    (select {{array}}(distinct model) from {_LATELY}),
    (select min(finished_at) from rateguard_jobs_job job where {_IN_TIME}), last_at,
    (select id from rateguard_jobs_job job where {_OF_PAIR} and job.finished_at = pair.last_at limit 1)
from newest as pair order by last_at desc
"""  # noqa: S608 - names and numbers of our own
_VENDORS = {
    "postgresql": ("json_array_elements_text(%(tenants)s::json) as listed(value)", "json_agg"),
    "sqlite": ("json_each(%(tenants)s)", "json_group_array"),
}
"""How a list becomes rows, and rows a list."""


def _walk(tenants: Sequence[int], since: dt.datetime, until: dt.datetime, model: str) -> list[_Row]:
    listed, array = _VENDORS[connection.vendor]
    statement = _WALK.replace("{list}", listed).replace("{array}", array)
    moments = {name: connection.ops.adapt_datetimefield_value(at) for name, at in (("since", since), ("until", until))}
    with connection.cursor() as cursor:
        cursor.execute(statement, {"tenants": orjson.dumps(tenants).decode(), "model": model, **moments})
        return [_row(*found) for found in cursor.fetchall()]


def _row(*found: Any) -> _Row:
    """SQLite writes ids, lists and times as texts."""
    looked_at, tenant, fingerprint, jobs, models, first_at, last_at, job = found
    names = orjson.loads(models) if isinstance(models, str) else models
    return looked_at, tenant, fingerprint, jobs, tuple(sorted(names)), _moment(first_at), _moment(last_at), uuid.UUID(str(job))


def _moment(value: dt.datetime | str) -> dt.datetime:
    at = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
