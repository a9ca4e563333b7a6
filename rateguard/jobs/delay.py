"""`.delay()`: submit a job from any Django app, in the form of a Celery task.

    from rateguard import complete, embed

    result = complete.delay("Say hello", model="gpt-5.4-mini", tenant="acme", lane="high", user="ada", max_tokens=50)
    answer = result.get(timeout=60)      # the whole answer, as the provider gave it

In a transaction the job is submitted when that commits. Nothing is ever sent to Celery under these names: a worker gets ids of jobs.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Never

from celery import Celery, Task, shared_task
from celery.result import AsyncResult
from django.db import IntegrityError, transaction
from django.utils import timezone

from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.inherit import current_run
from rateguard.jobs.models import Delivery, Job
from rateguard.jobs.results import JobResultBackend
from rateguard.jobs.submission import Submission
from rateguard.jobs.submit import submit, submit_many
from rateguard.jobs.within import HasId, as_run_id, paying_tenant
from tenants.models import Tenant

Given = Any
"""A text or messages for `complete`; a text, texts or token numbers for `embed`."""

_NOT_YET_MOVED_BY_JOBS = ("link", "link_error", "chain", "chord")


class JobTask(Task[Any, Any]):
    """A Celery task whose call is a job. Its keywords are these.

    model: the public name. tenant: a Tenant or its name, else that of the run, else RATEGUARD["DEFAULT_TENANT"]. lane: a name or Lane.
    run: the run that is charged, or its id, else the run around the call (see `rateguard.run`).
    user, team, rolegroup, role, cost_center, labels, metadata: carried with the job. run_at, deadline: aware datetimes.
    max_tries: counted failures. timeout: of the call at the provider, seconds. delivery: `at_least_once` or `at_most_once`.
    idempotency_key: the same key and request give the same job.
    Every other keyword is a field of the request's body, in OpenAI's shape: max_tokens, temperature, tools, …
    """

    abstract = True
    endpoint: ClassVar[Endpoint]

    def delay(self, given: Given, /, *, model: str, **options: Any) -> AsyncResult[Any]:
        """Submit one job; the result's id is the job's. Raises InvalidRequest, ConfigurationError."""
        return self.apply_async((given,), {"model": model, **options})

    def delay_on_commit(self, given: Given, /, *, model: str, **options: Any) -> AsyncResult[Any]:
        """The same as `delay`: a job is submitted on commit anyway."""
        return self.delay(given, model=model, **options)

    def delay_many(self, many: Iterable[Given], /, *, model: str, **options: Any) -> list[AsyncResult[Any]]:
        """Submit many jobs with the same options in one insert: all or none."""
        tenant = paying_tenant(options.pop("tenant", None), as_run_id(options.get("run")) or current_run())
        jobs = submit_many([self._submission(given, model=model, tenant=tenant, **options) for given in many])
        return [job_result(self.app, job.pk) for job in jobs]

    def apply_async(  # type: ignore[override]  # what Celery adds to the call is taken as keywords
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Submit one job. task_id: the job's id, when it is a UUID; what a canvas submits again is the job that it is already.

        Of Celery's options `countdown`, `eta` and `expires` act; queues and the like do not concern a job.
        """
        if unmoved := [name for name in _NOT_YET_MOVED_BY_JOBS if options.get(name)]:
            raise InvalidRequest(f"nothing can hang on the end of a job yet: leave out {', '.join(unmoved)}", code="unsupported_canvas")
        job_id = _as_id(task_id)
        submission = self._submission(*(args or ()), **{**_times(options), **(kwargs or {})}, id=job_id)
        return job_result(self.app, _submit_once(submission, job_id) if job_id else submit(submission).job.pk)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult[Any]:
        """The same as `apply_async`."""
        return self.apply_async(*args, **kwargs)

    def body_of(self, given: Given) -> dict[str, Any]:
        """The part of the body that the first argument makes."""
        raise NotImplementedError

    def _submission(
        self,
        given: Given,
        /,
        *,
        model: str,
        tenant: Tenant | str | None = None,
        lane: Lane | str = Lane.NORMAL,
        timeout: int | None = None,
        run: uuid.UUID | str | HasId | None = None,
        delivery: Delivery | str = Delivery.AT_LEAST_ONCE,
        id: uuid.UUID | None = None,  # noqa: A002 -- the submission's word
        **options: Any,
    ) -> Submission:
        carried = {name: options.pop(name) for name in _CARRIED if options.get(name) is not None}
        run_id = as_run_id(run) or current_run()
        return Submission(
            tenant=paying_tenant(tenant, run_id),
            endpoint=self.endpoint,
            body={"model": model, **self.body_of(given), **options},
            lane=parse_lane(lane),
            timeout_s=timeout,
            run=run_id,
            delivery=_delivery(delivery),
            via="delay",
            id=id,
            **carried,
        )


_CARRIED = (
    "user",
    "team",
    "rolegroup",
    "role",
    "cost_center",
    "labels",
    "metadata",
    "run_at",
    "deadline",
    "max_tries",
    "idempotency_key",
    "request_id",
)


class CompleteTask(JobTask):
    """Chat completions: a text (one message of the user) or messages in OpenAI's shape."""

    abstract = True
    endpoint = Endpoint.CHAT

    def body_of(self, given: Given) -> dict[str, Any]:
        """The messages."""
        return {"messages": [{"role": "user", "content": given}] if isinstance(given, str) else list(given)}


class EmbedTask(JobTask):
    """Embeddings: a text, texts, or token numbers."""

    abstract = True
    endpoint = Endpoint.EMBEDDINGS

    def body_of(self, given: Given) -> dict[str, Any]:
        """The input."""
        return {"input": given}


def job_result(app: Celery, job_id: uuid.UUID) -> AsyncResult[Any]:
    """The result of a job, also where the host project keeps other tasks' results elsewhere."""
    backend = app.backend
    if not isinstance(backend, JobResultBackend):
        backend = JobResultBackend(app=app)
    return AsyncResult(str(job_id), backend=backend, app=app)


def _submit_once(submission: Submission, job_id: uuid.UUID) -> uuid.UUID:
    """A canvas's own id: its task may come again when its predecessor was run twice, and is then the same job."""
    mine = Job.objects.filter(pk=job_id, tenant=submission.tenant)
    if mine.exists():
        return job_id
    try:
        with transaction.atomic():
            return submit(submission).job.pk
    except IntegrityError:
        if not mine.exists():
            raise
        return job_id


def _as_id(task_id: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(task_id) if task_id else None
    except ValueError:
        raise InvalidRequest(f"task_id {task_id!r} is no UUID, which a job's id is", code="invalid_field") from None


def _times(options: Mapping[str, Any]) -> dict[str, dt.datetime]:
    """Celery's words for a job's: `countdown` and `eta` are its run_at, `expires` (seconds or a time) its deadline."""
    times: dict[str, dt.datetime] = {}
    if options.get("countdown"):
        times["run_at"] = timezone.now() + dt.timedelta(seconds=options["countdown"])
    if options.get("eta"):
        times["run_at"] = options["eta"]
    expires = options.get("expires")
    if expires:
        times["deadline"] = expires if isinstance(expires, dt.datetime) else timezone.now() + dt.timedelta(seconds=expires)
    return times


def _delivery(given: Delivery | str) -> Delivery:
    try:
        return Delivery(given)
    except ValueError:
        raise InvalidRequest(f"delivery is one of {', '.join(Delivery.values)}", code="invalid_field", pointer="/job/delivery") from None


def _run(*_: Any, **__: Any) -> Never:
    raise ConfigurationError("a job is submitted by .delay() or .apply_async() of rateguard's own task; as a Celery message it cannot run")


complete: CompleteTask = shared_task(name="rateguard.complete", base=CompleteTask)(_run)
"""Submit a chat completion: `complete.delay("text" or messages, model=…)`; see JobTask for the keywords."""

embed: EmbedTask = shared_task(name="rateguard.embed", base=EmbedTask)(_run)
"""Submit an embedding: `embed.delay(texts, model=…)`; see JobTask for the keywords."""
