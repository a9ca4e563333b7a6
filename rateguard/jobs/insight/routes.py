"""Which deployment of a model would be asked first now, and why: what the rows say, what the gate sees, ranked as the gate has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from rateguard import wiring
from rateguard.engine.gate.asking import ask
from rateguard.engine.gate.contract import DeploymentRecord, DeploymentStatistics, ModelRecord
from rateguard.engine.lanes import Lane
from rateguard.engine.limits.limit import Kind, Metric
from rateguard.engine.limits.states import FOREVER, NEVER
from rateguard.engine.routing.contract import Choice, Mode, Ranking
from rateguard.engine.routing.marks import Marks, apply
from rateguard.engine.routing.sticky import home
from rateguard.jobs.insight.binding import Asked, DeploymentState, Obstacle, judge, judge_deployment
from rateguard.jobs.insight.effective import Standing, standing
from rateguard.jobs.places import need_at
from tenants.directory import Directory, Place
from tenants.models import Tenant
from tenants.records.ranking import BY_STATISTICS, Known, LimitsAt, ranking
from tenants.routing import Routing

_NO_TOKENS = frozenset({Metric.REQUESTS, Metric.CONCURRENCY, Metric.COST})
_WHOLE = 1_000
_ACCOUNT = "account"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that somebody thinks of. tenant_id: whose list; None: that of all who have no deployments of their own.

    viewer: the tenant who asks, who is told nothing that others' use shows; None: an operator.
    """

    model: str
    tenant_id: int | None = None
    viewer: int | None = None
    lane: Lane = Lane.NORMAL
    input_tokens: int = 1
    max_tokens: int = 0
    session: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Ranked:
    """A deployment in the order. closed_by: what is in the way of the request; None: it has room now.

    share_permille: of such requests, how many of a thousand it would take as things stand. statistics: None before its first call.
    is_told: whether the viewer may know what depends on how much others use: score, weight, share.
    """

    place: Place
    choice: Choice
    closed_by: Obstacle | None
    share_permille: int
    statistics: DeploymentStatistics | None
    is_told: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Explained:
    """A model's list as the gate goes through it now. gate_list: what the gate calls it. above: what closes the whole model or the lane.

    home: where the session stays, None where there is none or the model is not sticky. first: who is asked first; None: nobody has room.
    tenants: those who have lists of their own, by name; told to operators alone.
    """

    question: Question
    gate_list: str
    routing: Routing
    mode: Mode
    now_ms: int
    above: Obstacle | None
    ranked: tuple[Ranked, ...]
    home: Place | None
    first: Ranked | None
    tenants: tuple[str, ...] = ()


def explain(question: Question) -> Explained | None:
    """Explain a model's choice; None: there is no such model, or none for the tenant who asks. One call of the gate. Raises GateError."""
    directory = wiring.directory()
    places = _places(directory, question)
    if question.model not in directory.routes or not (places or question.viewer is None):
        return None
    found = standing(None, question.lane, places, question.viewer, question.model)
    routing = directory.routing[question.model]
    needed = need_at(places, question.input_tokens, question.max_tokens, question.max_tokens)
    asked = Asked(needed, question.lane, found.now_ms)
    above = _worst(judge(one, asked) for one in found.path)
    order = _ranking(routing, places, found)
    stays = _home(routing, places, question.session)
    ranked = _ranked(question, routing, places, found, (order, asked, above, stays))
    return Explained(
        question,
        question.model if question.tenant_id is None else directory.gate_model(question.model, question.tenant_id),
        routing,
        order.mode,
        found.now_ms,
        above,
        ranked,
        stays,
        max((one for one in ranked if one.share_permille), key=lambda one: one.share_permille, default=None),
        _tenants(directory, question.model) if question.viewer is None else (),
    )


def _places(directory: Directory, question: Question) -> tuple[Place, ...]:
    if question.tenant_id is not None:
        return directory.places_for(question.model, question.tenant_id) or ()
    return tuple(place for place in directory.routes.get(question.model, ()) if place.tenant_id is None)


def _tenants(directory: Directory, model: str) -> tuple[str, ...]:
    """Who has deployments of its own for a model."""
    owners = {place.tenant_id for place in directory.routes[model] if place.tenant_id is not None}
    return tuple(Tenant.objects.filter(pk__in=owners).order_by("name").values_list("name", flat=True)) if owners else ()


def _home(routing: Routing, places: Sequence[Place], session: str) -> Place | None:
    if not (routing.is_sticky and session):
        return None
    found = home(session, [(str(place.id), routing.weights.get(place.id, 1)) for place in places])
    return next((place for place in places if str(place.id) == found), None)


# ---- the order


def _ranking(routing: Routing, places: Sequence[Place], found: Standing) -> Ranking:
    """As the gate was told, of what it sees at this moment."""
    limits = {state.id: [one.record for one in state.limits if one.record.kind != Kind.PAUSE] for state in found.places}
    tokens = frozenset(one.id for records in limits.values() for one in records if one.metric not in _NO_TOKENS)
    uses = {one.record.id: one.use for state in found.places for one in state.limits}
    known = Known({one.deployment: one for one in found.statistics}, uses)
    return ranking(routing, places, LimitsAt({}, {pk: [one.id for one in records] for pk, records in limits.items()}, tokens), known)


_Context = tuple[Ranking, Asked, Obstacle | None, Place | None]


def _ranked(question: Question, routing: Routing, places: Sequence[Place], found: Standing, context: _Context) -> tuple[Ranked, ...]:
    order, asked, above, stays = context
    by_id = {str(place.id): place for place in places}
    states = {str(state.id): state for state in found.places}
    closed = {one.id: above or _closed_by(states[one.id], asked, question, by_id[one.id]) for one in order.choices}
    shares = _shares(order, closed, "" if stays is None else str(stays.id))
    seen = {one.deployment: one for one in found.statistics}
    own = {pk for pk, place in by_id.items() if question.viewer in {None, place.tenant_id}}
    is_told = routing.strategy not in BY_STATISTICS or len(own) == len(places)
    return tuple(
        Ranked(by_id[one.id], one, closed[one.id], shares.get(one.id, 0), seen.get(one.id) if one.id in own else None, is_told)
        for one in order.choices
    )


def _closed_by(state: DeploymentState, asked: Asked, question: Question, place: Place) -> Obstacle | None:
    """What closes a deployment. Whose account it is a tenant is not told, unless it is its own."""
    found = _worst(judge_deployment(state, asked))
    is_hidden = found is not None and found.scope_kind == _ACCOUNT and question.viewer not in {None, place.tenant_id}
    return dataclasses.replace(found, scope="") if found is not None and is_hidden else found


def _worst(found: Iterable[Obstacle]) -> Obstacle | None:
    """What is in the way for longest; None: nothing is."""
    worst = max(found, key=lambda one: one.severity, default=None)
    return None if worst is None or worst.fits else worst


def _shares(order: Ranking, closed: Mapping[str, Obstacle | None], stays: str) -> dict[str, int]:
    """Who would take a request that has just come, as the gate itself decides it: the session's home first, then tier by tier."""
    listed = [DeploymentRecord(one.id, (), (), 0, 0, tier=one.tier, weight=one.weight, after_ms=one.after_ms) for one in order.choices]
    model = ModelRecord("", "", apply(Marks(first=stays), listed), order.mode)
    fitting = ask(model, 0, lambda one: (_wait_ms(closed[one.id]), "")).fitting
    if order.mode is Mode.FIRST:
        return {one.id: _WHOLE for one in fitting[:1]}
    total = sum(one.weight for one in fitting)
    return {one.id: one.weight * _WHOLE // total for one in fitting}


def _wait_ms(obstacle: Obstacle | None) -> int:
    """As the gate tells it."""
    if obstacle is None:
        return 0
    if obstacle.is_never:
        return NEVER
    return FOREVER if obstacle.wait_ms is None else obstacle.wait_ms
