"""`.delay()`: submit a job from any Django app, in the form of a Celery task.

    from rateguard import complete, embed

    result = complete.delay("Say hello", model="gpt-5.4-mini", tenant="acme", lane="high", user="ada", max_tokens=50)
    answer = result.get(timeout=60)      # a Completion: str(answer) is the text

In a transaction the job is submitted when that commits. Nothing is sent to Celery under these names: a worker gets ids of jobs. Where
somebody else sends such a message, the worker that gets it submits the job.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Never, cast

from asgiref.sync import sync_to_async
from celery import Task, shared_task
from django.db import IntegrityError, transaction

from rateguard.engine.errors import ConfigurationError, InvalidRequest, JobFailed
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.attempts import inplace
from rateguard.jobs.ends.canvas import canvas_of
from rateguard.jobs.ends.completion import Completion, revive
from rateguard.jobs.ends.results import outcome_of
from rateguard.jobs.inherit import carried, current_run
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import Submitted, submit, submit_many
from rateguard.jobs.models import Job
from rateguard.python import mapping, uncommitted
from rateguard.python.celery_options import as_job_id, keywords_of
from rateguard.python.context import filled
from rateguard.python.job_result import JobResult, job_result
from rateguard.python.keywords import submission_of
from rateguard.python.previous import PLACE, is_answer, put, text_of
from rateguard.python.within import as_run_id, paying_tenant

Given = Any
"""A text or messages for `complete`; a text, texts or token numbers for `embed`."""


class JobTask(Task[Any, Any]):
    """A Celery task whose call is a job. Its keywords are these.

    model: the public name. tenant: a Tenant or its name, else that of the run or the context, else RATEGUARD["DEFAULT_TENANT"].
    lane: a name or Lane. run: the run that is charged, or its id, else the run around the call (see `rateguard.run`).
    user, team, rolegroup, role, cost_center, labels: carried with the job, else as the context says (see `rateguard.context`).
    metadata: carried with the job. run_at, deadline: aware datetimes.
    max_tries: counted failures. timeout: of the call at the provider, seconds, or its parts: `{"connect": 5, "first_token": 30}`.
    delivery: `at_least_once` or `at_most_once`. keep_bodies: False: request and answer are not kept (REST's `store`; the keyword `store`
    is the provider's). webhook: the name of an endpoint of the tenant that hears of its end.
    idempotency_key: the same key and request give the same job. session: what belongs together, for a model whose sessions are sticky.
    Every other keyword is a field of the request's body, in OpenAI's shape: max_tokens, temperature, tools, …

    After a step of a chain the call gets what that came to: `{previous}` in the text or the messages is its text. Where that stands
    nowhere, the text comes last; alone it is all that is asked.
    """

    abstract = True
    Request = "rateguard.python.received:JobRequest"
    acks_late = True
    track_started = False
    ignore_result = False
    typing = False
    throws = (JobFailed,)
    endpoint: ClassVar[Endpoint]

    # ---- submit

    def delay(self, given: Given, /, *, model: str, **options: Any) -> JobResult:
        """Submit one job; the result's id is the job's. Raises InvalidRequest, ConfigurationError."""
        return self.apply_async((given,), {"model": model, **options})

    def delay_on_commit(self, given: Given, /, *, model: str, **options: Any) -> JobResult:
        """The same as `delay`: a job is submitted on commit anyway, and has its id at once."""
        return self.delay(given, model=model, **options)

    async def adelay(self, given: Given, /, *, model: str, **options: Any) -> JobResult:
        """The same as `delay`, in a coroutine."""
        return await sync_to_async(self.delay)(given, model=model, **options)

    def delay_many(self, many: Iterable[Given], /, *, model: str, **options: Any) -> list[JobResult]:
        """Submit many jobs with the same options in one insert: all or none."""
        options = filled(options)
        options["tenant"] = paying_tenant(options.get("tenant"), as_run_id(options.get("run")) or current_run())
        submissions = [self._submission(given, model=model, **options) for given in many]
        with inplace.if_eager(self.app):
            jobs = submit_many(submissions)
        uncommitted.note(job.pk for job in jobs)
        return [job_result(self.app, job.pk) for job in jobs]

    def apply_async(  # type: ignore[override]  # what Celery adds to the call is taken as keywords
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None, **options: Any
    ) -> JobResult:
        """Submit one job. task_id: the job's id, a UUID; what a canvas submits again is the job that it is already.

        `countdown` and `eta` are its run_at, `expires` its deadline, `time_limit` its timeout. Queues and priorities are refused: a job
        has a lane. Raises InvalidRequest.
        """
        if self.app.conf.task_always_eager:
            return self.apply(args, kwargs, task_id=task_id, **options)
        parent = self.app.current_worker_task
        if parent is not None:
            options = {"root_id": parent.request.root_id or parent.request.id, "parent_id": parent.request.id} | options
        canvas = canvas_of(options)
        if canvas is not None and (around := carried()):
            canvas["context"] = around
        result = self._submit(args, kwargs, task_id, options, canvas)
        if parent is not None and options.get("add_to_parent", True):
            parent.add_trail(result)
        return result

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> JobResult:
        """The same as `apply_async`."""
        return self.apply_async(*args, **kwargs)

    def apply(  # type: ignore[override]  # Celery's many options are taken as keywords
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None, **options: Any
    ) -> JobResult:
        """Submit one job and run it here and now, without Redis and a worker; as CELERY_TASK_ALWAYS_EAGER does.

        Limits are not waited for, nor is its time. Links are called when it has ended. Raises InvalidRequest; with `throw`, or where
        CELERY_TASK_EAGER_PROPAGATES is set, JobFailed too.
        """
        with inplace.always():
            result = self._submit(args, kwargs, task_id, options, None)
        moved = {name: options[name] for name in ("link", "link_error", "throw") if options.get(name) is not None}
        super().apply((), {}, task_id=result.id, **moved)
        return result

    # ---- many, as they come

    def map(  # type: ignore[override]  # Celery's `map` makes one task of many; this one makes many jobs
        self,
        many: Iterable[Given],
        /,
        *,
        model: str,
        chunk: int = 500,
        window: int = 2_000,
        return_exceptions: bool = False,
        **options: Any,
    ) -> Iterator[Completion]:
        """Submit a job for each and yield the answers in order, as they come; see `mapping.ordered`."""
        by = mapping.Submitter(self, model, options)
        return mapping.ordered(many, by, chunk=chunk, window=window, return_exceptions=return_exceptions)

    def amap(
        self,
        many: Iterable[Given] | AsyncIterable[Given],
        /,
        *,
        model: str,
        chunk: int = 500,
        window: int = 2_000,
        return_exceptions: bool = False,
        **options: Any,
    ) -> AsyncIterator[Completion]:
        """The same for `async for`; also of what comes by itself asynchronously."""
        by = mapping.Submitter(self, model, options)
        return mapping.aordered(many, by, chunk=chunk, window=window, return_exceptions=return_exceptions)

    # ---- Celery's part

    def AsyncResult(self, task_id: str, **kwargs: Any) -> JobResult:  # noqa: N802 -- Celery's name
        """The result of a job of this kind by its id."""
        return job_result(self.app, task_id, **kwargs)

    def retry(self, *_: Any, **__: Any) -> Never:
        """A job tries again by itself (max_tries, retry policy); an ended one is submitted again by rateguard.jobs.intake.retry."""
        raise ConfigurationError("a job tries again by itself: say max_tries=…; .retry() is for the code of a task, and a job has none")

    # ---- what a call says

    def body_of(self, given: Given) -> dict[str, Any]:
        """The part of the body that the first argument makes."""
        raise NotImplementedError

    def all_of(self, answers: Any) -> Given:
        """What is asked where nothing but the answers of the steps before is given."""
        return text_of(answers)

    def with_last(self, given: Given, text: str) -> Given:
        """What is asked, and a text that comes last."""
        return f"{given}\n\n{text}"

    def _given(self, args: Sequence[Any]) -> Given:
        """The first argument; or what the step before came to and then that."""
        match args:
            case [given]:
                return self.all_of(revive(given)) if is_answer(given) else given
            case [previous, given]:
                text = text_of(previous)
                filled_in = put(text, given)
                return self.with_last(given, text) if filled_in == given and PLACE not in text else filled_in
        raise InvalidRequest(f"{self.name} takes one argument, what is asked: it got {len(args)}", code="invalid_field")

    def _submit(
        self, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, task_id: object, options: Mapping[str, Any], canvas: Any
    ) -> JobResult:
        job_id = as_job_id(task_id)
        keywords = {**keywords_of(options, self.app), **(kwargs or {})}
        if "model" not in keywords:
            raise InvalidRequest("name a model", code="missing_model", pointer="/model")
        submission = self._submission(self._given(list(args or ())), **filled(keywords), id=job_id, canvas=canvas)
        if job_id is not None and Job.objects.filter(pk=job_id, tenant=submission.tenant).exists():
            return job_result(self.app, job_id)
        submitted = _submit_once(submission, job_id) if job_id else submit(submission)
        if submitted.is_new:
            uncommitted.note([submitted.job.pk])
        return job_result(self.app, submitted.job.pk)

    def _submission(self, given: Given, /, **keywords: Any) -> Submission:
        return submission_of(self.endpoint, self.body_of(given), **keywords)


class CompleteTask(JobTask):
    """Chat completions: a text (one message of the user) or messages in OpenAI's shape."""

    abstract = True
    endpoint = Endpoint.CHAT

    def body_of(self, given: Given) -> dict[str, Any]:
        """The messages."""
        return {"messages": [{"role": "user", "content": given}] if isinstance(given, str) else list(given)}

    def with_last(self, given: Given, text: str) -> Given:
        """After a blank line, or as one more message of the user."""
        return super().with_last(given, text) if isinstance(given, str) else [*given, {"role": "user", "content": text}]


class EmbedTask(JobTask):
    """Embeddings: a text, texts, or token numbers."""

    abstract = True
    endpoint = Endpoint.EMBEDDINGS

    def body_of(self, given: Given) -> dict[str, Any]:
        """The input."""
        return {"input": given}

    def all_of(self, answers: Any) -> Given:
        """Of many answers each text by itself."""
        return [text_of(one) for one in answers] if isinstance(answers, list) else text_of(answers)

    def with_last(self, given: Given, text: str) -> Given:
        """After a blank line, or as one more text."""
        return super().with_last(given, text) if isinstance(given, str) else [*given, text]


def _submit_once(submission: Submission, job_id: uuid.UUID) -> Submitted:
    """A canvas's own id: its task may come again when its predecessor was run twice, and is then the same job."""
    try:
        with transaction.atomic():
            return submit(submission)
    except IntegrityError:
        found = Job.objects.filter(pk=job_id, tenant=submission.tenant).first()
        if found is None:
            raise
        return Submitted(found, is_new=False)


def _run(self: JobTask, *args: Any, **kwargs: Any) -> Completion:
    """What Celery calls. In place the job has run already and this is its outcome; as a message from elsewhere it is submitted."""
    job_id = self.request.id
    if self.request.is_eager and job_id is not None:
        _, outcome = outcome_of(Job.objects.get(pk=job_id))
        if isinstance(outcome, Exception):
            raise outcome
        return cast("Completion", outcome)
    if job_id is None:
        raise ConfigurationError(f"{self.name} is not called but submitted: write .delay(…)")
    from rateguard.python.received import submit_received  # noqa: PLC0415 -- it needs the worker's part of Celery

    return submit_received(self, args, kwargs)


complete: CompleteTask = shared_task(name="rateguard.complete", base=CompleteTask, bind=True)(_run)
"""Submit a chat completion: `complete.delay("text" or messages, model=…)`; see JobTask for the keywords."""

embed: EmbedTask = shared_task(name="rateguard.embed", base=EmbedTask, bind=True)(_run)
"""Submit an embedding: `embed.delay(texts, model=…)`; see JobTask for the keywords."""
