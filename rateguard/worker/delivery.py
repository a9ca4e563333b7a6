"""One message as Celery hands it to the pool, and what Celery wants to hear about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from celery import Task


@dataclasses.dataclass(frozen=True, slots=True)
class Ears:
    """Celery's callbacks for one message: `accept` first, then exactly one of `succeed`, `fail` and `time_out(False, …)`."""

    accept: Callable[[int, float], object]
    succeed: Callable[[tuple[int, Any, float]], object]
    fail: Callable[[Any], object]
    time_out: Callable[[bool, float], object]


@dataclasses.dataclass(slots=True, eq=False, weakref_slot=True)
class Delivery:
    """A message on its way through the pool.

    number: what Celery calls the pid: it names this execution in `terminate_job` and `inspect active`.
    payload: (task name, task id, request, body, content type, content encoding), the arguments of `trace`, Celery's tracer.
    soft_s, hard_s: time limits in seconds, or None. slots: how many of the pool's slots it takes, 0 or 1.
    signal: set once somebody has asked for its termination.
    """

    number: int
    task: Task[..., Any]
    payload: tuple[Any, ...]
    trace: Callable[..., tuple[int, Any, float]]
    ears: Ears
    soft_s: float | None
    hard_s: float | None
    slots: int
    is_coroutine: bool
    on_terminate: Callable[[int, Any], None]
    has_waited: bool = False
    is_reported: bool = False
    signal: Any = None

    @property
    def task_id(self) -> str:
        """Celery's id of the task."""
        return str(self.payload[1])

    def __str__(self) -> str:
        return f"{self.task.name}[{self.task_id}]"

    def terminate(self, signal: Any) -> None:
        """End it: Celery calls this on the handle that `on_apply` returned."""
        self.on_terminate(self.number, signal)

    def is_revoked(self) -> bool:
        """Whether it was revoked or has expired since Celery handed it over. If so, Celery has announced and acknowledged it now."""
        request = getattr(self.ears.accept, "__self__", None)
        return request is not None and bool(request.revoked())
