"""New rows of jobs with their first events; on commit one hint to the waiting room. Where jobs run in place, they do so now."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connections, router, transaction

from rateguard.jobs.attempts import inplace
from rateguard.jobs.bodies import seal, seal_json
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.line.waiting import waiting_of
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import SCHEDULE, SUBMIT, State

AT_ONCE = 1_000
"""Rows in one statement."""


def insert(rows: Sequence[Job]) -> None:
    """Insert them all or none. In a transaction they are submitted when it commits."""
    here = inplace.caller()
    using = router.db_for_write(Job)
    if connections[using].vendor == "postgresql" and len(rows) <= AT_ONCE:
        _insert_in_one(rows, using)
    else:
        _insert_in_two(rows, using)
    hints = [waiting_of(row) for row in rows if row.state == State.QUEUED] if here is None else []
    if hints:
        transaction.on_commit(lambda: process_pump().enqueue(hints), using=using, robust=True)
    if here is not None:
        inplace.run_here(rows, here, with_fallbacks)


def _insert_in_two(rows: Sequence[Job], using: str) -> None:
    """For every database; also where the rows are too many for one statement."""
    with transaction.atomic(using):
        Job.objects.using(using).bulk_create(rows, batch_size=AT_ONCE)
        JobEvent.objects.using(using).bulk_create([JobEvent(job=row, kind=_kind(row)) for row in rows], batch_size=AT_ONCE)


def _kind(row: Job) -> str:
    return SCHEDULE.name if row.state == State.SCHEDULED else SUBMIT.name


# ---- PostgreSQL: one statement and one round trip; outside of a transaction it is its own


def _insert_in_one(rows: Sequence[Job], using: str) -> None:
    """The rows go as one JSON array, which the server reads as rows of its own table."""
    statement, columns = _statement()
    told = orjson.dumps([_as_columns(row, columns) for row in rows]).decode()
    with transaction.mark_for_rollback_on_error(using), connections[using].cursor() as cursor:
        cursor.execute(statement, [told, State.SCHEDULED, SCHEDULE.name, SUBMIT.name])
    for row in rows:
        row._state.adding, row._state.db = False, using  # noqa: SLF001 - as `bulk_create` does


def _as_columns(row: Job, columns: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    values = {column: getattr(row, name) for column, name in columns}
    values["request"], values["canvas"] = seal(row.request), seal_json(row.canvas)
    return values


@functools.cache
def _statement() -> tuple[str, tuple[tuple[str, str], ...]]:
    """The statement, and each column with the attribute that holds it."""
    columns = tuple((str(field.column), field.attname) for field in Job._meta.concrete_fields)  # noqa: SLF001 - Django's public name for it
    names = ", ".join(f'"{column}"' for column, _ in columns)
    jobs, events = f'"{Job._meta.db_table}"', f'"{JobEvent._meta.db_table}"'  # noqa: SLF001 - as above
    return (
        f"WITH job AS (INSERT INTO {jobs} ({names}) SELECT {names} FROM json_populate_recordset(NULL::{jobs}, %s) RETURNING id, state) "  # noqa: S608 - names of our own tables
        f"INSERT INTO {events} (job_id, kind, attempt, detail) SELECT id, CASE state WHEN %s THEN %s ELSE %s END, 0, '{{}}' FROM job"
    ), columns
