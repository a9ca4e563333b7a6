"""Cancelling a job and trying it again, in the name of the person who asks."""

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
from rateguard.jobs.bodies import why_gone
from rateguard.jobs.ends.cancel import cancel
from rateguard.jobs.intake.retry import retry
from rateguard.jobs.models import Job
from rateguard.jobs.states import RESUBMIT, TERMINAL, State
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


def _job_to_work_on(access: Access, job_id: uuid.UUID) -> Job:
    """A job within reach. Raises Http404, NotAllowed."""
    job = job_of(access, job_id)
    if not access.may(Power.WORK, job.tenant_id):
        raise NotAllowed("Your role lets you look at jobs, not cancel or retry them. Ask an owner of your tenant for the role of a member.")
    return job
