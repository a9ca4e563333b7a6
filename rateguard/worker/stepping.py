"""A coroutine driven step by step: Celery's current task around each step, and a cancellation that arrives as another exception."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from celery import Task
from celery._state import pop_current_task, push_current_task  # type: ignore[attr-defined]  # not in the stubs


class Stepped:
    """Await `begin()`, a coroutine of `task`.

    `interrupt` cancels what it waits for, but the coroutine sees the exception given there instead of CancelledError, at the
    very await where it stands: so it may catch SoftTimeLimitExceeded and tidy up, as a task of the prefork pool may.
    """

    def __init__(self, task: Task[..., Any], begin: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._task = task
        self._begin = begin
        self._interruption: BaseException | None = None

    def interrupt(self, running: asyncio.Task[Any], error: BaseException) -> None:
        """Raise `error` inside the coroutine, which is awaited by the asyncio task `running`."""
        self._interruption = error
        running.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._as_current(self._begin).__await__()
        step: Callable[[], Any] = partial(steps.send, None)
        while True:
            try:
                waited_for = self._as_current(step)
            except StopIteration as end:
                return end.value
            try:
                step = partial(steps.send, (yield waited_for))
            except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, which raises it or not
                step = partial(steps.throw, self._seen_inside(error))

    def _as_current(self, step: Callable[[], Any]) -> Any:
        push_current_task(self._task)
        try:
            return step()
        finally:
            pop_current_task()

    def _seen_inside(self, error: BaseException) -> BaseException:
        if self._interruption is None or not isinstance(error, asyncio.CancelledError):
            return error
        interruption, self._interruption = self._interruption, None
        running = asyncio.current_task()
        if running is not None:
            running.uncancel()
        return interruption


def without_own_frames(error: BaseException) -> BaseException:
    """The error without the frames down to the task's own.

    Celery clears all frames that it finds in a failed task's traceback; a frame of something that still runs would die of it.
    """
    inner = frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename == __file__:
            inner = frame.tb_next
        frame = frame.tb_next
    return error.with_traceback(inner)
