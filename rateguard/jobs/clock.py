"""The clock that rows' times are of."""

from __future__ import annotations

import datetime as dt

from django.db import connection
from django.utils import timezone
from django.utils.dateparse import parse_datetime

_READ = {"postgresql": "select statement_timestamp()", "sqlite": "select strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


def database_now() -> dt.datetime:
    """The database's time, aware."""
    with connection.cursor() as cursor:
        cursor.execute(_READ[connection.vendor], [])
        (now,) = cursor.fetchone()
    found = parse_datetime(now) if isinstance(now, str) else now
    return found if timezone.is_aware(found) else found.replace(tzinfo=dt.UTC)
