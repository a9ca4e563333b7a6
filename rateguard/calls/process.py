"""The entrance of this process: a worker's own, or one that starts at first use, with a heartbeat and a line to the gate."""

from __future__ import annotations

import asyncio
import atexit
import functools
import logging
import os
import threading

from rateguard import wiring
from rateguard.calls.entrance import Entrance
from rateguard.calls.held import HeldCalls
from rateguard.calls.listening import CallListener
from rateguard.conf import conf
from rateguard.engine.gate.contract import Gate
from rateguard.holding.commit import GroupCommit, LoopWriter
from rateguard.holding.database import DatabaseThread
from rateguard.holding.heartbeat import Heartbeat
from rateguard.holding.loop import LoopThread
from rateguard.jobs.line.call_ids import new_holder, node_of_holder
from rateguard.jobs.line.calling import post
from rateguard.jobs.line.pump import Pump, process_pump
from tenants.directory import Place

logger = logging.getLogger(__name__)

LEAVE_S = 2.0
"""Ends that are not written yet have so long when the process leaves; then the reaper charges their calls as reserved."""


class CallDesk:
    """An entrance with the listener that tells it of grants from elsewhere; the pump's door for calls from now on."""

    def __init__(
        self, gate: Gate, pump: Pump, holder: str, commit: GroupCommit, loop: asyncio.AbstractEventLoop, heartbeat: Heartbeat
    ) -> None:
        writer, held = LoopWriter(commit, loop), HeldCalls(gate, holder)
        self.entrance = Entrance(pump, holder, held, writer, heartbeat.pulse.is_unbroken, post, _place_of)
        self.listener = CallListener(wiring.redis_client(), conf().partition, node_of_holder(holder), self.entrance.take)
        commit.on_call = self.entrance.written
        pump.door = self.entrance

    def start(self) -> None:
        """Begin to hear."""
        self.listener.start()

    def stop(self) -> None:
        """Turn away who waits; hear no more."""
        self.entrance.close()
        self.listener.stop()


def _place_of(deployment: int) -> Place | None:
    return wiring.directory().places.get(deployment)


class CallProcess:
    """Everything that a process needs for calls that is no worker: web, a shell, a script."""

    def __init__(self) -> None:
        gate, self._pump, holder = wiring.gate(), process_pump(), new_holder()
        self._loop = LoopThread()
        self._database = DatabaseThread()
        self._commit = GroupCommit(self._database, self._pump, conf().group_commit_ms / 1000)
        self._heartbeat = Heartbeat(gate, holder, 0, (), conf().heartbeat_ms / 1000, runs_jobs=False)
        self.desk = CallDesk(gate, self._pump, holder, self._commit, self._loop.loop, self._heartbeat)
        self._heartbeat.on_beat = self.desk.entrance.beat

    def start(self) -> None:
        """Open everything. Waits for the first heartbeat, at most as long as the gate may take."""
        self._loop.start()
        self.desk.start()
        self._heartbeat.start(is_heard=True)

    def stop(self) -> None:
        """Write what ended, tell the gate, leave."""
        self.desk.stop()
        written = self._loop.submit(self._commit.drain())
        try:
            written.result(LEAVE_S)
            self._pump.flush(LEAVE_S)
        except TimeoutError:
            logger.warning("ends of calls are not written yet: they are charged as reserved")
        self._heartbeat.stop()
        self._loop.stop(LEAVE_S)
        self._database.close()


# ---- one a process

_lock = threading.Lock()
_of_worker: Entrance | None = None


def process_entrance() -> Entrance:
    """See entrance.entrance."""
    if _of_worker is not None:
        return _of_worker
    with _lock:
        return _process().desk.entrance


def adopt(of_worker: Entrance | None) -> None:
    """A worker runs here: its entrance is the process's. None: not any more."""
    global _of_worker  # noqa: PLW0603 - one a process
    _of_worker = of_worker


@functools.cache
def _process() -> CallProcess:
    made = CallProcess()
    made.start()
    atexit.register(made.stop)
    return made


def stop() -> None:
    """End the entrance of this process, where one was started. For tests, and for hosts that know when they leave."""
    with _lock:
        if _process.cache_info().currsize:
            made = _process()
            _process.cache_clear()
            atexit.unregister(made.stop)
            made.stop()


def _forget() -> None:
    """Threads do not survive a fork."""
    global _lock  # noqa: PLW0603 - it may have been held by a thread that is not here
    _lock = threading.Lock()
    _process.cache_clear()
    adopt(None)


os.register_at_fork(after_in_child=_forget)
