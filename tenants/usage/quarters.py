"""Usage by tenant, model, deployment, team and key: from the rollups of 15 minutes, so that it is right in every time zone."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from django.db.models import Count, DateField, Q, QuerySet, Sum, Value

from tenants.models import Measure, UsageQuarter, UsageQuarterBin
from tenants.usage.paging import behind, up_to
from tenants.usage.pieces import Stretch, period_of, piece_of, stretches
from tenants.usage.question import Answer, Group, Line, Period, Place, Question
from tenants.usage.tally import percentiles

COLUMNS = {"tenant": "tenant__name", "model": "model", "deployment": "deployment", "team": "team", "key": "api_key_id"}
_FIGURES = ("jobs", "succeeded", "failed", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "nano_usd")
_TIMES = {Measure.LATENCY_MS: "latency", Measure.QUEUE_WAIT_MS: "wait"}

_Found = tuple[Period, Group, dict[str, Any]]
_Times = Mapping[tuple[Period, Group], Mapping[str, Any]]


def read_quarters(question: Question) -> Answer:
    """Answer, with two statements."""
    found: list[_Found] = []
    times: dict[tuple[Period, Group], Mapping[str, Any]] = {}
    for stretch in stretches(question.per, question.zone, question.span):
        lines = list(itertools.islice(_sums(question, stretch), question.limit + 1 - len(found)))
        shown = lines[: question.limit - len(found)]
        if shown:
            times.update(_times(question, stretch, Place(*shown[-1][:2])))
        found += lines
        if len(found) > question.limit:
            break
    lines_ = tuple(Line(period, group, **sums, **times.get((period, group), {})) for period, group, sums in found[: question.limit])
    return Answer(lines_, is_last=len(found) <= question.limit)


def _sums(question: Question, stretch: Stretch) -> Iterator[_Found]:
    """The lines of a stretch in order, without their times."""
    columns = _columns(question)
    rows = UsageQuarter.objects.filter(_wanted(question, stretch, ""))
    sums = _grouped(rows, question, stretch, "").annotate(**{f"sum_{name}": Sum(name) for name in _FIGURES}, rows=Count("pk"))
    for row in sums.filter(rows__gt=0).order_by("piece", *columns)[: question.limit + 1]:
        period = period_of(row["piece"], question.per, question.zone, stretch)
        yield period, tuple(row[column] for column in columns), {name: int(row[f"sum_{name}"] or 0) for name in _FIGURES}


def _times(question: Question, stretch: Stretch, last: Place) -> _Times:
    """The percentiles of the lines up to the last one that is shown."""
    prefix = "quarter__"
    columns = [prefix + column for column in _columns(question)]
    wanted = _wanted(question, stretch, prefix) & up_to(last, f"{prefix}starts_at", columns)
    rows = UsageQuarterBin.objects.filter(wanted, measure__in=_TIMES)
    counts: dict[tuple[Period, Group], dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in _grouped(rows, question, stretch, prefix, "measure", "bin").annotate(counted=Sum("count")).order_by():
        place = period_of(row["piece"], question.per, question.zone, stretch), tuple(row[column] for column in columns)
        counts[place][_TIMES[Measure(row["measure"])]][row["bin"]] = int(row["counted"])
    return {place: {name: percentiles(bins) for name, bins in measured.items()} for place, measured in counts.items()}


def _columns(question: Question) -> list[str]:
    return [COLUMNS[name] for name in question.dimensions]


def _grouped(rows: QuerySet[Any], question: Question, stretch: Stretch, prefix: str, *further: str) -> QuerySet[Any, dict[str, Any]]:
    """Rows by period and group."""
    piece = piece_of(f"{prefix}starts_at", question.per, question.zone, stretch)
    columns = [prefix + column for column in _columns(question)]
    found: QuerySet[Any, dict[str, Any]] = rows.annotate(piece=piece or Value(None, DateField())).values("piece", *columns, *further)
    return found


def _wanted(question: Question, stretch: Stretch, prefix: str) -> Q:
    wanted = Q((f"{prefix}starts_at__gte", stretch.span.start), (f"{prefix}starts_at__lt", stretch.span.end))
    if question.tenant_id is not None:
        wanted &= Q((f"{prefix}tenant", question.tenant_id))
    for name, value in question.filters.items():
        wanted &= Q((prefix + COLUMNS[name], value))
    if question.after is not None:
        wanted &= behind(question.after, f"{prefix}starts_at", [prefix + column for column in _columns(question)])
    return wanted
