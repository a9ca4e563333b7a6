"""Models: the names that callers use, and the deployments to which they lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenants.changes.actor import Actor, gone
from tenants.changes.named import check_public_name
from tenants.changes.problems import as_invalid
from tenants.changes.rows import Kind, change, fresh, in_one_transaction, insert, remove
from tenants.models import Deployment, ModelRoute, RouteTarget
from tenants.models.providers import RETRY_RANGES

RETRIES = tuple(RETRY_RANGES)
"""What a model may say of its jobs' retries; None: as the settings say."""
FIELDS = ("name", "is_enabled", *RETRIES, "deployments")
MOST_DEPLOYMENTS = 100


def deployments_of(row: ModelRoute) -> list[Deployment]:
    """Where a model leads, the first one first."""
    return [target.deployment for target in sorted(row.targets.all(), key=lambda target: target.position)]


def _shown(row: ModelRoute) -> dict[str, Any]:
    names = [one.name for one in deployments_of(row)] if row.pk else []
    return {"name": row.name, "is_enabled": row.is_enabled, **{name: getattr(row, name) for name in RETRIES}, "deployments": names}


KIND = Kind(
    "model",
    shown=_shown,
    tenant_of=lambda _: None,
    fields=("name", "is_enabled", *RETRIES),
    in_use="change them first: they downgrade to it. Or take it out: is_enabled false",
)


@in_one_transaction
def create_model(
    actor: Actor, *, name: str, deployments: Sequence[Deployment], is_enabled: bool = True, **retries: int | None
) -> ModelRoute:
    """A new name that leads to these deployments, the first one first. retries: of RETRIES. Raises InvalidRequest, NotAllowed."""
    actor.check_operator("models")
    check_public_name(name)
    found = _locked(deployments)
    return insert(actor, KIND, ModelRoute(name=name, is_enabled=is_enabled, **retries), also=lambda row: _lead(row, found))


@in_one_transaction
def change_model(actor: Actor, model: ModelRoute, *, deployments: Sequence[Deployment] | None = None, **fields: Any) -> ModelRoute:
    """Another name, other deployments (all of them, in order), in or out. A renamed model is another one to whoever waits."""
    actor.check_operator("models")
    row = fresh(model, KIND.name)
    if "name" in fields and fields["name"] != row.name:
        check_public_name(fields["name"])
    found = None if deployments is None else _locked(deployments)
    return change(actor, KIND, row, fields, also=None if found is None else lambda row: _lead(row, found))


@in_one_transaction
def delete_model(actor: Actor, model: ModelRoute) -> None:
    """Delete a name. Its deployments stay. What waits for it may be cancelled, or waits until it comes back."""
    actor.check_operator("models")
    remove(actor, KIND, fresh(model, KIND.name))


def _locked(deployments: Sequence[Deployment]) -> list[Deployment]:
    pks = [one.pk for one in deployments]
    if len(set(pks)) != len(pks) or not 1 <= len(pks) <= MOST_DEPLOYMENTS:
        raise as_invalid([("deployments", f"name 1 to {MOST_DEPLOYMENTS} deployments, each one once")])
    found = Deployment.objects.select_for_update().order_by("pk").in_bulk(pks)
    if len(found) != len(pks):
        raise gone("deployment")
    return [found[pk] for pk in pks]


def _lead(row: ModelRoute, deployments: list[Deployment]) -> None:
    """Lead to these alone; where it does already, nothing is written."""
    if [one.pk for one in deployments_of(row)] == [one.pk for one in deployments]:
        return
    row.targets.all().delete()
    RouteTarget.objects.bulk_create(RouteTarget(route=row, deployment=one, position=place) for place, one in enumerate(deployments))
