"""Runs synchronous tasks in threads, through Celery's own tracer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from billiard.einfo import ExceptionInfo

from rateguard.holding.loop import LoopThread
from rateguard.worker.callbacks import Callbacks
from rateguard.worker.delivery import Delivery
from rateguard.worker.slots import MAX_THREADS
from rateguard.worker.threads import Threads

logger = logging.getLogger(__name__)


class Blocking:
    """Synchronous tasks, one thread each. Celery's Django fixup closes a thread's connections at the tracer's signals.

    A thread cannot be stopped: past its hard limit, or terminated, a task runs on, and the log says so.
    """

    def __init__(self, loop: LoopThread, callbacks: Callbacks, leave: Callable[[Delivery], None]) -> None:
        self._loop = loop
        self._callbacks = callbacks
        self._leave = leave
        self._threads = Threads(MAX_THREADS, "rateguard-task")
        self._watches: dict[int, asyncio.TimerHandle] = {}

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._threads.count

    def start(self, delivery: Delivery) -> None:
        """Begin a delivery. From any thread."""
        self._threads.submit(partial(self._run, delivery))

    def terminate(self, delivery: Delivery) -> None:
        """Say that it cannot be done."""
        logger.warning("%s is to be terminated; a thread cannot be stopped, it runs on", delivery)

    def stop(self) -> None:
        """Let the idle threads end."""
        self._threads.stop()

    def _run(self, delivery: Delivery) -> None:
        if delivery.hard_s:
            self._loop.call(self._watch, delivery)
        try:
            traced = delivery.trace(*delivery.payload)
        except BaseException:  # noqa: BLE001 - reported to Celery
            self._callbacks.post(delivery.ears.fail, ExceptionInfo())
        else:
            self._callbacks.post(delivery.ears.succeed, traced)
        if delivery.hard_s:
            self._loop.call(self._unwatch, delivery)
        self._callbacks.post(self._leave, delivery)

    def _watch(self, delivery: Delivery) -> None:
        warning = "%s has passed its hard time limit (%ss); a thread cannot be stopped, it runs on"
        timer = self._loop.loop.call_later(delivery.hard_s or 0, logger.warning, warning, delivery, delivery.hard_s)
        self._watches[delivery.number] = timer

    def _unwatch(self, delivery: Delivery) -> None:
        self._watches.pop(delivery.number).cancel()
