"""The database: whether it answers, how fast, whether its tables are those of this version, and how it is set up."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from rateguard.doctor.finding import Finding, fail, ok, warn

OLDEST_POSTGRESQL = 140_000
SLOW_MS = 50
_TURNS = 5


def look() -> list[Finding]:
    """Everything, in order; nothing further where it does not answer."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return [fail(f"the database does not answer: {_words(error)}", "start it, or set DATABASE_URL to one that runs")]
    found = [_answers()]
    found += _sqlite() if connection.vendor == "sqlite" else _postgresql()
    return [*found, _tables()]


def _answers() -> Finding:
    """The best of a few round trips."""
    ms = min(_round_trip_ms() for _ in range(_TURNS))
    name = connection.settings_dict["NAME"] if connection.vendor == "sqlite" else connection.settings_dict["HOST"] or "this machine"
    told = f"{connection.display_name} {_version()} answers in {ms:.2f} ms ({name})"
    return ok(told) if ms < SLOW_MS else warn(told, "every job takes several such round trips: bring workers and database nearer together")


def _round_trip_ms() -> float:
    began_at = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return (time.monotonic() - began_at) * 1_000


def _version() -> str:
    return ".".join(str(part) for part in connection.get_database_version())


def _sqlite() -> list[Finding]:
    mode = _value("PRAGMA journal_mode")
    path = Path(str(connection.settings_dict["NAME"]))
    found = []
    if mode != "wal":
        found.append(fail(f"SQLite's journal is {mode!r}, so readers wait for writers", "put the file on a local disk: WAL needs one"))
    if path.exists() and path.stat().st_mode & 0o077 and path.parent.stat().st_mode & 0o077:
        found.append(warn(f"others may read {path}", f"chmod 600 {path}"))
    return found


def _postgresql() -> list[Finding]:
    database: Any = connection
    found = []
    if database.pg_version < OLDEST_POSTGRESQL:
        found.append(fail(f"PostgreSQL {_version()} is too old", "upgrade it to 14 or newer"))
    used, most = (int(_value(f"SELECT {what}")) for what in ("count(*) FROM pg_stat_activity", "current_setting('max_connections')::int"))
    pool = connection.settings_dict["OPTIONS"].get("pool")
    if not pool:
        found.append(warn("there is no connection pool", 'set OPTIONS = {"pool": {...}} of the database: each request opens a connection'))
    if used > most * 0.8:
        found.append(warn(f"{used} of {most} connections are in use", "raise max_connections, or lower DATABASE_POOL_MAX"))
    return found


def _tables() -> Finding:
    executor = MigrationExecutor(connection)
    pending = [migration for migration, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if pending:
        return fail(f"{len(pending)} migrations are not applied, such as {pending[0]}", "python3 manage.py migrate")
    return ok("every migration is applied")


def _value(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def _words(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
