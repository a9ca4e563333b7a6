"""One tenant: how its use and its cost went over a span, split by a dimension; who belongs to it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from dashboard.queries.spans import Span, chosen
from rateguard.jobs.models import Job
from tenants.access import Access
from tenants.models import ApiKey, Member, Tenant
from tenants.records.limits import zone_of
from tenants.usage.course import Asked, Course, Part, read_course, read_course_of_days
from tenants.usage.reading import is_by_day
from tenants.usage.tally import Tally, total

UTC = ZoneInfo("UTC")
DIMENSIONS = ("model", "deployment", "team", "user", "label", "key")
TOP = 10
MOST_PEOPLE = 50


@dataclasses.dataclass(frozen=True, slots=True)
class TenantFigures:
    """The figures of a span. overall: the tenant's; split: by the dimension; total: of the whole span.

    is_by_day: users and labels, which are of days of UTC. names: of the keys. is_new: there was never a job.
    """

    span: Span
    dimension: str
    overall: Course
    split: Course
    total: Tally
    is_by_day: bool
    names: Mapping[Part, str]
    is_new: bool
    now: dt.datetime

    @property
    def parts(self) -> Mapping[Part, Tally]:
        """Each part of the dimension over the whole span, dearest first; None: all others, and what has no user.

        A job counts under each of its labels, so labels have no others.
        """
        found = dict(self.split.by_part())
        if self.dimension == "label":
            found.pop(None, None)
        if self.dimension == "user":
            named = total(tally for part, tally in found.items() if part is not None)
            found[None] = _rest(self.total, named)
            if found[None].is_empty:
                del found[None]
        return found


def find_tenant(access: Access, name: str) -> Tenant | None:
    """A tenant within reach by its name; None for none, and for another's."""
    return access.tenants().filter(name=name).first()


def read_figures(tenant: Tenant, span_name: str, dimension: str, zone: ZoneInfo | None = None) -> TenantFigures:
    """span_name: of spans.CHOICES; dimension: of DIMENSIONS; zone: another than the tenant's. Users and labels: UTC, by day."""
    now = timezone.now()
    by_day = is_by_day({dimension})
    span = chosen(span_name, UTC if by_day else zone or zone_of(tenant.time_zone), now, is_by_day=by_day)
    asked = Asked(tenant.pk, span.per, span.zone, span.period, span.before, "" if by_day else dimension, TOP)
    overall = read_course(asked, now)
    split = read_course_of_days(dataclasses.replace(asked, dimension=dimension)) if by_day else overall
    whole = overall.total()
    is_new = whole.is_empty and overall.before.is_empty and not Job.objects.filter(tenant=tenant).exists()
    return TenantFigures(span, dimension, overall, split, whole, by_day, _names(tenant, dimension, split), is_new, now)


def _names(tenant: Tenant, dimension: str, split: Course) -> Mapping[Part, str]:
    """What people call the keys."""
    if dimension != "key":
        return {}
    rows = ApiKey.objects.filter(tenant=tenant, pk__in=[part for part in split.parts if part]).values_list("pk", "name")
    return dict(rows)


def _rest(whole: Tally, named: Tally) -> Tally:
    return Tally(
        jobs=whole.jobs - named.jobs,
        input_tokens=whole.input_tokens - named.input_tokens,
        output_tokens=whole.output_tokens - named.output_tokens,
        nano_usd=whole.nano_usd - named.nano_usd,
    )


# ---- who belongs to it


@dataclasses.dataclass(frozen=True, slots=True)
class People:
    """Members by name and role, and the keys that are in force; at most MOST_PEOPLE of each."""

    members: tuple[tuple[str, str], ...]
    keys: tuple[ApiKey, ...]


def read_people(tenant: Tenant) -> People:
    """For who manages the tenant. Two statements."""
    members = Member.objects.filter(tenant=tenant).select_related("user").order_by("pk")[:MOST_PEOPLE]
    keys = ApiKey.objects.filter(tenant=tenant, revoked_at__isnull=True).order_by("name", "pk")[:MOST_PEOPLE]
    return People(tuple((_called(member.user), member.role) for member in members), tuple(keys))


def _called(user: Any) -> str:
    return str(user.get_username())
