"""What `.delay()` gives: Celery's AsyncResult of a job, which knows where the job is, and says so instead of hanging."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from celery import Celery, current_app, states
from celery.exceptions import TimeoutError  # noqa: A004 -- what callers of `get()` catch
from celery.result import AsyncResult, GroupResult

from rateguard.engine.errors import JobDoesNotExist, JobNotCommitted
from rateguard.jobs.ends import follow
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.ends.completion import Completion, revive
from rateguard.jobs.ends.events.reading import Event
from rateguard.jobs.ends.results import JobResultBackend, meta_of, revoke
from rateguard.jobs.models import Job
from rateguard.python import uncommitted
from rateguard.python.events import events_of
from rateguard.python.whereabouts import whereabouts

OUR_VERSION = 7
"""Of the ids that a submit makes. One that a canvas or a caller made, a UUIDv4, may be of a step whose turn has not come."""
LOOK_AGAIN_S = 5.0
"""Between two looks at the steps before a result that is awaited."""


class JobResult(AsyncResult[Completion]):
    """The result of a job. It goes by its id: pickled, as JSON, or made anew by `complete.AsyncResult(id)`."""

    if TYPE_CHECKING:  # what the stubs of Celery leave out
        backend: JobResultBackend
        _cache: dict[str, Any] | None

        def _maybe_set_cache(self, meta: dict[str, Any]) -> dict[str, Any]: ...
        def _maybe_reraise_parent_error(self) -> None: ...
        def _parents(self) -> Iterator[AsyncResult[Any] | GroupResult]: ...

    @property
    def job(self) -> Job:
        """The job's row as it is now. Raises JobDoesNotExist."""
        found = Job.objects.filter(pk=self.id).first()
        if found is None:
            raise JobDoesNotExist(_DOES_NOT_EXIST.format(self.id))
        return found

    @property
    def children(self) -> Any:
        """What the job's end let go on. That is told a moment after the end, so it is looked for until there is something."""
        if self._cache is not None and not self._cache.get("children"):
            self._cache = None
        return super().children

    def get(self, timeout: float | None = None, propagate: bool = True, *args: Any, **kwargs: Any) -> Any:
        """Wait for the job's end, at most `timeout` seconds; the Completion, or with `propagate=False` the error itself.

        Raises JobFailed, JobDoesNotExist, celery's TaskRevokedError and TimeoutError; JobNotCommitted in the transaction that submits it.
        """
        self._look()
        try:
            return revive(super().get(timeout, propagate, *args, **kwargs))
        except TimeoutError:
            raise TimeoutError(whereabouts(self._uuid())) from None

    wait = get

    async def aget(self, timeout: float | None = None, *, propagate: bool = True) -> Any:  # noqa: ASYNC109 -- the word that `get` has
        """The same in a coroutine; it holds no thread and no connection while it waits."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while await sync_to_async(self._is_awaited)(propagate=propagate):
            rest_s = LOOK_AGAIN_S if deadline is None else deadline - time.monotonic()
            if rest_s <= 0:
                raise TimeoutError(await sync_to_async(whereabouts)(self._uuid()))
            await follow.ended(self._uuid(), min(rest_s, LOOK_AGAIN_S))
        if propagate:
            self.maybe_throw()
        return revive(self.result)

    def events(self, timeout: float | None = None, *, after: str = "") -> Iterator[Event]:
        """What happens to the job, as it happens, until its end: `queued`, `granted`, `chunk`, `restarted`, `usage`, and one end.

        With `stream=True` in the call each chunk is a piece of the answer, else one holds all of it; `event.text` is what it adds.
        `restarted` voids the chunks before it. after: the last id that was seen. Raises as `get`, but for the job's own error.
        """
        self._look()
        return events_of(self._uuid(), after, timeout)

    @property
    def is_known(self) -> bool:
        """Whether its end was read already."""
        return self._cache is not None

    def know(self, row: Job) -> None:
        """Take what the row says; it is not read again where the job has ended."""
        self._maybe_set_cache(meta_of(row))

    def cancel(self, *, by: str = "") -> Job:
        """Cancel the job; its row as it is then. One that runs is asked to end; one that ended stays. Raises JobDoesNotExist."""
        return cancel(self.job, by=by)

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """Celery's word for `cancel`. A step of a chain that has no job yet is revoked as any task: the workers remember it."""
        if not revoke(self._uuid()):
            super().revoke(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., JobResult], tuple[Any, ...]]:
        return _again, (type(self), self.id, self.parent)

    # ---- inside

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(str(self.id))

    def _get_task_meta(self) -> dict[str, Any]:
        """From the row, also where Celery is eager and keeps nothing."""
        if self._cache is not None:
            return self._cache
        read = self.backend._get_task_meta_for  # noqa: SLF001 -- what a backend is written by; the public one warns where Celery is eager
        return self._maybe_set_cache(read(self.id))

    def _look(self) -> None:
        """Read the row if the job has ended; else see that its end can come. Raises JobNotCommitted, JobDoesNotExist."""
        if self._get_task_meta()["status"] in states.READY_STATES:
            return
        if uncommitted.is_uncommitted(self._steps()):
            raise JobNotCommitted(_NOT_COMMITTED.format(self.id))
        if self.parent is None and self._uuid().version == OUR_VERSION and not Job.objects.filter(pk=self.id).exists():
            raise JobDoesNotExist(_DOES_NOT_EXIST.format(self.id))

    def _steps(self) -> Iterator[uuid.UUID]:
        """The jobs that must end: itself and the steps before it."""
        for node in (self, *self._parents()):
            for result in (node.results or ()) if isinstance(node, GroupResult) else (node,):
                if isinstance(result, JobResult):
                    yield uuid.UUID(str(result.id))

    def _is_awaited(self, *, propagate: bool) -> bool:
        """Whether it has not ended. Raises what `_look` does, and with `propagate` the error of a step before it."""
        self._look()
        if self._cache is not None:
            return False
        if propagate and self.parent:
            self._maybe_reraise_parent_error()
        return True


_NOT_COMMITTED = (
    "job {} is submitted by the transaction that is open here, and does not start before that commits: ask for it after the commit. "
    "In a TestCase nothing commits: use rateguard.testing."
)
_DOES_NOT_EXIST = "there is no job {}: it was deleted, or the transaction that made it was rolled back"


def job_result(app: Celery, job_id: uuid.UUID | str, **kwargs: Any) -> JobResult:
    """The result of a job, also where the host project keeps other tasks' results elsewhere."""
    backend = app.backend
    if not isinstance(backend, JobResultBackend):
        backend = JobResultBackend(app=app)
    return JobResult(str(job_id), backend=backend, app=app, **kwargs)


def _again(kind: type[JobResult], job_id: str, parent: Any) -> JobResult:
    app: Celery = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 -- Celery's own way to the app behind it
    made = job_result(app, job_id, parent=parent)
    return made if type(made) is kind else kind(job_id, backend=made.backend, app=made.app, parent=parent)
