"""What each model could take now: the room at its deployments by their limits, cooldowns, breakers and pauses."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Metric, Need
from rateguard.jobs.insight.binding import Asked, DeploymentState, Effective, Obstacle, is_on_trial, judge, judge_deployment
from rateguard.jobs.insight.effective import deployment_states, global_sources, model_pauses, paused_lane, place_sources, with_use

_TOKENS = {Metric.TOKENS, Metric.PROVIDER_TOKENS}
_REQUESTS = {Metric.REQUESTS, Metric.CONCURRENCY}
ONE = Need(1, 0, 0, 0)
"""What is asked of a deployment to see whether it is open: one request of one token."""


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """Requests and tokens that could go now; None: nothing limits them."""

    requests: int | None
    tokens: int | None

    def at_most(self, other: Room) -> Room:
        """What fits both."""
        return Room(_least((self.requests, other.requests)), _least((self.tokens, other.tokens)))


NO_ROOM = Room(0, 0)
ONE_PROBE = Room(1, None)


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentRoom:
    """The room at one deployment, and what closes it (None: it is open)."""

    state: DeploymentState
    room: Room
    closed_by: Obstacle | None


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRoom:
    """The room of a model as the gate calls it (`gpt@5`: the list of tenant 5) over all its deployments."""

    model: str
    total: Room
    deployments: tuple[DeploymentRoom, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Capacity:
    """All models, for a lane. now_ms: the gate's time.

    above: what stands above all of them: global limits, a pause of everything or of the lane.
    """

    now_ms: int
    lane: Lane
    above: tuple[Effective, ...]
    models: tuple[ModelRoom, ...]


def capacity(lane: Lane = Lane.NORMAL) -> Capacity:
    """What each model could take now in a lane. One call of the gate. Raises GateError."""
    by_model = wiring.directory().gate_models()
    places = {place.id: place for found in by_model.values() for place in found}
    sources, above, paused = place_sources(places.values()), global_sources(), model_pauses()
    ids = {one.record.id for found in (*sources.values(), above, paused.values()) for one in found}
    seen = wiring.gate().inspect(tuple(sorted(ids)))
    standing_above = (*with_use(above, seen), *paused_lane(lane, seen.now_ms))
    asked = Asked(ONE, lane, seen.now_ms)
    states = {state.id: state for state in deployment_states(places.values(), sources, seen)}
    is_closed = any(not judge(one, asked).fits for one in standing_above)
    most = NO_ROOM if is_closed else room_in(standing_above, lane)
    models = []
    for name, found in sorted(by_model.items()):
        own = with_use([paused[public] for public in (name, name.rpartition("@")[0]) if public in paused], seen)
        here = [dataclasses.replace(states[place.id], limits=(*states[place.id].limits, *own)) for place in found]
        models.append(model_room(name, here, asked, most))
    return Capacity(seen.now_ms, lane, standing_above, tuple(models))


def model_room(model: str, states: Iterable[DeploymentState], asked: Asked, most: Room) -> ModelRoom:
    """The room of one model; `most`: what stands above it allows. Deployments of one account share that account's room."""
    found = [deployment_room(state, asked) for state in states]
    by_account: dict[int, list[DeploymentRoom]] = defaultdict(list)
    for one in found:
        by_account[one.state.account_id].append(one)
    total = NO_ROOM
    for rooms in by_account.values():
        together = NO_ROOM
        for one in rooms:
            together = _sum(together, one.room)
        shared = [limit for limit in rooms[0].state.limits if limit.scope_kind == "account"]
        total = _sum(total, together.at_most(room_in(shared, asked.lane)))
    return ModelRoom(model, total.at_most(most), tuple(found))


def deployment_room(state: DeploymentState, asked: Asked) -> DeploymentRoom:
    """The room at one deployment; none while something closes it."""
    worst = max(judge_deployment(state, asked), key=lambda one: one.severity, default=None)
    if worst is not None and not worst.fits:
        return DeploymentRoom(state, NO_ROOM, worst)
    room = room_in(state.limits, asked.lane)
    return DeploymentRoom(state, room.at_most(ONE_PROBE) if is_on_trial(state) else room, None)


def room_in(limits: Iterable[Effective], lane: Lane) -> Room:
    """What a set of limits leaves to a lane."""
    counted = [one for one in limits if one.record.kind != Kind.PAUSE]
    requests = _least(one.left(lane) for one in counted if one.record.metric in _REQUESTS)
    tokens = _least(one.left(lane) for one in counted if one.record.metric in _TOKENS)
    return Room(requests, tokens)


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _sum(one: Room, other: Room) -> Room:
    """Unlimited and anything is unlimited."""
    requests = None if one.requests is None or other.requests is None else one.requests + other.requests
    tokens = None if one.tokens is None or other.tokens is None else one.tokens + other.tokens
    return Room(requests, tokens)
