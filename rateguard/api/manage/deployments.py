"""Deployments: one model at one account."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of
from rateguard.api.manage.described import TENANT, changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, reach_of, sure
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_deployment
from rateguard.api.manage.shapes_providers import DEPLOYMENTS, DeploymentChangesShape, DeploymentShape, NewDeploymentShape
from rateguard.api.params import Query
from tenants.changes.deployments import change_deployment, create_deployment, delete_deployment
from tenants.models import Deployment

OWNER = "account__tenant"


class Deployments(ManageView):
    """GET: the deployments. POST: a new one."""

    @lists("deployments", DEPLOYMENTS, TENANT, name_of("account"))
    def get(self, request: Request) -> Response:
        """All of them for an operator; for a tenant those at its own accounts."""
        query = Query(request, ("tenant", "account", *PAGE))
        rows = reach_of(request).listed(_rows(), query, OWNER)
        account = query.text("account")
        return page_of(rows.filter(account__name=account) if account else rows, query, render_deployment)

    @creates("deployment", NewDeploymentShape, DeploymentShape)
    def post(self, request: Request) -> Response:
        """201. Work comes to it once a model leads there."""
        reach, fields = reach_of(request), read(request, NewDeploymentShape)
        row = create_deployment(reach.actor, account=reach.account(fields.pop("account")), **fields)
        return Response(render_deployment(row), status=201, headers={"Location": reverse("rateguard:manage-deployment", args=[row.pk])})


class OneDeployment(ManageView):
    """GET, PATCH and DELETE of a deployment, by name or id."""

    @shows("deployment", DeploymentShape)
    def get(self, request: Request, deployment: str) -> Response:
        """A deployment."""
        Query(request, ())
        return Response(render_deployment(_row(request, deployment)))

    @changes("deployment", DeploymentChangesShape, DeploymentShape)
    def patch(self, request: Request, deployment: str) -> Response:
        """The fields that are named. `is_enabled` false: it takes nothing new."""
        row = _row(request, deployment)
        fields = read(request, DeploymentChangesShape, partial=True)
        return Response(render_deployment(change_deployment(reach_of(request).actor, row, **fields)))

    @deletes("deployment")
    def delete(self, request: Request, deployment: str) -> Response:
        """204: no model leads to it any more. What runs there ends as it would have."""
        delete_deployment(reach_of(request).actor, _row(request, deployment))
        return Response(status=204)


def _rows() -> Any:
    return Deployment.objects.select_related("account__tenant", "wildcard")


def _row(request: Request, name: str) -> Deployment:
    found: Deployment = sure(reach_of(request).own(_rows(), OWNER), name)
    return found
