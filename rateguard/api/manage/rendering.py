"""What is managed, as callers see it. Credentials and secrets are nowhere here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rateguard.api.rendering import time_text
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.calibrated import learned
from tenants.changes import budgets, limits
from tenants.changes.deployments import BREAKER
from tenants.changes.models import RETRIES
from tenants.changes.price_parts import usd_of
from tenants.changes.prices import COLUMNS, parts_of
from tenants.changes.routes import CHOOSING, deployments_of, fallbacks_of, waits_of, weights_of
from tenants.models import ApiKey, AuditEntry, Budget, Deployment, Limit, Member, ModelRoute, Price, ProviderAccount, Tenant
from tenants.told import told_by

_LIMIT_VALUES = ("metric", "kind", "amount", "window_ms")
_BUDGET_VALUES = ("unit", "amount", "period", "on_exhausted", "thresholds")


def render_tenant(row: Tenant) -> dict[str, Any]:
    """A tenant."""
    return {
        "id": row.pk,
        "object": "tenant",
        "name": row.name,
        "weight": row.weight,
        "status": row.status,
        "time_zone": row.time_zone,
        "max_waiting": row.max_waiting,
        "keep_bodies_days": row.keep_bodies_days,
        "created_at": time_text(row.created_at),
    }


def render_member(row: Member) -> dict[str, Any]:
    """A person who belongs to a tenant."""
    return {
        "id": row.pk,
        "object": "member",
        "tenant": row.tenant.name,
        "username": row.user.get_username(),
        "role": row.role,
        "created_at": time_text(row.created_at),
    }


def render_key(row: ApiKey) -> dict[str, Any]:
    """A key, without its secret."""
    return {
        "id": row.pk,
        "object": "key",
        "tenant": row.tenant.name,
        "name": row.name,
        "prefix": row.prefix,
        "permissions": row.permissions,
        "is_operator": row.is_operator,
        "allowed_models": row.allowed_models,
        "default_lane": _lane(row.default_lane),
        "highest_lane": _lane(row.highest_lane),
        "bound": row.bound,
        "created_at": time_text(row.created_at),
        "expires_at": time_text(row.expires_at),
        "rotated_at": time_text(row.rotated_at),
        "old_secret_until": time_text(row.previous_expires_at),
        "revoked_at": time_text(row.revoked_at),
    }


def _lane(number: int | None) -> str | None:
    return None if number is None else Lane(number).label


def render_limit(row: Limit) -> dict[str, Any]:
    """A limit, and what it is on."""
    tenant = limits.tenant_of(row)
    return {
        "id": row.pk,
        "object": "limit",
        "tenant": tenant.name if tenant else None,
        "scope_kind": row.scope.kind if row.scope else None,
        "scope": row.scope.name if row.scope else None,
        "account": row.account.name if row.account else None,
        "deployment": row.deployment.name if row.deployment else None,
        "limit": limits.text_of(row),
        **{name: getattr(row, name) for name in _LIMIT_VALUES},
    }


def render_budget(row: Budget) -> dict[str, Any]:
    """A budget, and the node that it is on."""
    return {
        "id": row.pk,
        "object": "budget",
        "tenant": row.scope.tenant.name if row.scope.tenant else None,
        "scope_kind": row.scope.kind,
        "scope": row.scope.name,
        "budget": budgets.text_of(row),
        **{name: getattr(row, name) for name in _BUDGET_VALUES},
        "downgrade_to": row.downgrade_to.name if row.downgrade_to else None,
    }


def render_account(row: ProviderAccount) -> dict[str, Any]:
    """An account, without its credentials."""
    return {
        "id": row.pk,
        "object": "account",
        "name": row.name,
        "tenant": row.tenant.name if row.tenant else None,
        "provider": row.provider,
        "base_url": row.base_url,
        "has_credentials": bool(row.credentials),
        "options": row.options,
        "created_at": time_text(row.created_at),
    }


def render_deployment(row: Deployment) -> dict[str, Any]:
    """A deployment."""
    return {
        "id": row.pk,
        "object": "deployment",
        "name": row.name,
        "account": row.account.name,
        "tenant": row.account.tenant.name if row.account.tenant else None,
        "upstream_model": row.upstream_model,
        "wildcard": row.wildcard.name if row.wildcard else None,
        "region": row.region,
        "weight": row.weight,
        "is_enabled": row.is_enabled,
        "options": row.options,
        **{name: getattr(row, name) for name in BREAKER},
        "input_estimate": _input_estimate(row),
    }


def _input_estimate(row: Deployment) -> dict[str, int] | None:
    """How far our counts are from the provider's; None: nothing is known yet."""
    known = learned().get(row.pk)
    if known is None:
        return None
    return {"answers": known.samples, "mean_permille": known.mean_permille, "reserve_permille": known.reserve_permille}


def render_model(row: ModelRoute, tenant: Tenant | None) -> dict[str, Any]:
    """A model and where it leads, for an operator or (without other tenants' deployments) for a tenant."""
    names = [one.name for one in deployments_of(row) if tenant is None or one.account.tenant_id in {None, tenant.pk}]
    return {
        "id": row.pk,
        "object": "model",
        "name": row.name,
        "wildcard": row.wildcard.name if row.wildcard else None,
        "deployments": names,
        "is_enabled": row.is_enabled,
        **{name: getattr(row, name) for name in CHOOSING},
        **{name: _of(names, found) for name, found in (("weights", weights_of(row)), ("after_ms", waits_of(row)))},
        "fallbacks": fallbacks_of(row),
        **{name: getattr(row, name) for name in RETRIES},
    }


def _of(names: Collection[str], figures: Mapping[str, int]) -> dict[str, int]:
    return {name: figure for name, figure in figures.items() if name in names}


def render_price(row: Price) -> dict[str, Any]:
    """A price, in dollars per million tokens."""
    return {
        "id": row.pk,
        "object": "price",
        "provider": row.provider,
        "model": row.model,
        "valid_from": time_text(row.valid_from),
        **{name: usd_of(getattr(row, column)) for name, column in COLUMNS.items()},
        "parts": parts_of(row),
    }


def render_entry(row: AuditEntry, known: Collection[str] | None) -> dict[str, Any]:
    """A line of the audit. known: who is told by name, None for all; a tenant is not told which operator it was."""
    return {
        "id": row.pk,
        "object": "audit_entry",
        "at": time_text(row.at),
        "tenant": row.tenant.name if row.tenant else None,
        "by": told_by(row.by, known),
        "action": row.action,
        "kind": row.kind,
        "object_id": row.object_id,
        "name": row.name,
        "changes": row.changes,
        "request_id": row.request_id,
    }
