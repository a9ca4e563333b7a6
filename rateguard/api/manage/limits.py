"""Limits, on nodes, accounts and deployments, as people write them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import TENANT, changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, Reach, numbered, reach_of
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_limit
from rateguard.api.manage.shapes import LIMITS, LimitChangesShape, LimitShape, NewLimitShape
from rateguard.api.params import Query
from rateguard.engine.errors import InvalidRequest
from tenants.changes.limits import change_limit, create_limit, delete_limit
from tenants.changes.scopes import scope_for
from tenants.models import Deployment, Limit, ProviderAccount, Scope, ScopeKind

TENANT_PATHS = ("scope__tenant", "account__tenant", "deployment__account__tenant")
FILTERS = {"scope_kind": "scope__kind", "scope": "scope__name", "account": "account__name", "deployment": "deployment__name"}


class Limits(ManageView):
    """GET: the limits. POST: a new one."""

    @lists("limits", LIMITS, TENANT, word("scope_kind", ScopeKind.values), name_of("scope"), name_of("account"), name_of("deployment"))
    def get(self, request: Request) -> Response:
        """Of all for an operator, or of one tenant."""
        query = Query(request, ("tenant", *FILTERS, *PAGE))
        query.choice("scope_kind", ScopeKind.values)
        wanted = {path: query.text(name) for name, path in FILTERS.items()}
        rows = reach_of(request).listed(_rows(), query, *TENANT_PATHS)
        return page_of(rows.filter(**{path: value for path, value in wanted.items() if value}), query, render_limit)

    @creates("limit", NewLimitShape, LimitShape)
    def post(self, request: Request) -> Response:
        """201. It acts on what waits already, within a second."""
        reach, fields = reach_of(request), read(request, NewLimitShape)
        row = create_limit(reach.actor, _place(reach, fields), fields["limit"])
        return Response(render_limit(row), status=201, headers={"Location": reverse("rateguard:manage-limit", args=[row.pk])})


class OneLimit(ManageView):
    """GET, PATCH and DELETE of a limit."""

    @shows("limit", LimitShape)
    def get(self, request: Request, limit: int) -> Response:
        """A limit."""
        Query(request, ())
        return Response(render_limit(_row(request, limit)))

    @changes("limit", LimitChangesShape, LimitShape)
    def patch(self, request: Request, limit: int) -> Response:
        """The limit, written anew. What is used stays used."""
        row, fields = _row(request, limit), read(request, LimitChangesShape, partial=True)
        return Response(render_limit(change_limit(reach_of(request).actor, row, fields["limit"]) if fields else row))

    @deletes("limit")
    def delete(self, request: Request, limit: int) -> Response:
        """204. What waited for it goes on."""
        delete_limit(reach_of(request).actor, _row(request, limit))
        return Response(status=204)


def _place(reach: Reach, fields: dict[str, Any]) -> Scope | ProviderAccount | Deployment:
    """What a new limit is on. Raises InvalidRequest."""
    places = [name for name in ("scope_kind", "account", "deployment") if name in fields]
    if len(places) != 1:
        what = "name one of scope_kind (with scope), account and deployment"
        raise InvalidRequest(what, code="invalid_field" if places else "missing_field", pointer=f"/{(places or ['scope_kind'])[-1]}")
    if places == ["scope_kind"]:
        return named_scope(reach, fields)
    if extra := [name for name in ("tenant", "scope") if name in fields]:
        raise InvalidRequest(f"whose the {places[0]} is, it says itself: leave this out", code="invalid_field", pointer=f"/{extra[0]}")
    return reach.account(fields["account"]) if places == ["account"] else reach.deployment(fields["deployment"])


def named_scope(reach: Reach, fields: dict[str, Any]) -> Scope:
    """The node that a body names; the tenant of a tenant's key goes without saying. Raises InvalidRequest."""
    kind = fields["scope_kind"]
    tenant = None if kind == ScopeKind.GLOBAL and "tenant" not in fields else reach.owner(fields.get("tenant"))
    return scope_for(kind, tenant, fields.get("scope", ""))


def _rows() -> Any:
    return Limit.objects.select_related("scope__tenant", "account__tenant", "deployment__account__tenant")


def _row(request: Request, pk: int) -> Limit:
    found: Limit = numbered(reach_of(request).own(_rows(), *TENANT_PATHS), pk)
    return found
