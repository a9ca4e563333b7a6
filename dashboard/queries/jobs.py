"""The page of jobs: what is found, whose it is, and how what ended badly did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from django.db.models import QuerySet

from dashboard.queries.job_filters import Asked, as_id
from rateguard.jobs.insight.search import BadEnds, Found, Search, bad_ends, find
from rateguard.jobs.models import Job
from tenants.access import Access
from tenants.models import Deployment, ModelRoute, Tenant

PAGE = 50
MOST_GROUPS = 8
MOST_OFFERED = 100
"""Names that a field offers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """What was found. bad_ends: None where it would say nothing new. tenants: names by id."""

    found: Found
    tenants: dict[int, str]
    bad_ends: BadEnds | None = None


def job_in_reach(access: Access, text: str) -> Job | None:
    """The job of an id that somebody typed, where it is theirs to see."""
    job_id = as_id(text)
    return None if job_id is None else access.within(Job.objects.filter(pk=job_id)).only("pk").first()


def list_jobs(access: Access, asked: Asked) -> Listed:
    """A page of what is asked for."""
    rows, search = access.within(Job.objects.all()), asked.search
    if "q" in asked.given:
        found = _by_request(rows, search, asked)
        return Listed(found, _names(found.page.jobs))
    found = find(rows, search, asked.cursor, PAGE)
    tells_more = asked.cursor is None and (not search.states or search.states & _BADLY)
    return Listed(found, _names(found.page.jobs), bad_ends(rows, search, MOST_GROUPS) if tells_more else None)


_BADLY = frozenset({"failed", "cancelled", "expired"})


def _by_request(rows: QuerySet[Job], search: Search, asked: Asked) -> Found:
    """By an idempotency key, which an index knows at any time, else by the id of the request that submitted it."""
    text = asked.given["q"]
    found = find(rows, dataclasses.replace(search, idempotency_key=text, since=None, until=None), asked.cursor, PAGE)
    return found if found.page.jobs else find(rows, dataclasses.replace(search, request_id=text), asked.cursor, PAGE)


def _names(jobs: Sequence[Job]) -> dict[int, str]:
    return dict(Tenant.objects.filter(pk__in={job.tenant_id for job in jobs}).values_list("pk", "name"))


@dataclasses.dataclass(frozen=True, slots=True)
class Offers:
    """Names that the fields offer: the first hundred of each."""

    tenants: tuple[str, ...]
    models: tuple[str, ...]
    deployments: tuple[str, ...]


def offers(access: Access) -> Offers:
    """What who asks may look for; deployments at accounts of other tenants are theirs alone."""
    deployments = Deployment.objects.order_by("name")
    ids = access.tenant_ids()
    if ids is not None:
        deployments = deployments.filter(account__tenant__isnull=True) | deployments.filter(account__tenant__in=ids)
    return Offers(
        tuple(access.tenants().order_by("name").values_list("name", flat=True)[:MOST_OFFERED]),
        tuple(ModelRoute.objects.order_by("name").values_list("name", flat=True)[:MOST_OFFERED]),
        tuple(deployments.values_list("name", flat=True)[:MOST_OFFERED]),
    )
