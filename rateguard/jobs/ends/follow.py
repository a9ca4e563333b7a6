"""Follow jobs to their end: one subscription and one look at the rows a process, however many wait.

An announcement says where to look, the rows say who ended; since a message can be lost, all rows that are waited for are looked at again
each second. Who waits is a thread or a coroutine; a coroutine holds neither a thread nor a connection. Without Redis an end is seen a
second later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis
from django.db import connections
from redis.client import PubSub

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import finished_channel
from rateguard.jobs.ids import unpacked
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""Between two looks at the rows that nobody has announced."""
LOOK_AT_ONCE = 500
"""Rows in one query."""
LISTEN_S = 1.0
"""How long the end of the process may go unnoticed by the listening thread."""
RECONNECT_S = 1.0

Wake = Callable[[bool], None]
"""Called once from a thread of the follower. True: the job ended; False: the process does."""


class Follower:
    """Wakes who waits for a job's end. Two threads, one that listens and one that looks, from the first wait to `stop`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiters: dict[uuid.UUID, set[Wake]] = {}
        self._resting: set[Wake] = set()
        self._unseen: set[uuid.UUID] = set()
        self._look_at = 0.0
        self._is_stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    # ---- who waits

    def wait(self, job_id: uuid.UUID, timeout_s: float) -> bool:
        """Until the job ended or the time is over; returns whether it ended. Holds no database connection while waiting.

        In a transaction the connection stays with it, and the threads do not see what it holds: do not wait there.
        """
        if _has_ended(job_id):
            return True
        if timeout_s <= 0:
            return False
        _release_connections()
        told: queue.SimpleQueue[bool] = queue.SimpleQueue()
        with self._waiting(job_id, told.put), contextlib.suppress(queue.Empty):
            return told.get(timeout=timeout_s) or _has_ended(job_id)
        return _has_ended(job_id)

    async def ended(self, job_id: uuid.UUID, timeout_s: float) -> bool:
        """The same on an event loop: nothing but a future waits. A job that ended before is found by the first look at its row."""
        told, wake = _future()
        with self._waiting(job_id, wake), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                return await told
        return False

    async def rest(self, seconds: float) -> bool:
        """Wait so long on an event loop, or until the process ends: then False, at once."""
        told, wake = _future()
        with self._changed:
            self._resting.add(wake)
            if self._is_stopping.is_set():
                wake(False)
        try:
            async with asyncio.timeout(seconds):
                return await told
        except TimeoutError:
            return True
        finally:
            with self._changed:
                self._resting.discard(wake)

    def let_go(self) -> None:
        """Whoever waits, or comes to wait from now on, waits no longer; the threads end. Returns at once."""
        with self._changed:
            self._is_stopping.set()
            left = [*self._resting, *(wake for waiting in self._waiters.values() for wake in waiting)]
            self._changed.notify_all()
        for wake in left:
            wake(False)

    def stop(self, timeout_s: float = 5.0) -> None:
        """The same, and wait until the subscription is closed."""
        self.let_go()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @contextlib.contextmanager
    def _waiting(self, job_id: uuid.UUID, wake: Wake) -> Iterator[None]:
        """Be woken by the job's end. Its row is looked at from here on, and again when the subscription stands: no end falls between."""
        with self._changed:
            self._waiters.setdefault(job_id, set()).add(wake)
            self._unseen.add(job_id)
            if self._is_stopping.is_set():
                wake(False)
            else:
                self._start()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._waiters[job_id].discard(wake)
                if not self._waiters[job_id]:
                    del self._waiters[job_id]
                    self._unseen.discard(job_id)

    def _start(self) -> None:
        if self._threads:
            return
        for name, run in (("follow", self._listen), ("look", self._look)):
            self._threads.append(threading.Thread(target=run, name=f"rateguard-{name}", daemon=True))
            self._threads[-1].start()

    # ---- the thread that listens

    def _listen(self) -> None:
        while not self._is_stopping.is_set():
            try:
                client: Any = wiring.redis_client()
                with client.pubsub() as subscription:
                    self._hear(subscription)
            except (redis.RedisError, OSError) as error:
                logger.info("ends of jobs are looked for in the rows until Redis is back: %s", error)
            self._is_stopping.wait(RECONNECT_S)

    def _hear(self, subscription: PubSub) -> None:
        subscription.subscribe(finished_channel(conf().partition))
        while not self._is_stopping.is_set():
            message = subscription.get_message(timeout=LISTEN_S)
            if message is None:
                continue
            with self._changed:
                if message["type"] == "subscribe":
                    self._unseen.update(self._waiters)  # an end may have been announced while nobody listened
                elif message["type"] == "message":
                    self._unseen.update(job for job in unpacked(message["data"]) if job in self._waiters)
                self._changed.notify_all()

    # ---- the thread that looks

    def _look(self) -> None:
        while (ids := self._next()) is not None:
            try:
                for at in range(0, len(ids), LOOK_AT_ONCE):
                    self._tell(_ended_among(ids[at : at + LOOK_AT_ONCE]))
                _release_connections()
            except Exception as error:  # noqa: BLE001 - whatever the database says, who waits is looked after again in a second
                logger.info("ends of jobs cannot be looked for now: %s", error)
                connections.close_all()
        connections.close_all()

    def _next(self) -> list[uuid.UUID] | None:
        """The jobs to look at, once there are some: what was announced or is new, and each second all. None: the process ends."""
        with self._changed:
            while not self._is_stopping.is_set():
                rest_s = self._look_at - time.monotonic()
                if self._waiters and rest_s <= 0:
                    self._look_at = time.monotonic() + LOOK_AGAIN_S
                    self._unseen.update(self._waiters)
                if self._unseen:
                    found = list(self._unseen)
                    self._unseen.clear()
                    return found
                self._changed.wait(rest_s if self._waiters else None)
            return None

    def _tell(self, ended: Iterable[uuid.UUID]) -> None:
        with self._changed:
            woken = [wake for job in ended for wake in self._waiters.get(job, ())]
        for wake in woken:
            wake(True)


def _future() -> tuple[asyncio.Future[bool], Wake]:
    """A future of the running loop, and what tells it from a thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()

    def tell(has_ended: bool) -> None:
        if not future.done():
            future.set_result(has_ended)

    def wake(has_ended: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(tell, has_ended)

    return future, wake


def _release_connections() -> None:
    """A pooled connection goes back to the pool. One in a transaction stays: `close_old_connections` would close it."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _has_ended(job_id: uuid.UUID) -> bool:
    return Job.objects.filter(pk=job_id, state__in=TERMINAL).exists()


def _ended_among(ids: list[uuid.UUID]) -> list[uuid.UUID]:
    return list(Job.objects.filter(pk__in=ids, state__in=TERMINAL).values_list("pk", flat=True))


_follower = Follower()


def wait_for_end(job_id: uuid.UUID, timeout_s: float) -> bool:
    """Wait in a thread until the job ended, at most so many seconds; returns whether it did. An unknown id never ends."""
    return _follower.wait(job_id, timeout_s)


async def ended(job_id: uuid.UUID, timeout_s: float) -> bool:
    """The same on an event loop; holds no thread and no connection."""
    return await _follower.ended(job_id, timeout_s)


async def rest(seconds: float) -> bool:
    """Wait so long on an event loop, between two looks at something; False, at once, where the process was asked to end."""
    return await _follower.rest(seconds)


def let_waiters_go() -> None:
    """Let go who waits, now and from now on; returns at once. For a process that was asked to end."""
    _follower.let_go()


def stop_following(timeout_s: float = 5.0) -> None:
    """Let go who waits and close this process's subscription; for the end of the process."""
    _follower.stop(timeout_s)


def _after_fork() -> None:
    """Threads and connections stay with the parent."""
    global _follower  # noqa: PLW0603 - one a process
    _follower = Follower()


os.register_at_fork(after_in_child=_after_fork)
