"""Recover: what the caretaker does so that a job ends whatever dies. Each function is one step over a bounded page; none decides twice.

The reaper acts on the row: ended → settle with the row's usage; running under a live holder → the holder's; queued → enqueue again;
running under a dead one → abandon, charge as reserved, requeue or fail. A synchronous call has no row while it runs: there the reservation
tells whose it is.
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterable, Sequence

from django.db.models.functions import Now

from rateguard.engine.gate.contract import Gate, HeldReservation, ReservationId, Settlement, WorkClass
from rateguard.jobs.attempts.outcome import as_reserved
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.clock import database_now
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.ends.release import bring_in
from rateguard.jobs.ends.transition import end
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.line.waiting import waiting_among, waiting_of
from rateguard.jobs.models import Attempt, Delivery, Job
from rateguard.jobs.states import CANCEL, EXPIRE, FAIL, ORPHAN, REQUEUE, STOP, TERMINAL, AttemptState, State
from rateguard.jobs.upkeep.calls import abandon_calls

PAGE = 500
MOST_ABANDONED = 3
"""A job whose workers died so often is poison: it fails."""


@dataclasses.dataclass(slots=True)
class Counts:
    """What the caretaker found and mended, for its log."""

    expired: int = 0
    released: int = 0
    abandoned: int = 0
    returned: int = 0
    settled: int = 0
    adopted: int = 0
    restored: int = 0
    repaired: int = 0
    """What the comparison of all reservations with their rows found and mended, of the above."""
    run_stopped: int = 0
    told: int = 0
    """Ends whose canvas their own process had not moved."""

    def has_any(self) -> bool:
        """Whether there was anything."""
        return any(dataclasses.astuple(self))


def expire(pump: Pump, counts: Counts) -> None:
    """Jobs whose deadline passed before they started are over; nothing is charged."""
    late = Job.objects.filter(state__in=EXPIRE.sources, deadline_at__lte=Now())
    rows = list(late.order_by("deadline_at")[:PAGE])
    if not rows:
        return
    ended = end(Job.objects.filter(pk__in=[row.pk for row in rows]), EXPIRE, error_code="deadline_passed")
    pump.withdraw(waiting_of(row) for row in rows if row.state == State.QUEUED)
    announce(ended)
    counts.expired += len(ended)


# ---- the reaper


def reap(gate: Gate, pump: Pump, counts: Counts) -> None:
    """Look at reservations that nobody claimed in time and at those of dead holders."""
    asked_at = time.monotonic()
    mend(gate, pump, gate.suspects(PAGE), counts, asked_at=asked_at)


def mend(gate: Gate, pump: Pump, page: Sequence[HeldReservation], counts: Counts, *, asked_at: float) -> None:
    """Act on the rows of these reservations. asked_at: time.monotonic() before the gate was asked for them."""
    if not page:
        return
    is_granted_anew = _Anew(asked_at)
    jobs = {held.reservation.job for held in page}
    attempts = {(row.reservation_id, row.number): row for row in Attempt.objects.filter(reservation_id__in=jobs).select_related("job")}
    unclaimed: list[ReservationId] = []
    dead: list[Attempt] = []
    dead_calls: list[HeldReservation] = []
    for held in page:
        attempt = attempts.get((held.reservation.job, held.reservation.attempt))
        if attempt is None and held.holder and held.work_class == WorkClass.SYNC:  # it runs, and has no row while it does
            dead_calls += [] if held.is_alive else [held]
        elif attempt is None:
            unclaimed.append(held.reservation)
        elif attempt.state != AttemptState.RUNNING:
            pump.settle([(Settlement(held.reservation, used=False) if is_granted_anew(held, attempt) else _settlement_of(attempt), None)])
            counts.settled += 1
        elif not held.holder:
            gate.adopt(held.reservation, attempt.holder)
            counts.adopted += 1
        elif not held.is_alive:
            dead.append(attempt)
    counts.returned += return_grants(pump, unclaimed)
    abandon(pump, dead, counts)
    counts.abandoned += abandon_calls(pump, dead_calls)


class _Anew:
    """Whether an attempt that ended was granted a second time, under the number that it had.

    A hint that comes in after the end (read before it, or held up on its way) waits like any other and is granted; the rows refuse its
    claim. To settle it as its row says would charge the attempt twice. Told by ages: what was granted after its end is younger than that.
    """

    def __init__(self, asked_at: float) -> None:
        self._now, self._since_ms = database_now(), (time.monotonic() - asked_at) * 1000

    def __call__(self, held: HeldReservation, attempt: Attempt) -> bool:
        if held.holder or attempt.finished_at is None:
            return False
        ended_ago_ms = (self._now - attempt.finished_at).total_seconds() * 1000
        return held.age_ms + self._since_ms < ended_ago_ms


def _settlement_of(attempt: Attempt) -> Settlement:
    """The settlement that an ended row tells."""
    return Settlement(
        ReservationId(attempt.reservation_id, attempt.number),
        used=True,
        input_tokens=attempt.input_tokens + attempt.cached_tokens + attempt.cache_write_tokens,
        output_tokens=attempt.output_tokens,
        cost=attempt.nano_usd,
        cached_tokens=attempt.cached_tokens,
    )


def return_grants(pump: Pump, unclaimed: Sequence[ReservationId]) -> int:
    """Grants that nobody claimed; returns how many.

    First the row refuses their number, then the gate gets it back, then the job waits again.
    Whoever claimed one before its row refused has its attempt open: that grant is his.
    """
    if not unclaimed:
        return 0
    for one in unclaimed:
        Job.objects.filter(pk=one.job, state=State.QUEUED, attempt__lt=one.attempt).update(attempt=one.attempt)
    claimed = Attempt.objects.filter(reservation_id__in=[one.job for one in unclaimed]).values_list("reservation_id", "number")
    returned = set(unclaimed) - {ReservationId(job, number) for job, number in claimed}
    pump.settle([(Settlement(one, used=False), None) for one in sorted(returned)])
    bring_in([one.job for one in returned], pump)
    return len(returned)


def abandon(pump: Pump, attempts: Sequence[Attempt], counts: Counts) -> None:
    """Attempts of a dead holder: charged as reserved and marked estimated; the job goes back in front of its lane, or fails."""
    counts.abandoned += _close(pump, attempts, [_abandoned(attempt) for attempt in attempts])


def give_up(pump: Pump, attempts: Sequence[Attempt]) -> None:
    """Attempts whose own end no database takes (an absurd usage): their jobs fail, charged as reserved and marked estimated."""
    _close(pump, attempts, [_unwritable(attempt) for attempt in attempts])


def _close(pump: Pump, attempts: Sequence[Attempt], ended: Sequence[Ended]) -> int:
    """Settle rows and gate as reserved; returns how many attempts were still open."""
    if not attempts:
        return 0
    settled = settle(ended)
    mine = [attempt for attempt in attempts if (attempt.reservation_id, attempt.number) in settled]
    pump.settle([(_as_charged(attempt), None) for attempt in mine])
    ids = [attempt.reservation_id for attempt in mine]
    wait_again(ids, pump)
    announce(Job.objects.filter(pk__in=ids, state__in=TERMINAL).values_list("pk", flat=True))
    return len(mine)


def _abandoned(attempt: Attempt) -> Ended:
    usage, nano_usd = as_reserved(attempt.reserved_input_tokens, attempt.reserved_max_output_tokens, attempt.reserved_nano_usd)
    job = attempt.job
    is_poison = job is not None and job.abandoned + 1 >= MOST_ABANDONED
    is_final = job is not None and (job.delivery == Delivery.AT_MOST_ONCE or is_poison)
    is_cancelled = job is not None and job.cancel_requested
    back = REQUEUE if job is not None and job.requeue_requested else ORPHAN
    return Ended(
        job=attempt.reservation_id,
        attempt=attempt.number,
        state=AttemptState.ABANDONED,
        transition=STOP if is_cancelled else FAIL if is_final else back,
        usage=usage,
        nano_usd=nano_usd,
        error_code="poison" if is_poison else "abandoned",
        error_message=f"its worker {attempt.holder} died",
        counts_abandoned=True,
    )


def _unwritable(attempt: Attempt) -> Ended:
    usage, nano_usd = as_reserved(attempt.reserved_input_tokens, attempt.reserved_max_output_tokens, attempt.reserved_nano_usd)
    return Ended(
        job=attempt.reservation_id,
        attempt=attempt.number,
        state=AttemptState.FAILED,
        transition=FAIL,
        usage=usage,
        nano_usd=nano_usd,
        error_code="unwritable",
        error_message="the provider's answer or its usage cannot be stored",
    )


def _as_charged(attempt: Attempt) -> Settlement:
    return Settlement(
        ReservationId(attempt.reservation_id, attempt.number),
        used=True,
        input_tokens=attempt.reserved_input_tokens,
        output_tokens=attempt.reserved_max_output_tokens,
        cost=attempt.reserved_nano_usd,
    )


def wait_again(ids: Iterable[uuid.UUID], pump: Pump) -> None:
    """Rows that a settle put back wait again; those that somebody asked to cancel while they ran are over."""
    rows = Job.objects.filter(pk__in=list(ids))
    announce(end(rows.filter(cancel_requested=True), CANCEL))
    pump.enqueue(waiting_among(rows.filter(state=State.QUEUED)))
