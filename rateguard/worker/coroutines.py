"""Runs coroutine tasks on the loop: their time limits, their termination, and what Celery is told at the end."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded, Terminated
from celery.utils.saferepr import saferepr

from rateguard.jobs import inherit
from rateguard.worker.callbacks import Callbacks
from rateguard.worker.delivery import Delivery
from rateguard.worker.stepping import Stepped, without_own_frames
from rateguard.worker.threads import Threads
from rateguard.worker.tracing import Call, Outcome, Tracer, bind, coroutine_function, decode

logger = logging.getLogger(__name__)

TRACER_THREADS = 8  # writing results blocks; so many may block at once


@dataclasses.dataclass(slots=True)
class _Running:
    """One coroutine on the loop and the timers of its limits."""

    task: asyncio.Task[None]
    timers: list[asyncio.TimerHandle] = dataclasses.field(default_factory=list)


class Coroutines:
    """Coroutine tasks on the loop. `callbacks` brings Celery its news; `leave(delivery)` is posted there as the last of them."""

    def __init__(self, app: Celery, hostname: str, callbacks: Callbacks, leave: Callable[[Delivery], None]) -> None:
        self._app = app
        self._hostname = hostname
        self._callbacks = callbacks
        self._leave = leave
        self._tracer = Tracer(app, hostname)
        self._threads = Threads(TRACER_THREADS, "rateguard-tracer")
        self._running: dict[int, _Running] = {}
        self._is_closing = False

    def start(self, delivery: Delivery) -> None:
        """Begin a delivery. On the loop."""
        task = asyncio.get_running_loop().create_task(self._run(delivery), name=str(delivery))
        self._running[delivery.number] = _Running(task)

    def terminate(self, delivery: Delivery) -> None:
        """End a delivery by its `signal`. On the loop; nothing if its coroutine has ended already."""
        running = self._running.get(delivery.number)
        if running is not None:
            running.task.cancel()

    def close(self) -> None:
        """Cancel all. What is cut off here is reported to nobody: an unacknowledged message goes back to its queue. On the loop."""
        self._is_closing = True
        for running in self._running.values():
            running.task.cancel()

    def stop(self) -> None:
        """Let the tracer's threads end."""
        self._threads.stop()

    async def _run(self, delivery: Delivery) -> None:
        began_s = time.monotonic()
        try:
            call = decode(delivery, self._app, self._hostname)
        except Exception:  # noqa: BLE001 - reported to Celery
            self._running.pop(delivery.number)
            self._end(delivery, delivery.ears.fail, ExceptionInfo())
            return
        outcome = await self._outcome(delivery, call, began_s)
        self._finish(delivery, call, outcome)

    async def _outcome(self, delivery: Delivery, call: Call, began_s: float) -> Outcome | None:
        """Await the task's coroutine; None if it was cancelled."""
        running = self._running[delivery.number]
        try:
            if delivery.signal is not None:  # terminated while it was accepted
                return None
            awaited = _awaitable(delivery, call)
            self._set_limits(delivery, running, awaited)
            inherit.begin_as_told(call.context)  # this asyncio task is the delivery's alone; Celery's own signal comes after the await
            return Outcome(began_s, value=await awaited)
        except asyncio.CancelledError:
            return None
        except BaseException as error:  # noqa: BLE001 - SystemExit too: out of an asyncio task it would end the loop
            return Outcome(began_s, error=without_own_frames(error))
        finally:
            del self._running[delivery.number]
            for timer in running.timers:
                timer.cancel()

    def _set_limits(self, delivery: Delivery, running: _Running, awaited: Stepped) -> None:
        loop = asyncio.get_running_loop()
        if delivery.soft_s:
            running.timers.append(loop.call_later(delivery.soft_s, self._pass_soft, delivery, running, awaited))
        if delivery.hard_s:
            running.timers.append(loop.call_later(delivery.hard_s, self._pass_hard, delivery, running))

    def _pass_soft(self, delivery: Delivery, running: _Running, awaited: Stepped) -> None:
        self._callbacks.post(delivery.ears.time_out, True, delivery.soft_s)
        awaited.interrupt(running.task, SoftTimeLimitExceeded(delivery.soft_s))

    def _pass_hard(self, delivery: Delivery, running: _Running) -> None:
        delivery.is_reported = True
        self._callbacks.post(delivery.ears.time_out, False, delivery.hard_s)
        running.task.cancel()

    def _finish(self, delivery: Delivery, call: Call, outcome: Outcome | None) -> None:
        if delivery.signal is not None:
            self._end(delivery, delivery.ears.fail, _terminated(delivery.signal))
        elif delivery.is_reported or (outcome is None and self._is_closing):
            self._callbacks.post(self._leave, delivery)
        else:
            outcome = outcome or Outcome(time.monotonic(), error=concurrent.futures.CancelledError(f"{delivery} was cancelled from within"))
            if call.is_hot:
                self._end(delivery, delivery.ears.succeed, _untraced(delivery, outcome))
            else:
                self._threads.submit(partial(self._trace, delivery, call, outcome))

    def _trace(self, delivery: Delivery, call: Call, outcome: Outcome) -> None:
        try:
            traced = self._tracer.trace(delivery, call, outcome)
        except BaseException:  # noqa: BLE001 - reported to Celery
            self._end(delivery, delivery.ears.fail, ExceptionInfo())
        else:
            self._end(delivery, delivery.ears.succeed, traced)

    def _end(self, delivery: Delivery, ear: Callable[[Any], object], news: Any) -> None:
        delivery.is_reported = True
        self._callbacks.post(ear, news)
        self._callbacks.post(self._leave, delivery)


def _awaitable(delivery: Delivery, call: Call) -> Stepped:
    if call.is_hot:
        return Stepped(delivery.task, partial(coroutine_function(delivery.task), *call.args, **call.kwargs))
    own, run = bind(delivery.task, call.context)
    return Stepped(own, partial(run, *call.args, **call.kwargs))


def _untraced(delivery: Delivery, outcome: Outcome) -> tuple[int, Any, float]:
    """What the tracer would tell Celery of a task whose result nobody keeps."""
    runtime = time.monotonic() - outcome.began_s
    try:
        return 0, saferepr(outcome.replay(), delivery.task.resultrepr_maxsize), runtime
    except BaseException:  # the tracer, which would have logged it, is skipped
        logger.exception("Task %s raised unexpected", delivery)
        return 1, ExceptionInfo(), runtime


def _terminated(signal: Any) -> ExceptionInfo:
    try:
        raise Terminated(signal)  # noqa: TRY301 - an ExceptionInfo is made of what is being handled
    except Terminated:
        return ExceptionInfo()
