"""A Celery pool whose tasks are coroutines on one event loop, beside a few threads for synchronous tasks.

    app.conf.worker_pool = "rateguard.worker.pool:AsyncioPool"

Celery's hub keeps the main thread; the loop has its own. What a task may declare, as attributes:

    pool_slots = 0    takes no slot and is accepted at once (something else bounds it)
    is_hot = True     a coroutine whose result is ignored: Celery's tracer, its signals, its limits and `self.request` are skipped

Limits: coroutines get `SoftTimeLimitExceeded` raised inside, then are cancelled at the hard limit. A thread cannot be stopped:
a synchronous task runs on past its limits and past revoke(terminate=True).
"""

from __future__ import annotations

import inspect
import itertools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, ClassVar

from celery import signals
from celery.concurrency.base import BasePool
from celery.platforms import EX_FAILURE
from celery.utils.functional import noop
from celery.worker import state

from rateguard.holding.loop import LoopThread
from rateguard.jobs.ending import end_within
from rateguard.worker import lifecycle
from rateguard.worker.blocking import Blocking
from rateguard.worker.callbacks import Callbacks
from rateguard.worker.coroutines import Coroutines
from rateguard.worker.delivery import Delivery, Ears
from rateguard.worker.slots import Slots
from rateguard.worker.tracing import coroutine_function

logger = logging.getLogger(__name__)

_UID = "rateguard.worker.pool"


class AsyncioPool(BasePool):
    """The pool. Celery makes and drives it; `limit` is the worker's concurrency."""

    task_join_will_block = False
    signal_safe = False
    is_green = False
    body_can_be_buffer = True

    DRAIN_S: ClassVar[float] = 28.5  # how long a warm shutdown waits for what runs
    CANCEL_S: ClassVar[float] = 0.5  # how long cancelled coroutines have to tidy up
    HOOKS_S: ClassVar[float] = 5.0  # how long the hooks of `at_stop` have
    END_S: ClassVar[float] = 31.5  # after SIGTERM the process is gone by then, whatever hangs; the hooks have what is left of it

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _, hostname = options.get("initargs") or (None, "")
        self._numbers = itertools.count(1)
        self._deliveries: dict[int, Delivery] = {}
        self._slots = Slots(self.limit or 1)  # --autoscale=10,0 begins with none
        self.limit = self._slots.limit
        self._callbacks = Callbacks(is_direct=bool(options.get("threads")))
        self._loop = LoopThread()
        self._blocking = Blocking(self._loop, self._callbacks, self._leave)
        self._coroutines = Coroutines(self.app, hostname, self._callbacks, self._leave)
        self._starting: Future[None] | None = None
        self._draining: Future[None] | None = None
        self._end_at = float("inf")
        self._is_terminated = False
        self._is_stopped = False

    # Start

    def on_start(self) -> None:
        """Start the loop. Nothing is waited for: with Redis away the main thread must stay able to hear SIGTERM."""
        self._loop.start()
        lifecycle.set_loop(self._loop.loop)
        signals.worker_shutting_down.connect(self._begin_to_leave, weak=False, dispatch_uid=_UID)
        self._starting = self._loop.submit(lifecycle.start())
        self._starting.add_done_callback(lambda starting: self._callbacks.post(self._started, starting))

    def register_with_event_loop(self, loop: Any) -> None:
        """Called by Celery at each (re)connection to the broker, with its hub."""
        self._callbacks.register(loop)

    def _started(self, starting: Future[None]) -> None:
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            self._begin(self._slots.open())
            return
        logger.critical("the worker cannot start: %r", error, exc_info=error)
        state.should_stop = EX_FAILURE  # type: ignore[assignment]  # Celery's main loop raises WorkerShutdown on it

    # Work

    def on_apply(  # type: ignore[override]  # the stubs know no result; Celery keeps it as a handle
        self,
        target: Callable[..., tuple[int, Any, float]],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Delivery:
        """Take a message. It is accepted, and with early acknowledgement acknowledged, only when there is room to run it."""
        delivery = self._delivery(partial(target, **kwargs) if kwargs else target, tuple(args), options)
        self._deliveries[delivery.number] = delivery
        self._begin(self._slots.enter(delivery))
        return delivery

    def _delivery(self, trace: Callable[..., tuple[int, Any, float]], payload: tuple[Any, ...], options: Mapping[str, Any]) -> Delivery:
        task = self.app.tasks[payload[0]]
        soft_s, hard_s = self._limits(task, options)
        return Delivery(
            number=next(self._numbers),
            task=task,
            payload=payload,
            trace=trace,
            ears=Ears(
                accept=options.get("accept_callback") or noop,
                succeed=options.get("callback") or noop,
                fail=options.get("error_callback") or noop,
                time_out=options.get("timeout_callback") or noop,
            ),
            soft_s=soft_s,
            hard_s=hard_s,
            slots=0 if getattr(task, "pool_slots", 1) == 0 else 1,
            is_coroutine=inspect.iscoroutinefunction(coroutine_function(task)),
            on_terminate=self.terminate_job,
        )

    def _limits(self, task: Any, options: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """The soft and the hard time limit in seconds. A hot task has its own: a host's limits for all its tasks reach it too."""
        if getattr(task, "is_hot", False):
            return None, None
        soft_s, hard_s = (options.get(name) or self.options.get(name) for name in ("soft_timeout", "timeout"))
        return soft_s, hard_s

    def _begin(self, admitted: list[Delivery]) -> None:
        for delivery in admitted:
            if delivery.has_waited and delivery.is_revoked():
                self._leave(delivery)
                continue
            try:
                delivery.ears.accept(delivery.number, time.monotonic())
            except Exception:
                logger.exception("accepting %s failed", delivery)  # it runs all the same: at worst it is delivered again
            if delivery.is_coroutine:
                self._loop.call(self._coroutines.start, delivery)
            else:
                self._blocking.start(delivery)

    def _leave(self, delivery: Delivery) -> None:
        """The last word on a delivery: its room goes to those who wait."""
        self._deliveries.pop(delivery.number, None)
        self._begin(self._slots.leave(delivery))

    def terminate_job(self, pid: int, signal: Any = None) -> None:
        """revoke(terminate=True): cancel the execution whose number Celery knows as its pid."""
        delivery = self._deliveries.get(pid)
        if delivery is None or delivery.signal is not None:
            return
        delivery.signal = signal
        if delivery.is_coroutine:
            self._loop.call(self._coroutines.terminate, delivery)
        else:
            self._blocking.terminate(delivery)

    def flush(self) -> None:
        """Forget what was not accepted: its connection is lost, the broker delivers it again."""
        self._forget(self._slots.flush())

    def _forget(self, waiting: list[Delivery]) -> None:
        for delivery in waiting:
            del self._deliveries[delivery.number]

    # Size

    @property
    def num_processes(self) -> int:
        """How many tasks may run at once."""
        return self._slots.limit

    def grow(self, n: int = 1) -> None:
        """Autoscale up."""
        self._resize(n)

    def shrink(self, n: int = 1) -> None:
        """Autoscale down. Who runs goes on running."""
        self._resize(-n)

    def _resize(self, by: int) -> None:
        admitted = self._slots.resize(by)
        self.limit = self._slots.limit
        self._begin(admitted)

    def _get_info(self) -> dict[str, Any]:
        return {
            "implementation": f"{type(self).__module__}:{type(self).__name__}",
            "max-concurrency": self.limit,
            "in-flight": len(self._deliveries) - self._slots.waiting,
            "waiting": self._slots.waiting,
            "threads": self._blocking.threads,
            "loop": type(self._loop.loop).__module__,
        }

    # End

    def on_close(self) -> None:
        """The worker begins to leave, on whatever way."""
        self._begin_to_leave()

    def on_stop(self) -> None:
        """Warm shutdown: wait for what runs, at most DRAIN_S, then cancel. The hub no longer turns: callbacks are run here."""
        if self._is_stopped:
            return
        self._begin_to_leave()
        self._forget(self._slots.close())
        self._wait(lambda: self._is_cold() or self._is_idle(), self.DRAIN_S)
        self._cut_off()
        self._wait(lambda: not self._deliveries, self.CANCEL_S)
        self._close()

    def on_terminate(self) -> None:
        """Cold shutdown: cancel what runs."""
        self._is_terminated = True
        self.on_stop()

    def _begin_to_leave(self, **_: Any) -> None:
        """Also called by the signal handler itself, so that hooks and the main loop hear of it at once, not at the hub's next turn."""
        if self._draining is None and not self._is_stopped:
            end_within(self.END_S)
            self._end_at = time.monotonic() + self.END_S
            self._draining = self._loop.submit(lifecycle.drain())
            self._draining.add_done_callback(lambda _: self._callbacks.wake())
        self._callbacks.wake()

    def _is_cold(self) -> bool:
        """A cold shutdown may begin while a warm one waits."""
        return self._is_terminated or state.should_terminate not in (None, False)

    def _is_idle(self) -> bool:
        has_drained = self._draining is None or self._draining.done()
        return has_drained and not self._deliveries

    def _wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_stopped and not is_over() and (rest_s := deadline - time.monotonic()) > 0:
            self._callbacks.wait(min(rest_s, 1.0))
        self._callbacks.run()

    def _cut_off(self) -> None:
        for delivery in self._deliveries.values():
            logger.warning("%s has not ended in time and is cut off", delivery)
        self._loop.call(self._coroutines.close)

    def _close(self) -> None:
        if self._is_stopped:
            return
        for future in (self._starting, self._draining):
            if future is not None:
                future.cancel()
        stopping = self._loop.submit(lifecycle.stop())
        stopping.add_done_callback(lambda _: self._callbacks.wake())
        self._wait(stopping.done, self._hooks_s())
        self._is_stopped = True
        signals.worker_shutting_down.disconnect(dispatch_uid=_UID)
        lifecycle.set_loop(None)
        self._blocking.stop()
        self._coroutines.stop()
        if not self._loop.stop(self._hooks_s()):
            logger.warning("something blocks the event loop; it ends with the process")
        self._callbacks.run()
        self._callbacks.close()

    def _hooks_s(self) -> float:
        return max(0.5, min(self.HOOKS_S, self._end_at - time.monotonic() - 1.0))
