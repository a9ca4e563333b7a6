"""Execute: from a message of job ids to committed ends. One record passes through named steps: claimed → called → ended → settled.

Runs on an event loop; the database is one thread, the gate is the pump. It never waits for a limit and never retries by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import orjson
from structlog.contextvars import bind_contextvars

from rateguard import wiring
from rateguard.conf import conf
from rateguard.engine.errors import InvalidRequest, ProviderError
from rateguard.engine.gate.contract import ReservationId, Sent
from rateguard.engine.in_flight import InFlight
from rateguard.engine.money import Usage
from rateguard.engine.providers.base import Chunk, Endpoint, Outcome, Request, StreamStopped
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.jobs import inherit
from rateguard.jobs.attempts.claim import Claimed, claim
from rateguard.jobs.attempts.event_writer import AttemptEvents, EventWriter
from rateguard.jobs.attempts.outcome import Finished, failed, stopped, succeeded
from rateguard.jobs.attempts.retrying import as_provider_error, settings_of
from rateguard.jobs.attempts.screened import screened
from rateguard.jobs.attempts.sending import SendFence
from rateguard.jobs.attempts.unheard import AWAY, UNHEARD_PAUSE_S, given_back, opened_unheard
from rateguard.jobs.bodies import opened
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
    """An attempt under way. claimed_at: time.monotonic() when its claim began; sent_at: when its request left, None before."""

    claimed: Claimed
    place: Place
    claimed_at: float
    began_at: float
    sent_at: float | None = None
    events: AttemptEvents | None = None
    is_requeued: bool = False

    @property
    def reservation(self) -> ReservationId:
        return ReservationId(self.claimed.job, self.claimed.attempt)

    async def take(self, chunk: Chunk) -> None:
        """A piece of a streamed answer goes to whoever listens; but where middlewares are to see the whole first, they hear it then."""
        if self.events is not None and not chain().has_after:
            self.events.chunk(chunk.data.decode())


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
    ) -> None:
        self._holder = holder
        self._providers = providers
        self._database = database
        self._settler = settler
        self._pump = pump
        self._fence = fence
        self._events = events
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._calls: dict[uuid.UUID, _Call] = {}
        self._cancelled: set[uuid.UUID] = set()
        self.is_draining = False
        self.turn_away: Callable[[Sequence[Entry]], object] = lambda _: None
        """What is done with grants that come after the worker began to leave, in the database's thread."""

    @property
    def running(self) -> int:
        """Calls under way."""
        return len(self._tasks)

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
        task = self._tasks.get(job)
        if task is not None:
            self._cancelled.add(job)
            task.cancel()

    def requeue(self, job: uuid.UUID, attempt: int) -> None:
        """A person put a running job back in line: give this attempt up, unless it has left and may never be sent twice."""
        call, task = self._calls.get(job), self._tasks.get(job)
        if call is None or task is None or call.claimed.attempt != attempt:
            return
        if call.claimed.delivery != Delivery.AT_MOST_ONCE or call.sent_at is None:
            call.is_requeued = True
            task.cancel()

    def give_back_all(self) -> None:
        """The worker leaves: end every running call; its job goes back to the waiting room."""
        for task in self._tasks.values():
            task.cancel()

    async def wait_idle(self, timeout_s: float | None) -> None:
        """Until no call is under way, or the time is over."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=timeout_s)

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
        for finished in given_back(opened, self._tasks):
            self._settler.add(finished)

    def _claim(self, entries: Sequence[Entry], epoch: int) -> tuple[dict[int, Place], list[Claimed]]:
        places = wiring.directory().places
        return places, claim(entries, epoch, self._holder, {place.id: place.name for place in places.values()})

    def _begin(self, claimed: Claimed, place: Place, claimed_at: float) -> asyncio.Task[None]:
        call = _Call(claimed, place, claimed_at, time.monotonic())
        task = asyncio.get_running_loop().create_task(self._run(call))
        self._tasks[claimed.job], self._calls[claimed.job] = task, call
        self._settler.in_flight.add(len(claimed.request))
        task.add_done_callback(lambda done: self._forget(call, done))
        return task

    def _forget(self, call: _Call, done: asyncio.Task[None]) -> None:
        if done.cancelled():  # before its first step: nothing of it has run, and nobody else ends it
            self._settler.add(self._stopped(call))
        self._settler.in_flight.give_back(len(call.claimed.request))
        self._tasks.pop(call.claimed.job, None)
        self._calls.pop(call.claimed.job, None)
        self._cancelled.discard(call.claimed.job)

    async def _run(self, call: _Call) -> None:
        """One attempt, from its first byte to its end; whatever happens, there is an end."""
        claimed = call.claimed
        bind_contextvars(job_id=str(claimed.job), attempt=claimed.attempt, tenant=claimed.tenant_id)  # for every line logged from here on
        inherit.begin_in(claimed.run)  # this asyncio task is the attempt's alone
        try:
            outcome = await self._send(call)
            finished = await screened(claimed, call.place, succeeded(claimed, call.place, outcome, _latency_ms(call)))
        except ProviderError as error:
            logger.info("attempt failed at %s: %s: %s", call.place.name, error.code, error)
            finished = _failed(call, error)
        except InvalidRequest as error:
            finished = _failed(call, as_provider_error(error, has_left=False))
        except asyncio.CancelledError as gone:
            finished = self._stopped(call, gone.usage if isinstance(gone, StreamStopped) else None)
        except Exception as error:
            logger.exception("attempt %s broke", call.reservation)
            finished = _failed(call, as_provider_error(error, has_left=call.sent_at is not None))
        if call.events is not None and finished.ended.result is not None:
            with contextlib.suppress(asyncio.CancelledError):  # the answer is here: nobody gives the call up any more
                await call.events.finish(finished.ended.result)
        self._settler.add(finished)

    def _stopped(self, call: _Call, came: Usage | None = None) -> Finished:
        why = {"is_cancelled": call.claimed.job in self._cancelled, "is_requeued": call.is_requeued}
        return stopped(call.claimed, call.place, _latency_ms(call), has_left=call.sent_at is not None, came=came, **why)

    async def _send(self, call: _Call) -> Outcome:
        provider, target = self._providers.get(call.place.target.provider), call.place.target
        request = Request(
            endpoint=Endpoint(call.claimed.endpoint),
            body=orjson.loads(opened(call.claimed.request)),
            attempt_id=str(call.reservation),
            total_timeout_s=call.claimed.timeout_s,
            connect_timeout_s=call.claimed.connect_timeout_s or conf().connect_timeout_s,
            first_token_timeout_s=call.claimed.first_token_timeout_s or conf().first_token_timeout_s,
        )
        can_stream = request.endpoint is not Endpoint.EMBEDDINGS and provider.capabilities.streaming
        is_streamed = can_stream and request.body.get("stream") is True
        if is_streamed or not call.claimed.is_stored:
            call.events = self._events.begin(call.claimed)
        if is_streamed:
            return await provider.stream(target, request, call.take, lambda at: self._sent(call, at))
        return await provider.call(target, request, lambda at: self._sent(call, at))

    def _sent(self, call: _Call, at: float) -> None:
        """Its request is about to be written. Raises NotSent: nothing of it is."""
        if call.sent_at is None:
            self._fence.check(call.claimed, call.claimed_at, at)
            self._pump.sent(Sent(call.reservation, self._holder, 0), at)
        call.sent_at = at


def _failed(call: _Call, error: ProviderError) -> Finished:
    claimed = call.claimed
    settings = settings_of(claimed.model, claimed.max_tries)
    has_left = call.sent_at is not None
    return failed(claimed, call.place, error, _latency_ms(call), has_left=has_left, chance=random.random(), settings=settings)


def _latency_ms(call: _Call) -> int:
    return int((time.monotonic() - (call.sent_at or call.began_at)) * 1000)
