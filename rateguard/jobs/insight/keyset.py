"""Pages of jobs, newest first, that stay what they are while jobs are added: a page is named by the job beside it, not by a number."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

from django.db.models import Q, QuerySet

from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.models import Job

LONGEST_CURSOR = 100
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two jobs: beside this one, on the side of the older ones, or of the newer."""

    at: dt.datetime
    id: uuid.UUID
    is_to_newer: bool = False

    def written(self) -> str:
        """As callers carry it."""
        micros = (self.at - _EPOCH) // dt.timedelta(microseconds=1)
        return base64.urlsafe_b64encode(f"{'n' if self.is_to_newer else 'o'}.{micros}.{self.id.hex}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor | None:
    """None where there is none. Raises InvalidRequest: `invalid_parameter`."""
    if not text:
        return None
    try:
        side, micros, key = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode("ascii").split(".")
        if side in {"n", "o"} and len(micros) < 20:
            return Cursor(_EPOCH + dt.timedelta(microseconds=int(micros)), uuid.UUID(key), is_to_newer=side == "n")
    except (ValueError, binascii.Error, OverflowError):
        pass
    raise InvalidRequest("cursor is what next_cursor or previous_cursor of a list said", code="invalid_parameter")


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and the cursors of the pages of older and newer ones, where there are any."""

    jobs: list[Job]
    older: Cursor | None
    newer: Cursor | None


def page_of(rows: QuerySet[Job], cursor: Cursor | None, limit: int) -> Page:
    """The jobs beside a cursor, or the newest."""
    return page_from(list(beside(rows, cursor)[: limit + 1]), cursor, limit)


def beside(rows: QuerySet[Job], cursor: Cursor | None) -> QuerySet[Job]:
    """The jobs beside a cursor, the nearest first."""
    is_to_newer = cursor is not None and cursor.is_to_newer
    order = ("submitted_at", "pk") if is_to_newer else ("-submitted_at", "-pk")
    return (rows if cursor is None else rows.filter(_beyond(cursor))).order_by(*order)


def page_from(found: Sequence[Job], cursor: Cursor | None, limit: int) -> Page:
    """The page of what `beside` gave; found: one more than `limit` of them, where there are so many."""
    is_to_newer = cursor is not None and cursor.is_to_newer
    has_more, jobs = len(found) > limit, list(found[:limit])
    if is_to_newer:
        jobs.reverse()
    if not jobs:
        return Page([], None, None)
    has_older, has_newer = (True, has_more) if is_to_newer else (has_more, cursor is not None)
    older = Cursor(jobs[-1].submitted_at, jobs[-1].pk) if has_older else None
    newer = Cursor(jobs[0].submitted_at, jobs[0].pk, is_to_newer=True) if has_newer else None
    return Page(jobs, older, newer)


def _beyond(cursor: Cursor) -> Q:
    """The outer bound is what the index is searched by."""
    at = cursor.at
    if cursor.is_to_newer:
        return Q(submitted_at__gte=at) & (Q(submitted_at__gt=at) | Q(pk__gt=cursor.id))
    return Q(submitted_at__lte=at) & (Q(submitted_at__lt=at) | Q(pk__lt=cursor.id))
