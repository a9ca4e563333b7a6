"""The pages of tenants: all within reach, and one of them."""

from __future__ import annotations

from typing import Never
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from dashboard.page import page, shown
from dashboard.panels.tenant import tenant_panel
from dashboard.panels.tenants import list_panel
from dashboard.queries.quotas import read_quotas
from dashboard.queries.spans import CHOICES
from dashboard.queries.spans import DEFAULT as DEFAULT_SPAN
from dashboard.queries.tenant import DIMENSIONS, find_tenant, read_figures, read_people
from dashboard.queries.tenants import SORTS, list_tenants
from rateguard.engine.errors import InvalidRequest
from tenants.access import Access, Power
from tenants.models.tenant import no_such_zone, zone_named
from tenants.records.limits import zone_of

LONGEST_SEARCH = 64
MOST_PAGES = 1_000_000


@require_safe
@page
def tenants(request: HttpRequest, access: Access) -> HttpResponseBase:
    """`?q=` a part of the name, `?sort=`, `?page=`."""
    search = request.GET.get("q", "").strip()[:LONGEST_SEARCH].replace("\0", "")
    sort = _one_of(request, "sort", SORTS, SORTS[0])
    listing = list_tenants(access, search, sort, _number(request.GET.get("page", "1")))
    return shown(request, access, "tenants", here="tenants", panel=list_panel(listing, search, sort))


@require_safe
@page
def tenant(request: HttpRequest, access: Access, name: str) -> HttpResponseBase:
    """`?span=`, `?by=` a dimension, `?zone=` another time zone than the tenant's."""
    span = _one_of(request, "span", tuple(CHOICES), DEFAULT_SPAN)
    by = _one_of(request, "by", DIMENSIONS, DIMENSIONS[0])
    zone = _zone(request.GET.get("zone", ""))
    found = find_tenant(access, name)
    if found is None:
        raise Http404
    figures, quotas = read_figures(found, span, by, zone), read_quotas(found)
    is_manager = access.may(Power.MANAGE, found.pk)
    return shown(
        request,
        access,
        "tenant",
        here="tenants",
        tenant=found,
        tenant_zone=zone_of(found.time_zone),
        address=request.build_absolute_uri("/").rstrip("/"),
        panel=tenant_panel(found.name, figures, quotas, zone.key if zone else ""),
        quotas=quotas,
        people=read_people(found) if is_manager else None,
    )


def _one_of(request: HttpRequest, name: str, known: tuple[str, ...], default: str) -> str:
    found = request.GET.get(name, "") or default
    if found not in known:
        _refuse(f"“{name}” is one of {', '.join(known)}.")
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:8]) <= MOST_PAGES):
        _refuse("“page” is a whole number from 1.")
    return int(text[:8])


def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    return zone_named(name) or _refuse(f"“zone”: {no_such_zone(name)}.")


def _refuse(message: str) -> Never:
    raise InvalidRequest(message, code="invalid_parameter")
