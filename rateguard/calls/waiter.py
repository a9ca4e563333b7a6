"""One call that waits at the gate. Guarded by its entrance's lock; whoever waits is woken once, when `result` stands."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from rateguard.calls.call import Call, Granted
from rateguard.engine.errors import GateError
from rateguard.engine.gate.contract import Refused, ReservationId, Waiting, WorkClass
from rateguard.jobs.line.calling import Admitted

MOST_RETURNS = 3
"""So often a call comes again because the gate lacked what it asks for; then its caller hears it."""

Result: TypeAlias = "Granted | Refused | GateError"


class Waiter:
    """A call in line. number: of the last grant that was lost or came too late; the next is one more.

    is_in_line: the gate has it. taking: the grant whose claim is on its way to the gate. result: how the waiting ended, None before.
    """

    __slots__ = ("asked_at", "call", "is_in_line", "number", "order_ms", "result", "returns", "seen_at", "taking", "wake")

    def __init__(self, call: Call, wake: Callable[[], object]) -> None:
        self.call = call
        self.wake = wake
        self.order_ms = time.time_ns() // 1_000_000
        self.asked_at = self.seen_at = time.monotonic()
        self.number = 0
        self.returns = 0
        self.is_in_line = False
        self.taking: Admitted | None = None
        self.result: Result | None = None

    @property
    def next(self) -> ReservationId:
        """The one grant that it may take now. A number is never taken twice: an old grant of it may still be on its way."""
        return ReservationId(self.call.id, self.number + 1)

    def waiting(self) -> Waiting:
        """As the gate has it in line."""
        return as_waiting(self.call, self.number, self.order_ms)


def as_waiting(call: Call, number: int, order_ms: int) -> Waiting:
    """A call as the gate is asked for it. number: of its last grant."""
    return Waiting(
        call.id,
        call.gate_model,
        call.path,
        call.lane,
        call.input_tokens,
        call.output_tokens,
        call.max_output_tokens,
        order_ms=order_ms,
        attempt=number,
        work_class=WorkClass.SYNC,
    )


def waking_future(loop: asyncio.AbstractEventLoop) -> tuple[asyncio.Future[None], Callable[[], object]]:
    """A future of this loop, and what sets it from any thread; that raises RuntimeError where the loop is closed."""
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    return future, lambda: loop.call_soon_threadsafe(wake)


def waking_event() -> tuple[threading.Event, Callable[[], object]]:
    """The same for a thread."""
    event = threading.Event()
    return event, event.set
