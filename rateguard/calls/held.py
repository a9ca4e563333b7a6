"""The calls of this process that the gate has let in and that are not over: what it would be told of them if it lost its data.

A call has no row, so a rebuild knows nothing of it while it runs. Its process tells the new gate itself. Whether the rebuild counted a
call that just ended is told by the epoch under which its row was committed: that is locked against a rebuild, as a claim's is.
"""

from __future__ import annotations

import dataclasses
import enum
import logging
import threading
import time

from rateguard.calls.call import Granted
from rateguard.calls.waiter import as_waiting
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Gate, ReservationId, Running
from rateguard.jobs.attempts.outcome import Finished

logger = logging.getLogger(__name__)


class Tell(enum.Enum):
    """What the gate is to be told of a call whose end is committed."""

    END = enum.auto()
    NOTHING_USED = enum.auto()  # a rebuild counted its row, and then it was announced as running: that is taken back
    LATER = enum.auto()  # the gate was rebuilt without its row and has not been told of it: first it is announced


@dataclasses.dataclass(slots=True)
class Held:
    """A reservation. epoch: of the gate that knows of it; is_announcing: that is being told. since: when windows count it from, monotonic.

    is_ended: its row is being written. committed, finished: the epoch under which it was written, and what the gate is told then.
    """

    granted: Granted
    epoch: int
    since: float
    committed: int | None = None
    finished: Finished | None = None
    is_announcing: bool = False
    is_ended: bool = False


class HeldCalls:
    """Thread-safe. `holder`: whose they are."""

    def __init__(self, gate: Gate, holder: str) -> None:
        self._gate = gate
        self._holder = holder
        self._lock = threading.Lock()
        self._held: dict[ReservationId, Held] = {}
        self._epoch: int | None = None
        self._is_announced = True

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, reservation: object) -> bool:
        return reservation in self._held

    def add(self, granted: Granted) -> None:
        """The gate knows that this process has it."""
        with self._lock:
            self._held[granted.reservation] = Held(granted, granted.epoch, granted.granted_at)

    def sent(self, reservation: ReservationId, at: float) -> None:
        """Its request left then."""
        with self._lock:
            if held := self._held.get(reservation):
                held.since = at

    def end(self, reservation: ReservationId) -> bool:
        """It ended, and its row is about to be written. False: it was not held, or it has ended already."""
        with self._lock:
            held = self._held.get(reservation)
            if held is None or held.is_ended:
                return False
            held.is_ended = True
            return True

    def drop(self, reservation: ReservationId) -> bool:
        """It is over, without a row. False: as above."""
        with self._lock:
            held = self._held.get(reservation)
            if held is None or held.is_ended:
                return False
            del self._held[reservation]
            return True

    def committed(self, finished: Finished, epoch: int | None) -> Tell:
        """Its end is in the rows, written under this epoch; None: by somebody else."""
        reservation = finished.settlement.reservation
        with self._lock:
            held = self._held.get(reservation)
            if held is not None and epoch is not None:
                if held.epoch < epoch or (held.epoch == epoch and held.is_announcing):
                    held.committed, held.finished = epoch, finished
                    return Tell.LATER
                if held.epoch > epoch:
                    del self._held[reservation]
                    return Tell.NOTHING_USED
            self._held.pop(reservation, None)
            return Tell.END

    def noted(self, epoch: int) -> bool:
        """A reply carried this epoch. True: the gate is a new one, and knows by now of all calls that it must know of."""
        is_new = self._epoch is not None and epoch != self._epoch
        self._epoch = epoch
        if is_new:
            self._is_announced = False
        if not self._is_announced:
            self._announce(epoch)
        return is_new

    def overdue(self) -> list[Finished]:
        """The ends that were committed before the gate was told of their calls, which it knows now. They are let go of."""
        with self._lock:
            known = [held for held in self._held.values() if held.committed is not None and held.epoch >= held.committed]
            ready = [(held.granted.reservation, held.finished) for held in known if not held.is_announcing]
            for reservation, _ in ready:
                del self._held[reservation]
            return [finished for _, finished in ready if finished is not None]

    def _announce(self, epoch: int) -> None:
        """Bring back what runs here. Where the gate is away again, the next reply is another occasion."""
        with self._lock:
            unknown = [(held, held.epoch) for held in self._held.values() if held.epoch < epoch]
            for held, _ in unknown:
                held.epoch, held.is_announcing = epoch, True
        is_told = False
        try:
            if unknown:
                self._gate.restore((), tuple(self._running(held) for held, _ in unknown), ())
            self._is_announced = is_told = True
        except GateError as error:
            logger.info("%d calls are not known to the new gate yet: %s", len(unknown), error)
        finally:
            with self._lock:
                for held, before in unknown:
                    held.epoch, held.is_announcing = epoch if is_told else before, False

    def _running(self, held: Held) -> Running:
        granted = held.granted
        waiting = as_waiting(granted.call, granted.reservation.attempt, 0)
        ago_ms = max(0, int((time.monotonic() - held.since) * 1000))
        return Running(waiting, str(granted.place.id), self._holder, ago_ms, granted.cost)
