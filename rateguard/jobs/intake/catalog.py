"""What a key may call: models, where they lead, what they cost, what is known of them, and whether one takes work now."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import GateError
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.wildcards import covers, is_allowed, is_pattern
from rateguard.jobs.insight.capacity import ModelRoom, capacity
from rateguard.jobs.intake.allowed import KeyRules
from tenants.directory import Directory, Place
from tenants.models import Price

_ENDPOINTS = {"chat": Endpoint.CHAT, "embedding": Endpoint.EMBEDDINGS}
_Facts = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class OfferedPlace:
    """A deployment of a model. is_open: whether it takes a request now; None: the gate did not say."""

    place: Place
    is_open: bool | None


@dataclasses.dataclass(frozen=True, slots=True)
class Offer:
    """A model. endpoints, context_tokens, max_output_tokens: as far as the price list knows; of several deployments the least.

    is_open: whether one of its deployments takes a request now.
    """

    model: str
    endpoints: tuple[Endpoint, ...] | None
    context_tokens: int | None
    max_output_tokens: int | None
    is_open: bool | None
    places: tuple[OfferedPlace, ...]


def offers(tenant_id: int, rules: KeyRules) -> list[Offer]:
    """The models that a tenant's key may use, by name. A model without a deployment for the tenant is left out. One call of the gate.

    What follows a wildcard is not listed, unless the key names it: the wildcard is, as the pattern that it is.
    """
    directory = wiring.directory()
    names = [name for name in directory.routes if name not in directory.followers or name in rules.models]
    return _offers(directory, tenant_id, [*names, *directory.wildcards], rules)


def offer(model: str, tenant_id: int, rules: KeyRules) -> Offer | None:
    """One model, also one that follows a wildcard; None where there is none that the key may use."""
    directory = wiring.directory()
    known = model in directory.routes or model in directory.wildcards
    return next(iter(_offers(directory, tenant_id, [model], rules)), None) if known else None


def _offers(directory: Directory, tenant_id: int, names: Iterable[str], rules: KeyRules) -> list[Offer]:
    may = (name for name in sorted(names) if not rules.models or _may_name(rules, name))
    within = {name: _within(directory, name, tenant_id) for name in may}
    found = {name: places for name, places in within.items() if places}
    facts = _facts({place.target.base_model for places in found.values() for place in places})
    rooms = _rooms(rules.default_lane or Lane.NORMAL)
    return [_offer(name, places, facts, rooms.get(directory.gate_model(name, tenant_id))) for name, places in found.items()]


def _may_name(rules: KeyRules, name: str) -> bool:
    """Of a pattern: whether it allows all of it, or the key some of what it stands for."""
    return is_allowed(rules.models, name) or (is_pattern(name) and any(covers(name, rule) for rule in rules.models))


def _within(directory: Directory, name: str, tenant_id: int) -> tuple[Place, ...]:
    places = directory.routes.get(name) or directory.wildcards.get(name, ())
    return tuple(place for place in places if place.tenant_id in {None, tenant_id})


def _offer(name: str, places: tuple[Place, ...], facts: _Facts, room: ModelRoom | None) -> Offer:
    known = [facts.get((place.target.provider, place.target.base_model), {}) for place in places]
    kinds = {str(one["kind"]) for one in known if one.get("kind") in _ENDPOINTS}
    states = {} if room is None else {one.state.id: one.closed_by is None for one in room.deployments}
    offered = tuple(OfferedPlace(place, states.get(place.id)) for place in places)
    return Offer(
        name,
        tuple(_ENDPOINTS[kind] for kind in sorted(kinds)) or None,
        _least(one.get("context_tokens") for one in known),
        _least(one.get("max_output_tokens") for one in known),
        None if room is None else any(states.values()) and room.total.requests != 0,
        offered,
    )


def _facts(models: Collection[str]) -> _Facts:
    """What the price list says beside the prices."""
    rows = Price.objects.filter(model__in=models, valid_from__lte=timezone.now()).order_by("valid_from")
    return {(row.provider, row.model): row.details for row in rows}


def _rooms(lane: Lane) -> dict[str, ModelRoom]:
    """What each model could take now; nothing where the gate does not answer: the list is good without it."""
    try:
        return {room.model: room for room in capacity(lane).models}
    except GateError:
        return {}


def _least(values: Iterable[object]) -> int | None:
    return min((value for value in values if isinstance(value, int)), default=None)
