"""A race of two calls for one job: the first, and a second one at another deployment where the first is late.

Who brings the first piece of a stream, or the whole of another answer, leads; the other one is broken off, and charged by what came. A
failure leaves the other one running. Each has an attempt and an entry of its own; the job's transition rides on the first one's end,
whoever led. Where nobody led, the first one's failure decides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rateguard.engine.breaker.rule import Verdict
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Chunk, OnChunk, StreamStopped
from rateguard.jobs.attempts.exchange import Exchange
from rateguard.jobs.attempts.hedging import Plan, Second
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.screened import screened
from rateguard.jobs.attempts.settle import Hedged
from rateguard.jobs.states import SUCCEED, AttemptState

logger = logging.getLogger(__name__)

OUTRUN = "the other call for the same job answered first"

MakeFirst = Callable[[OnChunk], Awaitable[Finished]]
"""Makes the first call; its pieces go where it is told. Raises what `Exchange.ended` understands."""
MakeSecond = Callable[[Exchange, OnChunk, Callable[[float], None]], Awaitable[Finished]]
"""Makes the second one; the last argument hears when it leaves."""
Stopped = Callable[[Usage | None], Finished]
"""The first call's end where the whole job is given up. It gets what had come of a stream."""


_OF_THE_JOB = ("transition", "result", "retry_ms", "counts_try", "counts_abandoned", "route_marks", "moved", "told")
"""What an end says of its job, not of its attempt."""


@dataclasses.dataclass(slots=True)
class _Side:
    """One of the two. held: pieces that say nothing yet, until it leads. end: None while it runs, and where it was broken off.

    came: of a stream that was broken off.
    """

    task: asyncio.Task[None] | None = None
    held: list[Chunk] = dataclasses.field(default_factory=list)
    end: Finished | None = None
    came: Usage | None = None
    is_given_up: bool = False

    @property
    def is_good(self) -> bool:
        """Whether it brought an answer."""
        return self.end is not None and self.end.ended.transition is SUCCEED

    def give_up(self) -> None:
        """Break it off, once: what it does in its last moments is not disturbed."""
        if self.task is not None and not self.is_given_up:
            self.is_given_up = True
            self.task.cancel()


class Race:
    """Run it once. take: where the leader's pieces go."""

    def __init__(self, first: Exchange, plan: Plan, make_first: MakeFirst, make_second: MakeSecond, take: OnChunk) -> None:
        self._exchange = first
        self._plan = plan
        self._make_first = make_first
        self._make_second = make_second
        self._take = take
        self._first, self._other = _Side(), _Side()
        self._led: asyncio.Future[_Side] = asyncio.get_running_loop().create_future()
        self._due = first.began_at + plan.delay_ms / 1_000
        self._is_alone = True
        self._is_given_up = False
        self._second: Second | None = None
        self._second_end: Finished | None = None
        self._after_ms = 0

    async def run(self, stopped: Stopped) -> Finished:
        """The first call's end, with what the second one made of it. Whoever cancels this gives both calls up, and gets their end."""
        self._first.task = asyncio.create_task(self._run_first())
        while waiting := self._under_way():
            try:
                await asyncio.wait(waiting, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                self._is_given_up = True
            self._go_on()
        return await self._end(stopped)

    def settle_second(self) -> None:
        """Hand over the second call's end, beside that of the job, which counts what it cost."""
        if self._second is not None and self._second_end is not None:
            self._plan.seconds.settle(self._second, self._second_end.ended.latency_ms or 0)

    # ---- its steps

    def _under_way(self) -> list[asyncio.Future[Any]]:
        """What may happen next; nothing: both have ended."""
        tasks: list[asyncio.Future[Any]] = [one.task for one in (self._first, self._other) if one.task is not None and not one.task.done()]
        return tasks if not tasks or self._led.done() else [*tasks, self._led]

    def _patience_s(self) -> float | None:
        """Until a second call is due; None: none will be."""
        if not self._is_alone or self._is_given_up or self._led.done():
            return None
        return max(0.0, self._due - time.monotonic())

    def _go_on(self) -> None:
        """Look at where the race stands."""
        leader = self._leader()
        if self._is_given_up:
            self._first.give_up()
            self._other.give_up()
        elif leader is not None:
            (self._other if leader is self._first else self._first).give_up()
        elif self._first.end is not None:
            if self._second is None or not self._second.exchange.has_left:
                self._other.give_up()  # the job is tried again, or not: as without hedging
        elif self._is_alone and time.monotonic() >= self._due:
            self._is_alone = False
            if self._plan.budget.take():
                self._other.task = asyncio.create_task(self._run_second())

    async def _run_first(self) -> None:
        await self._to_its_end(self._first, self._exchange, self._make_first(self._taking(self._first)))

    async def _run_second(self) -> None:
        claimed, busy = self._exchange.claimed, self._exchange.place
        try:
            self._second = second = await self._plan.seconds.enter(claimed, busy)
        except Exception:
            logger.exception("a second call of job %s did not come in", claimed.job)
            return
        if second is not None:
            making = self._make_second(second.exchange, self._taking(self._other), lambda at: self._sent(second, at))
            await self._to_its_end(self._other, second.exchange, making)

    def _sent(self, second: Second, at: float) -> None:
        if second.exchange.sent_at is None:
            self._plan.seconds.sent(second, at)
            self._after_ms = int((at - self._exchange.began_at) * 1_000)
        second.exchange.sent_at = at

    async def _to_its_end(self, side: _Side, exchange: Exchange, making: Awaitable[Finished]) -> None:
        try:
            side.end = await exchange.ended(making)
            if side.is_good:
                await self._lead(side)
        except asyncio.CancelledError as gone:
            side.came = gone.usage if isinstance(gone, StreamStopped) else None

    # ---- who leads

    def _leader(self) -> _Side | None:
        return self._led.result() if self._led.done() else None

    def _taking(self, side: _Side) -> OnChunk:
        async def take(chunk: Chunk) -> None:
            if self._led.done():
                if self._led.result() is side:
                    await self._take(chunk)
            elif chunk.has_content:
                await self._lead(side)
                await self._take(chunk)
            else:
                side.held.append(chunk)

        return take

    async def _lead(self, side: _Side) -> None:
        """It is first, unless the other one is already."""
        if not self._led.done():
            self._led.set_result(side)
            for chunk in side.held:
                await self._take(chunk)

    # ---- its end

    async def _end(self, stopped: Stopped) -> Finished:
        latency_ms, leader = self._exchange.latency_ms(), self._leader()
        if leader is not None and leader.end is not None:
            leader.end = await self._screened(leader, leader.end)
        own = self._first.end or self._broken_off(self._exchange, self._first.came)
        has_won = leader is self._other and self._other.is_good
        if self._is_given_up and not (leader is not None and leader.is_good):
            own = _decided_by(own, stopped(self._first.came)) if self._first.end is not None else stopped(self._first.came)
        elif leader is self._other and self._other.end is not None:
            own = _decided_by(own, self._other.end)
        if leader is self._other:
            own = _with(own, latency_ms=latency_ms)
        self._close_second()
        return _with(own, hedged=self._hedged(has_won=has_won))

    async def _screened(self, leader: _Side, end: Finished) -> Finished:
        """Middlewares see the leader's answer alone."""
        exchange = self._exchange if self._second is None or leader is self._first else self._second.exchange
        return await exchange.ended(screened(self._exchange.claimed, exchange.place, end))

    def _broken_off(self, exchange: Exchange, came: Usage | None) -> Finished:
        stopped = exchange.stopped(came, is_cancelled=True, is_requeued=False)
        return stopped if self._is_given_up else _with(stopped, error_message=OUTRUN)

    def _close_second(self) -> None:
        """What never left is given back, unless that speaks against its deployment."""
        if self._second is None:
            return
        exchange = self._second.exchange
        end = self._other.end or self._broken_off(exchange, self._other.came)
        if exchange.has_left or end.settlement.verdict is not Verdict.NONE:
            self._second_end = end
        else:
            self._plan.seconds.give_back(self._second)

    def _hedged(self, *, has_won: bool) -> Hedged | None:
        if self._second is None or self._second_end is None:
            return None
        ended = self._second_end.ended
        return Hedged(
            self._second.exchange.place.name,
            self._after_ms or self._plan.delay_ms,
            has_won,
            ended.nano_usd,
            ended.usage.all_input_tokens,
            ended.usage.output_tokens,
        )


def _decided_by(own: Finished, other: Finished) -> Finished:
    """An attempt's end, with the other's word on what the job does.

    An answer that came in the last moment before its call was broken off, when the other one led already, is nobody's: it is paid, but its
    attempt has failed where the job goes on without one.
    """
    word = {name: getattr(other.ended, name) for name in _OF_THE_JOB}
    if other.ended.transition is not SUCCEED:
        word |= {"error_code": other.ended.error_code, "error_message": other.ended.error_message}
        if own.ended.state is AttemptState.SUCCEEDED:
            word["state"] = AttemptState.FAILED
    ended = dataclasses.replace(own.ended, **word)
    return dataclasses.replace(other, ended=ended, settlement=own.settlement, counted_at=own.counted_at, heard_at=own.heard_at)


def _with(finished: Finished, **fields: Any) -> Finished:
    return dataclasses.replace(finished, ended=dataclasses.replace(finished.ended, **fields))
