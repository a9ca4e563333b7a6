"""Celery's results: a job answers from its own row; every other task through django-celery-results.

    CELERY_RESULT_BACKEND = "rateguard.jobs.results:JobResultBackend"

| job | Celery | result |
|---|---|---|
| succeeded | SUCCESS | the provider's answer, parsed |
| failed, expired | FAILURE | JobFailed |
| cancelled | REVOKED | TaskRevokedError |
| running | STARTED | |
| queued, scheduled | PENDING | |
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import orjson
from celery import states
from celery.exceptions import TaskRevokedError, TimeoutError  # noqa: A004 -- what callers of `get()` catch
from django_celery_results.backends import DatabaseBackend

from rateguard.engine.errors import JobFailed
from rateguard.jobs.follow import wait_for_end
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

LONGEST_WAIT_S = 5.0
"""Between two looks at the parents of a result that is waited for."""

_STATES = {
    State.SCHEDULED: states.PENDING,
    State.QUEUED: states.PENDING,
    State.RUNNING: states.STARTED,
    State.SUCCEEDED: states.SUCCESS,
    State.FAILED: states.FAILURE,
    State.EXPIRED: states.FAILURE,
    State.CANCELLED: states.REVOKED,
}


class JobResultBackend(DatabaseBackend):  # type: ignore[misc]  # the package ships no types
    """The database backend, which knows jobs. Nothing is ever stored for a job: its row is the result."""

    def wait_for(
        self,
        task_id: str,
        timeout: float | None = None,
        interval: float = 0.5,
        no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> Any:
        """What is known of a task once it ended. A job's end is listened for, another's is polled. Raises celery's TimeoutError."""
        job_id = _job_id(task_id)
        if job_id is None:
            return super().wait_for(task_id, timeout=timeout, interval=interval, no_ack=no_ack, on_interval=on_interval)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            rest_s = LONGEST_WAIT_S if deadline is None else deadline - time.monotonic()
            if wait_for_end(job_id, min(rest_s, LONGEST_WAIT_S)):
                return self.get_task_meta(task_id)
            if on_interval:
                on_interval()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError("The operation timed out.")

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        job = Job.objects.filter(pk=number).first() if (number := _number(task_id)) else None
        return super()._get_task_meta_for(task_id) if job is None else _meta(job)

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        return result if _job_id(task_id) else super()._store_result(task_id, result, status, *args, **kwargs)


def _number(task_id: str) -> uuid.UUID | None:
    """A job's id is a UUID; a task may be called anything."""
    try:
        return uuid.UUID(task_id)
    except ValueError:
        return None


def _job_id(task_id: str) -> uuid.UUID | None:
    """The id of the job that a task is, or None."""
    number = _number(task_id)
    return number if number and Job.objects.filter(pk=number).exists() else None


def _meta(job: Job) -> dict[str, Any]:
    """A job as Celery tells a task."""
    return {
        "task_id": str(job.pk),
        "status": _STATES[State(job.state)],
        "result": _result(job),
        "traceback": None,
        "children": [],
        "date_done": job.finished_at,
    }


def _result(job: Job) -> Any:
    match job.state:
        case State.SUCCEEDED:
            return orjson.loads(job.result or "null")
        case State.FAILED | State.EXPIRED:
            return JobFailed(job.error_code or job.state, job.error_message)
        case State.CANCELLED:
            return TaskRevokedError("cancelled")
        case _:
            return None
