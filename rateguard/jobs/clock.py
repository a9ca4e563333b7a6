"""The clock that rows' times are of: the database's. A process whose own is wrong writes no wrong time."""

from __future__ import annotations

import datetime as dt
import time

from django.db import connection
from django.utils import timezone


def database_now() -> dt.datetime:
    """The database's time, aware. SQLite has none but this process's, and would tell it in whole milliseconds, behind rows made here."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("select statement_timestamp()", [])
        (now,) = cursor.fetchone()
    found: dt.datetime = now
    return found


KNOWN_S = 60.0
"""So long the database's time is reckoned from when it was last read."""

_anchor: tuple[dt.datetime, float] | None = None
"""The database's time, and `time.monotonic()` when it was read."""


def now() -> dt.datetime:
    """The database's time for rows that are made here: read once a minute, and reckoned from there by a clock that nobody sets."""
    global _anchor  # noqa: PLW0603 - a lost race costs one more read
    if connection.vendor == "sqlite":
        return database_now()
    if _anchor is None or time.monotonic() - _anchor[1] > KNOWN_S:
        _anchor = (database_now(), time.monotonic())
    return _anchor[0] + dt.timedelta(seconds=time.monotonic() - _anchor[1])
