"""The page: jobs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from dashboard.page import page, shown
from tenants.access import Access


@require_safe
@page
def jobs(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The page."""
    return shown(request, access, "jobs", here="jobs")
