"""Work that is submitted inside a run or a context belongs to it: by a context variable here, and a header on the way to a worker.

A Celery task that is published inside a run or a context carries both in its message, and everything that the task submits, or publishes
in its turn, belongs there too. A thread of your own starts outside of any, as it starts without any other context variable.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from celery import signals

logger = logging.getLogger(__name__)

HEADER = "rateguard_run"
"""The header of a Celery message that holds the run's id in hexadecimal."""
CONTEXT_HEADER = "rateguard_context"
"""The header that holds what the context says, as an object of JSON."""

Said = Mapping[str, Any]
"""What a context says of the work inside it: the keywords of `rateguard.context`."""


@dataclasses.dataclass(slots=True)
class Layer:
    """One context around the code. said: its words, or how to find them out, which is asked once and only when work is submitted.

    run: the run around it, when it was entered.
    """

    said: Said | Callable[[], Said]
    run: uuid.UUID | None

    def read(self) -> Said:
        """Its words."""
        if callable(self.said):
            self.said = self.said()
        return self.said


_around: ContextVar[tuple[uuid.UUID, ...]] = ContextVar("rateguard_runs", default=())
"""The runs around the code, those inside others last."""
_layers: ContextVar[tuple[Layer, ...]] = ContextVar("rateguard_context", default=())
"""The contexts around the code, those inside others last."""


# ---- runs


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


# ---- contexts


def enter_context(said: Said | Callable[[], Said]) -> None:
    """From here on work is done with these words."""
    _layers.set((*_layers.get(), Layer(said, current_run())))


def leave_context() -> None:
    """Back to the context around it."""
    _layers.set(_layers.get()[:-1])


@contextlib.contextmanager
def inside_context(said: Said | Callable[[], Said]) -> Iterator[None]:
    """Work inside is done with these words; afterwards it is as it was before, whatever was entered and not left."""
    before = _layers.get()
    enter_context(said)
    try:
        yield
    finally:
        _layers.set(before)


def said_around() -> dict[str, Any]:
    """What all contexts around the code say together: the inner one wins, labels are gathered.

    A run that was begun inside a context has its own tenant, which then is not said here.
    """
    found: dict[str, Any] = {}
    run = current_run()
    for layer in _layers.get():
        said = layer.read()
        labels = {**found.get("labels", {}), **said.get("labels", {})}
        found |= said
        if labels:
            found["labels"] = labels
        if run is not None and run != layer.run:
            found.pop("tenant", None)
    return found


def carried() -> dict[str, Any] | None:
    """The same as JSON, for the way to other code; None where nothing is said."""
    said = said_around()
    if "tenant" in said:
        said["tenant"] = getattr(said["tenant"], "name", said["tenant"])
    if "lane" in said:
        said["lane"] = getattr(said["lane"], "label", said["lane"])
    return said or None


# ---- on the way


def begin_in(run: uuid.UUID | None, said: Said | None = None) -> None:
    """Something of its own begins: it works in this run and context, or in none."""
    _around.set(() if run is None else (run,))
    _layers.set((Layer(said, run),) if said else ())


@contextlib.contextmanager
def resumed(said: Said | None, run: uuid.UUID | None) -> Iterator[None]:
    """Work inside is charged and marked as it was where `carried` was asked."""
    runs, layers = _around.get(), _layers.get()
    begin_in(run, said)
    try:
        yield
    finally:
        _around.set(runs)
        _layers.set(layers)


def begin_as_told(request: Any) -> None:
    """A task begins in a worker: it works in the run and the context that its message names, or in none."""
    begin_in(_read(getattr(request, HEADER, None)), _read_context(getattr(request, CONTEXT_HEADER, None)))


def _read(text: object) -> uuid.UUID | None:
    if text is None:
        return None
    try:
        return uuid.UUID(str(text))
    except ValueError:
        logger.warning("a task's message names a run %.64r that is no id: its jobs are charged to no run", text)
        return None


def _read_context(told: object) -> Said | None:
    if told is None or isinstance(told, Mapping):
        return told
    logger.warning("a task's message carries a context %.64r that is no object: its jobs have none", told)
    return None


@signals.before_task_publish.connect(weak=False, dispatch_uid="rateguard.run.tell")
def tell(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """A message is published: it carries the run and the context around it. A header that is there already stays."""
    if headers is None:
        return
    run = current_run()
    if run is not None:
        headers.setdefault(HEADER, run.hex)
    if _layers.get() and (said := _carried_if_known()):
        headers.setdefault(CONTEXT_HEADER, said)


def _carried_if_known() -> dict[str, Any] | None:
    """A message goes out all the same where nobody can be asked who is signed in, as in a broken transaction."""
    try:
        return carried()
    except Exception:
        logger.exception("a task's message goes without the context around it")
        return None


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
