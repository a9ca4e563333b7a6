"""`app.control.revoke(id)` of a job cancels it, whichever worker hears it; all of them do, and a job is cancelled once.

Celery's own command goes first: it knows tasks, and remembers the ids so that a message under them is not begun.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker.control import Panel
from django.db import close_old_connections, connection

from rateguard.jobs.ends.results import revoke
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL
from rateguard.worker.threads import Threads

logger = logging.getLogger(__name__)

_threads = Threads(1, "rateguard-revoke")
_NAMES = ("revoke", "terminate")


def install(**_: Any) -> None:
    """Put ourselves behind Celery's commands. Calling again does nothing. Receives Celery's `worker_init`."""
    for name in _NAMES:
        command = Panel.data[name]
        if not getattr(command, "cancels_jobs", False):
            Panel.data[name] = _cancelling(command)


def _cancelling(command: Callable[..., Any]) -> Callable[..., Any]:
    def also_cancel(state: Any, *args: Any, task_id: Any = None, **kwargs: Any) -> Any:
        reply = command(state, *args, task_id=task_id, **kwargs)
        ids = list(_job_ids(task_id))
        if ids:
            _threads.submit(lambda: _cancel(ids))  # the panel runs in the worker's main thread, which must not wait
        return reply

    also_cancel.cancels_jobs = True  # type: ignore[attr-defined]  # a mark on the function
    return also_cancel


def _job_ids(task_id: Any) -> Iterator[uuid.UUID]:
    for one in maybe_list(task_id) or ():
        with contextlib.suppress(ValueError):
            yield uuid.UUID(str(one))


def _cancel(ids: list[uuid.UUID]) -> None:
    close_old_connections()
    try:
        for job in Job.objects.filter(pk__in=ids).exclude(state__in=TERMINAL).values_list("pk", flat=True):
            revoke(job)
    except Exception:
        logger.exception("%d revoked jobs were not cancelled", len(ids))
    finally:
        connection.close()
