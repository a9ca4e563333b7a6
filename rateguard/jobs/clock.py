"""The clock that rows' times are of."""

from __future__ import annotations

import datetime as dt

from django.db import connection

_READ = {"postgresql": "select statement_timestamp()", "sqlite": "select strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now')"}


def database_now() -> dt.datetime:
    """The database's time, aware."""
    with connection.cursor() as cursor:
        cursor.execute(_READ[connection.vendor], [])
        (now,) = cursor.fetchone()
    found: dt.datetime = dt.datetime.fromisoformat(now) if isinstance(now, str) else now
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
