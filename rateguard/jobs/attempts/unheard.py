"""A claim whose answer never came: its connection broke in the middle of the commit, so nobody here knows whether the database has it.

If it has, the attempts are open under a worker that lives and has never heard of them: nobody would ever run them, and nobody reap them.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from django.db import InterfaceError, OperationalError

from rateguard.engine.errors import ErrorKind
from rateguard.engine.gate.contract import ReservationId, Settlement
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.settle import Ended
from rateguard.jobs.line.publisher import Entry
from rateguard.jobs.models import Attempt, Job
from rateguard.jobs.states import ORPHAN, AttemptState, State

AWAY = (OperationalError, InterfaceError)
"""What the database raises while it is away, or when a connection to it broke."""
UNHEARD_PAUSE_S = 0.5
"""Between two questions to a database that is away."""


def opened_unheard(entries: Sequence[Entry], holder: str) -> list[Attempt]:
    """The attempts that the claim opened. What it has not opened by now it cannot open any more: the rows refuse its numbers first."""
    numbers = {uuid.UUID(entry[0]): int(entry[1]) for entry in entries}
    for job, number in numbers.items():
        Job.objects.filter(pk=job, state=State.QUEUED, attempt__lt=number).update(attempt=number)
    mine = Attempt.objects.filter(reservation_id__in=numbers, holder=holder, state=AttemptState.RUNNING)
    return [attempt for attempt in mine if numbers[attempt.reservation_id] == attempt.number]


def given_back(attempts: Sequence[Attempt], known: Collection[uuid.UUID]) -> list[Finished]:
    """The ends of those that this process does not run: nothing left, so nothing is charged, and their jobs wait again without a try."""
    return [_given_back(attempt) for attempt in attempts if attempt.reservation_id not in known]


def _given_back(attempt: Attempt) -> Finished:
    ended = Ended(
        job=attempt.reservation_id,
        attempt=attempt.number,
        state=AttemptState.ABANDONED,
        transition=ORPHAN,
        usage=Usage(),
        nano_usd=0,
        error_code=ErrorKind.NEVER_SENT.value,
        error_message="the database's answer to the claim was lost",
    )
    return Finished(ended, Settlement(ReservationId(attempt.reservation_id, attempt.number), used=False), None)
