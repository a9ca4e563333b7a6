"""What belongs to a row, below it on its page: a few lines each, never all there are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import QuerySet

MOST = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Lines under a title. more: what to know where there are more than are shown. empty: what stands where there is none."""

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[Any, ...], ...]
    empty: str
    more: str = ""


def table(title: str, rows: QuerySet[Any], head: Sequence[str], line: Callable[[Any], Sequence[Any]], *, empty: str) -> Table:
    """The first rows of a query, MOST of them."""
    found = list(rows[: MOST + 1])
    more = f"These are the first {MOST}; there are more." if len(found) > MOST else ""
    return Table(title, tuple(head), tuple(tuple(line(row)) for row in found[:MOST]), empty, more)
