"""Tenants: made, changed, paused and deleted by operators."""

from __future__ import annotations

from typing import Any

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.named import check_name
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import Tenant

FIELDS = ("name", "weight", "status", "time_zone", "max_waiting", "keep_bodies_days")
MOST_DAYS = 36_500


def _shown(row: Tenant) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


KIND = Kind(
    "tenant",
    shown=_shown,
    tenant_of=lambda row: row,
    fields=FIELDS,
    in_use="what it did and cost is kept. Pause it instead: status paused",
)


@in_one_transaction
def create_tenant(
    actor: Actor,
    *,
    name: str,
    weight: int = 1,
    time_zone: str = "UTC",
    max_waiting: int | None = None,
    keep_bodies_days: int | None = None,
    status: str = "active",
) -> Tenant:
    """A new tenant. Raises InvalidRequest, NotAllowed."""
    actor.check_operator("tenants")
    check_name(name)
    _check_days(keep_bodies_days)
    row = Tenant(name=name, weight=weight, time_zone=time_zone, max_waiting=max_waiting, keep_bodies_days=keep_bodies_days, status=status)
    return insert(actor, KIND, row)


@in_one_transaction
def change_tenant(actor: Actor, tenant: Tenant, **fields: Any) -> Tenant:
    """Other values of some of FIELDS. status: `paused` refuses its keys and new work; what waits goes on."""
    actor.check_operator("tenants")
    row = fresh(tenant, KIND.name)
    if "name" in fields:
        check_name(fields["name"])
    _check_days(fields.get("keep_bodies_days"))
    return change(actor, KIND, row, fields)


@in_one_transaction
def delete_tenant(actor: Actor, tenant: Tenant) -> None:
    """Delete a tenant with its keys, members, limits and budgets. Raises InvalidRequest `in_use` for one that worked already."""
    actor.check_operator("tenants")
    remove(actor, KIND, fresh(tenant, KIND.name))


def _check_days(days: Any) -> None:
    if days is not None and not (isinstance(days, int) and 1 <= days <= MOST_DAYS):
        message = f"keep_bodies_days is a whole number of days from 1 to {MOST_DAYS:,}, or empty for the default"
        raise InvalidRequest(message, code="invalid_field", pointer="/keep_bodies_days")
