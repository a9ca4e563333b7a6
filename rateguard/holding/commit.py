"""Group commit: ends gather for some milliseconds, commit many at a time, and then settle with the gate.

While the database is away ends wait in memory; they are the only copy, so they are bounded: a full worker claims nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rateguard.conf import conf
from rateguard.engine.in_flight import InFlight
from rateguard.jobs.attempts.execute import Database
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.settle import Ended, Key, Settled, settle_all
from rateguard.jobs.attempts.unheard import AWAY
from rateguard.jobs.ends.finished import announce
from rateguard.jobs.intake.fallback import with_fallbacks
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import TERMINAL, WAITING
from rateguard.jobs.upkeep.calls import call_as_reserved
from rateguard.jobs.upkeep.recover import give_up, wait_again

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

OnCall = Callable[[Finished, int | None], None]
"""A call's end that is in the rows, and the gate's epoch under which it was written; None: somebody else had written its end before."""

AT_ONCE = 500
MOST_WAITING = 5_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


class GroupCommit:
    """Takes ends on the loop and writes them in the database's thread."""

    def __init__(self, database: Database, pump: Pump, delay_s: float, in_flight: InFlight | None = None) -> None:
        self._database = database
        self._pump = pump
        self._delay_s = delay_s
        self._waiting: list[Finished] = []
        self.in_flight = in_flight or InFlight(conf().max_bytes_in_flight)
        self._writer: asyncio.Task[None] | None = None
        self.on_call: OnCall = lambda one, _: pump.settle([(one.settlement_at(time.monotonic()), one.counted_at)])
        """What tells the gate of a synchronous call's end; here as of a job's."""

    @property
    def is_full(self) -> bool:
        """Too many ends wait for the database, or too many bytes are held, of requests and answers."""
        return len(self._waiting) >= MOST_WAITING or self.in_flight.is_full

    def add(self, finished: Finished) -> None:
        """Take an end over."""
        self._waiting.append(finished)
        self.in_flight.add(_weight(finished))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def drain(self) -> None:
        """Until all ends are written."""
        while self._writer is not None:
            await asyncio.shield(self._writer)

    async def _write(self) -> None:
        try:
            await asyncio.sleep(self._delay_s)
            while self._waiting:
                batch = self._waiting[:AT_ONCE]
                await self._commit(batch)
                del self._waiting[: len(batch)]
                self.in_flight.give_back(sum(map(_weight, batch)))
        finally:
            self._writer = None

    async def _commit(self, batch: Sequence[Finished]) -> None:
        """Write a batch, tell the gate, then let wait again what goes back: a 429 must cool before its job asks for a grant anew.

        A batch that cannot be written is written one by one, so that one holds up no other.
        """
        try:
            batch, settled = await self._outlast(_write, batch)
        except Exception:
            if len(batch) == 1:
                logger.exception("the end of %s.%d cannot be written", batch[0].ended.job, batch[0].ended.attempt)
                await self._write_as_reserved(batch[0])
            else:
                for one in batch:
                    await self._commit([one])
            return
        self._tell_gate(batch, settled)
        back = [one.ended.job for one in batch if one.ended.transition.target in WAITING and _key(one) in settled.keys]
        if back:
            await self._let_wait_again(back)

    def _tell_gate(self, batch: Sequence[Finished], settled: Settled) -> None:
        now = time.monotonic()
        self._pump.settle([(one.settlement_at(now), one.counted_at) for one in batch if one.ended.call is None])
        for one in batch:
            if one.ended.call is not None:
                self.on_call(one, settled.epoch if _key(one) in settled.keys else None)

    async def _let_wait_again(self, jobs: list[uuid.UUID]) -> None:
        try:
            await self._outlast(wait_again, jobs, self._pump)
        except Exception:
            logger.exception("%d jobs wait unheard; the sweeper brings them in", len(jobs))

    async def _write_as_reserved(self, one: Finished) -> None:
        """The job ends all the same, and a call is charged. If not even that can be written, its attempt is open until its holder's end."""
        ended = one.ended
        try:
            if ended.call is None:
                await self._outlast(_give_up, ended, self._pump)
            else:
                instead = call_as_reserved(one, ended.call)
                self._tell_gate(*await self._outlast(_write, [instead]))
        except Exception:
            logger.exception("%s.%d stays open", ended.job, ended.attempt)

    async def _outlast(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run it in the database's thread, however long the database is away."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._database.run(function, *args)
            except AWAY as error:
                logger.warning("%d ends wait for the database: %s", len(self._waiting), error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


class LoopWriter:
    """A group commit that takes ends from any thread."""

    def __init__(self, commit: GroupCommit, loop: asyncio.AbstractEventLoop) -> None:
        self._commit = commit
        self._loop = loop

    @property
    def is_full(self) -> bool:
        """See GroupCommit."""
        return self._commit.is_full

    def add(self, finished: Finished) -> None:
        """Take an end over."""
        try:
            if _running_loop() is self._loop:
                self._commit.add(finished)
            else:
                self._loop.call_soon_threadsafe(self._commit.add, finished)
        except RuntimeError:  # the loop is closed
            logger.warning("%s ended too late to be written here: it is charged as reserved", finished.settlement.reservation)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _write(ends: Sequence[Finished]) -> tuple[Sequence[Finished], Settled]:
    """Returns the ends as they were written, and which of them were."""
    batch = with_fallbacks(ends)
    settled = settle_all([one.ended for one in batch])
    over = (one for one in batch if one.ended.call is None and one.ended.transition.target in TERMINAL)
    announce(one.ended.job for one in over if _key(one) in settled.keys)
    return batch, settled


def _give_up(ended: Ended, pump: Pump) -> None:
    give_up(pump, list(Attempt.objects.filter(reservation_id=ended.job, number=ended.attempt)))


def _weight(one: Finished) -> int:
    """Its answer's bytes, near enough."""
    return len(one.ended.result or "")


def _key(one: Finished) -> Key:
    return one.ended.job, one.ended.attempt
