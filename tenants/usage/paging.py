"""Which rows lie behind a line of an answer, and which up to one: the lines go by period, then by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from tenants.usage.question import Place


def behind(place: Place, time: str, columns: Sequence[str]) -> Q:
    """Rows of later lines. time: the column of time; columns: those of the group, in its order."""
    return Q((f"{time}__gte", place.period.end)) | (_in_period(place, time) & _groups(place, columns, "gt"))


def up_to(place: Place, time: str, columns: Sequence[str]) -> Q:
    """Rows of this line and of those before it."""
    is_it = Q(**dict(zip(columns, place.group, strict=True)))
    return Q((f"{time}__lt", place.period.start)) | (_in_period(place, time) & (_groups(place, columns, "lt") | is_it))


def _in_period(place: Place, time: str) -> Q:
    return Q((f"{time}__gte", place.period.start), (f"{time}__lt", place.period.end))


def _groups(place: Place, columns: Sequence[str], comparison: str) -> Q:
    """Groups beside this one, compared column by column. None where there is one group alone."""
    found = Q(pk__in=[])
    same: dict[str, Any] = {}
    for column, value in zip(columns, place.group, strict=True):
        found |= Q((f"{column}__{comparison}", value), **same)
        same[column] = value
    return found
