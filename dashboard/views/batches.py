"""The pages of batches: all within reach, one of them, and the cancelling of its rest."""

from __future__ import annotations

import uuid
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from dashboard.page import page, shown
from dashboard.panels.batches import batch_panel, list_panel
from dashboard.queries.batches import batch_of, batches_of, errors_of, progress
from rateguard.engine.errors import NotAllowed
from rateguard.jobs.batches.cancelling import cancel_batch
from rateguard.jobs.insight.keyset import LONGEST_CURSOR, read_cursor
from rateguard.jobs.models import BatchState
from tenants.access import Access, Power

LONGEST_NAME = 64


@require_safe
@page
def batches(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The newest first; `?tenant=` one tenant's, `?cursor=` a further page."""
    tenant = request.GET.get("tenant", "").strip()[:LONGEST_NAME].replace("\0", "")
    cursor = read_cursor(request.GET.get("cursor", "")[: LONGEST_CURSOR + 1])
    panel = list_panel(batches_of(access, tenant, cursor), tenant)
    return shown(request, access, "batches", here="batches", panel=panel, zone=ZoneInfo("UTC"), is_first=cursor is None)


@require_safe
@page
def batch(request: HttpRequest, access: Access, batch_id: uuid.UUID) -> HttpResponseBase:
    """Its progress, its figures, its lines at fault."""
    return shown(request, access, "batch", here="batches", **_live(access, batch_id))


@require_safe
@page
def part(request: HttpRequest, access: Access, batch_id: uuid.UUID) -> HttpResponseBase:
    """What changes while it goes on."""
    return shown(request, access, "batch_live", **_live(access, batch_id))


def _live(access: Access, batch_id: uuid.UUID) -> dict[str, Any]:
    found = batch_of(access, batch_id)
    figures = progress(found)
    return {
        "batch": found,
        "panel": batch_panel(found, figures),
        "progress": figures,
        "tokens": figures.input_tokens + figures.output_tokens,
        "errors": errors_of(found),
        "zone": ZoneInfo(found.tenant.time_zone),
        "may_work": access.may(Power.WORK, found.tenant_id),
        "now": timezone.now(),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@page
def cancel(request: HttpRequest, access: Access, batch_id: uuid.UUID) -> HttpResponseBase:
    """GET asks whether to; POST does it. What has ended stays as it is."""
    found = batch_of(access, batch_id)
    if not access.may(Power.WORK, found.tenant_id):
        raise NotAllowed("Your role lets you look at batches, not cancel them. Ask an owner of your tenant for the role of a member.")
    if request.method != "POST":
        return shown(request, access, "batch_verb", here="batches", batch=found, panel=batch_panel(found, progress(found)))
    was_open = found.state == BatchState.IN_PROGRESS
    rest = cancel_batch(found, by=access.actor(found.tenant).by)
    if was_open:
        messages.success(request, f"{rest.ended:,} waiting jobs are cancelled, {rest.asked:,} running ones are asked to end.")
    else:
        messages.warning(request, "Nothing was cancelled: the batch was over already.")
    return redirect("dashboard:batch", batch_id=batch_id)
