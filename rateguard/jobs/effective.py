"""The limits in effect: what stands on a path and at deployments, from the rows, and how much of it is used, from the gate.

At most two calls of the gate: which limits a path has, and how they stand.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Sequence

from django.db.models import Q

from rateguard import wiring
from rateguard.engine.breaker.rule import Forced
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Inspection, LimitUse
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Level, LimitRecord, Metric
from rateguard.engine.scopes import kind_of, name_of
from rateguard.jobs.binding import DeploymentState, Effective
from rateguard.jobs.pauses import pauses_in_force
from rateguard.jobs.targets import target_of
from tenants.directory import Place
from tenants.models import Budget, Deployment, ForcedBreaker, Limit, Pause, PauseKind, RouteTarget, Run, ScopeKind

_FORCED = {ForcedBreaker.NO: Forced.NO, ForcedBreaker.CLOSED: Forced.CLOSED, ForcedBreaker.OPEN: Forced.OPEN}
_ON_DEPLOYMENTS = (PauseKind.MODEL, PauseKind.DEPLOYMENT, PauseKind.ACCOUNT)


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """How a path and the deployments of a model stand. now_ms: the gate's time."""

    now_ms: int
    path: tuple[Effective, ...]
    places: tuple[DeploymentState, ...] = ()


def standing(path: str, lane: Lane, places: Sequence[Place] = (), viewer: int | None = None) -> Standing:
    """How a path stands, and these deployments.

    viewer: the tenant who looks, who is not told how much others use; None: an operator, who is told everything.
    Raises GateError; GateUnavailable also where the gate was not told of the tenant or the run yet.
    """
    ids = wiring.gate().limits_of(path)
    if ids is None:
        raise GateUnavailable(f"the gate was not told of {path} yet")
    on_path = path_sources(ids)
    at_places = place_sources(places)
    wanted = (*ids, *(one.record.id for sources in at_places.values() for one in sources))
    seen = wiring.gate().inspect(tuple(dict.fromkeys(wanted)))
    found = [*with_use([on_path[name] for name in ids if name in on_path], seen), *paused_lane(lane, seen.now_ms)]
    states = deployment_states(places, at_places, seen)
    if viewer is not None:
        found = [_as_seen_by_a_tenant(one, is_shared=one.scope_kind in {ScopeKind.GLOBAL, "lane"}) for one in found]
        states = [_deployment_as_seen_by(viewer, place, state) for place, state in zip(places, states, strict=True)]
    return Standing(seen.now_ms, tuple(found), tuple(states))


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


def path_sources(ids: Iterable[str]) -> dict[str, Effective]:
    """Rows behind the ids that the gate names; those whose row is gone are left out."""
    names = list(ids)
    by_base = {
        **{f"l{row.pk}": _of_limit(row) for row in Limit.objects.filter(pk__in=_pks(names, "l")).select_related("scope")},
        **{f"b{row.pk}": _of_budget(row) for row in _budgets(_pks(names, "b"))},
        **{f"p{row.pk}": of_pause(row) for row in Pause.objects.filter(pk__in=_pks(names, "p"))},
        **{one.record.id: one for run in _runs(names) for one in of_run(run)},
    }
    found = {}
    for name in names:
        base, _, node = name.partition("@")
        if base in by_base:
            found[name] = _at_node(by_base[base], name, node)
    return found


def global_sources() -> tuple[Effective, ...]:
    """What stands above all tenants: global limits, and a pause of everything."""
    limits = Limit.objects.filter(scope__kind=ScopeKind.GLOBAL).select_related("scope").order_by("pk")
    budgets = Budget.objects.filter(scope__kind=ScopeKind.GLOBAL).select_related("scope__tenant", "downgrade_to").order_by("pk")
    pauses = Pause.objects.filter(target_kind=PauseKind.ALL)
    return (*map(_of_limit, limits), *map(_of_budget, budgets), *map(of_pause, pauses))


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
    scope = row.scope
    if scope is None:
        return Effective(wiring.limit_record(row), "", "")
    return Effective(wiring.limit_record(row), scope.kind, scope.name or str(scope.tenant_id or ""))


def _of_budget(row: Budget) -> Effective:
    scope, cheaper = row.scope, row.downgrade_to
    name = scope.name or str(scope.tenant_id or "")
    return Effective(wiring.budget_record(row), scope.kind, name, downgrade_to=cheaper.name if cheaper else "")


def of_run(run: Run) -> tuple[Effective, ...]:
    """The limits that a run carries itself."""
    return tuple(Effective(record, "run", str(run.pk)) for record in wiring.run_records(run))


def of_pause(row: Pause) -> Effective:
    """A pause as a limit that nothing passes."""
    target = target_of(row)
    until_ms = int(row.until.timestamp() * 1000) if row.until else 0
    record = LimitRecord(f"p{row.pk}", Kind.PAUSE, Metric.REQUESTS, until_ms, Level.SHARED)
    kind = ScopeKind.GLOBAL.value if target.kind == PauseKind.ALL else target.kind.value
    return Effective(record, kind, target.name if target.kind != PauseKind.ALL else "", reason=row.reason)


def paused_lane(lane: Lane, now_ms: int) -> list[Effective]:
    """A lane's pause is no limit of the gate's; its row says until when."""
    rows = pauses_in_force().filter(target_kind=PauseKind.LANE.value, target=lane.label)
    sources = [of_pause(row) for row in rows]
    return [dataclasses.replace(one, use=LimitUse(one.record.id, 0, 0, next_ms=_until(one.record.amount, now_ms))) for one in sources]


def _until(until_ms: int, now_ms: int) -> int | None:
    return max(0, until_ms - now_ms) if until_ms else None


# ---- at deployments


def place_sources(places: Iterable[Place]) -> dict[int, tuple[Effective, ...]]:
    """The limits and pauses of deployments, their accounts' first, by deployment."""
    found = list(places)
    rows = Limit.objects.filter(Q(account_id__in={one.account_id for one in found}) | Q(deployment_id__in=[one.id for one in found]))
    limits = list(rows.select_related("account", "deployment", "scope").order_by("pk"))
    pauses = _pauses_at(found)
    return {place.id: (*_limits_at(place, limits), *pauses[place.id]) for place in found}


def _limits_at(place: Place, limits: Iterable[Limit]) -> Iterable[Effective]:
    for row in limits:
        if row.account is not None and row.account_id == place.account_id:
            yield Effective(wiring.limit_record(row), "account", row.account.name)
        elif row.deployment_id == place.id:
            yield Effective(wiring.limit_record(row), "deployment", place.name)


def _pauses_at(places: Sequence[Place]) -> dict[int, list[Effective]]:
    """A pause of a model, an account or a deployment is in the way at each deployment that it touches."""
    rows = list(Pause.objects.filter(target_kind__in=[kind.value for kind in _ON_DEPLOYMENTS]).order_by("pk"))
    models = (
        set(RouteTarget.objects.filter(deployment__in=[one.id for one in places]).values_list("route__name", "deployment_id"))
        if rows
        else set()
    )
    found: dict[int, list[Effective]] = {place.id: [] for place in places}
    for row in rows:
        source = of_pause(row)
        for place in places:
            ids = {PauseKind.DEPLOYMENT: str(place.id), PauseKind.ACCOUNT: str(place.account_id)}
            kind = PauseKind(row.target_kind)
            if (row.target, place.id) in models if kind == PauseKind.MODEL else ids[kind] == row.target:
                found[place.id].append(source)
    return found


def deployment_states(places: Iterable[Place], sources: dict[int, tuple[Effective, ...]], seen: Inspection) -> list[DeploymentState]:
    """How deployments stand: what the gate said of their limits, cooldowns and breakers."""
    found = list(places)
    cooling = {one.target: one.for_ms for one in seen.cooling}
    breakers = {one.deployment: one for one in seen.breakers}
    forced = dict(Deployment.objects.filter(pk__in=[one.id for one in found]).values_list("pk", "breaker_forced"))
    return [
        DeploymentState(
            place.id,
            place.name,
            place.account_id,
            tuple(with_use(sources[place.id], seen)),
            max(cooling.get(wiring.account_target(place.account_id), 0), cooling.get(wiring.deployment_target(place.id), 0)),
            breakers.get(str(place.id)),
            _FORCED[ForcedBreaker(forced.get(place.id, ForcedBreaker.NO))],
        )
        for place in found
    ]
