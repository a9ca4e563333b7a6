"""The node that a limit or a budget is put on."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.named import check_text
from tenants.changes.problems import check
from tenants.changes.rows import Kind, change, fresh, in_one_transaction
from tenants.models import EVERY, Scope, ScopeKind, Tenant

MOST_NAME_CHARS = 128


def scope_for(kind: str, tenant: Tenant | None, name: str = "") -> Scope:
    """The node's row; where there is none yet, one that is saved with the first limit or budget on it.

    kind, name: as `Scope` says: `global`; `tenant`; `team` … `key` with a name, or `*` for each one of the kind.
    Raises InvalidRequest: `invalid_field` with the pointer /scope_kind, /scope or /tenant.
    """
    if kind not in ScopeKind.values:
        raise InvalidRequest(f"write one of {', '.join(ScopeKind.values)}", code="invalid_field", pointer="/scope_kind")
    if name:
        check_text(name, "/scope", MOST_NAME_CHARS)
    _check_fit(ScopeKind(kind), tenant, name)
    return Scope.objects.filter(kind=kind, tenant=tenant, name=name).first() or Scope(kind=kind, tenant=tenant, name=name)


def kept(scope: Scope) -> Scope:
    """The row, saved. Whoever was quicker is as good. Raises InvalidRequest: what the row says; `not_found` for a tenant that is gone."""
    if scope.pk is not None:
        return fresh(scope, "scope")
    if scope.tenant is not None:
        fresh(scope.tenant, "tenant")
    found = Scope.objects.filter(kind=scope.kind, tenant=scope.tenant, name=scope.name).first()
    if found is not None:
        return found
    check(scope, {"name": "scope", "kind": "scope_kind"})
    try:
        with transaction.atomic():
            scope.save()
    except IntegrityError:
        return Scope.objects.get(kind=scope.kind, tenant=scope.tenant, name=scope.name)
    return scope


@in_one_transaction
def set_weight(actor: Actor, tenant: Tenant, user: str, weight: int) -> Scope:
    """A user's part of his tenant's share against the other users; 1 is everybody's. Raises InvalidRequest, NotAllowed."""
    actor.check_of(tenant.pk, "tenant")
    if user == EVERY:
        raise InvalidRequest("every user has weight 1: name the one that has another", code="invalid_field", pointer="/scope")
    return change(actor, KIND, kept(scope_for(ScopeKind.USER, tenant, user)), {"weight": weight})


def words_of(scope: Scope) -> str:
    """A node in words: `team ml of acme`, `every user of acme`, `every tenant`, `all tenants`."""
    if scope.kind == ScopeKind.GLOBAL:
        return "all tenants"
    if scope.kind == ScopeKind.TENANT:
        return f"tenant {scope.tenant.name}" if scope.tenant else "every tenant"
    whose = f" of {scope.tenant.name}" if scope.tenant else ""
    return f"every {scope.kind}{whose}" if scope.is_default else f"{scope.kind} {scope.name}{whose}"


def _check_fit(kind: ScopeKind, tenant: Tenant | None, name: str) -> None:
    match kind:
        case ScopeKind.GLOBAL:
            wrong = (tenant is not None, "/tenant", "the limits of all tenants together name no tenant") if not name else _NO_NAME
        case ScopeKind.TENANT if tenant is None:
            wrong = (name != "*", "/tenant", "name the tenant; or write * as the scope for each tenant")
        case ScopeKind.TENANT:
            wrong = (name != "", "/scope", "a tenant's own limits name no scope beside the tenant")
        case _ if tenant is None:
            wrong = (True, "/tenant", f"name the tenant whose {kind} it is")
        case _:
            wrong = (name == "", "/scope", f"name the {kind}, or write * for each one")
    if wrong[0]:
        raise InvalidRequest(wrong[2], code="invalid_field", pointer=wrong[1])


_NO_NAME = (True, "/scope", "the limits of all tenants together name no scope")

KIND = Kind(
    "scope",
    shown=lambda row: {"on": words_of(row), "weight": row.weight},
    tenant_of=lambda row: row.tenant,
    fields=("weight",),
    called={"name": "scope"},
    label=words_of,
)
