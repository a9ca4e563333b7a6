"""Compare all reservations of the gate with the rows of their attempts, both ways, and mend what differs."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.gate.contract import Gate, HeldReservation, ReservationId
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import running_attempts
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import AttemptState
from rateguard.jobs.upkeep.recover import PAGE, Counts, mend

ON_ITS_WAY = dt.timedelta(seconds=10)
"""The gate hears of an end within this time, or something is wrong."""


def compare(gate: Gate, pump: Pump, counts: Counts) -> None:
    """Mend what differs: the gate holds what ended, or lacks what runs.

    In a run without faults there is nothing: what ended a moment ago is still on its way to the gate and is left alone.
    """
    before = counts.settled + counts.returned
    running = _running_keys(None)
    seen: set[ReservationId] = set()
    cursor = 0
    while True:
        asked_at = time.monotonic()
        cursor, page = gate.held(cursor, PAGE)
        seen.update(held.reservation for held in page)
        right = _right_keys(page)
        mend(gate, pump, [held for held in page if held.holder and held.reservation not in right], counts, asked_at=asked_at)
        if cursor == 0:
            break
    lost = _running_keys(running - seen)
    gate.restore((), tuple(running_attempts(lost)), ())
    counts.restored += len(lost)
    counts.repaired += counts.settled + counts.returned - before + len(lost)


def _right_keys(page: Sequence[HeldReservation]) -> set[ReservationId]:
    """Those whose attempt runs, or ended so lately that the gate need not know."""
    rows = Attempt.objects.filter(reservation_id__in={held.reservation.job for held in page})
    right = rows.filter(Q(state=AttemptState.RUNNING) | Q(finished_at__gt=Now() - ON_ITS_WAY))
    return {ReservationId(job, number) for job, number in right.values_list("reservation_id", "number")}


def _running_keys(among: set[ReservationId] | None) -> set[ReservationId]:
    """The attempts of jobs that run by their rows, or those of these that (still) do."""
    rows = Attempt.objects.filter(state=AttemptState.RUNNING, job__isnull=False)
    if among is not None:
        rows = rows.filter(reservation_id__in=[one.job for one in among])
    found = {ReservationId(job, number) for job, number in rows.values_list("reservation_id", "number")}
    return found if among is None else found & among
