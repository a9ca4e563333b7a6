"""The outbox: what hangs on a job's end is told once, whatever dies: its canvas, the tenant's webhooks, the receivers of the signal.

The transaction that ends a job writes a row (`settle`, `transition.end`); the transaction that tells it deletes that row, so it commits
at most once. The next step of a canvas is part of it: a job is inserted there, a chord's count is lowered there: exactly once. An
ordinary task is published there, before the commit: killed between the two, it is published again under the same id.

Who ended the job hands its id to its process's teller, a thread of its own: nobody waits for a broker. What a dead process did not tell,
the caretaker finds a moment later. While the broker or the database is away the teller waits. A row that cannot be told for any other
reason is logged and kept: it is tried again after 1 s, then after twice as long, up to five minutes, and holds up no other.
"""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import importlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence

from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models.functions import Now

from rateguard.jobs.ends import signals
from rateguard.jobs.models import Job, OutboxKind, OutboxRow, Tells
from rateguard.jobs.states import TERMINAL

logger = logging.getLogger(__name__)

PAGE = 500
LEFT_BEHIND_AFTER = dt.timedelta(seconds=2)
"""What its own process has not told by then is anybody's."""
MOST_KEPT = 10_000
"""Ids that a teller keeps; the rows of the others are found later."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
LONGEST_AWAY_S = 10.0
EXIT_S = 2.0


_BITS = {OutboxKind.WEBHOOK: Tells.WEBHOOK, OutboxKind.SIGNAL: Tells.SIGNAL}
_TOLD_BY = {
    OutboxKind.CANVAS: "rateguard.jobs.ends.canvas_end",
    OutboxKind.WEBHOOK: "rateguard.jobs.ends.webhooks",
}
"""The module that tells a kind, loaded where there is one to tell: `tell(job)`, called in the transaction that deletes the row, and
`prepare()`, called before it, for what takes a while the first time. A signal runs the host's code, outside of any: see `signals`."""


def kinds_of(has_canvas: bool, tells: int) -> list[OutboxKind]:
    """What is to be told of a job's end."""
    return [*([OutboxKind.CANVAS] if has_canvas else []), *[kind for kind, bit in _BITS.items() if tells & bit]]


def write(jobs: Mapping[uuid.UUID, Sequence[OutboxKind]]) -> None:
    """These jobs ended, and this is to be told of each. In the transaction that ended them."""
    OutboxRow.objects.bulk_create(
        [OutboxRow(job_id=job, kind=kind) for job, kinds in jobs.items() for kind in kinds], ignore_conflicts=True
    )


def tell_on_commit(jobs: Sequence[uuid.UUID]) -> None:
    """Hand over what this transaction has written, once it commits."""
    if jobs:
        transaction.on_commit(lambda: tell(jobs), robust=True)


def tell(jobs: Sequence[uuid.UUID]) -> None:
    """Let this process's teller tell these. Returns at once."""
    process_teller().add(jobs)


def sweep() -> int:
    """For the caretaker: hand over what was left behind. Returns how many rows it was."""
    teller = process_teller()
    left = OutboxRow.objects.filter(created_at__lt=Now() - LEFT_BEHIND_AFTER).exclude(job__in=teller.known())
    ids = list(left.order_by("created_at").values_list("job_id", flat=True)[:PAGE])
    if ids:
        teller.add(ids)
    return len(ids)


def deliver(jobs: Sequence[uuid.UUID]) -> None:
    """Tell these now, here, each in a transaction of its own. What has no row was told already. Raises what the first failure raises."""
    for job in jobs:
        deliver_one(job)


def deliver_one(job_id: uuid.UUID) -> bool:
    """Tell all that is to be told of one, each in a transaction of its own. False: somebody else did, or is about to.

    What cannot be told holds up nothing else of it. Raises what the first failure raises.
    """
    kinds = [OutboxKind(kind) for kind in OutboxRow.objects.filter(job=job_id).order_by("pk").values_list("kind", flat=True)]
    failures: list[Exception] = []
    has_told = False
    for kind in kinds:
        try:
            has_told |= _deliver_kind(job_id, kind)
        except Exception as error:  # noqa: BLE001 - raised below
            failures.append(error)
    if failures:
        raise failures[0]
    return has_told


def _deliver_kind(job_id: uuid.UUID, kind: OutboxKind) -> bool:
    """Tell one thing in one transaction. False: somebody else did, or is about to."""
    if kind == OutboxKind.SIGNAL:
        return signals.deliver(job_id)
    module = importlib.import_module(_TOLD_BY[kind])
    module.prepare()
    with transaction.atomic():
        deleted, _ = OutboxRow.objects.filter(job=job_id, kind=kind).delete()  # one statement: of two tellers one hits
        if not deleted:
            return False
        job = Job.objects.defer("request").get(pk=job_id)
        if job.state in TERMINAL:  # else somebody had it tried again: its next end is told
            module.tell(job)
    return True


# ---- the thread


class Teller:
    """Tells in a thread of its own, which starts with the first job that has a canvas."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[uuid.UUID, None] = {}
        self._later: dict[uuid.UUID, tuple[float, float]] = {}
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        self._is_busy = False
        self._away_s = 0.0

    def add(self, jobs: Iterable[uuid.UUID]) -> None:
        """Tell these soon."""
        with self._condition:
            for job in jobs:
                if len(self._waiting) < MOST_KEPT:
                    self._waiting[job] = None
            if not self._is_stopping and (self._thread is None or not self._thread.is_alive()):
                self._thread = threading.Thread(target=self._run, name="rateguard-teller", daemon=True)
                self._thread.start()
            self._condition.notify_all()

    def known(self) -> list[uuid.UUID]:
        """What it is about to tell, and what it tries again later: at most PAGE of each, the longest known first."""
        now = time.monotonic()
        with self._condition:
            return [*list(self._waiting)[:PAGE], *[job for job, (due, _) in self._later.items() if due > now][:PAGE]]

    def flush(self, timeout_s: float) -> bool:
        """Until all that was handed over has been tried. Returns whether it was in time."""
        with self._condition:
            return self._condition.wait_for(lambda: not self._waiting and not self._is_busy, timeout_s)

    def stop(self, timeout_s: float = EXIT_S) -> None:
        """Tell what there is, at most so long; the caretaker of another process finds the rest."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            self._try(job)
            with self._condition:
                self._is_busy = False
                is_idle = not self._waiting
            if is_idle:
                _close_quietly()
                with self._condition:
                    self._condition.notify_all()
        _close_quietly()

    def _next(self) -> uuid.UUID | None:
        with self._condition:
            if self._away_s:
                self._condition.wait_for(lambda: self._is_stopping, self._away_s)
            while not self._waiting:
                if self._is_stopping:
                    return None
                self._condition.wait()
            if self._is_stopping and self._away_s:
                return None
            self._is_busy = True
            job = next(iter(self._waiting))
            del self._waiting[job]
            return job

    def _try(self, job: uuid.UUID) -> None:
        from rateguard.jobs.ends.moving import AWAY, is_broker_there, is_passing  # noqa: PLC0415 - see `deliver_one`

        try:
            close_old_connections()
            if self._away_s and not is_broker_there():
                self._stay_away(job, "the broker does not answer")
                return
            deliver_one(job)
        except AWAY as error:
            self._stay_away(job, error)
        except Exception as error:  # noqa: BLE001 - logged with its traceback where it is a fault
            log = logger.info if is_passing(error) else logger.exception
            log("what hangs on job %s is not told yet: %s", job, error)
            self._put_off(job)
        else:
            self._away_s = 0.0
            self._later.pop(job, None)

    def _stay_away(self, job: uuid.UUID, why: object) -> None:
        """What is away is away for all: wait, then begin with the same."""
        self._away_s = min(2 * self._away_s or FIRST_PAUSE_S, LONGEST_AWAY_S)
        logger.warning("what hangs on the ends of %d jobs is told later: %s", len(self._waiting) + 1, why)
        _close_quietly()
        with self._condition:
            self._waiting = {job: None, **self._waiting}

    def _put_off(self, job: uuid.UUID) -> None:
        """Try one later by itself: the sweep brings it when its pause is over."""
        _, pause_s = self._later.pop(job, (0.0, FIRST_PAUSE_S / 2))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        while len(self._later) >= MOST_KEPT:
            self._later.pop(next(iter(self._later)))
        with self._condition:
            self._later[job] = (time.monotonic() + pause_s, pause_s)
        _close_quietly()


def _close_quietly() -> None:
    try:
        connection.close()
    except DatabaseError as error:
        logger.info("a broken connection was not closed: %s", error)


@functools.cache
def process_teller() -> Teller:
    """The teller of this process."""
    teller = Teller()
    atexit.register(teller.stop)
    return teller


os.register_at_fork(after_in_child=process_teller.cache_clear)  # threads do not survive a fork
