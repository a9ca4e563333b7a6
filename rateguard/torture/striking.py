"""Strikes by the schedule: each fault in a thread of its own, so that one that takes its time holds up no other."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import random
import threading
import time
from collections.abc import Sequence

from rateguard.torture.moment import wait_until_busy
from rateguard.torture.record import Fault, Record
from rateguard.torture.schedule import Planned
from rateguard.torture.site import PROCESSES, SERVERS, WORKERS, Site

logger = logging.getLogger(__name__)


class Striker:
    """Carries out a plan from `start` on. `stop` mends at once whatever is under way, and strikes no more."""

    def __init__(self, site: Site, record: Record, planned: Sequence[Planned]) -> None:
        self._site = site
        self._record = record
        self._planned = planned
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._clock = threading.Thread(target=self._run, name="striker", daemon=True)
        self._failures: list[str] = []
        self._turns = {target: threading.Lock() for target in (*PROCESSES, *SERVERS)}

    @property
    def is_over(self) -> bool:
        """Every fault has ended."""
        return not self._clock.is_alive() and not any(thread.is_alive() for thread in self._threads)

    @property
    def failures(self) -> list[str]:
        """Faults that could not be carried out, or not be mended: of the campaign's own, not of what it looks at."""
        return list(self._failures)

    def start(self) -> None:
        """The plan's clock begins."""
        self._clock.start()

    def stop(self) -> None:
        """Mend everything and wait for it."""
        self._stopping.set()
        for thread in (self._clock, *self._threads):
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        began_at = time.monotonic()
        for planned in self._planned:
            if self._stopping.wait(max(0.0, began_at + planned.at_s - time.monotonic())):
                return
            thread = threading.Thread(target=self._strike, args=(planned,), name=f"fault-{planned.number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _strike(self, planned: Planned) -> None:
        """One fault, once the one before it at the same target has ended, however long that took."""
        with contextlib.nullcontext() if planned.kind.is_provider else self._turns[planned.target]:
            if not self._stopping.is_set():
                self._carry_out(planned)

    def _carry_out(self, planned: Planned) -> None:
        strike = planned.kind.make(planned.target, random.Random(planned.chance))
        if planned.kind.wants_work and planned.target in WORKERS:
            wait_until_busy(self._site, planned.target, self._stopping)
        fault = Fault(planned.kind.name, planned.target, time.monotonic(), None, planned.kind.is_provider)
        self._record.put(planned.number, fault)
        try:
            detail = strike.begin(self._site)
            self._record.put(planned.number, dataclasses.replace(fault, detail=detail))
            self._stopping.wait(planned.length_s)
        except Exception as error:
            logger.exception("%s of %s could not begin", fault.kind, fault.target)
            detail = self._failed(fault, error)
        try:
            detail = "; ".join(filter(None, (detail, strike.end(self._site))))
        except Exception as error:
            logger.exception("%s of %s could not be mended", fault.kind, fault.target)
            detail = self._failed(fault, error)
        self._record.put(planned.number, dataclasses.replace(fault, ended_at=time.monotonic(), detail=detail))

    def _failed(self, fault: Fault, error: Exception) -> str:
        said = f"{fault.kind} of {fault.target}: {type(error).__name__}: {error}"
        self._failures.append(said)
        return said
