"""What is in the way now, by how many jobs it holds back: the waiting rows in groups, and what the gate says of each.

What is found of a group holds for others of its kind too, where it stands on no node that is theirs alone.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Need
from rateguard.engine.routing.marks import read
from rateguard.engine.scopes import NodeKind, kind_of, name_of, parts_of
from rateguard.jobs.insight.binding import Asked, DeploymentState, Effective, Obstacle, binding
from rateguard.jobs.insight.heldlook import Look
from rateguard.jobs.insight.heldrows import Group, Groups
from rateguard.jobs.insight.heldwords import NO_DEPLOYMENT, NO_SLOT, NO_WORKER, SLOTS, UNTOLD, as_typed
from rateguard.jobs.marked import able_places
from rateguard.jobs.places import need_at
from tenants.directory import Place

_OWN_NODES = {kind.value for kind in NodeKind}


@dataclasses.dataclass(frozen=True, slots=True)
class HeldBack:
    """What holds jobs of one model and lane back. kind, scope_kind, scope: as in Obstacle; kind `slots`: no worker has room.

    text: the limit as people type it. tenant_id, node: on whose path it is, and which node; None and "" for what all share.
    share: how much of it is used; opens_ms: when there is room for one of them, 0: now and then, None: not by itself; next_ms: the same for
    whatever is smallest. limit_id: the gate's.
    """

    model: str
    lane: Lane
    kind: str
    scope_kind: str
    scope: str
    jobs: int
    limit_id: str = ""
    text: str = ""
    tenant_id: int | None = None
    node: str = ""
    share: float | None = None
    opens_ms: int | None = 0
    next_ms: int | None = 0

    @property
    def is_shared(self) -> bool:
        """Whether it stands in others' way too."""
        return self.tenant_id is None

    def as_seen_by_a_tenant(self) -> HeldBack:
        """The same without what tells how much others use."""
        if not self.is_shared or not self.limit_id:
            return self
        return dataclasses.replace(self, text="", share=None, opens_ms=self.next_ms)

    @property
    def key(self) -> tuple[object, ...]:
        """What it is, whatever it holds back."""
        return (self.kind, self.scope_kind, self.scope, self.limit_id, self.tenant_id, self.node)


def held_back(groups: Groups, found: Look) -> list[HeldBack]:
    """What is in the way of each model and lane, the most jobs first. Jobs that start now, or of which nobody knows, are in none."""
    behind: Counter[str] = Counter()
    for group in groups.groups:
        behind[group.model] += group.jobs
    known = {id(group): _of_group(group, found, behind[group.model]) for group in groups.groups if group.path in found.paths}
    alike = _by_kind((group, known[id(group)]) for group in groups.groups if id(group) in known)
    jobs: Counter[int] = Counter()
    findings: dict[int, HeldBack] = {}
    for group in groups.groups:
        one = known[id(group)] if id(group) in known else _inherited(group, alike)
        if one is not None:
            findings[id(one)] = one
            jobs[id(one)] += group.jobs
    return _summed((one, jobs[which]) for which, one in findings.items())


def _summed(findings: Iterable[tuple[HeldBack, int]]) -> list[HeldBack]:
    """What is the same for the same model and lane, once."""
    summed: dict[tuple[object, ...], HeldBack] = {}
    for one, jobs in findings:
        key = (one.model, one.lane, *one.key)
        summed[key] = dataclasses.replace(one, jobs=jobs + (summed[key].jobs if key in summed else 0))
    return sorted(summed.values(), key=lambda one: -one.jobs)


Kinds = dict[tuple[object, ...], HeldBack]


def _by_kind(findings: Iterable[tuple[Group, HeldBack | None]]) -> Kinds:
    """What was found, for those of the same tenant, and of what all share for those of the same deployments."""
    found: Kinds = {}
    for group, one in findings:
        if one is not None and one.scope_kind not in _OWN_NODES:
            found.setdefault((group.tenant_id, *_of_deployments(group)), one)
            if one.is_shared:
                found.setdefault((_list_of(group), *_of_deployments(group)), one)
    return found


def _inherited(group: Group, alike: Kinds) -> HeldBack | None:
    """What others of the tenant meet at this model, or of any tenant."""
    own = alike.get((group.tenant_id, *_of_deployments(group)))
    return own or alike.get((_list_of(group), *_of_deployments(group)))


def _list_of(group: Group) -> str:
    return wiring.directory().gate_model(group.model, group.tenant_id)


def _of_deployments(group: Group) -> tuple[object, ...]:
    """What has the same deployments to wait for, in one lane."""
    return (group.model, group.lane, read(group.route_marks).never)


def _of_group(group: Group, found: Look, behind: int) -> HeldBack | None:
    """What a group meets. behind: how many wait for its model: what leaves room for fewer is in the way of the rest."""
    held = HeldBack(group.model, group.lane, SLOTS, "", "", group.jobs, opens_ms=None)
    if group.lane not in found.free:
        return dataclasses.replace(held, text=NO_WORKER)
    limits = found.paths[group.path]
    if limits is None:
        return dataclasses.replace(held, kind=UNTOLD, scope_kind="tenant", tenant_id=group.tenant_id)
    on_path = [*limits, *_pauses_of(group, found)]
    places = [(place, found.places[place.id]) for place in _places_of(group) if place.id in found.places]
    obstacle = binding(on_path, [state for _, state in places], Asked(_need(group), group.lane, found.seen.now_ms))
    is_closed = obstacle is not None and not obstacle.fits
    if not is_closed and found.free[group.lane] <= 0:
        return dataclasses.replace(held, text=NO_SLOT)
    if obstacle is None or not (is_closed or (obstacle.headroom is not None and obstacle.headroom < behind)):
        return None
    return _named(held, group, obstacle, _whereabouts(obstacle, on_path, places))


def _pauses_of(group: Group, found: Look) -> Iterator[Effective]:
    if group.model in found.paused_models:
        yield found.paused_models[group.model]
    if group.lane in found.paused_lanes:
        yield found.paused_lanes[group.lane]


def _places_of(group: Group) -> tuple[Place, ...]:
    return able_places(group.model, group.tenant_id, group.route_marks)


def _need(group: Group) -> Need:
    return need_at(_places_of(group), group.input_tokens, group.output_tokens, group.max_output_tokens)


Whereabouts = tuple[Effective | None, int | None]
"""The limit that an obstacle is, and whose deployment it is at: None for all tenants', and for what is at none."""


def _whereabouts(obstacle: Obstacle, on_path: Iterable[Effective], places: Iterable[tuple[Place, DeploymentState]]) -> Whereabouts:
    for place, state in places:
        limit = next((one for one in state.limits if obstacle.id and one.use.id == obstacle.id), None)
        if limit or (obstacle.scope_kind == "deployment" and state.name == obstacle.scope):
            return limit, place.tenant_id
    return next((one for one in on_path if obstacle.id and one.use.id == obstacle.id), None), None


def _named(held: HeldBack, group: Group, obstacle: Obstacle, where: Whereabouts) -> HeldBack:
    """The obstacle with its limit's words, its place and its use."""
    limit, owner = where
    is_own = obstacle.scope_kind in _OWN_NODES or obstacle.scope_kind == "tenant"
    return dataclasses.replace(
        held,
        kind=obstacle.kind,
        scope_kind=obstacle.scope_kind,
        scope=group.model if obstacle.kind == NO_DEPLOYMENT else obstacle.scope,
        limit_id=obstacle.id,
        text=as_typed(limit) if limit else "",
        tenant_id=group.tenant_id if is_own else owner,
        node=_node_of(group.path, obstacle) if obstacle.scope_kind in _OWN_NODES else "",
        share=_share(limit, group.lane) if limit else None,
        opens_ms=obstacle.wait_ms,
        next_ms=limit.use.next_ms if limit else obstacle.wait_ms,
    )


def _share(limit: Effective, lane: Lane) -> float | None:
    most = limit.record.amount_for(lane)
    return min(1.0, limit.use.used / most) if most and limit.record.kind != Kind.PAUSE else None


def _node_of(path: str, obstacle: Obstacle) -> str:
    """The node of a path that an obstacle is on, as the path writes it."""
    for part in parts_of(path):
        if kind_of(part) == obstacle.scope_kind and (obstacle.scope_kind != NodeKind.RUN or _is_run(part, obstacle.scope)):
            return part
    return ""


def _is_run(part: str, scope: str) -> bool:
    return uuid.UUID(name_of(part)) == uuid.UUID(scope)
