"""Celery's results: a job answers from its own row; every other task through django-celery-results.

    CELERY_RESULT_BACKEND = "rateguard.jobs.ends.results:JobResultBackend"

| job | Celery | result |
|---|---|---|
| succeeded | SUCCESS | a Completion |
| failed | FAILURE | JobFailed |
| cancelled, expired | REVOKED | TaskRevokedError |
| running | STARTED | |
| queued, scheduled | PENDING | |

A job whose attempt failed and that waits for its next one is scheduled, so PENDING; Celery's RETRY is never told.
`date_done` is the time of the end, `children` what the job's end let go on, `traceback` None: the job's error says it. `forget()` leaves
the row alone. `revoke()` cancels.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from celery import states
from celery.exceptions import TaskRevokedError, TimeoutError  # noqa: A004 -- what callers of `get()` catch
from django_celery_results.backends import DatabaseBackend

from rateguard.engine.errors import InvalidRequest, JobFailed
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.completion import Completion
from rateguard.jobs.ends.follow import wait_for_end
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
    State.EXPIRED: states.REVOKED,
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
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            meta: dict[str, Any] = self.get_task_meta(task_id)
            if meta["status"] in states.READY_STATES:
                return meta
            if on_interval:
                on_interval()
            rest_s = LONGEST_WAIT_S if deadline is None else min(deadline - time.monotonic(), LONGEST_WAIT_S)
            if rest_s <= 0:
                raise TimeoutError("The operation timed out.")
            if job_id := _job_id(task_id):
                wait_for_end(job_id, rest_s)
            else:  # an ordinary task, or a job that its chain has not come to yet
                time.sleep(min(interval, rest_s))

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        job = Job.objects.defer("request").filter(pk=number).first() if (number := _number(task_id)) else None
        return super()._get_task_meta_for(task_id) if job is None else meta_of(job)

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        return result if _job_id(task_id) else super()._store_result(task_id, result, status, *args, **kwargs)

    def prepare_exception(self, exc: BaseException, serializer: str | None = None) -> Any:
        """A refusal keeps its code and pointer on the way through JSON, where an exception is its class and its text alone."""
        prepared = super().prepare_exception(exc, serializer)
        if isinstance(exc, InvalidRequest) and isinstance(prepared, dict):
            return {**prepared, "exc_type": InvalidRequest.__name__, "code": exc.code, "pointer": exc.pointer}
        return prepared

    def exception_to_python(self, exc: Any) -> Any:
        """The exception of what `prepare_exception` gave."""
        error = super().exception_to_python(exc)
        if isinstance(error, InvalidRequest) and isinstance(exc, dict):
            error.code, error.pointer = exc.get("code", error.code), exc.get("pointer", error.pointer)
        return error

    def _forget(self, task_id: str) -> None:
        if not _job_id(task_id):
            super()._forget(task_id)


def revoke(job_id: uuid.UUID) -> bool:
    """Cancel a job, as `cancel` does. False: there is no such job."""
    job = Job.objects.filter(pk=job_id).first()
    if job is not None:
        cancel(job, by="revoke")
    return job is not None


def outcome_of(job: Job) -> tuple[str, Any]:
    """Where a job stands in Celery's words, and its result or its error."""
    return _STATES[State(job.state)], _result(job)


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


def meta_of(job: Job) -> dict[str, Any]:
    """A job as Celery tells a task."""
    status, result = outcome_of(job)
    children = (job.canvas or {}).get("children") or []
    return {
        "task_id": str(job.pk),
        "status": status,
        "result": result,
        "traceback": None,
        "children": [((child, None), None) for child in children],
        "date_done": job.finished_at,
    }


def _result(job: Job) -> Any:
    match job.state:
        case State.SUCCEEDED:
            return Completion.of(job)
        case State.FAILED:
            return JobFailed(job.error_code or job.state, job.error_message)
        case State.CANCELLED | State.EXPIRED:
            return TaskRevokedError(job.state)
        case _:
            return None
