"""Rollups against the ledger, in one statement each, so that a settle in the middle changes nothing; and rollups that are put right.

A rollup is the sum of its entries. What it is wrong by is added under the lock of its row: a settle that comes meanwhile adds to both.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from rateguard.jobs.books.span import Span, day_of
from rateguard.jobs.books.values import Found, Kind
from rateguard.jobs.upkeep.bill import Amount
from tenants.models import Dimension, Tenant, UsageDay, UsageQuarter

CAUSE = "a settle or a correction wrote one of the two, or the rollup was changed by hand"
_FIGURES = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "nano_usd")
_DAY_FIGURES = ("input_tokens", "output_tokens", "nano_usd")
_EVER = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(9000, 1, 1, tzinfo=dt.UTC))


@dataclasses.dataclass(frozen=True, slots=True)
class _Wrong:
    """A rollup's key, and what it has more than its entries (less where negative)."""

    key: tuple[Any, ...]
    figures: tuple[int, ...]


def differing(span: Span, *, apply: bool) -> Iterator[Found]:
    """Rollups that are not the sum of their entries, of the bookings of that time. With `apply` they are put right."""
    tenants = dict(Tenant.objects.values_list("pk", "name"))
    for wrong in _wrong(_QUARTERS, span):
        is_corrected = apply and _mend_quarter(wrong)
        tenant, model, deployment, key, team, starts_at = wrong.key
        where = f"tenant {tenants[tenant]}, {model}, key {key}, team {team or '–'}, {starts_at:%H:%M}"
        read, cached, written, output, cost = wrong.figures
        amount = Amount(read + cached + written, output, cost)
        yield Found(Kind.ROLLUP_DIFFERS, day_of(starts_at), deployment, amount, CAUSE, where=where, is_corrected=is_corrected)
    for wrong in _wrong(_DAYS, span):
        is_corrected = apply and _mend_day(wrong)
        tenant, day, dimension, value = wrong.key
        where = f"tenant {tenants[tenant]}, {dimension} {value}"
        yield Found(Kind.DAY_ROLLUP_DIFFERS, day, "", Amount(*wrong.figures), CAUSE, where=where, is_corrected=is_corrected)


# ---- comparing


@dataclasses.dataclass(frozen=True, slots=True)
class _Rollup:
    """A statement by vendor; how many columns name a rollup, and which of them is its time."""

    statements: dict[str, str]
    named_by: int
    time: int
    is_day: bool


def _wrong(rollup: _Rollup, span: Span) -> list[_Wrong]:
    since, until = span.since or _EVER[0], span.until or _EVER[1]
    bounds = [since.date(), until.date()] if rollup.is_day else [since, until]
    with connection.cursor() as cursor:
        cursor.execute(rollup.statements[connection.vendor], [since, until, *bounds])
        rows = cursor.fetchall()
    return [_Wrong(_key(row[: rollup.named_by], rollup), tuple(map(int, row[rollup.named_by :]))) for row in rows]


def _key(columns: tuple[Any, ...], rollup: _Rollup) -> tuple[Any, ...]:
    """SQLite writes times as texts."""
    moment = columns[rollup.time]
    if isinstance(moment, str):
        moment = dt.date.fromisoformat(moment) if rollup.is_day else timezone.make_aware(dt.datetime.fromisoformat(moment), dt.UTC)
    return (*columns[: rollup.time], moment, *columns[rollup.time + 1 :])


_QUARTER = """
select tenant_id, model, deployment, api_key_id, team, starts_at, sum(input_tokens), sum(cached_tokens), sum(cache_write_tokens),
    sum(output_tokens), sum(nano_usd)
from (
    select tenant_id, model, deployment, coalesce(api_key_id, 0) as api_key_id, team, {quarter} as starts_at, -input_tokens as input_tokens,
        -cached_tokens as cached_tokens, -cache_write_tokens as cache_write_tokens, -output_tokens as output_tokens, -nano_usd as nano_usd
    from rateguard_tenants_ledgerentry
    where kind in ('charge', 'correction') and created_at >= %s and created_at < %s
    union all
    select tenant_id, model, deployment, api_key_id, team, {starts_at}, input_tokens, cached_tokens, cache_write_tokens, output_tokens,
        nano_usd
    from rateguard_tenants_usagequarter
    where starts_at >= %s and starts_at < %s
) as book
group by 1, 2, 3, 4, 5, 6
having sum(input_tokens) <> 0 or sum(cached_tokens) <> 0 or sum(cache_write_tokens) <> 0 or sum(output_tokens) <> 0 or sum(nano_usd) <> 0
"""
_DAY = """
select tenant_id, day, dimension, value, sum(input_tokens), sum(output_tokens), sum(nano_usd)
from (
    select entry.tenant_id, {day} as day, part.dimension, part.value,
        -(entry.input_tokens + entry.cached_tokens + entry.cache_write_tokens) as input_tokens, -entry.output_tokens as output_tokens,
        -entry.nano_usd as nano_usd
    from rateguard_tenants_ledgerentry entry {parts}
    where entry.kind in ('charge', 'correction') and entry.created_at >= %s and entry.created_at < %s and part.value is not null
    union all
    select tenant_id, day, dimension, value, input_tokens, output_tokens, nano_usd
    from rateguard_tenants_usageday
    where day >= %s and day < %s
) as book
group by 1, 2, 3, 4
having sum(input_tokens) <> 0 or sum(output_tokens) <> 0 or sum(nano_usd) <> 0
"""
_QUARTERS = _Rollup(
    {
        "postgresql": _QUARTER.format(
            quarter="date_bin('15 minutes', created_at, timestamptz '2000-01-01 00:00Z')",
            starts_at="starts_at",
        ),
        "sqlite": _QUARTER.format(
            quarter="strftime('%%Y-%%m-%%d %%H:%%M:%%S', cast(strftime('%%s', created_at) / 900 as integer) * 900, 'unixepoch')",
            starts_at="strftime('%%Y-%%m-%%d %%H:%%M:%%S', starts_at)",
        ),
    },
    named_by=6,
    time=5,
    is_day=False,
)
_DAYS = _Rollup(
    {
        "postgresql": _DAY.format(
            day="(entry.created_at at time zone 'UTC')::date",
            parts="""cross join lateral (
                select 'user' as dimension, entry."user" as value where entry."user" <> ''
                union all select 'label', label.key || '=' || label.value from jsonb_each_text(entry.labels) as label
            ) as part""",
        ),
        "sqlite": _DAY.format(
            day="date(entry.created_at)",
            parts="""join (
                select id, 'user' as dimension, user as value from rateguard_tenants_ledgerentry where user <> ''
                union all
                select labelled.id, 'label', label.key || '=' || label.value
                from rateguard_tenants_ledgerentry labelled, json_each(labelled.labels) as label
            ) as part on part.id = entry.id""",
        ),
    },
    named_by=4,
    time=1,
    is_day=True,
)


# ---- putting right


def _mend_quarter(wrong: _Wrong) -> bool:
    names = ("tenant_id", "model", "deployment", "api_key_id", "team", "starts_at")
    columns = dict(zip(names, wrong.key, strict=True))
    day = day_of(columns["starts_at"])
    with transaction.atomic():
        row, _ = UsageQuarter.objects.get_or_create(**columns)
        UsageQuarter.objects.select_for_update().get(pk=row.pk)
        figures = _still_wrong(_QUARTERS, Span(day, day), wrong.key)
        UsageQuarter.objects.filter(pk=row.pk).update(**_less(_FIGURES, figures))
    return True


def _mend_day(wrong: _Wrong) -> bool:
    columns = dict(zip(("tenant_id", "day", "dimension", "value"), wrong.key, strict=True))
    columns["dimension"] = Dimension(columns["dimension"]).value
    with transaction.atomic():
        row, _ = UsageDay.objects.get_or_create(**columns)
        UsageDay.objects.select_for_update().get(pk=row.pk)
        figures = _still_wrong(_DAYS, Span(columns["day"], columns["day"]), wrong.key)
        UsageDay.objects.filter(pk=row.pk).update(**_less(_DAY_FIGURES, figures))
    return True


def _still_wrong(rollup: _Rollup, span: Span, key: tuple[Any, ...]) -> tuple[int, ...]:
    """What it is wrong by now that nobody else can change it; nothing, where somebody was quicker."""
    return next((one.figures for one in _wrong(rollup, span) if one.key == key), ())


def _less(names: tuple[str, ...], figures: tuple[int, ...]) -> dict[str, Any]:
    if not figures:
        return {names[0]: F(names[0])}
    return {name: F(name) - figure for name, figure in zip(names, figures, strict=True)}
