"""Models: the names that callers use, and the deployments to which they lead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rateguard.engine.wildcards import is_pattern
from tenants.changes import deployments as of_deployments
from tenants.changes.actor import Actor
from tenants.changes.named import check_public_name
from tenants.changes.routes import CHOOSING, PARTS, Parts, shown_parts, write_parts
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.changes.wildcards import carry, check_leads, check_renamed, let_go
from tenants.models import Deployment, ModelRoute
from tenants.models.providers import RETRY_RANGES

RETRIES = tuple(RETRY_RANGES)
"""What a model may say of its jobs' retries; None: as the settings say."""
FIELDS = ("name", "is_enabled", *CHOOSING, *RETRIES, *PARTS)


def _shown(row: ModelRoute) -> dict[str, Any]:
    return {**{name: getattr(row, name) for name in ("name", "is_enabled", *CHOOSING, *RETRIES)}, **shown_parts(row)}


KIND = Kind(
    "model",
    shown=_shown,
    tenant_of=lambda _: None,
    fields=("name", "is_enabled", *CHOOSING, *RETRIES),
    in_use="change them first: they downgrade or fall back to it. Or take it out: is_enabled false",
)


@in_one_transaction
def create_model(
    actor: Actor,
    *,
    name: str,
    deployments: Sequence[Deployment],
    weights: Mapping[str, int] | None = None,
    after_ms: Mapping[str, int] | None = None,
    fallbacks: Sequence[Mapping[str, str]] | None = None,
    **fields: Any,
) -> ModelRoute:
    """A new name that leads to these deployments, the first one first. fields: of FIELDS. Raises InvalidRequest, NotAllowed."""
    actor.check_operator("models")
    check_public_name(name)
    parts = Parts(deployments, weights, after_ms, fallbacks, "regions" in fields)
    row = insert(actor, KIND, ModelRoute(name=name, **fields), also=_lead(parts))
    if is_pattern(name):
        carry(row)
    return row


@in_one_transaction
def change_model(
    actor: Actor,
    model: ModelRoute,
    *,
    deployments: Sequence[Deployment] | None = None,
    weights: Mapping[str, int] | None = None,
    after_ms: Mapping[str, int] | None = None,
    fallbacks: Sequence[Mapping[str, str]] | None = None,
    **fields: Any,
) -> ModelRoute:
    """Another name, other deployments (all of them, in order), another choice among them, in or out. What is None stays as it is.

    A renamed model is another one to whoever waits. What follows a wildcard is changed with it; one that is changed by itself follows it no
    more.
    """
    actor.check_operator("models")
    row = fresh(model, KIND.name)
    if "name" in fields and fields["name"] != row.name:
        check_public_name(fields["name"])
        check_renamed(row, fields["name"])
    was = _shown(row) if row.wildcard_id is not None else None
    row = change(actor, KIND, row, fields, also=_lead(Parts(deployments, weights, after_ms, fallbacks, "regions" in fields)))
    if was is not None and _shown(row) != was:
        ModelRoute.objects.filter(pk=row.pk).update(wildcard=None)
        row.refresh_from_db()
    if is_pattern(row.name):
        carry(row)
    return row


@in_one_transaction
def delete_model(actor: Actor, model: ModelRoute) -> None:
    """Delete a name. What waits for it may be cancelled, or waits until it comes back.

    Its deployments stay, but for those that a wildcard made for it alone. What followed a wildcard that goes takes no work any more.
    """
    actor.check_operator("models")
    row = fresh(model, KIND.name)
    made = list(Deployment.objects.filter(targets__route=row, wildcard__isnull=False)) if row.wildcard_id is not None else []
    let_go(row)
    remove(actor, KIND, row)
    for one in made:
        if not one.targets.exists():
            remove(actor, of_deployments.KIND, one)


def _lead(parts: Parts) -> Callable[[ModelRoute], None]:
    def write(row: ModelRoute) -> None:
        write_parts(row, parts)
        check_leads(row)

    return write
