"""Provider accounts and their deployments as they stand now: rows, and what the gate said of them where it did."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence

from rateguard import wiring
from rateguard.engine.lanes import Lane
from rateguard.jobs.insight.binding import Asked, DeploymentState, Effective, Obstacle, breaker_wait_ms, is_on_trial, judge_deployment
from rateguard.jobs.insight.capacity import ONE
from rateguard.jobs.insight.effective import Rows, place_sources
from rateguard.jobs.insight.heldlook import Look
from tenants.access import Access
from tenants.directory import Place
from tenants.models import Deployment, ForcedBreaker, Pause
from tenants.records.models import FORCED

MOST = 200
"""Deployments on the page, by name."""


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentRow:
    """What a deployment's row says that the directory does not."""

    account: str
    provider: str
    forced: str


@dataclasses.dataclass(frozen=True, slots=True)
class DeploymentNow:
    """A deployment. state.limits: its own. closed_by: what keeps work away (None: nothing does, or nobody knows). models: their names.

    breaker_ms: 0 where its breaker lets work through, else until its next probe; None: not by itself.
    """

    name: str
    models: tuple[str, ...]
    state: DeploymentState
    closed_by: Obstacle | None
    breaker_ms: int | None
    is_on_trial: bool


@dataclasses.dataclass(frozen=True, slots=True)
class AccountNow:
    """A provider account with its limits and deployments.

    is_known: the gate told how they stand. is_shared: others use it too, and who looks is not told how much.
    """

    name: str
    provider: str
    limits: tuple[Effective, ...]
    deployments: tuple[DeploymentNow, ...]
    is_known: bool
    is_shared: bool


def places_within(access: Access) -> list[Place]:
    """The deployments that somebody may see: all tenants' and their own."""
    ids = access.tenant_ids()
    found = sorted(wiring.directory().places.values(), key=lambda place: place.name)
    return [place for place in found if ids is None or place.tenant_id is None or place.tenant_id in ids][:MOST]


def deployment_rows(places: Sequence[Place]) -> dict[int, DeploymentRow]:
    """One query."""
    rows = Deployment.objects.filter(pk__in=[place.id for place in places])
    found = rows.values_list("pk", "account__name", "account__provider", "breaker_forced")
    return {pk: DeploymentRow(*columns) for pk, *columns in found}


def accounts_now(
    access: Access, places: Sequence[Place], rows: Mapping[int, DeploymentRow], look: Look | None, pauses: Sequence[Pause]
) -> list[AccountNow]:
    """Accounts by name. look: None where the gate is away; then a query reads which limits there are."""
    states = look.places if look else _states_from_rows(places, rows, pauses)
    asked = Asked(ONE, Lane.NORMAL, look.seen.now_ms if look else 0)
    models = _models_of()
    by_account: dict[int, list[Place]] = defaultdict(list)
    for place in places:
        if place.id in rows and place.id in states:
            by_account[place.account_id].append(place)
    found = [
        _account(access, [(place, states[place.id]) for place in here], rows, models, asked, bool(look)) for here in by_account.values()
    ]
    return sorted(found, key=lambda account: account.name)


def _account(
    access: Access,
    here: Sequence[tuple[Place, DeploymentState]],
    rows: Mapping[int, DeploymentRow],
    models: Mapping[int, tuple[str, ...]],
    asked: Asked,
    is_known: bool,
) -> AccountNow:
    place, state = here[0]
    row = rows[place.id]
    owner = place.tenant_id
    ids = access.tenant_ids()
    is_shared = ids is not None and owner not in ids
    deployments = tuple(_deployment(one, models.get(at.id, ()), asked, is_known) for at, one in here)
    return AccountNow(row.account, row.provider, _limits(state, "account"), deployments, is_known, is_shared)


def _limits(state: DeploymentState, scope_kind: str) -> tuple[Effective, ...]:
    return tuple(one for one in state.limits if one.scope_kind == scope_kind)


def _deployment(state: DeploymentState, models: tuple[str, ...], asked: Asked, is_known: bool) -> DeploymentNow:
    own = dataclasses.replace(state, limits=_limits(state, "deployment"))
    obstacles = judge_deployment(state, asked) if is_known else [one for one in judge_deployment(state, asked) if one.kind == "breaker"]
    worst = max(obstacles, key=lambda one: one.severity, default=None)
    closed_by = None if worst is None or worst.fits else worst
    return DeploymentNow(state.name, models, own, closed_by, breaker_wait_ms(state, asked.now_ms), is_on_trial(state))


def _states_from_rows(places: Sequence[Place], rows: Mapping[int, DeploymentRow], pauses: Sequence[Pause]) -> dict[int, DeploymentState]:
    sources = place_sources(places, Rows(pauses=pauses))
    forced = {pk: FORCED[ForcedBreaker(row.forced)] for pk, row in rows.items()}
    return {
        place.id: DeploymentState(place.id, place.name, place.account_id, sources[place.id], forced=forced[place.id])
        for place in places
        if place.id in forced
    }


def _models_of() -> dict[int, tuple[str, ...]]:
    """The names by which callers reach a deployment."""
    found: dict[int, list[str]] = defaultdict(list)
    for model, places in sorted(wiring.directory().routes.items()):
        for place in places:
            found[place.id].append(model)
    return {pk: tuple(names) for pk, names in found.items()}
