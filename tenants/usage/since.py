"""What each of many tenants used since a moment of its own: today and this month begin at other moments in other time zones."""

from __future__ import annotations

import datetime as dt
import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from zoneinfo import ZoneInfo

from django.db.models import Q

from tenants.models import BudgetPeriod, Measure
from tenants.periods import period_starts
from tenants.usage.past import past, past_until
from tenants.usage.question import Period
from tenants.usage.sums import Tallies, sum_quarters, sum_times, together
from tenants.usage.tally import Tally

Starts = tuple[tuple[dt.datetime, frozenset[int] | None], ...]
"""Moments, and the tenants for whom each counts; None: one moment for all tenants."""


def begun(period: BudgetPeriod, zones: Mapping[int, str], now: dt.datetime) -> Starts:
    """When the current day, week or month began for each tenant. zones: tenant → the name of its zone."""
    found: dict[dt.datetime, set[int]] = defaultdict(set)
    starts = {name: period_starts(period, ZoneInfo(name), now, 1)[0] for name in set(zones.values())}
    for tenant, name in zones.items():
        found[starts[name]].add(tenant)
    return tuple((start, frozenset(ids)) for start, ids in sorted(found.items()))


def used(starts: Starts, now: dt.datetime) -> dict[int, Tally]:
    """What each of these tenants used since its moment, without times. Two statements, one while the past is known."""
    return _by_tenant("used", starts, now, functools.partial(sum_quarters, ("tenant",)), "")


def took(starts: Starts, now: dt.datetime, measures: Collection[Measure] = (Measure.LATENCY_MS, Measure.QUEUE_WAIT_MS)) -> dict[int, Tally]:
    """How long it took. As many statements."""
    read = functools.partial(sum_times, ("quarter__tenant",), measures=measures)
    return _by_tenant(("took", tuple(measures)), starts, now, read, "quarter__")


def _by_tenant(what: object, starts: Starts, now: dt.datetime, read: Callable[[Q], Tallies], prefix: str) -> dict[int, Tally]:
    if not starts:
        return {}
    first, closed = min(start for start, _ in starts), past_until(now)
    known = past((what, starts), Period(first, max(first, closed)), lambda span: read(_wanted(starts, prefix, span)))
    live = read(_wanted(starts, prefix, Period(max(first, closed), now)))
    return {key[0]: tally for key, tally in together(known, live).items()}


def _wanted(starts: Starts, prefix: str, span: Period) -> Q:
    """What begins in the span, of each tenant from its moment on."""
    each = Q()
    for start, ids in starts:
        its = Q((f"{prefix}starts_at__gte", start)) if start > span.start else Q()
        each |= its & Q((f"{prefix}tenant__in", ids)) if ids is not None else its
    return Q((f"{prefix}starts_at__gte", span.start), (f"{prefix}starts_at__lt", span.end)) & each
