"""The page Now, its panels alone, and the stream that keeps them new."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import zoneinfo

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET, require_safe

from dashboard.page import page, shown
from dashboard.panels.now import page_of
from dashboard.queries.now import Figures, figures
from dashboard.views.now_live import DIGEST, live_answer
from dashboard.views.now_shared import Shared
from rateguard.engine.errors import InvalidRequest
from tenants.access import Access
from tenants.models.tenant import zone_named
from tenants.records.limits import zone_of


@dataclasses.dataclass(frozen=True, slots=True)
class Panels:
    """The panels as HTML. digest: the same while nothing but the time has changed."""

    html: SafeString
    digest: str


SHARED: Shared[Panels] = Shared()
_NO_TIME = dt.datetime.fromtimestamp(0, dt.UTC)


@require_safe
@page
def now(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The page."""
    live = _address("now-live", request)
    return shown(request, access, "now", here="now", panels=_panels(request, access).html, live=live, again=request.get_full_path())


@require_safe
@page
def panels(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The panels alone."""
    made = _panels(request, access)
    return HttpResponse(made.html, headers={DIGEST: made.digest})


@require_GET
@page
def live(request: HttpRequest, access: Access) -> HttpResponseBase:
    """The panels, and again whenever they have changed, as server-sent events."""
    made = _panels(request, access)
    return live_answer(request, made.html, made.digest, _address("now-panels", request))


def _address(name: str, request: HttpRequest) -> str:
    """One of the page's addresses, with what was asked of the page."""
    query = request.GET.urlencode()
    return reverse(f"dashboard:{name}") + (f"?{query}" if query else "")


def _panels(request: HttpRequest, access: Access) -> Panels:
    wanted = request.GET.get("zone", "")
    zone = _zone(wanted) if wanted else None
    return SHARED.get((access.tenant_ids(), wanted), lambda: _made(access, zone))


def _made(access: Access, zone: zoneinfo.ZoneInfo | None) -> Panels:
    found = figures(access)
    made = page_of(found, zone or _own_zone(found))
    html = render_to_string("rateguard/now_panels.html", {"page": made})
    same = repr(dataclasses.replace(made, at=_NO_TIME))
    return Panels(html, hashlib.sha256(same.encode()).hexdigest()[:32])


def _own_zone(found: Figures) -> zoneinfo.ZoneInfo:
    """A tenant's own; UTC for an operator, and for who has tenants in several."""
    names = {one.time_zone for one in found.tenants}
    return zone_of(names.pop() if len(names) == 1 else "UTC")


def _zone(name: str) -> zoneinfo.ZoneInfo:
    """Raises InvalidRequest: `invalid_parameter`."""
    if (zone := zone_named(name)) is not None:
        return zone
    raise InvalidRequest(f"there is no time zone {name!r}: write one like UTC or Europe/Berlin", code="invalid_parameter", pointer="/zone")
