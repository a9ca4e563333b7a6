"""Charts as data for the script that draws them, and as the table that says the same without it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from tenants.usage.question import Per, Period

COLOURS = 8
"""Series have colours of their own up to so many."""
NANO = 10**9
_LABELS = {Per.HOUR: "%H:%M", Per.DAY: "%b %-d", Per.MONTH: "%b %Y"}
_WHEN = {Per.HOUR: "%Y-%m-%d %H:%M", Per.DAY: "%a %Y-%m-%d", Per.MONTH: "%B %Y"}


@dataclasses.dataclass(frozen=True, slots=True)
class Series:
    """A line or a colour of bars. values: nano-dollars or milliseconds, a piece of time each; None: nothing to show there.

    colour: 1 to COLOURS, 0 for the page's ink. is_dashed: a line that stands behind the others.
    """

    name: str
    values: tuple[int | None, ...]
    colour: int
    is_dashed: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Chart:
    """is_money: bars of nano-dollars, stacked; else lines of milliseconds. summary: what it shows, for who does not see it.

    has_sums: the series add up to the whole.
    """

    labels: tuple[str, ...]
    whens: tuple[str, ...]
    series: tuple[Series, ...]
    is_money: bool
    has_sums: bool
    summary: str

    @property
    def data(self) -> dict[str, Any]:
        """For the script; money in dollars, which is only for drawing."""
        return {
            "kind": "bars" if self.is_money else "lines",
            "unit": "usd" if self.is_money else "ms",
            "labels": self.labels,
            "titles": self.whens,
            "series": [
                {
                    "name": one.name,
                    "colour": one.colour,
                    "dashed": one.is_dashed,
                    "values": [None if value is None else value / NANO if self.is_money else value for value in one.values],
                }
                for one in self.series
            ],
        }

    @property
    def rows(self) -> list[tuple[str, list[int | None], int]]:
        """For the table: when, a value a series, their sum; the newest first."""
        columns = [one.values for one in self.series]
        rows = [(when, list(values)) for when, *values in zip(self.whens, *columns, strict=True)]
        return [(when, values, sum(value or 0 for value in values)) for when, values in reversed(rows)]


def labels(per: Per, pieces: Sequence[Period]) -> tuple[str, ...]:
    """Short, under a chart."""
    return tuple(_said(piece.start, _LABELS[per]) for piece in pieces)


def whens(per: Per, pieces: Sequence[Period]) -> tuple[str, ...]:
    """In full, in a table."""
    return tuple(_said(piece.start, _WHEN[per]) for piece in pieces)


def _said(moment: dt.datetime, form: str) -> str:
    return moment.strftime(form)
