"""Calls of `complete` and `embed` that came as a Celery message: by `send_task`, from beat, from another producer.

The body submits the job. It has the message's id, so a message that comes twice is one job, and takes over what hangs on the message.
Celery stores and calls nothing for a message that became a job: the row answers. One that cannot become a job fails as any task does,
with InvalidRequest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any, Never

from celery import Task
from celery.exceptions import Ignore, Reject
from celery.worker.request import Request
from django.db import connection

from rateguard.jobs.attempts.unheard import AWAY
from rateguard.jobs.ends.completion import revive

logger = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
MOST_PATIENCE_S = 60.0
"""A message waits so long for a database that is away; then it goes back to its queue."""


class JobRequest(Request):
    """A message that becomes a job. It is taken at once whenever it is to run, and its time limit is the job's: the row keeps both."""

    time_limits = property(lambda _: (None, None), lambda _, __: None)

    @property
    def eta(self) -> None:
        """None: Celery would keep it in the worker's memory until then."""


def submit_received(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Never:
    """The body of the task. Raises Ignore where the job is submitted, InvalidRequest where it cannot be, Reject without a database."""
    request = task.request
    options = {
        "link": request.callbacks,
        "link_error": request.errbacks,
        "chain": request.chain,
        "chord": request.chord,
        "group_id": request.group,
        "group_index": request.group_index,
        "eta": request.eta,
        "expires": request.expires,
        "time_limit": (request.timelimit or (None,))[0],
        "add_to_parent": False,
    }
    given = {name: value for name, value in options.items() if value is not None}
    _outlast(task, args, kwargs, {**given, "root_id": request.root_id, "parent_id": request.parent_id})
    raise Ignore("it is a job now")


def _outlast(task: Task[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: dict[str, Any]) -> None:
    """Submit, however long the database is away, within reason."""
    gives_up_at = time.monotonic() + MOST_PATIENCE_S
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            task.apply_async(tuple(args), dict(kwargs), task_id=task.request.id, **options)
        except AWAY as error:
            connection.close()
            if time.monotonic() > gives_up_at:
                raise Reject(error, requeue=True) from error
            logger.warning("message %s waits for the database: %s", task.request.id, error)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        else:
            return


def revive_arguments(args: object = None, kwargs: object = None, **_: Any) -> None:
    """Answers that came to a task through JSON are Completions again, in place. Receives Celery's `task_prerun`."""
    if isinstance(args, MutableSequence):
        args[:] = [revive(one) for one in args]
    if isinstance(kwargs, dict):
        kwargs.update({name: revive(one) for name, one in kwargs.items()})
