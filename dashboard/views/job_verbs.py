"""Cancelling a job, trying it again, putting it back in line and moving it to another lane, in the name of the person who asks."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from dashboard.page import page, shown
from dashboard.panels.job import can_cancel
from dashboard.queries.job import job_of
from rateguard.engine.errors import InvalidRequest, NotAllowed
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.bodies import why_gone
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.models import Job
from rateguard.jobs.states import RESUBMIT, TERMINAL, WAITING, State
from rateguard.jobs.steering.lane import change_lane
from rateguard.jobs.steering.requeue import is_requeueable, requeue
from tenants.access import Access, Power


@require_http_methods(["GET", "HEAD", "POST"])
@page
def cancel_job(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """GET asks whether to; POST does it. A job that ended meanwhile stays as it is."""
    job = _job_to_work_on(access, job_id)
    if request.method != "POST":
        return shown(request, access, "job_verb", here="jobs", job=job, verb="cancel", makes_sense=can_cancel(job))
    had_ended = job.state in TERMINAL
    job = cancel(job, by=access.actor(job.tenant).by)
    if job.state == State.RUNNING:
        messages.success(request, "The job is asked to end: its call is broken off within a second or so.")
    elif job.state == State.CANCELLED and not had_ended:
        messages.success(request, "The job is cancelled.")
    else:
        messages.warning(request, f"Nothing was cancelled: the job had ended already, it is {job.state}.")
    return redirect("dashboard:job", job_id=job_id)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def retry_job(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """GET asks whether to; POST does it. What is refused is told on the job's page."""
    job = _job_to_work_on(access, job_id)
    if request.method != "POST":
        gone = why_gone(job)
        makes_sense = job.state in RESUBMIT.sources and not gone
        return shown(request, access, "job_verb", here="jobs", job=job, verb="retry", makes_sense=makes_sense, gone=gone)
    if job.state not in TERMINAL:
        messages.info(request, f"The job goes on already: it is {job.state}.")
        return redirect("dashboard:job", job_id=job_id)
    try:
        retry(job, by=access.actor(job.tenant).by)
        messages.success(request, "The job waits again.")
    except InvalidRequest as refusal:
        messages.error(request, f"The job was not tried again: {refusal}.")
    return redirect("dashboard:job", job_id=job_id)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def requeue_job(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """GET asks whether to; POST does it. What is refused is told on the job's page."""
    job = _job_to_work_on(access, job_id)
    if request.method != "POST":
        return shown(request, access, "job_verb", here="jobs", job=job, verb="requeue", makes_sense=is_requeueable(job))
    try:
        job = requeue(job, by=access.actor(job.tenant).by)
    except InvalidRequest as refusal:
        messages.error(request, f"The job was not put back in line: {refusal}.")
    else:
        is_asked = job.state == State.RUNNING
        messages.success(request, "Its call is given up within a second or so; then it waits again." if is_asked else "The job is in line.")
    return redirect("dashboard:job", job_id=job_id)


@require_http_methods(["GET", "HEAD", "POST"])
@page
def move_job(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """GET asks where to; POST does it. What is refused is told on the job's page."""
    job = _job_to_work_on(access, job_id)
    if request.method != "POST":
        lanes = [(lane.label, lane == job.lane) for lane in Lane]
        return shown(request, access, "job_lane", here="jobs", job=job, lanes=lanes, makes_sense=job.state in WAITING)
    try:
        lane = parse_lane(request.POST.get("lane", "")[:20])
        change_lane(job, lane, by=access.actor(job.tenant).by)
        messages.success(request, f"The job is on lane {lane.label}.")
    except InvalidRequest as refusal:
        messages.error(request, f"The job stays on its lane: {refusal}.")
    return redirect("dashboard:job", job_id=job_id)


def _job_to_work_on(access: Access, job_id: uuid.UUID) -> Job:
    """A job within reach. Raises Http404, NotAllowed."""
    job = job_of(access, job_id)
    if not access.may(Power.WORK, job.tenant_id):
        raise NotAllowed("Your role lets you look at jobs, not work on them. Ask an owner of your tenant for the role of a member.")
    return job
