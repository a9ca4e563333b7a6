"""A job ended: what its canvas says goes on, as Celery's tracer and result backend would let it, in the transaction of the caller.

A next step that is a job is inserted there; one that is an ordinary task is published there. A step that cannot be applied (an unknown
model, arguments that its task does not take) has failed, and so has what hangs on it: its result tells, nothing waits for ever.
Only what is away (broker, database) is raised, as one of `AWAY`: then nothing has happened and the caller tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import redis
from celery import Celery, states
from celery.app.task import Context
from celery.canvas import Signature
from celery.exceptions import ChordError, TaskRevokedError
from celery.result import AsyncResult, GroupResult
from celery.utils.functional import maybe_list
from django.db import InterfaceError, OperationalError, transaction
from django_celery_results.backends import DatabaseBackend
from django_celery_results.models import ChordCounter  # type: ignore[attr-defined]  # the package ships no types
from kombu.exceptions import OperationalError as BrokerError

from rateguard.engine.errors import LimitInTheWay
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.ends.canvas import leaves, read, signature_of, the_app
from rateguard.jobs.ends.errbacks import know_all_tasks, send_errback
from rateguard.jobs.ends.results import JobResultBackend, outcome_of
from rateguard.jobs.models import Job
from rateguard.jobs.states import State

logger = logging.getLogger(__name__)

AWAY = (BrokerError, redis.RedisError, OperationalError, InterfaceError, ConnectionError, TimeoutError)
"""Nothing is wrong with the canvas: the broker or the database is away."""

JOBS: dict[str, str] = {
    Endpoint.CHAT: "rateguard.complete",
    Endpoint.RESPONSES: "rateguard.complete",
    Endpoint.EMBEDDINGS: "rateguard.embed",
}
"""The task of each kind of job."""
PROBE_S = 5


def is_passing(error: Exception) -> bool:
    """Whether a step may be applied later as it is: the tenant's queue is full now."""
    return isinstance(error, LimitInTheWay) and error.code == "queue_full"


def is_broker_there() -> bool:
    """Whether the broker answers; asked outside of any transaction once it did not."""
    app = the_app()
    try:
        with app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, interval_start=0, timeout=PROBE_S)
    except AWAY:
        return False
    return True


def prepare() -> None:
    """What takes a while the first time; outside of any transaction."""
    know_all_tasks(the_app())


def move(job: Job) -> None:
    """Let go on what hangs on the end of this job. In a transaction. Raises one of AWAY."""
    backend = MovingBackend(the_app())
    status, value = outcome_of(job)
    request = _request(job)
    if job.state == State.SUCCEEDED:
        backend.go_on(request, value)
    else:
        backend.mark_as_failure(request.id, value, request=request, state=status)


def _request(job: Job) -> Context:
    """The job as Celery's backend and errbacks see a task's message."""
    canvas = read(job.canvas)
    return Context(
        id=str(job.pk),
        task=JOBS[job.endpoint],
        args=[],
        kwargs={},
        callbacks=canvas.get("link"),
        errbacks=canvas.get("link_error"),
        chain=canvas.get("chain"),
        chord=canvas.get("chord"),
        group=canvas.get("group_id"),
        group_index=canvas.get("group_index"),
        root_id=canvas.get("root_id") or str(job.pk),
        parent_id=canvas.get("parent_id"),
        delivery_info={},
    )


class MovingBackend(JobResultBackend):
    """The result backend while a canvas is moved: it raises where what it needs is away, and calls nobody's code in this process."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app=app)

    # ---- success

    def go_on(self, request: Context, value: Any) -> None:
        """Links, the next task of the chain, the chord: each with the value. What is published comes last: no rollback takes it back."""
        steps: list[tuple[Any, dict[str, Any]]] = [(callback, {}) for callback in request.callbacks or ()]
        if request.chain:
            *rest, following = list(request.chain)
            steps.append((following, {"chain": rest}))
        for step, options in (one for one in steps if _is_job(one[0])):
            self._apply(step, (value,), request, **options)
        if request.chord:
            self.on_chord_part_return(request, states.SUCCESS, value)
        for step, options in (one for one in steps if not _is_job(one[0])):
            self._apply(step, (value,), request, **options)

    def _apply(self, step: Any, args: Sequence[Any], parent: Context, **options: Any) -> None:
        """Apply a step; one that cannot be applied has failed."""
        signature = signature_of(step, self.app)
        try:
            with transaction.atomic():
                self._refuse_revoked(signature)
                signature.apply_async(tuple(args), parent_id=parent.id, root_id=parent.root_id, **options)
        except AWAY:
            raise
        except Exception as error:
            if is_passing(error):
                raise
            logger.warning("%s, which hangs on %s, cannot be applied: %r", signature.task, parent.id, error)
            self._fail_step(signature, error, options.get("chain"))

    def _refuse_revoked(self, step: Signature[Any]) -> None:
        """A step that was revoked before its turn does not begin: no worker that remembers it needs to be alive."""
        if step.id and not step.subtask_type and self.get_state(step.id) == states.REVOKED:
            raise TaskRevokedError("revoked")

    def _fail_step(self, step: Signature[Any], error: Exception, rest: list[Any] | None) -> None:
        """A step that never began, with everything that was to come after it."""
        for leaf in leaves(step):
            own = leaf.options
            request = _of_step(leaf, [*(rest or ()), *(own.get("chain") or ())])
            state = states.REVOKED if isinstance(error, TaskRevokedError) else states.FAILURE
            self.mark_as_failure(leaf.id, error, request=request, store_result=bool(leaf.id), state=state)
            rest = None  # the chain failed once

    # ---- chords

    def on_chord_part_return(self, request: Context, state: str, result: Any, **kwargs: Any) -> None:
        """Count a part; the last one applies the body. As django-celery-results does, but nothing that is away is taken for a failure."""
        if not isinstance(self.app.backend, DatabaseBackend):
            self.app.backend.on_chord_part_return(request, state, result, **kwargs)
            return
        if not request.group or not request.id:
            return
        counter = ChordCounter.objects.select_for_update().filter(group_id=request.group).first()
        if counter is None:
            logger.warning("no chord waits for group %s", request.group)
            return
        counter.count -= 1
        if counter.count > 0:
            counter.save(update_fields=["count"])
            return
        counter.delete()
        self._ring(counter.group_result(app=self.app), signature_of(request.chord, self.app), request)

    def _ring(self, parts: GroupResult, body: Signature[Any], last: Context) -> None:
        try:
            values = [self._value_of(part) for part in parts.results or ()]
        except _PartFailed as failed:
            self.chord_error_from_stack(body, ChordError(str(failed)))
        else:
            self._apply(body, (values,), last)

    def _value_of(self, part: AsyncResult[Any] | GroupResult) -> Any:
        if isinstance(part, GroupResult):
            return [self._value_of(one) for one in part.results or ()]
        meta = self.get_task_meta(part.id, cache=False)
        if meta["status"] in states.PROPAGATE_STATES:
            raise _PartFailed(f"Dependency {part.id} raised {meta['result']!r}")
        if meta["status"] not in states.READY_STATES:
            raise _PartFailed(f"Dependency {part.id} keeps no result")
        return meta["result"]

    def chord_error_from_stack(self, callback: Signature[Any], exc: Exception | None = None) -> None:
        """A part failed: the body has failed too, and what hangs on it; if it is a part of another chord, that chord hears it."""
        error = exc or ChordError("a part failed")
        body = signature_of(callback, self.app)
        self._fail_step(body, error, body.options.get("chain") if body.subtask_type else None)

    # ---- failure

    def _fail_chain(
        self, chain: Any, exc: Exception, _traceback: Any = None, store_result: bool = True, state: str = states.FAILURE
    ) -> None:
        """What was to come has failed too: all of it, also in groups, where Celery marks nothing and who waits waits for ever."""
        for leaf in (leaf for step in chain or () for leaf in leaves(signature_of(step, self.app))):
            request = _of_step(leaf, None)
            was_told = bool(request.chord and leaf.id) and self.get_state(leaf.id) in states.PROPAGATE_STATES
            if store_result and leaf.id:
                self.store_result(leaf.id, exc, state, request=request)
            if request.chord and not was_told:
                self.on_chord_part_return(request, state, exc)

    def _call_task_errbacks(self, request: Context, exc: Exception, _traceback: Any) -> None:
        for errback in maybe_list(request.errbacks) or ():
            signature = signature_of(errback, self.app)
            try:
                with transaction.atomic():
                    send_errback(self, signature, request, exc)
            except AWAY:
                raise
            except Exception as error:
                if is_passing(error):
                    raise
                logger.exception("errback %s of %s cannot be sent", signature.task, request.id)

    # ---- what is stored

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.app.backend, DatabaseBackend):
            return super()._store_result(task_id, result, status, *args, **kwargs)
        return self.app.backend.store_result(task_id, result, status)  # pragma: no cover - a host with another backend


def _is_job(step: Any) -> bool:
    return isinstance(step, Mapping) and step.get("task") in JOBS.values()


class _PartFailed(Exception):
    """A part of a chord has no value. The message names it, as Celery's does."""


def _of_step(step: Signature[Any], rest: list[Any] | None) -> Context:
    """A step that has not begun, as the request that its message would have been."""
    own = step.options
    return Context(
        id=own.get("task_id"),
        task=step.task,
        errbacks=maybe_list(own.get("link_error")) or [],
        chain=rest,
        chord=own.get("chord"),
        group=own.get("group_id"),
        group_index=own.get("group_index"),
        root_id=own.get("root_id"),
        parent_id=own.get("parent_id"),
        delivery_info={},
    )
