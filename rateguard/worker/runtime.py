"""What a worker process is made of: line to the gate, database thread, executor, heartbeat and caretaker, put together once."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
import uuid
from collections.abc import Sequence

from rateguard import wiring
from rateguard.calls import process as calls
from rateguard.conf import conf
from rateguard.engine.gate.contract import ReservationId
from rateguard.engine.in_flight import InFlight
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.registry import ProviderRegistry
from rateguard.holding.commit import GroupCommit
from rateguard.holding.database import DatabaseThread
from rateguard.holding.heartbeat import Heartbeat, WishListener
from rateguard.jobs.attempts.event_writer import EventWriter
from rateguard.jobs.attempts.execute import Executor
from rateguard.jobs.attempts.hedging import Hedging
from rateguard.jobs.attempts.sending import SendFence
from rateguard.jobs.ends.outbox import process_teller
from rateguard.jobs.insight.latencies import latencies_of
from rateguard.jobs.line.call_ids import new_holder
from rateguard.jobs.line.publisher import Entry, Publisher
from rateguard.jobs.line.pump import Pump
from rateguard.jobs.upkeep.recover import return_grants
from rateguard.jobs.upkeep.refuse import refuse
from rateguard.providers import known
from rateguard.worker.alive import AliveFile
from rateguard.worker.caretaker import Caretaker
from rateguard.worker.second_calls import SecondCalls
from rateguard.worker.serving import served_lanes
from rateguard.worker.webhooks import WebhookSender

logger = logging.getLogger(__name__)

LEAVE_S = 28.0
"""Calls in flight have so long to end when the worker leaves; then their jobs go back."""
START_S = 10.0
FLUSH_S = 2.0
"""What hangs on the last ends is told within this time, or by another process."""


class Runtime:
    """One a process. Made on the event loop that runs the calls. slots: jobs that it can run at once. lanes: those that it serves."""

    def __init__(self, slots: int, lanes: tuple[Lane, ...] = tuple(Lane)) -> None:
        self.holder = new_holder()
        gate = wiring.gate()
        self._publisher = Publisher()
        self._pump = Pump(gate, self._publisher, on_refused=refuse, is_timed=True)
        self._database = DatabaseThread()
        in_flight = InFlight(conf().max_bytes_in_flight)
        self._http = HttpClient(in_flight)
        self._commit = GroupCommit(self._database, self._pump, conf().group_commit_ms / 1000, in_flight)
        self._heartbeat = Heartbeat(gate, self.holder, slots, lanes, conf().heartbeat_ms / 1000)
        self._events = EventWriter()
        fence = SendFence(self._pump, self._heartbeat.pulse.is_unbroken)
        self._hedging = Hedging(SecondCalls(self._database), functools.partial(self._database.run, latencies_of))
        self.executor = Executor(
            self.holder, ProviderRegistry(self._http, known()), self._database, self._commit, self._pump, fence, self._events, self._hedging
        )
        self._listener = WishListener(wiring.redis_client(), conf().partition, self._on_cancel, self._on_requeue)
        self._caretaker = Caretaker(gate, self._pump, self.holder, conf().caretaker_period_ms / 1000)
        self._webhooks = WebhookSender()
        self._alive = AliveFile(conf().alive_file, conf().heartbeat_ms / 1000)
        self._loop = asyncio.get_running_loop()
        self._desk = calls.CallDesk(gate, self._pump, self.holder, self._commit, self._loop, self._heartbeat)

    async def start(self) -> None:
        """Open everything; nothing here waits for Redis or the database."""
        await self._http.open()
        self.executor.turn_away = self._turn_away
        self._heartbeat.on_beat = self._on_beat
        self._heartbeat.on_cancel = self._on_cancel
        self._heartbeat.on_requeue = self._on_requeue
        self._pump.start()
        for part in (self._heartbeat, self._listener, self._caretaker, self._desk):
            part.start()
        calls.adopt(self._desk.entrance)
        await self._webhooks.start()
        self._alive.start()

    async def drain(self) -> None:
        """Claim nothing new; calls in flight end, or their jobs go back."""
        self.executor.is_draining = True
        self._heartbeat.take_no_more()
        await self.executor.wait_idle(LEAVE_S)
        self.executor.give_back_all()

    async def stop(self) -> None:
        """Write what ended, tell the gate, leave."""
        self.executor.is_draining = True
        self.executor.give_back_all()
        await self.executor.wait_idle(None)
        calls.adopt(None)
        self._desk.stop()
        await self._commit.drain()
        self._listener.stop()
        self._hedging.stop()
        await asyncio.to_thread(self._leave)
        await self._webhooks.stop()
        await self._http.close()
        self._alive.stop()

    def _leave(self) -> None:
        self._caretaker.stop()
        self._pump.stop()
        self._publisher.stop()
        self._events.stop()
        self._heartbeat.stop()
        self._database.close()
        process_teller().flush(FLUSH_S)

    def _turn_away(self, entries: Sequence[Entry]) -> None:
        """What came too late for this worker is granted to another one at once, not when its grant runs out."""
        return_grants(self._pump, [ReservationId(uuid.UUID(hex=entry[0]), int(entry[1])) for entry in entries])

    def _on_beat(self) -> None:
        self._pump.kick()
        self._desk.entrance.beat()

    def _on_cancel(self, job: uuid.UUID) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing runs any more
            self._loop.call_soon_threadsafe(self.executor.cancel, job)

    def _on_requeue(self, job: uuid.UUID, attempt: int) -> None:
        with contextlib.suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self.executor.requeue, job, attempt)


# ---- one a process

_lock = threading.Lock()
_runtime: Runtime | None = None
_private_loop: asyncio.AbstractEventLoop | None = None


async def start() -> None:
    """Start the runtime on this loop, once; a worker that serves no lane has none."""
    if served_lanes():
        await started()


async def started(slots: int | None = None) -> Runtime:
    """The runtime of this process, started on this loop where none runs yet. slots: RATEGUARD["WORKER_SLOTS"] by default."""
    global _runtime  # noqa: PLW0603 - one a process
    if _runtime is None:
        _runtime = Runtime(slots or conf().worker_slots, served_lanes())
        await _runtime.start()
    return _runtime


async def drain() -> None:
    """See Runtime.drain."""
    if _runtime is not None:
        await _runtime.drain()


async def stop() -> None:
    """See Runtime.stop."""
    global _runtime
    if _runtime is not None:
        running, _runtime = _runtime, None
        await running.stop()


def private_loop() -> asyncio.AbstractEventLoop:
    """A loop in a thread of its own, for pools that have none (prefork, threads)."""
    global _private_loop  # noqa: PLW0603 - one a process
    with _lock:
        if _private_loop is None:
            _private_loop = asyncio.new_event_loop()
            threading.Thread(target=_private_loop.run_forever, name="rateguard-loop", daemon=True).start()
        return _private_loop


def start_apart(slots: int) -> None:
    """Start the runtime on a loop of its own, before any message: a worker that nobody hears is granted nothing.

    A worker that serves no lane has none: as many processes as a host has for its own tasks would count as room for jobs.
    """
    if served_lanes():
        asyncio.run_coroutine_threadsafe(started(slots), private_loop()).result(START_S)


def has_private_loop() -> bool:
    """Whether this process uses a loop of its own."""
    return _private_loop is not None
