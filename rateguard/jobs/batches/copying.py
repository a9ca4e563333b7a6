"""Rows of jobs as they go into the database in chunks: kept as bytes meanwhile, so that a large batch is never in memory as objects.

PostgreSQL takes them by COPY, which costs a third of an INSERT with so many columns; every other database by one prepared INSERT.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from collections.abc import Sequence
from typing import Any

import orjson
from django.db import connections

from rateguard.jobs.bodies import seal
from rateguard.jobs.models import Job, JobEvent
from rateguard.jobs.states import SCHEDULE, SUBMIT, State

CHUNK = 1_000
"""Rows that are objects at once."""

_NULL = "\\N"


def kept(rows: Sequence[Job], using: str) -> bytes:
    """These rows as bytes, for `stored`."""
    for row in rows:
        row.request = seal(row.request or "")
    return _as_text(rows) if connections[using].vendor == "postgresql" else _as_json(rows, using)


def stored(chunk: bytes, using: str) -> None:
    """Insert what `kept` kept, with an event each. In a transaction."""
    if connections[using].vendor == "postgresql":
        _copy(chunk, using)
    else:
        _insert(chunk, using)


def _kind(row: Job) -> str:
    return SCHEDULE.name if row.state == State.SCHEDULED else SUBMIT.name


@functools.cache
def _columns() -> tuple[tuple[str, str], ...]:
    """Each column with the attribute that holds it."""
    return tuple((str(field.column), field.attname) for field in Job._meta.concrete_fields)  # noqa: SLF001 - Django's public name for it


# ---- any database


def _as_json(rows: Sequence[Job], using: str) -> bytes:
    """The rows' columns as the database holds them, and their events."""
    fields = Job._meta.concrete_fields  # noqa: SLF001 - Django's public name for it
    columns = [_prepared(field, [getattr(row, field.attname) for row in rows], using) for field in fields]
    ids = columns[next(place for place, field in enumerate(fields) if field.primary_key)]
    return orjson.dumps([list(zip(*columns, strict=True)), [(pk, _kind(row)) for pk, row in zip(ids, rows, strict=True)]])


def _prepared(field: Any, values: list[Any], using: str) -> list[Any]:
    connection = connections[using]
    if values.count(values[0]) == len(values):
        return [field.get_db_prep_save(values[0], connection)] * len(values)
    return [field.get_db_prep_save(value, connection) for value in values]


def _insert(chunk: bytes, using: str) -> None:
    rows, events = orjson.loads(chunk)
    names = ", ".join(f'"{column}"' for column, _ in _columns())
    places = ", ".join(["%s"] * len(_columns()))
    jobs, told = Job._meta.db_table, JobEvent._meta.db_table  # noqa: SLF001 - as above
    with connections[using].cursor() as cursor:
        cursor.executemany(f'INSERT INTO "{jobs}" ({names}) VALUES ({places})', rows)  # noqa: S608 - names of our own tables
        cursor.executemany(f"INSERT INTO \"{told}\" (job_id, kind, attempt, detail) VALUES (%s, %s, 0, '{{}}')", events)  # noqa: S608 - as above


# ---- PostgreSQL's text format of COPY


def _as_text(rows: Sequence[Job]) -> bytes:
    """The length of the jobs' part, the jobs, their events."""
    jobs = _table([[getattr(row, name) for row in rows] for _, name in _columns()]).encode()
    events = "".join(f"{row.pk}\t{_kind(row)}\t0\t{{}}\n" for row in rows).encode()
    return len(jobs).to_bytes(8, "big") + jobs + events


def _table(columns: Sequence[list[Any]]) -> str:
    """Lines of columns. What is the same in every line is written once, into the form of a line; of one line that is all of it."""
    form, varying = [], []
    for values in columns:
        if values.count(values[0]) == len(values):
            form.append(_text(values[0]).replace("%", "%%"))
        else:
            form.append("%s")
            varying.append([_text(value) for value in values])
    line = "\t".join(form) + "\n"
    return "".join([line % values for values in zip(*varying, strict=True)]) if varying else line % ()


def _text(value: Any) -> str:
    if value is None:
        return _NULL
    if isinstance(value, str):
        return _escaped(str(value))
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, uuid.UUID | int):
        return str(value)
    return value.isoformat() if isinstance(value, dt.datetime) else _escaped(orjson.dumps(value).decode())


def _escaped(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") if not text.isprintable() else text


def _copy(chunk: bytes, using: str) -> None:
    end = 8 + int.from_bytes(chunk[:8], "big")
    names = ", ".join(f'"{column}"' for column, _ in _columns())
    with connections[using].cursor() as cursor:
        for table, columns, lines in (
            (Job._meta.db_table, names, chunk[8:end]),  # noqa: SLF001 - as above
            (JobEvent._meta.db_table, "job_id, kind, attempt, detail", chunk[end:]),  # noqa: SLF001 - as above
        ):
            with cursor.copy(f'COPY "{table}" ({columns}) FROM STDIN') as copy:
                copy.write(lines)
