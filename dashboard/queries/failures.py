"""What failed alike, as a page asks for it; and what a retry of one group would do."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from dashboard.queries.job_filters import LONGEST, RANGES
from rateguard.jobs.clock import database_now
from rateguard.jobs.insight.failures import Found, failures
from rateguard.jobs.insight.search import Search
from rateguard.jobs.models import Job
from rateguard.jobs.states import State
from rateguard.jobs.steering.wishes import Choice, Deed, Wish, choose
from tenants.access import Access
from tenants.models import Tenant
from tenants.records.limits import zone_of

USUAL_RANGE = "7d"
_EMPTY = Found((), is_partial=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for. tenant: None: of all, which operators alone see. missing: what is named and not there."""

    tenant: Tenant | None
    model: str
    range: str
    zone: ZoneInfo
    missing: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """The groups, and the tenants' names by id."""

    found: Found
    tenants: Mapping[int, str]


def read_failures_asked(parameters: Mapping[str, str], access: Access) -> Asked:
    """Of whom and when; who is no operator sees one tenant at a time, and first the first."""
    given = {name: parameters.get(name, "").strip().replace("\0", "")[:LONGEST] for name in ("tenant", "model", "range")}
    rows = access.tenants()
    tenant = None if access.is_operator else rows.order_by("name").first()
    missing = ""
    if name := given["tenant"]:
        tenant = rows.filter(name=name).first()
        missing = "" if tenant else f"There is no tenant {name}, or it is not yours."
    span = given["range"] if given["range"] in RANGES else USUAL_RANGE
    return Asked(tenant, given["model"], span, zone_of(tenant.time_zone) if tenant else ZoneInfo("UTC"), missing)


def see_failures(access: Access, asked: Asked, now: dt.datetime) -> Seen:
    """The groups within reach; five statements at most."""
    if asked.missing or (asked.tenant is None and not access.is_operator):
        return Seen(_EMPTY, {})
    length = RANGES[asked.range][1]
    found = failures([asked.tenant.pk] if asked.tenant else None, since=now - length if length else None, model=asked.model)
    names = dict(Tenant.objects.filter(pk__in={one.tenant for one in found.groups}).values_list("pk", "name"))
    return Seen(found, names)


def retry_of(tenant: Tenant, fingerprint: str, as_of: dt.datetime | None) -> Choice:
    """What a retry of all that failed alike meets. as_of: when they were first looked at."""
    search = Search(tenant=tenant.pk, fingerprint=fingerprint, states=frozenset({State.FAILED}))
    now = database_now()
    return choose(search.matching(Job.objects.all()), Wish(Deed.RETRY, min(as_of or now, now)))
