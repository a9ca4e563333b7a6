"""What all views of management have in common: the permission, who acts, and what is within reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from django.db.models import Model, Q, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from rateguard.api.authentication import Caller
from rateguard.api.door import ApiView, caller_of
from rateguard.api.middleware import request_id_of
from rateguard.api.params import MOST_PK, Query
from rateguard.engine.errors import InvalidRequest
from rateguard.jobs.controls.targets import find_named
from tenants.changes.actor import Actor
from tenants.models import Deployment, Permission, ProviderAccount, Tenant

Row = TypeVar("Row", bound=Model)

METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")


class ManageView(ApiView):
    """A view for keys with the permission `manage`, also to look."""

    needs = dict.fromkeys(METHODS, Permission.MANAGE)
    http_method_names: Sequence[str] = ("get", "head", "post", "patch", "delete")


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """What a caller may manage: an operator everything, a tenant's key its tenant's own; the rest does not exist for it."""

    caller: Caller
    actor: Actor

    def own(self, rows: QuerySet[Row], *paths: str) -> QuerySet[Row]:
        """The rows within reach. paths: how a row leads to its tenant."""
        return rows if self.actor.is_operator else rows.filter(_any(paths, self.caller.tenant))

    def listed(self, rows: QuerySet[Row], query: Query, *paths: str) -> QuerySet[Row]:
        """The rows within reach, of the tenant that `?tenant=` names. Raises NotFound."""
        name = query.text("tenant")
        if not name:
            return self.own(rows, *paths)
        tenant = sure(self.own(Tenant.objects.all(), "pk"), name)
        return rows.filter(_any(paths, tenant))

    def owner(self, name: str | None) -> Tenant | None:
        """The tenant that a body names; a tenant's key need not name its own. Raises InvalidRequest: `unknown_tenant`."""
        if name is None:
            return self.actor.tenant
        found = find_named(self.own(Tenant.objects.all(), "pk"), name)
        if found is None:
            raise InvalidRequest(f"there is no tenant {name!r}", code="unknown_tenant", pointer="/tenant")
        return found

    def account(self, name: str) -> ProviderAccount:
        """The account that a body names. Raises InvalidRequest: `unknown_account`."""
        found = find_named(self.own(ProviderAccount.objects.all(), "tenant"), name)
        if found is None:
            raise InvalidRequest(f"there is no account {name!r}", code="unknown_account", pointer="/account")
        return found

    def deployment(self, name: str, pointer: str = "/deployment") -> Deployment:
        """The deployment that a body names. Raises InvalidRequest: `unknown_deployment`."""
        found = find_named(self.own(Deployment.objects.select_related("account"), "account__tenant"), name)
        if found is None:
            raise InvalidRequest(f"there is no deployment {name!r}", code="unknown_deployment", pointer=pointer)
        return found

    def sure_owner(self, name: str | None) -> Tenant:
        """The same, where there must be one. Raises InvalidRequest: `missing_field`."""
        found = self.owner(name)
        if found is None:
            raise InvalidRequest("name the tenant whose it is", code="missing_field", pointer="/tenant")
        return found


def reach_of(request: Request) -> Reach:
    """What the caller of a request may manage."""
    caller = caller_of(request)
    tenant = None if caller.key.is_operator else caller.tenant
    return Reach(caller, Actor(f"key {caller.key.prefix}", tenant, request_id_of(request), caller.key))


def sure(rows: QuerySet[Row], name: str) -> Row:
    """The row of a name, else of a number. Raises NotFound."""
    found = find_named(rows, name)
    if found is None:
        raise NotFound
    return found


def numbered(rows: QuerySet[Row], pk: int) -> Row:
    """The row of a number. Raises NotFound."""
    found = rows.filter(pk=pk).first() if pk <= MOST_PK else None
    if found is None:
        raise NotFound
    return found


def _any(paths: tuple[str, ...], tenant: Tenant) -> Q:
    found = Q()
    for path in paths:
        found |= Q(**{path: tenant.pk})
    return found
