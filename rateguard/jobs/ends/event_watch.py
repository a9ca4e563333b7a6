"""Watch jobs while they go on: one subscription, one look at the rows a second and one reader of streams a process, however many watch.

A watcher is only woken and told what to look at; it asks for a page of its job's stream when it is ready for one, so a slow one holds
nothing but a page. The threads run while somebody watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime as dt
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import redis
from django.db import connections

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import events_channel, finished_channel
from rateguard.jobs.ends import event_stream
from rateguard.jobs.ends.events.ids import EventId
from rateguard.jobs.ends.events.reading import Entry
from rateguard.jobs.ids import unpacked
from rateguard.jobs.line.positions import positions
from rateguard.jobs.line.waiting import WAITING_COLUMNS, waiting_from
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

LOOK_EACH_S = 1.0
LOOK_AT_ONCE = 500
LISTEN_S = 1.0
RECONNECT_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """What the row and the gate say of a job. position: its place in line, None where it does not wait or nobody knows."""

    state: State
    attempt: int
    run_at: dt.datetime | None
    position: int | None


class Watch:
    """One watcher. `wake` is called from a thread of the hub; then `take` says what is new."""

    def __init__(self, job_id: uuid.UUID, wake: Callable[[], object]) -> None:
        self.job_id = job_id
        self._wake = wake
        self._lock = threading.Lock()
        self._has_grown = True
        self._last: Standing | None = None
        self._new: Standing | None = None

    def take(self) -> tuple[bool, Standing | None]:
        """Whether the stream may have grown since the last time, and how the job stands, where that has changed."""
        with self._lock:
            has_grown, self._has_grown = self._has_grown, False
            new, self._new = self._new, None
        return has_grown, new

    def grow(self) -> None:
        """The stream has grown."""
        with self._lock:
            self._has_grown = True
        self._call()

    def stand(self, standing: Standing) -> None:
        """The job stands so."""
        with self._lock:
            if standing == self._last:
                return
            self._last = self._new = standing
        self._call()

    def _call(self) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody watches there any more
            self._wake()


@dataclasses.dataclass(slots=True)
class _Asked:
    job_id: uuid.UUID
    after: EventId
    answer: asyncio.Future[list[Entry]]


class Hub:
    """Wakes watchers. Its threads end once nobody watches."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: dict[uuid.UUID, set[Watch]] = {}
        self._due: set[uuid.UUID] = set()
        self._asked: list[_Asked] = []
        self._look_at = 0.0
        self._running: set[str] = set()

    # ---- who watches

    @contextlib.contextmanager
    def watching(self, job_id: uuid.UUID, wake: Callable[[], object]) -> Iterator[Watch]:
        """Be woken by what happens to a job from here on; at once by how it stands now."""
        watch = Watch(job_id, wake)
        with self._changed:
            self._watches.setdefault(job_id, set()).add(watch)
            self._due.add(job_id)
            self._start()
            self._changed.notify_all()
        try:
            yield watch
        finally:
            with self._changed:
                self._watches[job_id].discard(watch)
                if not self._watches[job_id]:
                    del self._watches[job_id]
                    self._due.discard(job_id)
                self._changed.notify_all()

    async def read(self, job_id: uuid.UUID, after: EventId) -> list[Entry]:
        """A page of a job's stream, for one who watches; asked for together with others'."""
        asked = _Asked(job_id, after, asyncio.get_running_loop().create_future())
        with self._changed:
            self._asked.append(asked)
            self._changed.notify_all()
        return await asked.answer

    def _start(self) -> None:
        for name, run in (("listen", self._listen), ("look", self._look), ("read", self._read)):
            if name not in self._running:
                self._running.add(name)
                threading.Thread(target=self._live, args=(name, run), name=f"rateguard-events-{name}", daemon=True).start()

    def _live(self, name: str, run: Callable[[], None]) -> None:
        """A thread's life: until nobody watches. Who comes at that very moment finds it running, or starts another."""
        while True:
            try:
                run()
            except Exception as error:  # noqa: BLE001 - whatever the servers say, who watches is looked after again in a moment
                logger.info("the events of jobs cannot be looked for now: %s", error)
                connections.close_all()
                time.sleep(RECONNECT_S)
            with self._changed:
                if not self._watches:
                    self._running.discard(name)
                    break
        connections.close_all()

    def _all(self) -> list[Watch]:
        with self._changed:
            return [watch for watches in self._watches.values() for watch in watches]

    def _of(self, job_id: uuid.UUID) -> list[Watch]:
        with self._changed:
            return list(self._watches.get(job_id, ()))

    # ---- the thread that listens

    def _listen(self) -> None:
        client: Any = wiring.redis_client()
        try:
            with client.pubsub() as subscription:
                subscription.subscribe(events_channel(conf().partition), finished_channel(conf().partition))
                while self._watches:
                    message = subscription.get_message(timeout=LISTEN_S)
                    if message is not None:
                        self._hear(message)
        except (redis.RedisError, OSError) as error:
            logger.info("events of jobs are told by their rows until Redis is back: %s", error)
            time.sleep(RECONNECT_S)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # much may have been told while nobody listened
            for watch in self._all():
                watch.grow()
        elif message["type"] == "message":
            told = unpacked(message["data"])
            if message["channel"] == finished_channel(conf().partition).encode():
                self._look_soon(told)
            else:
                for watch in (watch for job_id in told for watch in self._of(job_id)):
                    watch.grow()

    def _look_soon(self, jobs: Iterable[uuid.UUID]) -> None:
        with self._changed:
            self._due.update(job_id for job_id in jobs if job_id in self._watches)
            self._changed.notify_all()

    # ---- the thread that looks at rows

    def _look(self) -> None:
        while jobs := self._next_looks():
            for at in range(0, len(jobs), LOOK_AT_ONCE):
                for job_id, standing in _standings(jobs[at : at + LOOK_AT_ONCE]):
                    for watch in self._of(job_id):
                        watch.stand(standing)
            for connection in connections.all(initialized_only=True):
                connection.close_if_unusable_or_obsolete()

    def _next_looks(self) -> list[uuid.UUID]:
        """The jobs to look at: those that are new or were announced, and each second all. Nothing: nobody watches."""
        with self._changed:
            while self._watches:
                rest_s = self._look_at - time.monotonic()
                if rest_s <= 0:
                    self._look_at = time.monotonic() + LOOK_EACH_S
                    self._due.update(self._watches)
                if self._due:
                    due, self._due = list(self._due), set()
                    return due
                self._changed.wait(rest_s)
            return []

    # ---- the thread that reads streams

    def _read(self) -> None:
        while asked := self._next_reads():
            pages: list[list[Entry]] = [[] for _ in asked]
            try:
                pages = event_stream.read([(one.job_id, one.after) for one in asked])
            finally:  # who asked goes on in any case
                for one, page in zip(asked, pages, strict=True):
                    _answer(one.answer, page)

    def _next_reads(self) -> list[_Asked]:
        with self._changed:
            self._changed.wait_for(lambda: self._asked or not self._watches)
            asked, self._asked = self._asked, []
            return asked


def _answer(future: asyncio.Future[list[Entry]], page: list[Entry]) -> None:
    def tell() -> None:
        if not future.done():
            future.set_result(page)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads there any more
        future.get_loop().call_soon_threadsafe(tell)


def _standings(jobs: list[uuid.UUID]) -> Iterator[tuple[uuid.UUID, Standing]]:
    rows = list(Job.objects.filter(pk__in=jobs).values_list("state", "run_at", *WAITING_COLUMNS))
    places = positions(waiting_from(*columns) for state, _, *columns in rows if state == State.QUEUED)
    attempt_at = WAITING_COLUMNS.index("attempt")
    for state, run_at, *columns in rows:
        yield columns[0], Standing(State(state), columns[attempt_at], run_at, places.get(columns[0]))


_hub = Hub()


def hub() -> Hub:
    """The one of this process."""
    return _hub


def _after_fork() -> None:
    """Threads stay with the parent."""
    global _hub  # noqa: PLW0603 - one a process
    _hub = Hub()


os.register_at_fork(after_in_child=_after_fork)
