"""The heartbeat: a thread of its own that says that this process lives, and hears which of its jobs are to be cancelled."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from typing import Any

import redis
from django.db import connection

from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Gate, Holder
from rateguard.engine.lanes import Lane
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

RETRY_S = 0.25
"""After a beat that the gate did not take, the next comes so soon."""

OnCancel = Callable[[uuid.UUID], None]


class Heartbeat:
    """Beats for one holder until stopped. `on_beat` is called after each beat that the gate took."""

    def __init__(self, gate: Gate, holder: str, slots: int, lanes: tuple[Lane, ...], period_s: float) -> None:
        self._gate = gate
        self._holder = Holder(holder, slots, lanes)
        self._period_s = period_s
        self._stopping = threading.Event()
        self._soon = threading.Event()
        self._thread: threading.Thread | None = None
        self.on_beat: Callable[[], None] = lambda: None
        self.on_cancel: OnCancel = lambda _: None

    def start(self) -> None:
        """Begin to beat."""
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
            self._gate.beat(self._holder)
            self.on_beat()
            self._look_for_cancelled()
        except GateError as error:
            logger.info("no beat: %s", error)
            return RETRY_S
        except Exception:
            logger.exception("a beat failed")
            connection.close()
            return RETRY_S
        return self._period_s

    def _look_for_cancelled(self) -> None:
        asked = Job.objects.filter(holder=self._holder.id, state=State.RUNNING, cancel_requested=True)
        for job in asked.values_list("pk", flat=True):
            self.on_cancel(job)


class CancelListener:
    """Hears by publish/subscribe which jobs are to be cancelled; what it misses, the heartbeat's look at the rows finds."""

    def __init__(self, client: redis.Redis, channel: str, on_cancel: OnCancel) -> None:
        self._client = client
        self._channel = channel
        self._on_cancel = on_cancel
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._run, name="rateguard-cancel", daemon=True).start()

    def stop(self) -> None:
        """Listen no more; the thread ends within a second."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if not self._stopping.is_set():
                    logger.info("not listening for cancellations: %s", error)
                self._stopping.wait(1.0)

    def _listen(self) -> None:
        subscriptions: Any = self._client
        with subscriptions.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(self._channel)
            while not self._stopping.is_set():
                message = subscription.get_message(timeout=1.0)
                if message is not None and isinstance(message.get("data"), bytes) and not self._stopping.is_set():
                    self._on_cancel(uuid.UUID(bytes=message["data"]))
