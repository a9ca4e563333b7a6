"""The publisher: one thread that turns grants into Celery messages of up to 25 job ids, on the queue of their lane.

A message is a hint. Losing one or sending it twice changes nothing: the grant comes back by its `send_by`, the claim takes a row once.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import Any

from celery import current_app

from rateguard.conf import conf
from rateguard.engine.gate.contract import Grant
from rateguard.engine.lanes import Lane, queue_name

logger = logging.getLogger(__name__)

EXECUTE = "rateguard.execute"
"""The name of the task that a message calls."""

Entry = list[Any]
"""[job id as hex, attempt, deployment id, reserved nano-dollars, send_by in gate ms]: what a grant is in a message."""


class Publisher:
    """Publishes in the background; `publish` never blocks and never fails."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Lane, list[Entry], int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def publish(self, granted: tuple[Grant, ...], epoch: int) -> None:
        """Send grants of one reply; their epoch goes with them."""
        lanes: dict[Lane, list[Entry]] = {}
        for grant in granted:
            lanes.setdefault(grant.lane, []).append(as_entry(grant))
        size = conf().jobs_per_message
        for lane in sorted(lanes):
            for at in range(0, len(lanes[lane]), size):
                self._waiting.put((lane, lanes[lane][at : at + size], epoch))
        self._start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Send what waits, then end."""
        thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            thread.join(timeout_s)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rateguard-publisher", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (message := self._waiting.get()) is not None:
            lane, entries, epoch = message
            try:
                current_app.send_task(EXECUTE, args=(entries, epoch), queue=queue_name(lane), ignore_result=True, retry=False)
            except Exception:
                logger.warning("%d grants not published; they come back in %d ms", len(entries), conf().send_by_ms, exc_info=True)


def as_entry(grant: Grant) -> Entry:
    """A grant as a message carries it."""
    return [grant.reservation.job.hex, grant.reservation.attempt, int(grant.deployment), grant.cost, grant.send_by_ms]
