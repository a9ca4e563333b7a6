"""The audit: who changed what, and when."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import TENANT, lists
from rateguard.api.manage.door import ManageView, reach_of
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.rendering import render_entry
from rateguard.api.manage.shapes_providers import AUDIT
from rateguard.api.params import Query
from rateguard.api.reading import read_time
from rateguard.engine.errors import InvalidRequest
from tenants.models import AuditAction, AuditEntry
from tenants.told import names_told

KINDS = ["tenant", "member", "operator", "key", "limit", "budget", "account", "deployment", "model", "price", "pause", "run"]
_EXACT = ("kind", "action", "object_id", "name", "by", "request_id")
_TIMES = {"since": "at__gte", "until": "at__lt"}


def _time(name: str) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", "format": "date-time"}, description="A time with its zone.")


class Audit(ManageView):
    """GET: the changes, the newest first."""

    http_method_names = ("get", "head")

    @lists(
        "audit",
        AUDIT,
        TENANT,
        word("kind", KINDS),
        word("action", AuditAction.values),
        name_of("object_id", "The id of what was changed."),
        name_of("name"),
        name_of("by"),
        name_of("request_id"),
        _time("since"),
        _time("until"),
    )
    def get(self, request: Request) -> Response:
        """Of all for an operator, or of one tenant; for a tenant its own, without the names of operators."""
        reach, query = reach_of(request), Query(request, ("tenant", *_EXACT, *_TIMES, *PAGE))
        rows = reach.listed(AuditEntry.objects.select_related("tenant"), query, "tenant").filter(**_wanted(query))
        known = None if reach.actor.tenant is None else names_told([reach.actor.tenant.pk])
        if known is not None and query.text("by") not in {"", *known}:
            rows = rows.none()
        return page_of(rows, query, lambda row: render_entry(row, known), is_newest_first=True)


def _wanted(query: Query) -> dict[str, Any]:
    query.choice("kind", KINDS)
    query.choice("action", AuditAction.values)
    found: dict[str, Any] = {name: query.text(name) for name in _EXACT}
    found |= {path: _moment(query, name) for name, path in _TIMES.items()}
    return {path: value for path, value in found.items() if value}


def _moment(query: Query, name: str) -> dt.datetime | None:
    text = query.text(name)
    try:
        return read_time(text, "") if text else None
    except InvalidRequest as error:
        raise InvalidRequest(f"{name}: {error}", code="invalid_parameter") from None
