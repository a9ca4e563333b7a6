"""Sums over rows of the rollups, as tallies: the one place that says which columns are counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from tenants.models import Measure, UsageQuarter, UsageQuarterBin
from tenants.usage.tally import Tally, total

INPUT = F("input_tokens") + F("cached_tokens") + F("cache_write_tokens")
"""A quarter's input, read in any way; a day's is one column."""
_TIMES = (Measure.LATENCY_MS, Measure.QUEUE_WAIT_MS)

Tallies = dict[Any, Tally]
"""By the tuple of the values that were asked for."""


def sum_quarters(by: Iterable[str], wanted: Q, **named: Any) -> Tallies:
    """Tallies without times. by: columns, or names of `named` expressions; a tally's key is the tuple of their values. One statement."""
    rows = _grouped(UsageQuarter.objects.filter(wanted), by, named)
    return _read(
        rows.annotate(
            all_jobs=Sum("jobs"), good=Sum("succeeded"), inside=Sum(INPUT), outside=Sum("output_tokens"), money=Sum("nano_usd")
        ).values_list(*by, "all_jobs", "good", "inside", "outside", "money"),
        len(tuple(by)),
    )


def sum_days(rows: QuerySet[Any], by: Iterable[str]) -> Tallies:
    """Tallies of days' rollups, which know neither successes nor times. One statement."""
    sums = rows.values(*by).order_by().annotate(all_jobs=Sum("jobs"), inside=Sum("input_tokens"), outside=Sum("output_tokens"))
    found = sums.annotate(money=Sum("nano_usd")).values_list(*by, "all_jobs", "inside", "outside", "money")
    width = len(tuple(by))
    return {row[:width]: Tally(int(row[-4]), 0, int(row[-3]), int(row[-2]), int(row[-1])) for row in found}


def sum_times(by: Iterable[str], wanted: Q, *, measures: Iterable[Measure] = _TIMES, **named: Any) -> Tallies:
    """Tallies of times alone. by, wanted, named: as a bin sees them, through `quarter__`. One statement."""
    rows = _grouped(UsageQuarterBin.objects.filter(wanted, measure__in=list(measures)), (*by, "measure", "bin"), named)
    bins: dict[Any, dict[int, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for *key, measure, number, counted in rows.annotate(counted=Sum("count")).values_list(*by, "measure", "bin", "counted"):
        bins[tuple(key)][measure][number] = int(counted)
    none: Mapping[int, int] = {}
    return {
        key: Tally(latency=found.get(Measure.LATENCY_MS, none), wait=found.get(Measure.QUEUE_WAIT_MS, none)) for key, found in bins.items()
    }


def together(*parts: Mapping[Any, Tally]) -> Tallies:
    """Added up, key by key."""
    return grouped(pair for part in parts for pair in part.items())


def grouped(pairs: Iterable[tuple[Any, Tally]]) -> Tallies:
    """Added up by the first of each pair."""
    found: dict[Any, list[Tally]] = defaultdict(list)
    for key, tally in pairs:
        found[key].append(tally)
    return {key: total(tallies) for key, tallies in found.items()}


def _grouped(rows: QuerySet[Any], by: Iterable[str], named: Mapping[str, Any]) -> QuerySet[Any, dict[str, Any]]:
    found: QuerySet[Any, dict[str, Any]] = rows.annotate(**named).values(*by).order_by()
    return found


def _read(rows: Iterable[tuple[Any, ...]], width: int) -> Tallies:
    return {row[:width]: _tally(*map(int, row[width:])) for row in rows}


def _tally(jobs: int, succeeded: int, inside: int, outside: int, money: int) -> Tally:
    return Tally(jobs, succeeded, inside, outside, money)
