"""The caretaker: a thread in every worker; the one that has the lease sweeps, reaps, repairs and reconciles, each second."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid

from django.db import DatabaseError, IntegrityError, connection
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Gate, Step
from rateguard.jobs.controls.runs import finish_stops
from rateguard.jobs.ends import messages, outbox
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.models import CARETAKER, Lease
from rateguard.jobs.upkeep import rebuild, recover, tidying
from rateguard.jobs.upkeep.batches import tend_batches
from rateguard.jobs.upkeep.calibrate import calibrate
from rateguard.jobs.upkeep.compare import compare
from rateguard.jobs.upkeep.hindrances import delete_old_hindrances, note_hindrances
from rateguard.jobs.upkeep.provider_limits import Resync, note_learned
from rateguard.jobs.upkeep.purging import Purge
from rateguard.jobs.upkeep.releasing import Releasing
from rateguard.jobs.upkeep.reranking import Reranking
from rateguard.jobs.upkeep.sweeping import Sweep
from tenants.models import ConfigVersion

logger = logging.getLogger(__name__)

LEASE_S = 5
STOPS_EVERY = 5
"""Rounds between two looks for jobs that their run's stop left behind."""
LOOK_EVERY = 5
"""Rounds between two looks at what holds waiting jobs back."""
COMPARE_EVERY = 30
"""Rounds between two comparisons of all reservations with their rows."""
PUSH_EVERY = 60
"""Rounds between two pushes of the whole configuration: prices come into force by themselves."""
TIDY_EVERY = 60
"""Rounds between two looks at what is over and may go."""
LEARN_EVERY = 60
"""Rounds between two looks at where learned limits stand."""
RERANK_EVERY = 5
"""Rounds between two rankings of deployments by what the gate has seen: one that became slow loses its turns within seconds; each ranking
costs a look at the gate, three queries and the lists that changed."""
RESYNC_EVERY = 300
"""Rounds between two questions to the providers what their limits are."""


class Caretaker:
    """Takes part in the lease; does the rounds while it has it."""

    def __init__(self, gate: Gate, pump: Pump, holder: str, period_s: float) -> None:
        self._gate = gate
        self._pump = pump
        self._holder = holder
        self._period_s = period_s
        self._channel = uuid.uuid4().hex
        self._releasing = Releasing()
        self._rounds = 0
        self._pushed_version = -1
        self._sweep = Sweep(holder)
        self._purge = Purge()
        self._resync = Resync()
        self._reranking = Reranking()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin the rounds."""
        self._thread = threading.Thread(target=self._run, name="rateguard-caretaker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the round and give the lease up."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(LEASE_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._has_lease():
                    self.round()
            except GateError as error:
                logger.info("the gate is away: %s", error)
            except DatabaseError as error:
                logger.warning("the database is away: %s", error)
                connection.close()
            except Exception:
                logger.exception("a round of the caretaker failed")
                connection.close()
            self._stopping.wait(self._period_s)
        self._give_up_lease()
        connection.close()

    def round(self) -> None:
        """One round: the gate first, then what the rows say, then what the gate holds."""
        self._rounds += 1
        if rebuild.is_lost(self._gate):
            rebuild.rebuild(self._gate)
        tidying.lift_pauses()
        self._repair_configuration()
        tidying.collect_notices()
        if self._rounds % TIDY_EVERY == 0:
            tidying.tidy()
            delete_old_hindrances()
            messages.delete_old()
            calibrate()
        counts = recover.Counts()
        recover.expire(self._pump, counts)
        counts.released += self._releasing.release(self._pump)
        self._sweep.go_on(self._pump)
        recover.reap(self._gate, self._pump, counts)
        counts.told += outbox.sweep()
        tend_batches(self._pump)
        if messages.is_any_due():
            messages.wake()
        if self._rounds % STOPS_EVERY == 0:
            counts.run_stopped += finish_stops(self._pump)
        if self._rounds % COMPARE_EVERY == 0:
            compare(self._gate, self._pump, counts)
        if counts.has_any():
            logger.info("caretaker: %s", counts)
        if counts.repaired:
            self._note_repairs(counts.repaired)
        self._purge.go_on()
        self._tend_provider_limits()
        if self._rounds % RERANK_EVERY == 0:
            self._reranking.go_on(self._gate)
        if self._rounds % LOOK_EVERY == 0:
            note_hindrances(self._gate)

    def _tend_provider_limits(self) -> None:
        """Asked in threads of their own: a provider that hangs holds nothing up here."""
        if self._rounds % RESYNC_EVERY == 0:
            self._resync.begin()
        self._resync.go_on(self._gate)
        if self._rounds % LEARN_EVERY == 0:
            note_learned(self._gate)

    # ---- the lease

    def _has_lease(self) -> bool:
        """Take or renew the lease, by the database's clock."""
        expires = Now() + dt.timedelta(seconds=LEASE_S)
        mine_or_free = Lease.objects.filter(Q(holder=self._holder) | Q(expires_at__lt=Now()), name=CARETAKER)
        if mine_or_free.update(holder=self._holder, expires_at=expires):
            return True
        if Lease.objects.filter(name=CARETAKER).exists():
            return False
        try:
            Lease.objects.create(name=CARETAKER, holder=self._holder, expires_at=timezone.now() + dt.timedelta(seconds=LEASE_S))
        except IntegrityError:
            return False
        return True

    def _give_up_lease(self) -> None:
        try:
            Lease.objects.filter(name=CARETAKER, holder=self._holder).update(expires_at=Now())
        except DatabaseError as error:
            logger.info("the lease runs out by itself: %s", error)

    # ---- parts of a round

    def _repair_configuration(self) -> None:
        reply = self._gate.step(Step(self._channel, self._rounds))
        wiring.note_version(reply.version)
        version = ConfigVersion.current()
        if version != self._pushed_version or reply.version < version or self._rounds % PUSH_EVERY == 0:
            # Each change was pushed by its process; whether that came through nobody knows, so all of it is written once more.
            is_written = wiring.push_configuration()
            self._reranking.forget()
            self._pushed_version = version if is_written else self._pushed_version
            self._pump.kick()  # there may be more room now

    def _note_repairs(self, count: int) -> None:
        """People read this figure in the lease's row; it rises by faults alone."""
        logger.warning("%d reservations differed from their rows and were mended", count)
        Lease.objects.filter(name=CARETAKER).update(repaired=F("repaired") + count)
