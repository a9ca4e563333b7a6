"""The database's pulse: whether it answers, asked by a tiny query on a connection of its own while requests come.

A database that is gone says so: every query fails at once, and the caller hears 503. One that is silent (a host that hangs, a disk that
does, a network that swallows) says nothing, and whoever asks it waits. So somebody must count, and that is the event loop, in ticks: a
process that was itself held counts one tick however long that was, and finds the answer before it counts the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)

BEAT_S = 0.3
"""So long after an answer it is asked again."""
TICK_S = 0.1
SILENT_TICKS = 15
"""A query that was not answered for so many ticks, 1.5 s, means that the database is silent."""
RENEW_TICKS = 50
"""After so many the connection is broken off: the server may have come back elsewhere, and the network may never tell."""
IDLE_S = 3.0
"""Nobody asks it any more when no request came for so long."""
CONNECT_S = 2


class Asked(Protocol):
    """What is asked."""

    def ask(self) -> None:
        """Blocks until it answered, or failed: that is an answer too."""

    def break_off(self) -> None:
        """Ends an `ask`, from another thread."""


class OwnConnection:
    """A connection outside the pool: a pool whose connections all hang would have none left to ask with."""

    def __init__(self) -> None:
        self._connection: BaseDatabaseWrapper | None = None
        self._socket: socket.socket | None = None

    def ask(self) -> None:
        """One tiny query; a broken connection is made anew the next time."""
        try:
            with self._connected().cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error:
            self._close()

    def break_off(self) -> None:
        """The query under way fails. Shut down by a handle of its own, which no other file can have taken over meanwhile."""
        if (handle := self._socket) is not None:
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def _connected(self) -> BaseDatabaseWrapper:
        if self._connection is None:
            self._connection = connections[DEFAULT_DB_ALIAS].copy()
            options = self._connection.settings_dict["OPTIONS"]
            options.pop("pool", None)
            options["connect_timeout"] = CONNECT_S
        if self._socket is None:
            self._connection.connect()
            self._socket = socket.socket(fileno=os.dup(self._connection.connection.fileno()))
        return self._connection

    def _close(self) -> None:
        handle, self._socket = self._socket, None
        if handle is not None:
            handle.close()
        if self._connection is not None:
            with contextlib.suppress(Error):
                self._connection.close()


class _Beat:
    """One query: whether it was answered, and how many ticks it has waited."""

    def __init__(self) -> None:
        self.is_answered = False
        self.ticks = 0


class Pulse:
    """One a process, used on its event loop. on_silence is called there when the database falls silent."""

    def __init__(self, asked: Asked, on_silence: Callable[[], None]) -> None:
        self.is_silent = False
        self._asked = asked
        self._on_silence = on_silence
        self._beats: queue.SimpleQueue[_Beat] = queue.SimpleQueue()
        self._beat: _Beat | None = None
        self._thread: threading.Thread | None = None
        self._watching: asyncio.Task[None] | None = None
        self._wanted_at = self._next_at = 0.0

    def want(self) -> None:
        """A request is here: the database is asked from now on, for a while."""
        loop = asyncio.get_running_loop()
        self._wanted_at = loop.time()
        if self._watching is None or self._watching.done():
            self._watching = loop.create_task(self._watch())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while self._beat is not None or loop.time() - self._wanted_at < IDLE_S:
            self._tick(loop.time())
            await asyncio.sleep(TICK_S)

    def _tick(self, now: float) -> None:
        if self._beat is None:
            if now >= self._next_at:
                self._send()
        elif self._beat.is_answered:
            self._beat = None
            self._next_at = now + BEAT_S - TICK_S
            self._hear()
        else:
            self._beat.ticks += 1
            self._count(self._beat.ticks)

    def _send(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._ask, name="rateguard-pulse", daemon=True)
            self._thread.start()
        self._beat = _Beat()
        self._beats.put(self._beat)

    def _ask(self) -> None:
        """The thread: all that ever blocks."""
        while True:
            beat = self._beats.get()
            try:
                self._asked.ask()
            except Exception:
                logger.exception("the database could not be asked whether it answers")
            finally:
                beat.is_answered = True

    def _hear(self) -> None:
        if self.is_silent:
            self.is_silent = False
            logger.warning("the database answers again")

    def _count(self, ticks: int) -> None:
        if ticks == SILENT_TICKS and not self.is_silent:
            self.is_silent = True
            logger.warning("the database is silent: requests that need it are refused until it answers")
            self._on_silence()
        if ticks % RENEW_TICKS == 0:
            self._asked.break_off()
