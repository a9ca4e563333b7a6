"""Models: the names that callers use, and where they lead. A tenant's key sees them; an operator sets them."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of
from rateguard.api.manage.described import changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, Reach, reach_of, sure
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_model
from rateguard.api.manage.shapes_providers import ROUTES, RouteChangesShape, RouteShape
from rateguard.api.params import Query
from tenants.changes.models import change_model, create_model, delete_model
from tenants.models import ModelRoute, RouteTarget, Tenant


class Models(ManageView):
    """GET: the models. POST: a new one."""

    @lists("models", ROUTES, name_of("name"))
    def get(self, request: Request) -> Response:
        """All of them; a tenant sees neither other tenants' deployments nor what others' requests made of a wildcard."""
        query, tenant = Query(request, ("name", *PAGE)), reach_of(request).actor.tenant
        name, rows = query.text("name"), _rows(tenant)
        return page_of(rows.filter(name=name) if name else rows, query, lambda row: render_model(row, tenant))

    @creates("model", RouteChangesShape, RouteShape)
    def post(self, request: Request) -> Response:
        """201. For operators."""
        reach = reach_of(request)
        reach.actor.check_operator("models")
        row = create_model(reach.actor, **_with_deployments(reach, read(request, RouteChangesShape)))
        return Response(render_model(row, None), status=201, headers={"Location": reverse("rateguard:manage-model", args=[row.name])})


class OneModel(ManageView):
    """GET, PATCH and DELETE of a model, by name or id."""

    @shows("model", RouteShape)
    def get(self, request: Request, model: str) -> Response:
        """A model and where it leads."""
        Query(request, ())
        tenant = reach_of(request).actor.tenant
        return Response(render_model(sure(_rows(tenant), model), tenant))

    @changes("model", RouteChangesShape, RouteShape)
    def patch(self, request: Request, model: str) -> Response:
        """The fields that are named; `deployments`, `weights`, `after_ms` and `fallbacks` name all of them. For operators."""
        row, reach = sure(ModelRoute.objects.all(), model), reach_of(request)
        reach.actor.check_operator("models")
        fields = _with_deployments(reach, read(request, RouteChangesShape, partial=True))
        return Response(render_model(change_model(reach.actor, row, **fields), None))

    @deletes("model")
    def delete(self, request: Request, model: str) -> Response:
        """204; 409 while something leads to it. Its deployments stay; what a wildcard made takes no work any more. For operators."""
        delete_model(reach_of(request).actor, sure(ModelRoute.objects.all(), model))
        return Response(status=204)


def _with_deployments(reach: Reach, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with rows for the deployments that they name. Raises InvalidRequest: `unknown_deployment`."""
    if "deployments" not in fields:
        return fields
    return {**fields, "deployments": [reach.deployment(name, f"/deployments/{place}") for place, name in enumerate(fields["deployments"])]}


def _rows(tenant: Tenant | None) -> QuerySet[ModelRoute]:
    rows = ModelRoute.objects.select_related("wildcard").prefetch_related("targets__deployment__account", "fallbacks__to")
    if tenant is None:
        return rows
    own = RouteTarget.objects.filter(route=OuterRef("pk"), deployment__account__tenant=tenant)
    return rows.filter(Q(wildcard__isnull=True) | Exists(own))
