"""Change of lane: a waiting job moves to another lane, to the place that its time gives it there."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from itertools import groupby

from django.db import transaction
from django.db.models import Q

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.gate.contract import Waiting
from rateguard.engine.lanes import Lane
from rateguard.jobs.ends.transition import end
from rateguard.jobs.insight.search import HEAVY
from rateguard.jobs.intake.allowed import check_row
from rateguard.jobs.intake.fits import check_limits
from rateguard.jobs.intake.refusals import Refusals
from rateguard.jobs.line.pump import Pump, process_pump
from rateguard.jobs.line.waiting import WAITING_COLUMNS, waiting_from
from rateguard.jobs.marked import places_of_row
from rateguard.jobs.models import Job
from rateguard.jobs.states import CHANGE_LANE, CHANGE_LANE_AHEAD, WAITING, State
from tenants.models import ApiKey

PAGE = 500
WAITS = Q(state__in=sorted(WAITING))
_TRANSITIONS = {State.QUEUED: CHANGE_LANE, State.SCHEDULED: CHANGE_LANE_AHEAD}


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """What became of a page. Those that are in neither wait no longer, or are on that lane already."""

    ids: tuple[uuid.UUID, ...]
    refused: Refusals


def movable_to(lane: Lane) -> Q:
    """What a change to this lane moves."""
    return WAITS & ~Q(lane=lane)


def change_lane(job: Job, lane: Lane, *, by: str = "", key: ApiKey | None = None) -> Job:
    """Move a waiting job to a lane and return its row as it is now; one that is on it already stays as it is.

    key: of who asks, whose rules hold. Raises InvalidRequest: `not_waiting` where it runs or has ended, `exceeds_limit` where a budget
    holds less for that lane than the job needs; NotAllowed: `lane_not_allowed` and what else its key does not let it.
    """
    page = _change_page([job.pk], lane, process_pump(), by, key)
    page.refused.raise_first()
    job.refresh_from_db()
    if job.state not in WAITING and not page.ids:
        raise InvalidRequest(f"a job changes its lane while it waits; this one is {job.state}", code="not_waiting")
    return job


def change_lane_many(jobs: Sequence[uuid.UUID], lane: Lane, pump: Pump, *, by: str = "", key: ApiKey | None = None) -> Iterator[Moved]:
    """The same with these jobs, page by page: a page that is not fetched is not done."""
    for start in range(0, len(jobs), PAGE):
        yield _change_page(jobs[start : start + PAGE], lane, pump, by, key)


def _change_page(ids: Sequence[uuid.UUID], lane: Lane, pump: Pump, by: str, key: ApiKey | None) -> Moved:
    allowed, refusals = _allowed(ids, lane, key)
    with transaction.atomic():
        waiting = Job.objects.filter(movable_to(lane), pk__in=allowed).select_for_update().order_by("state", "lane", "pk")
        rows = list(waiting.values_list("state", *WAITING_COLUMNS))
        for (state, old), group in groupby(rows, key=lambda row: (row[0], row[1 + _LANE])):
            told = {"from": Lane(old).label, "to": lane.label}
            mine = Job.objects.filter(pk__in=[row[1] for row in group])
            end(mine, _TRANSITIONS[State(state)], by=by, told=told, lane=lane)
        left = [waiting_from(*row[1:]) for row in rows if row[0] == State.QUEUED]
        if left:
            transaction.on_commit(lambda: _tell_gate(pump, left, lane), robust=True)
    return Moved(tuple(row[1] for row in rows), refusals)


_LANE = WAITING_COLUMNS.index("lane")


def _tell_gate(pump: Pump, left: Sequence[Waiting], lane: Lane) -> None:
    """Out of the old lane and into the new one in one call; their places are those of their time."""
    pump.withdraw(left)
    pump.enqueue(dataclasses.replace(one, lane=lane) for one in left)


def _allowed(ids: Sequence[uuid.UUID], lane: Lane, key: ApiKey | None) -> tuple[list[uuid.UUID], Refusals]:
    """Those of these waiting jobs that may go on this lane: as the key says, and as the limits on their paths have room for the lane."""
    found, refusals = [], Refusals()
    for row in Job.objects.filter(movable_to(lane), pk__in=ids).defer(*HEAVY):
        row.lane = lane
        try:
            if key is not None:
                check_row(row, key)
            check_limits(row, places_of_row(row))
        except InvalidRequest as refusal:
            refusals.add(refusal)
        else:
            found.append(row.pk)
    return found, refusals
