"""Cancel many jobs in pages: a transaction, a call to the gate and an announcement a page instead of one a job."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from django.db.models import Q, QuerySet

from rateguard.jobs.ends.cancel import ask_running
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import waiting_among
from rateguard.jobs.models import Job
from rateguard.jobs.states import CANCEL, State

PAGE = 500
UNENDED = Q(state__in=CANCEL.sources) | Q(state=State.RUNNING, cancel_requested=False)
"""What waits, and what runs and nobody has asked to end."""


@dataclasses.dataclass(frozen=True, slots=True)
class Cancelled:
    """What became of a page. ended: waited, and are cancelled. asked: ran, and were asked to end. The rest had ended, or been asked."""

    ended: tuple[uuid.UUID, ...]
    asked: tuple[uuid.UUID, ...]


def cancel_many(jobs: Sequence[uuid.UUID], pump: Pump, *, by: str = "") -> Iterator[Cancelled]:
    """Cancel these jobs as `cancel` does one, page by page: a page that is not fetched is not done."""
    for start in range(0, len(jobs), PAGE):
        yield _cancel_page(jobs[start : start + PAGE], pump, by, {})


def cancel_all(jobs: QuerySet[Job], pump: Pump, *, by: str = "", **columns: Any) -> Iterator[Cancelled]:
    """The same with every job of a query, until there is none left that waits or runs. columns: further columns of those that wait."""
    while ids := list(jobs.filter(UNENDED).values_list("pk", flat=True)[:PAGE]):
        yield _cancel_page(ids, pump, by, columns)


def _cancel_page(ids: Sequence[uuid.UUID], pump: Pump, by: str, columns: dict[str, Any]) -> Cancelled:
    """What waits first: what starts in the meantime is asked to end after that; and again, for one may go back to waiting beside it."""
    rows = Job.objects.filter(pk__in=ids)
    ended: list[uuid.UUID] = []
    asked: list[uuid.UUID] = []
    while rows.filter(UNENDED).exists():
        ended += _end_waiting(rows, pump, by, columns)
        asked += ask_running(rows, by=by)
    return Cancelled(tuple(ended), tuple(asked))


def _end_waiting(jobs: QuerySet[Job], pump: Pump, by: str, columns: dict[str, Any]) -> list[uuid.UUID]:
    ended = end(jobs, CANCEL, by=by, **columns)
    if ended:
        pump.withdraw(waiting_among(Job.objects.filter(pk__in=ended)))
        announce(ended)
    return ended
