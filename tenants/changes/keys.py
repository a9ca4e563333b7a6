"""API keys: what they may do, made, changed, rotated, revoked. A secret is shown once, to whoever made it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.errors import InvalidRequest
from tenants.changes.actor import Actor
from tenants.changes.key_rules import check_fields, check_not_wider
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, noted
from tenants.keys import issue_key, revoke_key, rotate_key
from tenants.models import ApiKey, AuditAction, Permission, Tenant
from tenants.models.tenant import default_permissions

FIELDS = ("name", "permissions", "is_operator", "allowed_models", "default_lane", "highest_lane", "bound", "expires_at")
LONGEST_OVERLAP = dt.timedelta(days=30)


def _shown(row: ApiKey) -> dict[str, Any]:
    return {"prefix": row.prefix, **{name: getattr(row, name) for name in FIELDS}, "revoked_at": row.revoked_at}


KIND = Kind("key", shown=_shown, tenant_of=lambda row: row.tenant, fields=FIELDS, label=lambda row: row.name)


@in_one_transaction
def create_key(
    actor: Actor,
    tenant: Tenant,
    *,
    name: str,
    permissions: Sequence[str] | None = None,
    is_operator: bool = False,
    allowed_models: Sequence[str] = (),
    default_lane: int | None = None,
    highest_lane: int | None = None,
    bound: Mapping[str, str] | None = None,
    expires_at: dt.datetime | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its secret, which nobody can read again. permissions: None: to submit and read; an operator's key has all.

    bound: {"team": "ml"}: what it submits is charged there. A tenant's key makes none that may do more than itself.
    Raises InvalidRequest, NotAllowed.
    """
    owner = _owner(actor, tenant)
    usual = list(Permission.values) if is_operator else default_permissions()
    fields: dict[str, Any] = {
        "name": name,
        "permissions": usual if permissions is None else list(permissions),
        "is_operator": is_operator,
        "allowed_models": list(allowed_models),
        "default_lane": default_lane,
        "highest_lane": highest_lane,
        "bound": dict(bound or {}),
        "expires_at": expires_at,
    }
    check_fields(fields, set(fields))
    check_not_wider(actor, fields)
    row, secret = issue_key(owner, **fields)
    row.refresh_from_db()
    return noted(actor, KIND, row, AuditAction.CREATED, after=_shown(row)), secret


@in_one_transaction
def change_key(actor: Actor, key: ApiKey, **fields: Any) -> ApiKey:
    """Other values of some of FIELDS. It acts on the key's next request."""
    row = _within_reach(actor, key)
    after = {name: fields.get(name, getattr(row, name)) for name in FIELDS}
    check_fields(after, set(fields))
    check_not_wider(actor, {name: value for name, value in after.items() if name in fields or name != "expires_at"})
    return change(actor, KIND, row, fields)


@in_one_transaction
def rotate(actor: Actor, key: ApiKey, overlap: dt.timedelta) -> str:
    """A new secret for a key; the old one is good for `overlap` more. Id, limits and all else stay.

    Raises InvalidRequest: `invalid_field` with the pointer /overlap, `key_revoked` for one that is revoked or expired.
    """
    row = _within_reach(actor, key)
    check_not_wider(actor, {"is_operator": row.is_operator, "expires_at": row.expires_at})
    if not dt.timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise InvalidRequest(f"an overlap is from 0 to {LONGEST_OVERLAP.days} days", code="invalid_field", pointer="/overlap")
    in_force = Q(expires_at__isnull=True) | Q(expires_at__gt=Now())
    if not ApiKey.objects.filter(in_force, pk=row.pk, revoked_at__isnull=True).exists():
        raise InvalidRequest(
            "this key is revoked or expired, a new secret would be worth nothing: make another key, or give it a later expires_at",
            code="key_revoked",
        )
    before = {"prefix": row.prefix}
    secret = rotate_key(row, overlap)
    noted(actor, KIND, row, AuditAction.ROTATED, before=before, after={"prefix": row.prefix, "old_until": row.previous_expires_at})
    return secret


@in_one_transaction
def revoke(actor: Actor, key: ApiKey) -> ApiKey:
    """End a key now, with the old secret of a rotation. Revoking again changes nothing."""
    row = _within_reach(actor, key)
    if row.revoked_at is not None:
        return row
    revoke_key(row)
    row.refresh_from_db()
    return noted(actor, KIND, row, AuditAction.REVOKED, after={"revoked_at": row.revoked_at})


def _owner(actor: Actor, tenant: Tenant) -> Tenant:
    if actor.tenant is not None and tenant.pk != actor.tenant.pk:
        actor.check_of(tenant.pk, "tenant")
    return fresh(tenant, "tenant")


def _within_reach(actor: Actor, key: ApiKey) -> ApiKey:
    """The key, locked. One that may do more than the acting key is left alone; one that only lives longer may be changed and revoked."""
    row = fresh(key, KIND.name)
    if actor.tenant is not None and row.tenant_id != actor.tenant.pk:
        actor.check_of(row.tenant_id, KIND.name)
    check_not_wider(actor, {name: getattr(row, name) for name in FIELDS if name != "expires_at"})
    return row
