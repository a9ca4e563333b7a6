"""Usage by user and by label: from the rollups of days, which are days of UTC."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db.models import Count, DateField, F, Q, Sum, Value
from django.db.models.functions import Left, TruncMonth
from django.db.models.lookups import Exact

from tenants.models import Dimension, UsageDay
from tenants.usage.paging import behind
from tenants.usage.pieces import Stretch, period_of
from tenants.usage.question import Answer, Line, Per, Period, Place, Question

COLUMNS = {"tenant": "tenant__name", "user": "value", "label": "value"}
_FIGURES = ("jobs", "input_tokens", "output_tokens", "nano_usd")


def read_days(question: Question) -> Answer:
    """Answer, with one statement. The zone is UTC; `user` or `label` is a dimension or a filter."""
    columns = [COLUMNS[name] for name in question.dimensions]
    rows = UsageDay.objects.filter(_wanted(question, columns)).annotate(piece=_piece(question.per)).values("piece", *columns)
    sums = rows.annotate(**{f"sum_{name}": Sum(name) for name in _FIGURES}, rows=Count("pk")).filter(rows__gt=0)
    found = list(sums.order_by("piece", *columns)[: question.limit + 1])
    stretch = Stretch(question.span)
    lines = tuple(
        Line(
            period_of(row["piece"], question.per, question.zone, stretch),
            tuple(row[column] for column in columns),
            int(row["sum_jobs"]),
            int(row["sum_input_tokens"]),
            int(row["sum_output_tokens"]),
            int(row["sum_nano_usd"]),
        )
        for row in found[: question.limit]
    )
    return Answer(lines, is_last=len(found) <= question.limit)


def _piece(per: Per) -> F | TruncMonth | Value:
    if per == Per.DAY:
        return F("day")
    return TruncMonth("day") if per == Per.MONTH else Value(None, DateField())


def _wanted(question: Question, columns: list[str]) -> Q:
    kind = Dimension.LABEL if "label" in {*question.dimensions, *question.filters} else Dimension.USER
    wanted = Q(dimension=kind, day__gte=first_day(question.span.start), day__lt=first_day(question.span.end))
    if question.tenant_id is not None:
        wanted &= Q(tenant=question.tenant_id)
    for value in question.filters.values():
        is_key = kind == Dimension.LABEL and "=" not in str(value)
        wanted &= Q(Exact(Left("value", len(str(value)) + 1), f"{value}=")) if is_key else Q(value=value)
    if question.after is not None:
        wanted &= behind(_in_days(question.after), "day", columns)
    return wanted


def first_day(moment: dt.datetime) -> dt.date:
    """The first day that begins at this moment or after it."""
    moment = moment.astimezone(dt.UTC)
    return moment.date() if moment.time() == dt.time() else moment.date() + dt.timedelta(days=1)


def _in_days(place: Place) -> Any:
    """The same place, compared with a column of days."""
    period = Period(first_day(place.period.start), first_day(place.period.end))  # type: ignore[arg-type]  # a day compares with days alone
    return Place(period, place.group)
