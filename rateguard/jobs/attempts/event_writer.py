"""Writes what running attempts tell into their jobs' streams of events: one thread, one round trip for all that gathered.

A call never waits for it: where Redis is slow, full or gone, or an answer longer than EVENT_BYTES, a job's stream just ends, and who
listens gets the answer in one piece at its end. Only an answer that no row keeps is waited for, until it is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Any

import redis

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.keys import events_channel
from rateguard.jobs.attempts.claim import Claimed
from rateguard.jobs.bodies import seal
from rateguard.jobs.ends.event_stream import key_of
from rateguard.jobs.ends.events.reading import Kind
from rateguard.jobs.ids import packed

logger = logging.getLogger(__name__)

GATHER_S = 0.02
MOST_PENDING_BYTES = 16 * 2**20
"""What waits for Redis in one process; beyond it chunks are dropped."""
WRITTEN_WITHIN_S = 1.0
"""So long the end of a stream is waited for, so that who listens sees it before the job's end."""
KEPT_WITHIN_S = 15.0
"""So long an answer that only the stream keeps is offered to Redis."""
AGAIN_S = 0.25
OUTRUN = "equal or smaller"
"""What Redis says of an id that is not behind the stream's last."""


@dataclasses.dataclass(slots=True)
class _Write:
    """One entry on its way. done: set (on its loop) once it is written, or cannot be."""

    stream: AttemptEvents
    number: int
    kind: Kind
    data: str
    keep_s: int
    done: asyncio.Future[bool] | None = None


class EventWriter:
    """One a process. Its thread runs from the first write to `stop`."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._pending: list[_Write] = []
        self._pending_bytes = 0
        self._is_urgent = False
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def begin(self, claimed: Claimed) -> AttemptEvents:
        """The events of one attempt, beginning with its grant."""
        events = AttemptEvents(self, claimed)
        events.grant()
        return events

    def add(self, write: _Write) -> bool:
        """Take one entry over. False: too much waits already."""
        with self._condition:
            if write.done is None and self._pending_bytes + len(write.data) > MOST_PENDING_BYTES:
                return False
            self._pending.append(write)
            self._pending_bytes += len(write.data)
            self._is_urgent = self._is_urgent or write.done is not None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rateguard-events", daemon=True)
                self._thread.start()
            if self._is_urgent or len(self._pending) == 1:
                self._condition.notify()
        return True

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write what waits, then end."""
        with self._condition:
            self._is_stopping = True
            self._condition.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    # ---- the thread

    def _run(self) -> None:
        while batch := self._next():
            try:
                _write(batch)
            except Exception:
                logger.exception("%d events of jobs are not written", len(batch))
                _tell([(write, 0) for write in batch], None)

    def _next(self) -> list[_Write]:
        """What has gathered; at once where somebody waits for it. Nothing: the process ends."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._is_stopping)
            if not self._is_stopping:
                self._condition.wait_for(lambda: self._is_urgent or self._is_stopping, GATHER_S)
            batch, self._pending, self._pending_bytes, self._is_urgent = self._pending, [], 0, False
        return batch


class AttemptEvents:
    """What one attempt tells. All but `finish` return at once."""

    def __init__(self, writer: EventWriter, claimed: Claimed) -> None:
        self.job = claimed.job
        self.attempt = claimed.attempt
        self.is_broken = False
        self.has_begun = False
        self._writer = writer
        self._is_stored = claimed.is_stored
        self._call_s = claimed.timeout_s
        self._number = 0
        self._bytes_left = conf().event_bytes

    def grant(self) -> None:
        """It was claimed."""
        self._add(Kind.GRANTED, "")

    def chunk(self, data: str) -> None:
        """A piece of the answer has come."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            self.is_broken = True
        self._add(Kind.CHUNK, data)

    async def finish(self, answer: str) -> None:
        """The answer is whole. Waits until that is written: shortly, or for long where only the stream keeps the answer."""
        if self._is_stored:
            await self._written("", WRITTEN_WITHIN_S)
            return
        deadline = time.monotonic() + KEPT_WITHIN_S
        while not await self._written(answer, WRITTEN_WITHIN_S, is_kept=True):
            if time.monotonic() > deadline:
                logger.warning("the answer of job %s, which is not stored, is lost: Redis does not take it", self.job)
                return
            await asyncio.sleep(AGAIN_S)

    def _add(self, kind: Kind, data: str) -> None:
        if not self.is_broken:
            self._number += 1
            self.is_broken = not self._writer.add(_Write(self, self._number, kind, data, self._call_s + conf().event_keep_s))

    async def _written(self, answer: str, within_s: float, *, is_kept: bool = False) -> bool:
        """Write the mark of the end. Behind a gap it has a number that no reader takes for the next."""
        if self.is_broken and not is_kept:
            return False
        self._number += 2 if self.is_broken else 1
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._writer.add(_Write(self, self._number, Kind.WHOLE, answer, conf().event_keep_s, done))
        try:
            async with asyncio.timeout(within_s):
                return await done
        except TimeoutError:
            self.is_broken = True
            return False


# ---- Redis


def _write(batch: Sequence[_Write]) -> None:
    """Write a batch in one round trip, and wake who listens. A stream whose entry was not taken is broken from there on."""
    pipeline: Any = wiring.redis_client().pipeline(transaction=False)
    streams: dict[uuid.UUID, _Write] = {}
    taken: list[tuple[_Write, int]] = []
    for write in batch:
        if write.stream.is_broken and write.done is None:
            continue
        key = key_of(write.stream.job)
        if not write.stream.has_begun:
            write.stream.has_begun = True
            pipeline.xtrim(key, minid=f"{write.stream.attempt}-0", approximate=False)
        taken.append((write, len(pipeline)))
        pipeline.xadd(key, {write.kind.value: seal(write.data)}, id=f"{write.stream.attempt}-{write.number}")
        streams[write.stream.job] = write
    for job, last in streams.items():
        pipeline.expire(key_of(job), last.keep_s)
    pipeline.publish(events_channel(conf().partition), packed(streams))
    _tell(taken, _executed(pipeline) if taken else [])


def _executed(pipeline: Any) -> list[Any] | None:
    try:
        answers: list[Any] = pipeline.execute(raise_on_error=False)
    except (redis.RedisError, OSError) as error:
        logger.info("events of jobs are not written: %s", error)
        return None
    return answers


def _tell(taken: Sequence[tuple[_Write, int]], answers: list[Any] | None) -> None:
    for write, at in taken:
        is_written = answers is not None and not isinstance(answers[at], Exception)
        if not is_written:
            write.stream.is_broken = True
        if write.done is not None:
            is_fenced = answers is not None and OUTRUN in str(answers[at])  # a later attempt writes already: nobody waits for this answer
            _resolve(write.done, is_written or is_fenced)


def _resolve(done: asyncio.Future[bool], is_written: bool) -> None:
    def tell() -> None:
        if not done.done():
            done.set_result(is_written)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(tell)
