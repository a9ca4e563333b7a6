"""Work that is submitted inside a run belongs to it: by a context variable here, a header on the way to a worker, the variable there.

A Celery task that is published inside a run carries the run in its message, and everything that the task submits, or publishes in its
turn, is charged to the run too. A thread of your own starts outside of any run, as it starts without any other context.
"""

from __future__ import annotations

import logging
import uuid
from contextvars import ContextVar
from typing import Any

from celery import signals

logger = logging.getLogger(__name__)

HEADER = "rateguard_run"
"""The header of a Celery message; it holds the run's id in hexadecimal."""

_around: ContextVar[tuple[uuid.UUID, ...]] = ContextVar("rateguard_runs", default=())
"""The runs around the code, those inside others last."""


def current_run() -> uuid.UUID | None:
    """The innermost run around the code that asks."""
    runs = _around.get()
    return runs[-1] if runs else None


def enter(run: uuid.UUID) -> None:
    """From here on work is charged to this run."""
    _around.set((*_around.get(), run))


def leave() -> None:
    """Back to the run around it."""
    _around.set(_around.get()[:-1])


def begin_in(run: uuid.UUID | None) -> None:
    """Something of its own begins: it works in this run, or in none."""
    _around.set(() if run is None else (run,))


def begin_as_told(request: Any) -> None:
    """A task begins in a worker: it works in the run that its message names, or in none."""
    begin_in(_read(getattr(request, HEADER, None)))


def _read(text: object) -> uuid.UUID | None:
    if text is None:
        return None
    try:
        return uuid.UUID(str(text))
    except ValueError:
        logger.warning("a task's message names a run %.64r that is no id: its jobs are charged to no run", text)
        return None


@signals.before_task_publish.connect(weak=False, dispatch_uid="rateguard.run.tell")
def tell(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """A message is published: it carries the run around it. A header that is there already stays."""
    run = current_run()
    if run is not None and headers is not None:
        headers.setdefault(HEADER, run.hex)


@signals.task_prerun.connect(weak=False, dispatch_uid="rateguard.run.begin")
def begin(task: Any = None, **_: Any) -> None:
    """A task begins. One that is called in place (`apply`) has the context of its caller."""
    if task is not None and not task.request.is_eager:
        begin_as_told(task.request)


@signals.task_postrun.connect(weak=False, dispatch_uid="rateguard.run.end")
def end(task: Any = None, **_: Any) -> None:
    """It ended; the thread is free for any other."""
    if task is not None and not task.request.is_eager:
        begin_in(None)
