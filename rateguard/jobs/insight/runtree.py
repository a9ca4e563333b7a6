"""What became of a run: its jobs and the runs inside it, with what each cost, from the rows."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Collection, Iterable

from django.db.models import Count, Q, QuerySet, Sum

from rateguard.engine.errors import ErrorKind
from rateguard.jobs.lineage import with_nested
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import AttemptState
from tenants.models import LedgerEntry, Run

MOST_JOBS = 1_000
"""Jobs listed of a tree; their number and cost are always those of all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Spent:
    """What work came to: nano-dollars of ended calls, and calls, also those under way."""

    nano_usd: int = 0
    calls: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.nano_usd + other.nano_usd, self.calls + other.calls)


@dataclasses.dataclass(frozen=True, slots=True)
class JobLine:
    """A job of a run."""

    id: uuid.UUID
    state: str
    model: str
    nano_usd: int
    submitted_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True)
class RunTree:
    """A run. spent: with all runs inside it. jobs: its own, as they came, MOST_JOBS in the whole tree; job_count: all of its own."""

    id: uuid.UUID
    name: str
    state: str
    spent: Spent
    job_count: int
    jobs: tuple[JobLine, ...]
    runs: tuple[RunTree, ...]


def spent(run_id: uuid.UUID) -> Spent:
    """What a run and all runs inside it have spent by now."""
    return sum(_spent_by_run(with_nested(run_id)).values(), Spent())


def counted(attempts: QuerySet[Attempt]) -> QuerySet[Attempt]:
    """Those that a cap of calls counts: all but calls that never left."""
    gone = [AttemptState.CANCELLED, AttemptState.ABANDONED]
    return attempts.exclude(Q(error_code=ErrorKind.CONNECT.value) | Q(state__in=gone, is_estimated=False))


def read_tree(run: Run) -> RunTree:
    """A run with everything inside it."""
    ids = with_nested(run.pk)
    rows = {row.pk: row for row in Run.objects.filter(pk__in=ids)}
    jobs = Job.objects.filter(run__in=ids)
    counts = dict(jobs.values_list("run").annotate(Count("pk")).order_by())
    lines: dict[uuid.UUID, list[JobLine]] = defaultdict(list)
    for job in jobs.order_by("submitted_at", "pk").only("run", "state", "model", "nano_usd", "submitted_at")[:MOST_JOBS]:
        if job.run is not None:
            lines[job.run].append(JobLine(job.pk, job.state, job.model, job.nano_usd, job.submitted_at))
    inside: dict[uuid.UUID | None, list[uuid.UUID]] = defaultdict(list)
    for row in sorted(rows.values(), key=lambda row: (row.created_at, row.pk)):
        inside[row.parent_id].append(row.pk)
    own = _spent_by_run(ids)

    def node(run_id: uuid.UUID) -> RunTree:
        runs = tuple(map(node, inside[run_id]))
        total = _sum([own.get(run_id, Spent()), *(one.spent for one in runs)])
        row = rows[run_id]
        return RunTree(run_id, row.name, row.state, total, counts.get(run_id, 0), tuple(lines[run_id]), runs)

    return node(run.pk)


def _sum(parts: Iterable[Spent]) -> Spent:
    return sum(parts, Spent())


def _spent_by_run(ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Spent]:
    """What each of these runs spent itself, on jobs and on synchronous calls."""
    calls = counted(Attempt.objects.filter(job__run__in=ids)).values_list("job__run")
    own_calls = counted(Attempt.objects.filter(job__isnull=True, run__in=ids)).values_list("run")
    entries = LedgerEntry.objects.filter(job_id__isnull=True, run__in=ids).values_list("run")
    found = {run_id: Spent() for run_id in ids}
    for rows, as_spent in (
        (Job.objects.filter(run__in=ids).values_list("run").annotate(Sum("nano_usd")), Spent),
        (entries.annotate(Sum("nano_usd")), Spent),
        (calls.annotate(Count("pk")), _calls),
        (own_calls.annotate(Count("pk")), _calls),
    ):
        for run_id, figure in rows.order_by():
            found[run_id] += as_spent(figure)
    return found


def _calls(count: int) -> Spent:
    return Spent(calls=count)
