"""What is written to the gate: everything, or the part that a change touches.

Each part carries the version that was read before its rows: what is read is at least as new, so the gate may leave out what is older.
Every part also names what the gate must forget.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Collection

from django.db import models

from rateguard.engine.gate.contract import Configuration, ModelRecord
from tenants.directory import Directory, read_directory
from tenants.models import (
    Budget,
    ConfigVersion,
    Deployment,
    Forgotten,
    ForgottenKind,
    Limit,
    ModelRoute,
    Pause,
    PauseKind,
    Price,
    ProviderAccount,
    RouteFallback,
    RouteTarget,
    Scope,
    Tenant,
)
from tenants.records.models import closed_lists, model_records, paused_lanes, ranked_anew
from tenants.records.ranking import Look, unseen
from tenants.records.runs import run_nodes, runs_in_gate
from tenants.records.scopes import NodeRecords, global_records, node_records

_OF_MODELS = (Deployment, ModelRoute, Price, ProviderAccount, RouteFallback, RouteTarget)


@dataclasses.dataclass(frozen=True, slots=True)
class Whole:
    """Everything that the gate must know, and the ids of the rows that say what it must forget: they are done when this is written."""

    configuration: Configuration
    forgotten: tuple[int, ...]


def whole(look: Look = unseen) -> Whole:
    """Everything. look: at the gate, for the models that choose by what it has seen."""
    version, now = ConfigVersion.current_and_time()
    found = read_directory()
    nodes, runs, providers = node_records(now), run_nodes(runs_in_gate()), model_records(found, look)
    gone = _Gone.read()
    configuration = Configuration(
        version=version,
        limits=nodes.limits + runs.limits + providers.limits,
        scopes=nodes.scopes + runs.scopes,
        models=providers.models + gone.closed(found),
        forget_limits=gone.limits,
        forget_scopes=gone.scopes,
        paused_lanes=paused_lanes(),
    )
    return Whole(configuration, gone.pks)


def touched_by(sender: type[models.Model], instance: models.Model | None, pk: int | None, look: Look = unseen) -> Configuration | None:
    """What a change of a row touches; None where that is everything. instance: None where many rows changed at once. look: as above."""
    if sender in _OF_MODELS or (isinstance(instance, Limit) and instance.scope_id is None):
        return of_models(look)
    if isinstance(instance, Pause):
        return _touched_by_pause(instance, look)
    tenant_id = pk if isinstance(instance, Tenant) else _tenant_of(instance)
    return of_tenant(tenant_id) if tenant_id is not None else None


def _tenant_of(instance: models.Model | None) -> int | None:
    """The tenant of a scope, or of a limit or budget on one; of a scope that is gone nobody, 0."""
    if isinstance(instance, Scope):
        return instance.tenant_id
    if isinstance(instance, Limit | Budget) and instance.scope_id is not None:
        found = Scope.objects.filter(pk=instance.scope_id).values_list("tenant", flat=True)
        return next(iter(found), 0)
    return None


def _touched_by_pause(pause: Pause, look: Look) -> Configuration:
    match PauseKind(pause.target_kind):
        case PauseKind.ALL:
            return of_global()
        case PauseKind.TENANT:
            return of_tenant(int(pause.target))
        case PauseKind.RUN:
            return of_runs([uuid.UUID(pause.target)])
        case PauseKind.LANE:
            return of_lanes()
        case _:
            return of_models(look)


def of_global() -> Configuration:
    """The global node."""
    version, now = ConfigVersion.current_and_time()
    return _of_nodes(version, global_records(now))


def of_tenant(tenant_id: int) -> Configuration:
    """All nodes of a tenant but its runs."""
    version, now = ConfigVersion.current_and_time()
    return _of_nodes(version, node_records(now, tenant_id))


def of_runs(pks: Collection[uuid.UUID]) -> Configuration:
    """These runs, where the gate is to know them."""
    version = ConfigVersion.current()
    return _of_nodes(version, run_nodes(runs_in_gate().filter(pk__in=pks)))


def _of_nodes(version: int, nodes: NodeRecords) -> Configuration:
    """Nodes that were read, as of a version that was read before them."""
    gone = _Gone.read()
    return Configuration(version, nodes.limits, nodes.scopes, forget_limits=gone.limits, forget_scopes=gone.scopes)


def of_models(look: Look = unseen) -> Configuration:
    """All models, with the limits, pauses and breakers of their deployments. look: as above."""
    version = ConfigVersion.current()
    found = read_directory()
    providers, gone = model_records(found, look), _Gone.read()
    known = providers.models + gone.closed(found)
    return Configuration(version, providers.limits, (), known, forget_limits=gone.limits, forget_scopes=gone.scopes)


def of_ranks(found: Directory, look: Look) -> Configuration | None:
    """The lists alone whose ranking changes with what the gate sees. None: the rows are newer than the directory, read it anew."""
    ranked = ranked_anew(found, look)
    return Configuration(found.version, models=ranked) if ConfigVersion.current() == found.version else None


def of_lanes() -> Configuration:
    """The lanes that take nothing."""
    return Configuration(ConfigVersion.current(), paused_lanes=paused_lanes())


@dataclasses.dataclass(frozen=True, slots=True)
class _Gone:
    """What the gate must forget. It is read after the rows: what was deleted in between is written and forgotten at once."""

    pks: tuple[int, ...]
    limits: tuple[str, ...]
    scopes: tuple[str, ...]
    models: tuple[str, ...]

    @classmethod
    def read(cls) -> _Gone:
        rows = list(Forgotten.objects.order_by("pk").values_list("pk", "kind", "name"))
        names = {kind: tuple(name for _, of, name in rows if of == kind) for kind in ForgottenKind}
        pks = tuple(pk for pk, _, _ in rows)
        return cls(pks, names[ForgottenKind.LIMIT], names[ForgottenKind.SCOPE], names[ForgottenKind.MODEL])

    def closed(self, found: Directory) -> tuple[ModelRecord, ...]:
        """Models that are gone have no deployments: who waits for one may still cancel, or wait until it comes back."""
        return tuple(record for name in dict.fromkeys(self.models) for record in closed_lists(name, found))
