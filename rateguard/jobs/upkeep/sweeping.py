"""The sweep: what waits in the rows waits in the gate too, whoever lost its hint; and what it brought in too late goes out again.

Each round brings in the rows that were queued since the last one, and a page of all. A row may start, or end, between its reading and its
enqueueing; then the gate has one more that waits. Most such are granted and claimed by nobody; one under a budget that is spent would
stand there for good. So the next round looks at those rows again and takes out exactly what no longer waits.
"""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Sequence

from django.db.models import Q

from rateguard.engine.gate.contract import Waiting
from rateguard.jobs.clock import database_now
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import WAITING_COLUMNS, waiting_among, waiting_from
from rateguard.jobs.models import CARETAKER, Job, Lease
from rateguard.jobs.states import State

HINT_MAY_TAKE = dt.timedelta(seconds=1)
"""A row's hint reaches the gate within this time, or it is lost. Of a longer transaction the page of all rows finds it."""
PAGE = 500


Place = tuple[dt.datetime, uuid.UUID]
"""Where a page of all queued rows ended."""


class Sweep:
    """The step of one caretaker. It remembers how far it came among all rows, and what it brought in last."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._place: Place | None = None
        self._brought: list[Waiting] = []

    def go_on(self, pump: Pump) -> None:
        """New rows since the last sweep, whoever made it, and one page of all. Enqueueing twice changes nothing."""
        pump.withdraw(gone(self._brought))
        lease, began = Lease.objects.get(name=CARETAKER), database_now()
        new = queued_between((lease.swept_at or began) - 2 * HINT_MAY_TAKE, began - HINT_MAY_TAKE)
        pump.enqueue(new)
        Lease.objects.filter(name=CARETAKER, holder=self._holder).update(swept_at=began)
        page, self._place = page_after(self._place)
        pump.enqueue(page)
        self._brought = [*new, *page]


def queued_between(since: dt.datetime, until: dt.datetime) -> list[Waiting]:
    """What queued in that time, the first first."""
    rows = Job.objects.filter(state=State.QUEUED, queued_at__gte=since, queued_at__lt=until).order_by("queued_at", "pk")
    return waiting_among(rows[: 4 * PAGE])


def page_after(place: Place | None) -> tuple[list[Waiting], Place | None]:
    """The next page of all queued rows, in their order, and where it ended; None: the end, begin again."""
    rows = Job.objects.filter(state=State.QUEUED).order_by("queued_at", "pk")
    if place is not None:
        rows = rows.filter(Q(queued_at__gt=place[0]) | Q(queued_at=place[0], pk__gt=place[1]))
    page = list(rows.values_list(*WAITING_COLUMNS)[:PAGE])
    return list(itertools.starmap(waiting_from, page)), (page[-1][1], page[-1][0]) if len(page) == PAGE else None


def gone(brought: Sequence[Waiting]) -> list[Waiting]:
    """Those that no longer wait as they were brought in: started, over, moved to another lane or model."""
    if not brought:
        return []
    waiting = Job.objects.filter(pk__in=[one.job for one in brought], state=State.QUEUED)
    as_they_are = set(waiting_among(waiting))
    return [one for one in brought if one not in as_they_are]
