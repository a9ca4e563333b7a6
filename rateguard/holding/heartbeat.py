"""The heartbeat: a thread of its own that says that this process lives, and hears which of its calls are to be given up."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable

import redis
from django.db import connection
from django.db.models import Q

from rateguard.conf import conf
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Gate, Holder
from rateguard.engine.keys import cancel_channel, requeue_channel
from rateguard.engine.lanes import Lane
from rateguard.holding.listening import ChannelListener
from rateguard.holding.pulse import Pulse
from rateguard.jobs.ends.asking import read_requeue_word
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

RETRY_S = 0.25
"""After a beat that the gate did not take, the next comes so soon."""

OnCancel = Callable[[uuid.UUID], None]
OnRequeue = Callable[[uuid.UUID, int], None]
"""The job and the number of the attempt that is to be given up."""


class Heartbeat:
    """Beats for one holder until stopped. `on_beat` is called after each beat that the gate took.

    runs_jobs: people may ask for something of jobs that run here.
    """

    def __init__(self, gate: Gate, holder: str, slots: int, lanes: tuple[Lane, ...], period_s: float, *, runs_jobs: bool = True) -> None:
        self._gate = gate
        self._holder = Holder(holder, slots, lanes)
        self._period_s = period_s
        self._runs_jobs = runs_jobs
        self._stopping = threading.Event()
        self._soon = threading.Event()
        self._thread: threading.Thread | None = None
        self.pulse = Pulse(conf().dead_after_ms / 1000)
        self.on_beat: Callable[[], None] = lambda: None
        self.on_cancel: OnCancel = lambda _: None
        self.on_requeue: OnRequeue = lambda _job, _attempt: None

    def start(self, *, is_heard: bool = False) -> None:
        """Begin to beat. is_heard: come back after the first beat, which takes as long as the gate."""
        if is_heard:
            self._beat()
        self._thread = threading.Thread(target=self._run, name="rateguard-heartbeat", daemon=True)
        self._thread.start()

    def take_no_more(self) -> None:
        """The process leaves: it lives, but offers no slots."""
        self._holder = Holder(self._holder.id, 0, self._holder.lanes)
        self._soon.set()

    def stop(self) -> None:
        """The last beat was beaten; the gate is told."""
        self._stopping.set()
        self._soon.set()
        if self._thread is not None:
            self._thread.join(2 * self._period_s)
        try:
            self._gate.leave(self._holder.id)
        except GateError as error:
            logger.info("the gate will notice by itself that %s left: %s", self._holder.id, error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._soon.clear()
            wait_s = self._beat()
            self._soon.wait(wait_s)
        connection.close()

    def _beat(self) -> float:
        try:
            asked_s = time.monotonic()
            self._gate.beat(self._holder)
            self.pulse.beat(asked_s, time.monotonic())
            self.on_beat()
            if self._runs_jobs:
                self._look_for_wishes()
        except GateError as error:
            logger.info("no beat: %s", error)
            return RETRY_S
        except Exception:
            logger.exception("a beat failed")
            connection.close()
            return RETRY_S
        return self._period_s

    def _look_for_wishes(self) -> None:
        running = Job.objects.filter(holder=self._holder.id, state=State.RUNNING)
        asked = running.filter(Q(cancel_requested=True) | Q(requeue_requested=True))
        for job, attempt, is_cancelled in asked.values_list("pk", "attempt", "cancel_requested"):
            if is_cancelled:
                self.on_cancel(job)
            else:
                self.on_requeue(job, attempt)


class WishListener(ChannelListener):
    """Hears by publish/subscribe which calls are to be given up; what it misses, the heartbeat's look at the rows finds."""

    def __init__(self, client: redis.Redis, partition: str, on_cancel: OnCancel, on_requeue: OnRequeue) -> None:
        self._cancel, self._requeue = cancel_channel(partition), requeue_channel(partition)
        super().__init__(client, self._cancel, self._requeue, thread="rateguard-cancel", subject="what people ask of running jobs")
        self._on_cancel = on_cancel
        self._on_requeue = on_requeue

    def _hear(self, channel: str, told: bytes) -> None:
        if self._stopping.is_set():
            return
        if channel == self._requeue:
            self._on_requeue(*read_requeue_word(told))
        else:
            self._on_cancel(uuid.UUID(bytes=told))
