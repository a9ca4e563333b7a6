"""The clock that rows' times are of: the database's. A process whose own is wrong writes no wrong time."""

from __future__ import annotations

import datetime as dt
import time

from django.db import connection
from django.utils import timezone

_READ = {"postgresql": "select statement_timestamp()", "sqlite": "select strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


def database_now() -> dt.datetime:
    """The database's time, aware."""
    with connection.cursor() as cursor:
        cursor.execute(_READ[connection.vendor], [])
        (now,) = cursor.fetchone()
    found: dt.datetime = dt.datetime.fromisoformat(now) if isinstance(now, str) else now
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


KNOWN_S = 60.0
"""So long the database's time is reckoned from when it was last read."""

_anchor: tuple[dt.datetime, float] | None = None
"""The database's time, and `time.monotonic()` when it was read."""


def now() -> dt.datetime:
    """The database's time for rows that are made here: read once a minute, and reckoned from there by a clock that nobody sets.

    SQLite has no clock but this process's.
    """
    global _anchor  # noqa: PLW0603 - a lost race costs one more read
    if connection.vendor == "sqlite":
        return timezone.now()
    if _anchor is None or time.monotonic() - _anchor[1] > KNOWN_S:
        _anchor = (database_now(), time.monotonic())
    return _anchor[0] + dt.timedelta(seconds=time.monotonic() - _anchor[1])
