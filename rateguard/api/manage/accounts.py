"""Provider accounts: credentials go in and never come out."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of
from rateguard.api.manage.described import TENANT, changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, reach_of, sure
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_account
from rateguard.api.manage.shapes_providers import ACCOUNTS, AccountChangesShape, AccountShape, NewAccountShape
from rateguard.api.params import Query
from tenants.changes.accounts import change_account, create_account, delete_account
from tenants.models import ProviderAccount


class Accounts(ManageView):
    """GET: the accounts. POST: a new one."""

    @lists("accounts", ACCOUNTS, TENANT, name_of("provider"))
    def get(self, request: Request) -> Response:
        """All of them for an operator; for a tenant its own."""
        query = Query(request, ("tenant", "provider", *PAGE))
        rows = reach_of(request).listed(ProviderAccount.objects.select_related("tenant"), query, "tenant")
        provider = query.text("provider")
        return page_of(rows.filter(provider=provider) if provider else rows, query, render_account)

    @creates("account", NewAccountShape, AccountShape)
    def post(self, request: Request) -> Response:
        """201. An operator's is of all tenants, unless it names one; a tenant's own is the tenant's."""
        reach, fields = reach_of(request), read(request, NewAccountShape)
        row = create_account(reach.actor, tenant=reach.owner(fields.pop("tenant", None)), **fields)
        return Response(render_account(row), status=201, headers={"Location": reverse("rateguard:manage-account", args=[row.pk])})


class OneAccount(ManageView):
    """GET, PATCH and DELETE of an account, by name or id."""

    @shows("account", AccountShape)
    def get(self, request: Request, account: str) -> Response:
        """An account, without its credentials."""
        Query(request, ())
        return Response(render_account(_row(request, account)))

    @changes("account", AccountChangesShape, AccountShape)
    def patch(self, request: Request, account: str) -> Response:
        """The fields that are named. Another provider or base URL comes with its credentials."""
        row = _row(request, account)
        return Response(render_account(change_account(reach_of(request).actor, row, **read(request, AccountChangesShape, partial=True))))

    @deletes("account")
    def delete(self, request: Request, account: str) -> Response:
        """204; 409 while it has deployments."""
        delete_account(reach_of(request).actor, _row(request, account))
        return Response(status=204)


def _row(request: Request, name: str) -> ProviderAccount:
    return sure(reach_of(request).own(ProviderAccount.objects.select_related("tenant"), "tenant"), name)
