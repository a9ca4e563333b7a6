"""A job's page, the part of it that is live, and what was asked and answered as files."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.page import page, shown
from dashboard.panels.conversation import answered, asked
from dashboard.panels.job import job_panel
from dashboard.queries.job import bodies_of, job_of, past_of, whole_body
from rateguard.jobs.models import Job
from rateguard.jobs.states import TERMINAL
from tenants.access import Access, Power


@require_safe
@page
def job(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """All of it."""
    found = job_of(access, job_id)
    bodies = bodies_of(access, found)
    contents: dict[str, Any] = {"may_read": bodies is not None}
    if bodies is not None:
        contents |= {"asked": asked(bodies.request), "answered": answered(bodies.result) if bodies.result else None}
    return shown(request, access, "job", here="jobs", **_live(access, found), **contents)


@require_safe
@page
def part(request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """What changes while it goes on; at its end with the answer, and for the last time."""
    found = job_of(access, job_id)
    contents: dict[str, Any] = {"is_part": True}
    if found.state in TERMINAL:
        bodies = bodies_of(access, found)
        contents |= {"may_read": bodies is not None, "answered": answered(bodies.result) if bodies and bodies.result else None}
    return shown(request, access, "job_live", **_live(access, found), **contents)


def _live(access: Access, found: Job) -> dict[str, Any]:
    zone = ZoneInfo(found.tenant.time_zone)
    panel = job_panel(past_of(access, found), zone, timezone.now())
    return {"job": found, "panel": panel, "zone": zone, "may_work": access.may(Power.WORK, found.tenant_id)}


@require_safe
@page
def request_file(_request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """What was asked, as it came."""
    return _file(whole_body(access, job_of(access, job_id), "request"), f"{job_id}-request.json")


@require_safe
@page
def answer_file(_request: HttpRequest, access: Access, job_id: uuid.UUID) -> HttpResponseBase:
    """What was answered, as it came."""
    return _file(whole_body(access, job_of(access, job_id), "result"), f"{job_id}-answer.json")


def _file(text: str, name: str) -> HttpResponse:
    return HttpResponse(text, content_type="application/json", headers={"Content-Disposition": f'attachment; filename="{name}"'})
