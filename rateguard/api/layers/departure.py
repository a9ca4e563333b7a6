"""How a web process leaves: who looks at /readyz hears it first, then the door closes, what is under way ends, and it ends in time.

    departure = Departure(on_leave=..., on_stop=...)
    departure.begin_at_sigterm()     # on the loop, once the server has set its own handler

What is still under way after LEAVE_S is cut off; its caller asks again, with the same Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from rateguard.api import health
from rateguard.api.layers.asgi import Application, Receive, Scope, Send
from rateguard.jobs.ending import end_within

logger = logging.getLogger(__name__)

LEAVE_S = 24.0
"""Requests under way have so long to end, from SIGTERM on."""
END_S = 31.0
"""The process is gone by then, whatever hangs."""
CUT_S = 1.0
"""What was cut off has so long to tidy up."""
LOOKS_S = 15.0
"""Who asked /readyz within this time looks at it regularly."""
NOTICE_MOST_S, NOTICE_MORE_S = 5.0, 1.0
"""So long the door stays open for who looks to hear of it at most, and after the first heard."""

Signalled = Callable[[int, FrameType | None], object]


class Departure:
    """One a process. on_leave: called on the loop when it begins. on_stop: blocks; only where requests under way never end."""

    def __init__(self, on_leave: Callable[[], None], on_stop: Callable[[], None]) -> None:
        self._on_leave = on_leave
        self._on_stop = on_stop
        self._under_way: set[asyncio.Task[object]] = set()
        self._leaving: asyncio.Task[None] | None = None

    async def pass_on(self, application: Application, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, known as under way."""
        task = asyncio.current_task()
        if task is None:
            await application(scope, receive, send)
            return
        self._under_way.add(task)
        try:
            await application(scope, receive, send)
        finally:
            self._under_way.discard(task)

    def begin_at_sigterm(self) -> None:
        """Stand in front of the server's own handler; a second SIGTERM goes straight to it."""
        before = signal.getsignal(signal.SIGTERM)
        if not callable(before) or threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        close_door: Signalled = before

        def handle(number: int, frame: FrameType | None) -> None:
            if self._leaving is not None:
                close_door(number, frame)
            else:
                loop.call_soon_threadsafe(self._begin, close_door)

        signal.signal(signal.SIGTERM, handle)

    def _begin(self, close_door: Signalled) -> None:
        if self._leaving is None:
            end_within(END_S)
            self._leaving = asyncio.get_running_loop().create_task(self._leave(close_door))

    async def _leave(self, close_door: Signalled) -> None:
        began_at = time.monotonic()
        health.say_leaving()
        self._on_leave()
        await _wait_until_told(began_at)
        close_door(signal.SIGTERM, None)
        await asyncio.sleep(began_at + LEAVE_S - time.monotonic())
        logger.warning("%d requests under way are cut off after %.0f s", len(self._under_way), LEAVE_S)
        for task in self._under_way:
            task.cancel()
        await asyncio.sleep(CUT_S)
        await asyncio.to_thread(self._on_stop)  # a caller who reads nothing would hold up the server's own shutdown for ever
        close_door(signal.SIGINT, None)


async def _wait_until_told(began_at: float) -> None:
    """Until who looks at /readyz has heard of it, where somebody looks; requests are taken meanwhile."""
    if not health.has_been_asked_since(began_at - LOOKS_S):
        return
    await health.heard_leaving(NOTICE_MOST_S)
    rest_s = min(NOTICE_MORE_S, began_at + NOTICE_MOST_S - time.monotonic())
    if rest_s > 0:
        await asyncio.sleep(rest_s)
