"""Deployments: one model at one account, with its weight and breaker."""

from __future__ import annotations

from typing import Any

from rateguard.conf import BREAKER_RANGES
from tenants.changes.actor import Actor
from tenants.changes.named import check_name, check_text
from tenants.changes.options import wrong_with_options
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.changes.wildcards import carry_deployment, check_upstream, let_go
from tenants.models import Deployment, ProviderAccount

BREAKER = tuple(f"breaker_{name}" for name in BREAKER_RANGES)
FIELDS = ("name", "upstream_model", "region", "weight", "is_enabled", "options", *BREAKER)


def _shown(row: Deployment) -> dict[str, Any]:
    return {"account": row.account.name, **{name: getattr(row, name) for name in FIELDS}}


KIND = Kind(
    "deployment",
    shown=_shown,
    tenant_of=lambda row: row.account.tenant,
    fields=FIELDS,
    in_use="take it out instead: is_enabled false",
)


@in_one_transaction
def create_deployment(
    actor: Actor,
    *,
    account: ProviderAccount,
    name: str,
    upstream_model: str,
    region: str = "",
    weight: int = 1,
    is_enabled: bool = True,
    options: dict[str, Any] | None = None,
    **breaker: int | None,
) -> Deployment:
    """A new deployment; a model leads to it once `change_model` says so. breaker: of BREAKER. Raises InvalidRequest, NotAllowed."""
    owner = fresh(account, "account")
    actor.check_of(owner.tenant_id, "account")
    _check({"name": name, "upstream_model": upstream_model, "options": options or {}}, None)
    row = Deployment(
        account=owner,
        name=name,
        upstream_model=upstream_model,
        region=region,
        weight=weight,
        is_enabled=is_enabled,
        options=options or {},
        **breaker,
    )
    return insert(actor, KIND, row)


@in_one_transaction
def change_deployment(actor: Actor, deployment: Deployment, **fields: Any) -> Deployment:
    """Other values of some of FIELDS. is_enabled False: it takes nothing new. What follows one with a `*` is changed with it."""
    row = fresh(deployment, KIND.name)
    actor.check_of(row.account.tenant_id, KIND.name)
    _check(fields, row)
    changed = change(actor, KIND, row, fields)
    carry_deployment(changed, fields)
    return changed


@in_one_transaction
def delete_deployment(actor: Actor, deployment: Deployment) -> None:
    """Delete a deployment with its limits; models no longer lead to it. What runs there ends as it would have."""
    row = fresh(deployment, KIND.name)
    actor.check_of(row.account.tenant_id, KIND.name)
    let_go(row)
    remove(actor, KIND, row)


def _check(fields: dict[str, Any], row: Deployment | None) -> None:
    check_name(fields.get("name"))
    if "upstream_model" in fields:
        check_text(fields["upstream_model"], "/upstream_model")
        check_upstream(fields["upstream_model"], row)
    if "options" in fields and (said := wrong_with_options(fields["options"])):
        raise as_invalid([("options", said)])
