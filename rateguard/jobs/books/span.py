"""Which days are compared."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TypeVar

from django.db import models

Row = TypeVar("Row", bound=models.Model)


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Whole days in UTC, from `first` to `last`, both counted; None: not bounded on that side."""

    first: dt.date | None = None
    last: dt.date | None = None

    @property
    def since(self) -> dt.datetime | None:
        """Its beginning."""
        return None if self.first is None else _midnight(self.first)

    @property
    def until(self) -> dt.datetime | None:
        """The moment after its end."""
        return None if self.last is None else _midnight(self.last + dt.timedelta(days=1))

    def holds(self, day: dt.date) -> bool:
        """Whether a day is in it."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def of(self, rows: models.QuerySet[Row], field: str) -> models.QuerySet[Row]:
        """The rows whose time is in it."""
        bounds = {f"{field}__gte": self.since, f"{field}__lt": self.until}
        return rows.filter(**{name: moment for name, moment in bounds.items() if moment is not None})


def day_of(moment: dt.datetime) -> dt.date:
    """The day in UTC."""
    return moment.astimezone(dt.UTC).date()


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
