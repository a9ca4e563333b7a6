"""Execute: from a message of job ids to committed ends. One record passes through named steps: claimed → called → ended → settled.

Runs on an event loop; the database is one thread, the gate is the pump. It never waits for a limit and never retries by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from structlog.contextvars import bind_contextvars

from rateguard import wiring
from rateguard.engine.gate.contract import Sent
from rateguard.engine.in_flight import InFlight
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Chunk, OnChunk, OnSent, StreamStopped
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.jobs import inherit
from rateguard.jobs.attempts.claim import Claimed, claim
from rateguard.jobs.attempts.event_writer import AttemptEvents, EventWriter
from rateguard.jobs.attempts.exchange import Exchange, is_streamed
from rateguard.jobs.attempts.hedging import Hedging
from rateguard.jobs.attempts.outcome import Finished
from rateguard.jobs.attempts.race import Race
from rateguard.jobs.attempts.screened import screened
from rateguard.jobs.attempts.sending import SendFence
from rateguard.jobs.attempts.unheard import AWAY, UNHEARD_PAUSE_S, given_back, opened_unheard
from rateguard.jobs.line.publisher import Entry
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.models import Delivery
from rateguard.screening.chain import chain
from tenants.directory import Place

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Database(Protocol):
    """Runs a function in the database's thread."""

    async def run(self, function: Callable[..., Result], *args: Any) -> Result:
        """Run it and return what it returns."""
        ...


class Settler(Protocol):
    """Takes ends over: commits them, then tells the gate."""

    in_flight: InFlight

    @property
    def is_full(self) -> bool:
        """Too many ends wait for the database, or too many bytes are held: claim nothing."""
        ...

    def add(self, finished: Finished) -> None:
        """Take one end over."""
        ...


@dataclasses.dataclass(slots=True)
class _Call:
    """A job that runs here. task: set as soon as there is one. race: where it may have a second call.

    is_cancelled, is_requeued: a person ended it, or put it back in line.
    """

    exchange: Exchange
    task: asyncio.Task[None] | None = None
    events: AttemptEvents | None = None
    race: Race | None = None
    is_cancelled: bool = False
    is_requeued: bool = False

    @property
    def claimed(self) -> Claimed:
        return self.exchange.claimed

    async def take(self, chunk: Chunk) -> None:
        """A piece of a streamed answer goes to whoever listens; but where middlewares are to see the whole first, they hear it then."""
        if self.events is not None and not chain().has_after:
            self.events.chunk(chunk.data.decode())

    def give_up(self) -> None:
        """End it: its request is broken off."""
        if self.task is not None:
            self.task.cancel()

    def stopped(self, came: Usage | None = None) -> Finished:
        """Its end after that. came: of a stream, by then."""
        return self.exchange.stopped(came, is_cancelled=self.is_cancelled, is_requeued=self.is_requeued)


class Executor:
    """Runs granted jobs for one holder."""

    def __init__(
        self,
        holder: str,
        providers: ProviderRegistry,
        database: Database,
        settler: Settler,
        pump: Pump,
        fence: SendFence,
        events: EventWriter,
        hedging: Hedging,
    ) -> None:
        self._holder = holder
        self._providers = providers
        self._database = database
        self._settler = settler
        self._pump = pump
        self._fence = fence
        self._events = events
        self._hedging = hedging
        self._calls: dict[uuid.UUID, _Call] = {}
        self.is_draining = False
        self.turn_away: Callable[[Sequence[Entry]], object] = lambda _: None
        """What is done with grants that come after the worker began to leave, in the database's thread."""

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._calls)

    async def execute(self, entries: Sequence[Entry], epoch: int) -> None:
        """Claim the jobs of a message and run them to their ends. What cannot be claimed or sent in time is left to come back."""
        in_time = [entry for entry in entries if self._pump.gate_now_ms() < entry[4]]
        if self.is_draining:
            await self._database.run(self.turn_away, in_time)
            return
        if self._settler.is_full or not in_time:
            return
        claimed_at = time.monotonic()
        try:
            places, claimed = await self._database.run(self._claim, in_time, epoch)
        except AWAY:
            await self._give_back_unheard(in_time)
            raise
        calls = [self._begin(one, places[one.deployment_id], claimed_at) for one in claimed]
        if calls:
            await asyncio.wait(calls)

    def cancel(self, job: uuid.UUID) -> None:
        """A person cancelled a running job: end its call; its usage so far is estimated."""
        call = self._calls.get(job)
        if call is not None:
            call.is_cancelled = True
            call.give_up()

    def requeue(self, job: uuid.UUID, attempt: int) -> None:
        """A person put a running job back in line: give this attempt up, unless it has left and may never be sent twice."""
        call = self._calls.get(job)
        if call is None or call.claimed.attempt != attempt:
            return
        if call.claimed.delivery != Delivery.AT_MOST_ONCE or not call.exchange.has_left:
            call.is_requeued = True
            call.give_up()

    def give_back_all(self) -> None:
        """The worker leaves: end every running call; its job goes back to the waiting room."""
        for call in self._calls.values():
            call.give_up()

    async def wait_idle(self, timeout_s: float | None) -> None:
        """Until no call is under way, or the time is over."""
        tasks = [call.task for call in self._calls.values() if call.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    async def _give_back_unheard(self, entries: Sequence[Entry]) -> None:
        """However long the database is away: what the claim opened there all the same is nobody else's to end."""
        while True:
            try:
                opened = await self._database.run(opened_unheard, entries, self._holder)
            except AWAY as error:
                logger.warning("it is not known whether %d jobs were claimed: %s", len(entries), error)
                await asyncio.sleep(UNHEARD_PAUSE_S)
            else:
                break
        for finished in given_back(opened, self._calls):
            self._settler.add(finished)

    def _claim(self, entries: Sequence[Entry], epoch: int) -> tuple[dict[int, Place], list[Claimed]]:
        places = wiring.directory().places
        return places, claim(entries, epoch, self._holder, {place.id: place.name for place in places.values()})

    def _begin(self, claimed: Claimed, place: Place, claimed_at: float) -> asyncio.Task[None]:
        call = _Call(Exchange(claimed, place, claimed_at))
        call.task = task = asyncio.get_running_loop().create_task(self._run(call))
        self._calls[claimed.job] = call
        self._settler.in_flight.add(len(claimed.request))
        task.add_done_callback(lambda done: self._forget(call, done))
        return task

    def _forget(self, call: _Call, done: asyncio.Task[None]) -> None:
        if done.cancelled():  # before its first step: nothing of it has run, and nobody else ends it
            self._settler.add(call.stopped())
        self._settler.in_flight.give_back(len(call.claimed.request))
        if self._calls.get(call.claimed.job) is call:  # not a later attempt of the same job
            del self._calls[call.claimed.job]

    async def _run(self, call: _Call) -> None:
        """One attempt, from its first byte to its end; whatever happens, there is an end."""
        claimed = call.claimed
        bind_contextvars(job_id=str(claimed.job), attempt=claimed.attempt, tenant=claimed.tenant_id)  # for every line logged from here on
        inherit.begin_in(claimed.run)  # this asyncio task is the attempt's alone
        try:
            finished = await call.exchange.ended(self._answer(call))
        except asyncio.CancelledError as gone:
            finished = call.stopped(gone.usage if isinstance(gone, StreamStopped) else None)
        if call.events is not None and finished.ended.result is not None:
            with contextlib.suppress(asyncio.CancelledError):  # the answer is here: nobody gives the call up any more
                await call.events.finish(finished.ended.result)
        self._settler.add(finished)
        if call.race is not None:
            call.race.settle_second()

    async def _answer(self, call: _Call) -> Finished:
        """Its answer, as middlewares leave it: of this call alone, or of the first of two."""
        plan = self._hedging.plan(call.exchange)
        if plan is None:
            return await screened(call.claimed, call.exchange.place, await self._first(call, call.take))
        call.race = Race(call.exchange, plan, functools.partial(self._first, call), self._second, call.take)
        return await call.race.run(call.stopped)

    async def _first(self, call: _Call, take: OnChunk) -> Finished:
        exchange = call.exchange
        provider, request = self._providers.get(exchange.place.target.provider), exchange.request()
        if is_streamed(provider, request) or not call.claimed.is_stored:
            call.events = self._events.begin(call.claimed)
        return exchange.answered(await exchange.send(provider, request, take, lambda at: self._sent(exchange, at)))

    async def _second(self, exchange: Exchange, take: OnChunk, on_sent: OnSent) -> Finished:
        """Its events are the first one's: a job has one stream of them."""
        provider = self._providers.get(exchange.place.target.provider)
        return exchange.answered(await exchange.send(provider, exchange.request(), take, on_sent))

    def _sent(self, exchange: Exchange, at: float) -> None:
        """Its request is about to be written. Raises NotSent: nothing of it is."""
        if exchange.sent_at is None:
            self._fence.check(exchange.claimed, exchange.claimed_at, at)
            self._pump.sent(Sent(exchange.reservation, self._holder, 0), at)
        exchange.sent_at = at
