"""Limits, budgets and pauses as the gate keeps them: `l17` a limit, `b3` a budget, `p5` a pause."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import zoneinfo

from django.utils import timezone

from rateguard.conf import conf
from rateguard.engine.limits.limit import MAX_AMOUNT, Exhausted, Kind, Level, LimitRecord
from rateguard.engine.limits.limit import Metric as EngineMetric
from rateguard.engine.providers.capabilities import Admission
from tenants.models import Budget, BudgetPeriod, BudgetUnit, Limit, LimitKind, Metric, OnExhausted, Pause, Scope, ScopeKind
from tenants.periods import period_starts
from tenants.records.counting import STRICTEST, counted_as

logger = logging.getLogger(__name__)

PERIODS_AHEAD = 32
"""Periods that the gate knows, the current one first; the configuration is written anew each minute."""

LEARNED_FLOOR = 10
"""A learned limit never falls below a tenth of what it was told to begin with."""

_METRICS = {metric: EngineMetric[metric.name] for metric in Metric}
_KINDS = {kind: Kind.WINDOW if kind == LimitKind.LEARNED else Kind[kind.name] for kind in LimitKind}
_EXHAUSTED = {word: Exhausted[word.name] for word in OnExhausted}
_LEVELS = {ScopeKind.GLOBAL: Level.SHARED, ScopeKind.TENANT: Level.TENANT}


def _level(scope: Scope | None) -> Level:
    return Level.SHARED if scope is None else _LEVELS.get(ScopeKind(scope.kind), Level.LEAF)


def gate_id(row: Limit | Budget) -> str:
    """What the gate calls a limit or a budget."""
    return f"{'l' if isinstance(row, Limit) else 'b'}{row.pk}"


def limit_record(row: Limit, admission: Admission = STRICTEST) -> LimitRecord:
    """A limit as the gate keeps it. On an account or deployment it is the provider's: counted as he counts, with a guard for the way.

    A learned one begins where it stood when the gate was last asked, else with its amount, and has no amount of its own.
    """
    metric = _METRICS[Metric(row.metric)]
    is_ours, is_learned = row.scope_id is not None, row.kind == LimitKind.LEARNED
    counted = {"metric": metric, "gives_back": True} if is_ours else counted_as(metric, admission)
    return LimitRecord(
        id=gate_id(row),
        kind=_KINDS[LimitKind(row.kind)],
        amount=MAX_AMOUNT if is_learned else row.amount,
        level=_level(row.scope),
        window_ms=row.window_ms,
        burst_permille=row.burst_permille,
        guard_ms=0 if is_ours else conf().guard_ms,
        learns_from=(row.learned_amount or row.amount) if is_learned else 0,
        learns_floor=max(1, row.amount // LEARNED_FLOOR) if is_learned else 1,
        reserve_permille=row.reserve_permille,
        reserve_lane=row.reserve_lane or 0,
        **counted,
    )


def budget_record(row: Budget, now: dt.datetime | None = None) -> LimitRecord:
    """A budget as the gate keeps it, with its periods as of now (of this machine's clock, where none is given)."""
    zone = zone_of(row.scope.tenant.time_zone if row.scope.tenant else "UTC")
    starts = period_starts(BudgetPeriod(row.period), zone, now or timezone.now(), PERIODS_AHEAD)
    return LimitRecord(
        id=gate_id(row),
        kind=Kind.BUDGET,
        metric=EngineMetric.COST if row.unit == BudgetUnit.USD else EngineMetric.PROVIDER_TOKENS,
        amount=row.amount,
        level=_level(row.scope),
        on_exhausted=_EXHAUSTED[OnExhausted(row.on_exhausted)],
        periods=tuple(int(start.timestamp()) * 1000 for start in starts),
        thresholds=_thresholds(row.thresholds),
    )


def _thresholds(value: object) -> tuple[int, ...]:
    """What can be read of a list that nobody checked: one wrong row must not keep all others from the gate."""
    listed = value if isinstance(value, list) else []
    return tuple(sorted({one for one in listed if type(one) is int and 1 <= one <= 100}))


def pause_record(row: Pause, level: Level) -> LimitRecord:
    """A pause as the gate keeps it: a limit that nothing passes until a moment, ms, or (0) until it is lifted."""
    return LimitRecord(f"p{row.pk}", Kind.PAUSE, EngineMetric.REQUESTS, until_ms(row), level)


def until_ms(row: Pause) -> int:
    """When a pause ends by itself, ms; 0: never."""
    return int(row.until.timestamp() * 1000) if row.until else 0


@functools.cache
def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """A time zone; UTC where this machine does not know it."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        logger.warning("this machine knows no time zone %r: periods there begin as in UTC; install its data (tzdata)", name)
        return zoneinfo.ZoneInfo("UTC")
