"""Tenants. An operator makes, changes and deletes them; a tenant's key sees its own."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, reach_of, sure
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_tenant
from rateguard.api.manage.shapes import TENANTS, TenantChangesShape, TenantShape
from rateguard.api.params import Query
from tenants.changes.tenants import change_tenant, create_tenant, delete_tenant
from tenants.models import Tenant, TenantStatus


class Tenants(ManageView):
    """GET: the tenants. POST: a new one."""

    @lists("tenants", TENANTS, name_of("name"), word("status", TenantStatus.values))
    def get(self, request: Request) -> Response:
        """All of them for an operator; for a tenant itself."""
        query = Query(request, ("name", "status", *PAGE))
        wanted = {"name": query.text("name"), "status": query.choice("status", TenantStatus.values)}
        rows = reach_of(request).own(Tenant.objects.all(), "pk")
        return page_of(rows.filter(**{name: value for name, value in wanted.items() if value}), query, render_tenant)

    @creates("tenant", TenantChangesShape, TenantShape)
    def post(self, request: Request) -> Response:
        """201. For operators."""
        row = create_tenant(reach_of(request).actor, **read(request, TenantChangesShape))
        return Response(render_tenant(row), status=201, headers={"Location": reverse("rateguard:manage-tenant", args=[row.pk])})


class OneTenant(ManageView):
    """GET, PATCH and DELETE of a tenant, by name or id."""

    @shows("tenant", TenantShape)
    def get(self, request: Request, tenant: str) -> Response:
        """Another tenant does not exist for a tenant's key."""
        Query(request, ())
        return Response(render_tenant(_row(request, tenant)))

    @changes("tenant", TenantChangesShape, TenantShape)
    def patch(self, request: Request, tenant: str) -> Response:
        """The fields that are named. For operators."""
        row = _row(request, tenant)
        return Response(render_tenant(change_tenant(reach_of(request).actor, row, **read(request, TenantChangesShape, partial=True))))

    @deletes("tenant")
    def delete(self, request: Request, tenant: str) -> Response:
        """204, with its keys, members, limits and budgets; 409 for one that worked already: pause it. For operators."""
        delete_tenant(reach_of(request).actor, _row(request, tenant))
        return Response(status=204)


def _row(request: Request, name: str) -> Tenant:
    return sure(reach_of(request).own(Tenant.objects.all(), "pk"), name)
