"""The limits in effect: what stands on a path and at deployments, from the rows, and how much of it is used, from the gate.

At most two calls of the gate: which limits a path has, and how they stand.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping, Sequence

from django.db.models import Q

from rateguard import wiring
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import DeploymentStatistics, Inspection, LimitUse
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Level
from rateguard.engine.scopes import GLOBAL, kind_of, name_of
from rateguard.jobs.controls.pauses import pauses_in_force
from rateguard.jobs.controls.targets import target_of
from rateguard.jobs.insight.binding import DeploymentState, Effective
from tenants.directory import Place
from tenants.models import Budget, BudgetPeriod, Deployment, ForcedBreaker, Limit, Pause, PauseKind, Run, Scope, ScopeKind
from tenants.records.counting import admission_at
from tenants.records.limits import budget_record, gate_id, limit_record, pause_record
from tenants.records.models import FORCED, account_target, deployment_target
from tenants.records.runs import run_records

_ON_DEPLOYMENTS = (PauseKind.ACCOUNT, PauseKind.DEPLOYMENT)
_OF_LIMITS = ("account", "deployment", "scope__tenant")
_SHARED = {ScopeKind.GLOBAL, PauseKind.LANE, PauseKind.MODEL}


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How a path and the deployments of a model stand. now_ms: the gate's time. statistics: of all deployments that have seen calls."""

    now_ms: int
    path: tuple[Effective, ...]
    places: tuple[DeploymentState, ...] = ()
    statistics: tuple[DeploymentStatistics, ...] = ()


def standing(path: str | None, lane: Lane, places: Sequence[Place] = (), viewer: int | None = None, model: str = "") -> Standing:
    """How a path stands (GLOBAL: what is above all tenants; None: no path), and these deployments of a model.

    viewer: the tenant who looks, who is not told how much others use; None: an operator, who is told everything.
    Raises GateError; GateUnavailable also where the gate was not told of the tenant or the run yet.
    """
    on_path, at_places = _sources_on(path), place_sources(places)
    on_path += [source for name, source in model_pauses().items() if name == model]
    ids = [one.record.id for sources in (on_path, *at_places.values()) for one in sources]
    seen = wiring.gate().inspect(tuple(dict.fromkeys(ids)))
    found = [*with_use(on_path, seen), *([] if path is None else paused_lane(lane, seen.now_ms))]
    states = deployment_states(places, at_places, seen)
    if viewer is not None:
        found = [_as_seen_by_a_tenant(one, is_shared=one.scope_kind in _SHARED) for one in found]
        states = [_deployment_as_seen_by(viewer, place, state) for place, state in zip(places, states, strict=True)]
    return Standing(seen.now_ms, tuple(found), tuple(states), seen.statistics)


def _sources_on(path: str | None) -> list[Effective]:
    if path is None:
        return []
    if path == GLOBAL:
        return global_sources()
    ids = wiring.gate().limits_of(path)
    if ids is None:
        raise GateUnavailable("the gate was not told of this tenant or run yet")
    return path_sources(ids)


def _as_seen_by_a_tenant(limit: Effective, *, is_shared: bool) -> Effective:
    return dataclasses.replace(limit, is_shared=True, reason="") if is_shared else limit


def _deployment_as_seen_by(tenant: int, place: Place, state: DeploymentState) -> DeploymentState:
    is_shared = place.tenant_id != tenant
    return dataclasses.replace(state, limits=tuple(_as_seen_by_a_tenant(one, is_shared=is_shared) for one in state.limits))


def with_use(sources: Iterable[Effective], seen: Inspection) -> list[Effective]:
    """The same with what the gate said; those that it does not know are left out."""
    uses = {use.id: use for use in seen.limits}
    return [dataclasses.replace(one, use=uses[one.record.id]) for one in sources if one.record.id in uses]


# ---- on a path


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """Rows that were read already; None: they are read where they are needed."""

    limits: Sequence[Limit] | None = None
    pauses: Sequence[Pause] | None = None


def limit_rows(ids: Iterable[str], places: Iterable[Place]) -> list[Limit]:
    """The limits that the gate names and those of deployments and their accounts, in one query."""
    return list(Limit.objects.filter(Q(pk__in=_pks(ids, "l")) | _at_places(list(places))).select_related(*_OF_LIMITS).order_by("pk"))


def path_sources(ids: Iterable[str], known: Rows = Rows()) -> list[Effective]:
    """The rows behind the ids that the gate names, in their order; those whose row is gone are left out."""
    names = list(ids)
    limits, pauses = set(_pks(names, "l")), set(_pks(names, "p"))
    limit_rows_ = Limit.objects.filter(pk__in=limits).select_related("scope__tenant") if known.limits is None else known.limits
    pause_rows = Pause.objects.filter(pk__in=pauses) if known.pauses is None else known.pauses
    by_base = {
        **{gate_id(row): _of_limit(row) for row in limit_rows_ if row.pk in limits},
        **{gate_id(row): _of_budget(row) for row in _budgets(_pks(names, "b"))},
        **{f"p{row.pk}": of_pause(row) for row in pause_rows if row.pk in pauses},
        **{one.record.id: one for run in _runs(names) for one in of_run(run)},
    }
    parts = ((name, *name.partition("@")[::2]) for name in names)
    return [_at_node(by_base[base], name, node) for name, base, node in parts if base in by_base]


def global_sources() -> list[Effective]:
    """What stands above all tenants: global limits, and a pause of everything."""
    limits = Limit.objects.filter(scope__kind=ScopeKind.GLOBAL).select_related("scope__tenant").order_by("pk")
    budgets = Budget.objects.filter(scope__kind=ScopeKind.GLOBAL).select_related("scope__tenant", "downgrade_to").order_by("pk")
    pauses = Pause.objects.filter(target_kind=PauseKind.ALL)
    return [*map(_of_limit, limits), *map(_of_budget, budgets), *map(of_pause, pauses)]


def _budgets(pks: Sequence[int]) -> Iterable[Budget]:
    return Budget.objects.filter(pk__in=pks).select_related("scope__tenant", "downgrade_to")


def _pks(names: Iterable[str], letter: str) -> list[int]:
    """The rows' ids in the gate's: 17 of `l17@user:alice`."""
    bases = {name.partition("@")[0] for name in names}
    return [int(base[1:]) for base in bases if base[0] == letter and base[1:].isdigit()]


def _runs(names: Iterable[str]) -> Iterable[Run]:
    hexes = {name[2:] for name in names if name[:2] in {"rb", "rc", "rp"}}
    return Run.objects.filter(pk__in=[uuid.UUID(text) for text in hexes])


def _at_node(source: Effective, name: str, node: str) -> Effective:
    """What a node has by a default is its own: `l17@user:alice`."""
    if not node:
        return source
    kind, scope = (kind_of(node), name_of(node)) if ":" in node else (ScopeKind.TENANT.value, node)
    return dataclasses.replace(source, record=dataclasses.replace(source.record, id=name), scope_kind=kind, scope=scope)


def _of_limit(row: Limit) -> Effective:
    return Effective(limit_record(row), row.scope.kind if row.scope else "", _name_of(row.scope))


def _of_budget(row: Budget) -> Effective:
    cheaper = row.downgrade_to
    name = _name_of(row.scope)
    return Effective(budget_record(row), row.scope.kind, name, period=row.period, downgrade_to=cheaper.name if cheaper else "")


def _name_of(scope: Scope | None) -> str:
    """As people call the node: a tenant by its name."""
    if scope is None or (not scope.name and scope.tenant is None):
        return ""
    return scope.name or str(scope.tenant)


def of_run(run: Run) -> tuple[Effective, ...]:
    """The limits that a run carries itself."""
    return tuple(Effective(record, "run", str(run.pk), period=BudgetPeriod.TOTAL.value) for record in run_records(run))


def uses_of_runs(runs: Iterable[Run]) -> dict[str, LimitUse]:
    """What the gate says of the limits of runs, by their ids (`rb…` money, `rc…` calls). One call of the gate. Raises GateError."""
    ids = tuple(record.id for run in runs for record in run_records(run) if record.kind == Kind.BUDGET)
    return {use.id: use for use in wiring.gate().inspect(ids).limits} if ids else {}


def of_pause(row: Pause) -> Effective:
    """A pause as a limit that nothing passes."""
    target = target_of(row)
    record = pause_record(row, Level.SHARED)
    if target.kind == PauseKind.ALL:
        return Effective(record, ScopeKind.GLOBAL.value, "", reason=row.reason)
    return Effective(record, target.kind.value, target.name, reason=row.reason)


def paused_lane(lane: Lane, now_ms: int) -> list[Effective]:
    """A lane's pause is no limit of the gate's; its row says until when."""
    rows = pauses_in_force().filter(target_kind=PauseKind.LANE.value, target=lane.label)
    sources = [of_pause(row) for row in rows]
    return [dataclasses.replace(one, use=LimitUse(one.record.id, 0, 0, next_ms=_until(one.record.amount, now_ms))) for one in sources]


def _until(until_ms: int, now_ms: int) -> int | None:
    return max(0, until_ms - now_ms) if until_ms else None


# ---- at deployments


def place_sources(places: Iterable[Place], known: Rows = Rows()) -> dict[int, tuple[Effective, ...]]:
    """The limits and pauses of deployments, their accounts' first, by deployment."""
    found = list(places)
    limits = limit_rows((), found) if known.limits is None else known.limits
    pauses = Pause.objects.filter(target_kind__in=_ON_DEPLOYMENTS).order_by("pk") if known.pauses is None else known.pauses
    paused = _pauses_at(found, pauses)
    return {place.id: (*_limits_at(place, limits), *paused[place.id]) for place in found}


def _at_places(places: Sequence[Place]) -> Q:
    return Q(account_id__in={one.account_id for one in places}) | Q(deployment_id__in=[one.id for one in places])


def _limits_at(place: Place, limits: Iterable[Limit]) -> Iterable[Effective]:
    admission = admission_at([place.target])
    for row in limits:
        if row.account is not None and row.account_id == place.account_id:
            yield Effective(limit_record(row, admission), "account", row.account.name)
        elif row.deployment_id == place.id:
            yield Effective(limit_record(row, admission), "deployment", place.name)


def _pauses_at(places: Sequence[Place], pauses: Iterable[Pause]) -> dict[int, list[Effective]]:
    """A pause of an account or a deployment, at each deployment that it touches."""
    sources = {(row.target_kind, row.target): of_pause(row) for row in pauses if row.target_kind in _ON_DEPLOYMENTS}
    keys = {place.id: ((PauseKind.ACCOUNT, str(place.account_id)), (PauseKind.DEPLOYMENT, str(place.id))) for place in places}
    return {place: [sources[key] for key in both if key in sources] for place, both in keys.items()}


def model_pauses() -> dict[str, Effective]:
    """The pauses of models, by the names that callers use."""
    return {row.target: of_pause(row) for row in Pause.objects.filter(target_kind=PauseKind.MODEL)}


def deployment_states(
    places: Iterable[Place], sources: dict[int, tuple[Effective, ...]], seen: Inspection, forced: Mapping[int, str] | None = None
) -> list[DeploymentState]:
    """How deployments stand: what the gate said of their limits, cooldowns and breakers. forced: by hand, where it was read already."""
    found = list(places)
    cooling = {one.target: one.for_ms for one in seen.cooling}
    breakers = {one.deployment: one for one in seen.breakers}
    if forced is None:
        forced = dict(Deployment.objects.filter(pk__in=[one.id for one in found]).values_list("pk", "breaker_forced"))
    return [
        DeploymentState(
            place.id,
            place.name,
            place.account_id,
            tuple(with_use(sources[place.id], seen)),
            max(cooling.get(account_target(place.account_id), 0), cooling.get(deployment_target(place.id), 0)),
            breakers.get(str(place.id)),
            FORCED[ForcedBreaker(forced.get(place.id, ForcedBreaker.NO))],
        )
        for place in found
    ]
