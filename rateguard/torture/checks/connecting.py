"""A connection to the database that works, after PostgreSQL was struck: those from before are broken, and the pool may hold several."""

from __future__ import annotations

import time

from django.db import Error, connection

WITHIN_S = 30.0


def connect_anew() -> None:
    """Let go of broken ones until one answers. Raises what the last one raised, after WITHIN_S."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1")
        except Error:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
