"""Follow jobs to their end: who waits is woken by publish/subscribe, and looks at the row again each second, since a message can be lost.

One subscription a process, opened by the first who waits. Without Redis an end is seen a second later.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import redis
from django.db import connections
from redis.client import PubSub

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import finished_channel
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""Between two looks at a row that nobody has announced."""
LISTEN_S = 1.0
"""How long the end of the process may go unnoticed by the listening thread."""
RECONNECT_S = 1.0
ID_BYTES = 16


class Follower:
    """Wakes who waits for a job's end. Its thread runs from the first wait to `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiters: dict[bytes, set[threading.Event]] = collections.defaultdict(set)
        self._is_subscribed = threading.Event()
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def wait(self, job_id: uuid.UUID, timeout_s: float) -> bool:
        """Until the job ended or the time is over; returns whether it ended. Holds no database connection while waiting.

        In a transaction the connection stays with it: do not wait there.
        """
        deadline = time.monotonic() + timeout_s
        with self._subscribed(job_id) as woken:
            while not _has_ended(job_id):
                rest_s = deadline - time.monotonic()
                if rest_s <= 0 or self._is_stopping.is_set():
                    return False
                _release_connections()
                woken.wait(min(rest_s, LOOK_AGAIN_S))
                woken.clear()
        return True

    def stop(self, timeout_s: float = 5.0) -> None:
        """Close the subscription; who waits still is let go."""
        self._is_stopping.set()
        self._wake_all()
        if self._thread is not None:
            self._thread.join(timeout_s)

    @contextlib.contextmanager
    def _subscribed(self, job_id: uuid.UUID) -> Iterator[threading.Event]:
        """Listen before the first look at the row, so that no end falls between the two."""
        woken = threading.Event()
        with self._lock:
            self._waiters[job_id.bytes].add(woken)
            self._start()
        try:
            self._is_subscribed.wait(conf().gate_timeout_ms / 1000)
            yield woken
        finally:
            with self._lock:
                self._waiters[job_id.bytes].discard(woken)
                if not self._waiters[job_id.bytes]:
                    del self._waiters[job_id.bytes]

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # a fork has the object without its thread
            self._is_subscribed.clear()
            self._thread = threading.Thread(target=self._run, name="rateguard-follow", daemon=True)
            self._thread.start()

    # ---- the thread

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                client: Any = wiring.redis_client()
                with client.pubsub() as subscription:
                    self._listen(subscription)
            except (redis.RedisError, OSError) as error:
                logger.info("ends of jobs are looked for in the rows until Redis is back: %s", error)
            self._is_subscribed.clear()
            self._is_stopping.wait(RECONNECT_S)

    def _listen(self, subscription: PubSub) -> None:
        subscription.subscribe(finished_channel(conf().partition))
        while not self._is_stopping.is_set():
            message = subscription.get_message(timeout=LISTEN_S)
            if message is None:
                continue
            if message["type"] == "subscribe":
                self._is_subscribed.set()
                self._wake_all()  # an end may have been announced while nobody listened
            elif message["type"] == "message":
                self._wake(message["data"])

    def _wake(self, packed: bytes) -> None:
        ids = [packed[at : at + ID_BYTES] for at in range(0, len(packed), ID_BYTES)]
        with self._lock:
            for woken in [one for job in ids for one in self._waiters.get(job, ())]:
                woken.set()

    def _wake_all(self) -> None:
        with self._lock:
            for woken in [one for waiting in self._waiters.values() for one in waiting]:
                woken.set()


def _release_connections() -> None:
    """A pooled connection goes back to the pool. One in a transaction stays: `close_old_connections` would close it."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _has_ended(job_id: uuid.UUID) -> bool:
    return Job.objects.filter(pk=job_id, state__in=TERMINAL).exists()


_follower = Follower()


def wait_for_end(job_id: uuid.UUID, timeout_s: float) -> bool:
    """Wait until the job ended, at most so many seconds; returns whether it did. An unknown id never ends."""
    return _follower.wait(job_id, timeout_s)


def stop_following(timeout_s: float = 5.0) -> None:
    """Let go who waits and close this process's subscription; for the end of the process."""
    _follower.stop(timeout_s)
