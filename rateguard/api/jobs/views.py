"""The views of jobs. Each reads, calls one function of the inside, renders."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

import orjson
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.authentication import Caller
from rateguard.api.door import ApiView, caller_of
from rateguard.api.jobs.end import at_end
from rateguard.api.jobs.events import events_answer
from rateguard.api.jobs.list_shapes import JOB_FILTERS, JOBS, RetryShape
from rateguard.api.jobs.listing import list_jobs
from rateguard.api.jobs.many_shapes import LaneShape
from rateguard.api.jobs.shapes import (
    AFTER,
    EVENTS,
    EXAMPLES,
    IDEMPOTENCY_KEY,
    LANES,
    LAST_EVENT,
    PREFER,
    RUN,
    SUBMISSION,
    SUBMITTED_HEADERS,
    WAIT,
    JobShape,
)
from rateguard.api.middleware import request_id_of
from rateguard.api.params import Body
from rateguard.api.reading import read_preferred_wait, read_retry, read_submission, read_wait
from rateguard.api.rendering import render_job
from rateguard.api.schema.describing import extend_schema, problems
from rateguard.engine.lanes import parse_lane
from rateguard.jobs.ends.answer import answer_of
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL, State
from rateguard.jobs.steering.lane import change_lane
from rateguard.jobs.steering.requeue import requeue
from tenants.compiled import Compiled
from tenants.models import Permission, Tenant


class Jobs(ApiView):
    """GET: the tenant's jobs. POST: submit a job."""

    @extend_schema(
        operation_id="list_jobs",
        summary="Jobs, newest first",
        tags=["jobs"],
        parameters=JOB_FILTERS,
        responses={200: JOBS},
    )
    def get(self, request: Request) -> Response:
        """A page of them. Parameters that stand beside each other must all hold; `next_cursor` leads to older jobs, until it is null."""
        return list_jobs(request, caller_of(request).tenant)

    @extend_schema(
        operation_id="submit_job",
        summary="Submit a job",
        tags=["jobs"],
        parameters=[IDEMPOTENCY_KEY, PREFER, RUN, *SUBMITTED_HEADERS],
        request=SUBMISSION,
        examples=EXAMPLES,
        responses={200: JobShape, 202: JobShape, **problems(402, 409, 422, 429)},
    )
    def post(self, request: Request) -> Response:
        """202 with the job and where to ask for it; with `Prefer: wait=N` 200 if it ended in time. A repeated key is told by a header."""
        submission = read_submission(request, caller_of(request), request_id_of(request))
        submitted = submit(submission)
        job = submitted.job
        headers = {"Location": reverse("rateguard:job", args=[job.pk])}
        if submission.must_start_within_s is not None:
            headers["Preference-Applied"] = "handling=strict"
        if not submitted.is_new:
            headers["Idempotent-Replayed"] = "true"
        response = Response(_with_answer(job), status=200 if job.state in TERMINAL else 202, headers=headers)
        return at_end(request, response, job, read_preferred_wait(request))


def _with_answer(job: Job) -> dict[str, Any]:
    """A job that is not stored has its answer for as long as its events are kept."""
    shown = render_job(job)
    if shown["result"] is None and (answer := answer_of(job)) is not None:
        shown["result"] = orjson.Fragment(answer)
    return shown


class OneJob(ApiView):
    """GET: a job, at once or at its end. PATCH: its lane."""

    needs: ClassVar[Mapping[str, Permission]] = {**ApiView.needs, "PATCH": Permission.SUBMIT}
    http_method_names = ("get", "head", "patch")

    @extend_schema(operation_id="get_job", summary="A job, now or at its end", tags=["jobs"], parameters=[WAIT], responses={200: JobShape})
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """The job; with `?wait=N` as soon as it ended, after at most N seconds."""
        seconds = read_wait(request)
        job = _job(caller_of(request), job_id)
        return at_end(request, Response(_with_answer(job)), job, seconds)

    @extend_schema(
        operation_id="change_job",
        summary="Move a waiting job to another lane",
        tags=["jobs"],
        request=LaneShape,
        responses={200: JobShape, **problems(409)},
    )
    def patch(self, request: Request, job_id: uuid.UUID) -> Response:
        """200 with the job, which keeps its place in time. One that runs or has ended is refused."""
        caller = caller_of(request)
        lane = parse_lane(Body(request, ("lane",)).choice("lane", LANES))
        job = change_lane(_job(caller, job_id), lane, by=f"key {caller.key.prefix}", key=caller.key)
        return Response(render_job(job))


class EventsOfJob(ApiView):
    """GET: what happens to a job, as it happens."""

    @extend_schema(
        operation_id="job_events",
        summary="A job's events, until its end",
        tags=["jobs"],
        parameters=[LAST_EVENT, AFTER],
        responses={(200, "text/event-stream"): EVENTS, 204: OpenApiResponse(description="The reader has seen the end.")},
    )
    def get(self, request: Request, job_id: uuid.UUID) -> HttpResponse:
        """Server-sent events: `queued`, `granted`, `chunk`, `restarted` (earlier chunks are void), `usage`, and one end."""
        return events_answer(request, _job(caller_of(request), job_id))


class CancelJob(ApiView):
    """POST: cancel a job."""

    @extend_schema(operation_id="cancel_job", summary="Cancel a job", tags=["jobs"], request=None, responses={200: JobShape, 202: JobShape})
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """200 with a job that ended; 202 with a running one, which is asked to end."""
        caller = caller_of(request)
        job = cancel(_job(caller, job_id), by=f"key {caller.key.prefix}")
        return Response(render_job(job), status=200 if job.state in TERMINAL else 202)


class RetryJob(ApiView):
    """POST: try a job again."""

    @extend_schema(
        operation_id="retry_job",
        summary="Try a job again",
        tags=["jobs"],
        request=RetryShape,
        responses={202: JobShape, **problems(402, 409, 429)},
    )
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """202 with a job that failed, was cancelled or expired and waits again, under its id. A body may give it a new `deadline`."""
        caller = caller_of(request)
        deadline = read_retry(request)
        job = retry(_job(caller, job_id), by=f"key {caller.key.prefix}", deadline=deadline, key=caller.key)
        return Response(render_job(job), status=202, headers={"Location": reverse("rateguard:job", args=[job.pk])})


class RequeueJob(ApiView):
    """POST: put a job back in line."""

    @extend_schema(
        operation_id="requeue_job",
        summary="Put a job back in line",
        tags=["jobs"],
        request=None,
        responses={200: JobShape, 202: JobShape, **problems(409)},
    )
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """202 with a running job, whose call is given up and which waits again at its place; 200 with one that waits: it goes on now."""
        caller = caller_of(request)
        job = requeue(_job(caller, job_id), by=f"key {caller.key.prefix}", key=caller.key)
        return Response(render_job(job), status=202 if job.state == State.RUNNING else 200)


class Nothing(ApiView):
    """Every other address under /api."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Say so, whatever the method."""
        raise NotFound


def _job(caller: Caller, job_id: uuid.UUID) -> Job:
    """A job of the caller's own; another's does not exist for it. Raises NotFound."""
    job = _OWN.one(tenant=caller.tenant.pk, job=job_id)
    if job is None:
        raise NotFound
    return job


_OWN = Compiled(
    Job,
    lambda tenant, job: Job.objects.filter(tenant=tenant, pk=job),
    tenant=(Tenant._meta.pk, -1),  # noqa: SLF001 - Django's public name for it
    job=(Job._meta.pk, uuid.UUID(int=1)),  # noqa: SLF001 - as above
)
