"""What can be paused: all work, a tenant, a lane, a model, a deployment, an account or a run; found by the names that people use."""

from __future__ import annotations

import dataclasses
import uuid
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import parse_lane
from rateguard.engine.wildcards import is_pattern
from rateguard.jobs.lineage import with_nested
from tenants.models import Deployment, ModelRoute, Pause, PauseKind, ProviderAccount, RouteTarget, Run, Tenant

Row = TypeVar("Row", bound=Model)
MOST_DIGITS = 18


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One thing that can be paused. id: as the row names it; name: as people do. tenant_id: of a tenant or a run, whose it is."""

    kind: PauseKind
    id: str = ""
    name: str = ""
    tenant_id: int | None = None


def find_target(kind: str, name: str = "") -> Target:
    """What people mean by `tenant acme`, `lane low`, `deployment 3`, `all`. Raises InvalidRequest: `invalid_field`, `unknown_target`."""
    if kind not in PauseKind.values:
        raise InvalidRequest(f"what can be paused: {', '.join(PauseKind.values)}", code="invalid_field", pointer="/target_kind")
    target = _FINDERS[PauseKind(kind)](name)
    if target is None:
        raise InvalidRequest(f"there is no {kind} {name!r}", code="unknown_target", pointer="/target")
    return target


def target_of(pause_: Pause) -> Target:
    """What a row pauses; its id where what it names is gone."""
    kind = PauseKind(pause_.target_kind)
    if kind in _ROWS:
        row = _ROWS[kind].objects.filter(pk=pause_.target).first()
        return Target(kind, pause_.target, row.name if row else pause_.target, row.pk if isinstance(row, Tenant) else None)
    return _FINDERS[kind](pause_.target) or Target(kind, pause_.target, pause_.target)


# ---- how each kind is found


def _all(name: str) -> Target | None:
    return None if name else Target(PauseKind.ALL, "", "everything")


def _tenant(name: str) -> Target | None:
    row = find_named(Tenant.objects.all(), name)
    return Target(PauseKind.TENANT, str(row.pk), row.name, row.pk) if row else None


def _lane(name: str) -> Target | None:
    try:
        lane = parse_lane(name)
    except InvalidRequest:
        return None
    return Target(PauseKind.LANE, lane.label, lane.label)


def _model(name: str) -> Target | None:
    is_there = "\0" not in name and ModelRoute.objects.filter(name=name).exists()
    return Target(PauseKind.MODEL, name, name) if is_there else None


def _deployment(name: str) -> Target | None:
    row = find_named(Deployment.objects.all(), name)
    return Target(PauseKind.DEPLOYMENT, str(row.pk), row.name) if row else None


def _account(name: str) -> Target | None:
    row = find_named(ProviderAccount.objects.all(), name)
    return Target(PauseKind.ACCOUNT, str(row.pk), row.name) if row else None


def _run(name: str) -> Target | None:
    try:
        row = Run.objects.filter(pk=uuid.UUID(name)).first()
    except ValueError:
        return None
    return Target(PauseKind.RUN, row.pk.hex, row.name or str(row.pk), row.tenant_id) if row else None


def find_named(rows: QuerySet[Row], name: str) -> Row | None:
    """The row of a name, else of a number."""
    if "\0" in name:
        return None
    row = rows.filter(name=name).first()
    pk = as_pk(name)
    return rows.filter(pk=pk).first() if row is None and pk is not None else row


def as_pk(text: str) -> int | None:
    """A row's number; None for what is none, however long it is."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


_ROWS: dict[PauseKind, type[Tenant | Deployment | ProviderAccount]] = {
    PauseKind.TENANT: Tenant,
    PauseKind.DEPLOYMENT: Deployment,
    PauseKind.ACCOUNT: ProviderAccount,
}
_FINDERS = {
    PauseKind.ALL: _all,
    PauseKind.TENANT: _tenant,
    PauseKind.LANE: _lane,
    PauseKind.MODEL: _model,
    PauseKind.DEPLOYMENT: _deployment,
    PauseKind.ACCOUNT: _account,
    PauseKind.RUN: _run,
}


# ---- whose work it is

_ATTEMPTS = {
    PauseKind.TENANT: "tenant_id",
    PauseKind.LANE: "job__lane",
    PauseKind.DEPLOYMENT: "deployment_id",
    PauseKind.ACCOUNT: "deployment_id__in",
    PauseKind.RUN: "job__run__in",
}


def attempts_of(target: Target) -> Q:
    """The attempts at a target's work."""
    match target.kind:
        case PauseKind.ALL:
            return Q()
        case PauseKind.MODEL:
            return _of_model(target.id)
        case PauseKind.ACCOUNT:
            value: object = Deployment.objects.filter(account_id=int(target.id)).values("pk")
        case _:
            value = _value_of(target)
    return Q((_ATTEMPTS[target.kind], value))


def jobs_of(target: Target) -> Q:
    """The jobs of a target; of a deployment or an account all that may come there."""
    match target.kind:
        case PauseKind.ALL:
            return Q()
        case PauseKind.MODEL:
            return _of_model(target.id)
        case PauseKind.DEPLOYMENT:
            return Q(model__in=RouteTarget.objects.filter(deployment_id=target.id).values("route__name"))
        case PauseKind.ACCOUNT:
            return Q(model__in=RouteTarget.objects.filter(deployment__account_id=int(target.id)).values("route__name"))
        case _:
            return Q((_ATTEMPTS[target.kind].removeprefix("job__"), _value_of(target)))


def _of_model(name: str) -> Q:
    """Of a wildcard all that follows it."""
    return Q(model__in=ModelRoute.objects.filter(wildcard__name=name).values("name")) if is_pattern(name) else Q(model=name)


def _value_of(target: Target) -> object:
    match target.kind:
        case PauseKind.LANE:
            return parse_lane(target.id)
        case PauseKind.RUN:
            return with_nested(uuid.UUID(target.id))
        case _:
            return target.id
