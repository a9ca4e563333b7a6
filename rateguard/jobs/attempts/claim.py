"""The claim: queued rows become running ones, their attempts are open in the database before the first byte leaves."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from django.db import connection, transaction

from rateguard.engine.lanes import Lane
from rateguard.jobs.bodies import readable
from rateguard.jobs.line.publisher import Entry
from rateguard.jobs.sql import statements


@dataclasses.dataclass(frozen=True, slots=True)
class Claimed:
    """A running attempt, with what its call needs. cost: nano-dollars reserved. deadline_in_s: None without a deadline.

    run: the innermost run that it is charged to. connect_timeout_s, first_token_timeout_s: None for the settings' own.
    is_stored: False: its answer is never in the row. send_by_ms: of its grant, gate time. lane, route_marks: the job's.
    """

    job: uuid.UUID
    attempt: int
    endpoint: str
    model: str
    request: str
    deployment_id: int
    tenant_id: int
    input_tokens: int
    max_output_tokens: int
    cost: int
    timeout_s: int
    tries: int
    max_tries: int
    delivery: str
    deadline_in_s: float | None
    queue_ms: int
    run: uuid.UUID | None = None
    connect_timeout_s: int | None = None
    first_token_timeout_s: int | None = None
    is_stored: bool = True
    send_by_ms: int = 0
    lane: int = Lane.NORMAL
    route_marks: str = ""


def claim(entries: Sequence[Entry], epoch: int, holder: str, names: dict[int, str]) -> list[Claimed]:
    """Claim the jobs of a message for `holder`; names: deployment id → name. Returns those that were still to be had.

    A grant of an older epoch takes nothing, nor does a number that is not above the row's last. A job that stands twice is taken once.
    """
    in_order = sorted(entries, key=lambda entry: int(entry[1]))
    by_job = {
        job: {"id": job, "attempt": attempt, "deployment": names[deployment], "deployment_id": deployment, "cost": cost}
        for job, attempt, deployment, cost, *_ in in_order
        if deployment in names
    }
    rows = list(by_job.values())
    found = _claim_at_once(rows, epoch, holder) if connection.vendor == "postgresql" else _claim_in_parts(rows, epoch, holder)
    send_by = {entry[0]: entry[4] for entry in in_order}
    return [_claimed(send_by, *row) for row in found]


def _claimed(send_by: Mapping[str, int], row: uuid.UUID | str, *columns: Any) -> Claimed:
    """A row of the claim; SQLite writes ids as texts. The request is opened; one that cannot be is the call's to refuse."""
    attempt, endpoint, model, request, *others, run, connect_s, first_token_s, is_stored, lane, marks = columns
    job = _as_uuid(row)
    begins = (job, attempt, endpoint, model, readable(request))
    ends = (run and _as_uuid(run), connect_s, first_token_s, bool(is_stored), send_by[job.hex], lane, marks)
    return Claimed(*[*begins, *others, *ends])


def _claim_at_once(rows: list[dict[str, Any]], epoch: int, holder: str) -> list[tuple[Any, ...]]:
    (statement,) = statements("postgresql")["claim"]
    with connection.cursor() as cursor:
        cursor.execute(statement, [orjson.dumps(rows).decode(), epoch, holder, holder])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _claim_in_parts(rows: list[dict[str, Any]], epoch: int, holder: str) -> list[tuple[Any, ...]]:
    update, open_attempts, write_events, read = statements("sqlite")["claim"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(update, [holder, orjson.dumps(rows).decode(), epoch])
        taken = {row[0] for row in cursor.fetchall()}
        if not taken:
            return []
        mine = orjson.dumps([row for row in rows if row["id"] in taken]).decode()
        for part in (open_attempts, write_events, read):
            cursor.execute(part, [mine])
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _as_uuid(value: uuid.UUID | str) -> uuid.UUID:
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
