"""The tenants within somebody's reach, a page at a time: cost, budgets, use of the last 24 hours, what waits and runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from zoneinfo import ZoneInfo

from django.db.models import Count, IntegerField, OuterRef, Q, Subquery
from django.utils import timezone

from rateguard.jobs.models import Job
from rateguard.jobs.states import WAITING, State
from tenants.access import Access
from tenants.models import Budget, BudgetPeriod, BudgetUnit, Measure, ScopeKind, Tenant, TenantStatus
from tenants.records.limits import zone_of
from tenants.usage.past import quarter_of
from tenants.usage.since import Starts, begun, took, used
from tenants.usage.tally import Tally, percentiles, total

PAGE = 25
MOST_COUNTED = 10_000
"""More waiting jobs than this are shown as `10,000+`."""
DAY = dt.timedelta(days=1)
SORTS = ("name", "cost", "jobs", "latency")


@dataclasses.dataclass(frozen=True, slots=True)
class BudgetShare:
    """A tenant's budget of a day or a month, and what was spent in its period by the rollups."""

    period: BudgetPeriod
    amount: int
    spent: int

    @property
    def share(self) -> float:
        """1: all of it; a budget of nothing is spent."""
        return self.spent / self.amount if self.amount else 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class TenantLine:
    """A tenant. today, month: of its own time zone. day: the last 24 hours, with times.

    token_share, weight_share: its part of what all tenants used in the last 24 hours, and the part that its weight gives it among those
    that had work; None for who sees no others, and for a tenant without work.
    """

    name: str
    zone: ZoneInfo
    weight: int
    is_paused: bool
    today: Tally
    month: Tally
    budgets: tuple[BudgetShare, ...]
    day: Tally
    token_share: float | None
    weight_share: float | None
    waiting: int
    running: int


@dataclasses.dataclass(frozen=True, slots=True)
class Listing:
    """A page. number: from 1. count: tenants that the search found. total: the last 24 hours of all tenants, for operators alone."""

    lines: tuple[TenantLine, ...]
    number: int
    count: int
    total: Tally | None
    now: dt.datetime

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.count // PAGE))


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    pk: int
    name: str
    weight: int
    status: str
    time_zone: str


def list_tenants(access: Access, search: str = "", sort: str = "name", number: int = 1) -> Listing:
    """A page of tenants; a page behind the last is the last. sort: of SORTS; figures fall, names rise."""
    now = timezone.now()
    reach = [_Row(*row) for row in access.tenants().order_by("name").values_list("pk", "name", "weight", "status", "time_zone")]
    found = [row for row in reach if search.lower() in row.name.lower()]
    number = min(number, max(1, -(-len(found) // PAGE)))
    since: Starts = ((quarter_of(now - DAY), None if access.is_operator else frozenset(row.pk for row in reach)),)
    days = used(since, now)
    today = _today(found, now) if sort in {"cost", "jobs"} else None
    ranked = sorted(found, key=_rank(sort, since, today or {}, now))
    shown = ranked[(number - 1) * PAGE : number * PAGE]
    figures = _Figures(
        today=_today(shown, now) if today is None else today,
        month=used(begun(BudgetPeriod.MONTH, {row.pk: row.time_zone for row in shown}, now), now),
        day=days,
        times=took(((since[0][0], frozenset(row.pk for row in shown)),), now),
        total=total(days.values()) if access.is_operator else None,
        weight=sum(row.weight for row in reach if row.pk in days and days[row.pk].tokens > 0),
    )
    return Listing(tuple(_lines(shown, figures)), number, len(found), figures.total, now)


@dataclasses.dataclass(frozen=True, slots=True)
class _Figures:
    """By tenant. total: of all tenants; weight: of those with work."""

    today: Mapping[int, Tally]
    month: Mapping[int, Tally]
    day: Mapping[int, Tally]
    times: Mapping[int, Tally]
    total: Tally | None
    weight: int


def _rank(sort: str, since: Starts, today: Mapping[int, Tally], now: dt.datetime) -> Callable[[_Row], tuple[float, str]]:
    """Those without work come last, by name."""
    figures: Mapping[int, float] = {}
    match sort:
        case "cost":
            figures = {pk: tally.nano_usd for pk, tally in today.items()}
        case "jobs":
            figures = {pk: tally.jobs for pk, tally in today.items()}
        case "latency":
            times = took(since, now, (Measure.LATENCY_MS,))
            figures = {pk: percentiles(tally.latency).p95 or 0 for pk, tally in times.items()}
    return lambda row: (-figures.get(row.pk, 0), row.name)


def _today(rows: Collection[_Row], now: dt.datetime) -> dict[int, Tally]:
    return used(begun(BudgetPeriod.DAY, {row.pk: row.time_zone for row in rows}, now), now)


def _lines(shown: Sequence[_Row], figures: _Figures) -> Iterator[TenantLine]:
    budgets, (waiting, running) = _budgets(shown), _under_way({row.pk for row in shown})
    none = Tally()
    for row in shown:
        today, month, day = (by.get(row.pk, none) for by in (figures.today, figures.month, figures.day))
        spent = {BudgetPeriod.DAY: today.nano_usd, BudgetPeriod.MONTH: month.nano_usd}
        is_compared = figures.total is not None and figures.total.tokens > 0 and day.tokens > 0
        yield TenantLine(
            name=row.name,
            zone=zone_of(row.time_zone),
            weight=row.weight,
            is_paused=row.status == TenantStatus.PAUSED,
            today=today,
            month=month,
            budgets=tuple(BudgetShare(period, amount, spent[period]) for period, amount in sorted(budgets[row.pk].items())),
            day=day + figures.times.get(row.pk, none),
            token_share=day.tokens / figures.total.tokens if is_compared and figures.total else None,
            weight_share=row.weight / figures.weight if is_compared else None,
            waiting=waiting.get(row.pk, 0),
            running=running.get(row.pk, 0),
        )


def _budgets(shown: Sequence[_Row]) -> Mapping[int, dict[BudgetPeriod, int]]:

    of_all = Q(scope__tenant__isnull=True)
    rows = Budget.objects.filter(Q(scope__tenant__in=[row.pk for row in shown]) | of_all, scope__kind=ScopeKind.TENANT, unit=BudgetUnit.USD)
    rows = rows.filter(period__in=(BudgetPeriod.DAY, BudgetPeriod.MONTH))
    found: dict[int, dict[BudgetPeriod, int]] = defaultdict(dict)
    shared: dict[BudgetPeriod, int] = {}
    for tenant, period, amount in rows.values_list("scope__tenant", "period", "amount"):
        (shared if tenant is None else found[tenant])[BudgetPeriod(period)] = amount
    for row in shown:
        if row.time_zone == "UTC":
            found[row.pk] = {**shared, **found[row.pk]}
    return found


# ---- what is under way


class _Counted(Subquery):
    """How many rows a query finds."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS counted)"
    output_field = IntegerField()


def _under_way(ids: Collection[int]) -> tuple[Mapping[int, int], Mapping[int, int]]:
    """Jobs that wait (at most MOST_COUNTED + 1 of each tenant) and jobs that run."""
    waiting = Job.objects.filter(tenant=OuterRef("pk"), state__in=sorted(WAITING)).order_by().values("pk")[: MOST_COUNTED + 1]
    running = Job.objects.filter(tenant__in=ids, state=State.RUNNING).order_by()
    return (
        dict(Tenant.objects.filter(pk__in=ids).order_by().annotate(found=_Counted(waiting)).values_list("pk", "found")),
        dict(running.values_list("tenant").annotate(Count("pk"))),
    )
