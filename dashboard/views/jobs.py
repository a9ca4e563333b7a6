"""The page of jobs: a search whose address is the filter."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from dashboard.page import page, shown
from dashboard.panels.jobs import LANE_OPTIONS, RANGE_OPTIONS, STATE_OPTIONS, address, jobs_panel
from dashboard.queries.job_filters import NAMES, Asked, read_asked
from dashboard.queries.jobs import job_in_reach, list_jobs, offers
from tenants.access import Access


@require_safe
@page
def jobs(request: HttpRequest, access: Access) -> HttpResponseBase:
    """What is looked for; the id of a job leads to its page. A form's empty fields go out of the address."""
    now = timezone.now()
    is_part = "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers
    if (job := job_in_reach(access, request.GET.get("q", "").strip())) is not None:
        return _leads_to(reverse("dashboard:job", args=[job.pk]), is_part=is_part)
    asked = read_asked(request.GET.dict(), access, now)
    if not is_part and any(name in NAMES and not value for name, value in request.GET.items()):
        return redirect(f"{request.path}{address(asked.given)}")
    is_sought = not asked.faults and not asked.missing
    panel = jobs_panel(asked, list_jobs(access, asked) if is_sought else None, now)
    options = {"states": STATE_OPTIONS, "ranges": RANGE_OPTIONS, "lanes": LANE_OPTIONS, "offers": offers(access)}
    answer = shown(request, access, "jobs", here="jobs", asked=asked, panel=panel, now=now, **options)
    answer.status_code = 400 if asked.faults else 200
    return _pushed(answer, request, asked) if is_part else answer


def _leads_to(path: str, *, is_part: bool) -> HttpResponse:
    """A part of a page cannot send its whole page on, but by a header."""
    return HttpResponse(status=204, headers={"HX-Redirect": path}) if is_part else redirect(path)


def _pushed(answer: HttpResponse, request: HttpRequest, asked: Asked) -> HttpResponse:
    """The address that a whole page would have."""
    cursor = {"cursor": request.GET["cursor"]} if asked.cursor else {}
    answer.headers["HX-Push-Url"] = f"{request.path}{address({**asked.given, **cursor})}"
    return answer
