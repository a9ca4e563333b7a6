"""The directory: which models there are, where their deployments live, what they cost. Rows read once, kept as values."""

from __future__ import annotations

import dataclasses
import logging
from collections import defaultdict
from collections.abc import Iterable

from django.utils import timezone

from rateguard.engine import money
from rateguard.engine.providers.base import Target
from tenants.models import ConfigVersion, Deployment, ModelRoute, RouteTarget
from tenants.prices import find_price, prices_at

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A deployment: where a call goes and what it costs. tenant_id: whose account it is, None for all tenants."""

    id: int
    name: str
    account_id: int
    target: Target
    price: money.Price
    is_priced: bool
    tenant_id: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRetry:
    """What a model says of its jobs' retries; None: as the settings say."""

    max_tries: int | None
    base_ms: int | None
    longest_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Directory:
    """Routes by public name and places by deployment id, as of `version` of the configuration. retries: of models that say something."""

    version: int
    routes: dict[str, tuple[Place, ...]]
    places: dict[int, Place]
    retries: dict[str, ModelRetry]

    def places_for(self, model: str, tenant_id: int) -> tuple[Place, ...] | None:
        """The deployments of a model that a tenant may use, in order of preference; None: there is no such model."""
        places = self.routes.get(model)
        return None if places is None else tuple(place for place in places if place.tenant_id in (None, tenant_id))

    def gate_model(self, model: str, tenant_id: int) -> str:
        """What the gate calls the model: a tenant with deployments of its own has a list of its own."""
        is_own = any(place.tenant_id == tenant_id for place in self.routes.get(model, ()))
        return f"{model}@{tenant_id}" if is_own else model

    def gate_models(self) -> dict[str, tuple[Place, ...]]:
        """All lists of deployments by what the gate calls them."""
        found: dict[str, tuple[Place, ...]] = {}
        for model, places in self.routes.items():
            found[model] = tuple(place for place in places if place.tenant_id is None)
            for owner in {place.tenant_id for place in places if place.tenant_id is not None}:
                found[self.gate_model(model, owner)] = self.places_for(model, owner) or ()
        return found


def read_directory() -> Directory:
    """Read the directory from the rows. Disabled models and deployments are left out."""
    version = ConfigVersion.current()
    prices = prices_at(timezone.now())
    deployments = Deployment.objects.filter(is_enabled=True).select_related("account")
    places = {row.pk: _place(row, prices) for row in deployments}
    routes: dict[str, list[Place]] = defaultdict(list)
    retries: dict[str, ModelRetry] = {}
    for name, *of_retries in ModelRoute.objects.filter(is_enabled=True).values_list("name", "max_tries", "retry_base_ms", "retry_max_ms"):
        routes[name] = []
        if any(of_retries):
            retries[name] = ModelRetry(*of_retries)
    for target in RouteTarget.objects.filter(route__is_enabled=True).select_related("route").order_by("route", "position"):
        if target.deployment_id in places:
            routes[target.route.name].append(places[target.deployment_id])
    return Directory(version, {name: tuple(found) for name, found in routes.items()}, places, retries)


def tell_unpriced(places: Iterable[Place]) -> None:
    """Once a process: work of a deployment without a price costs nothing, and no budget holds it back."""
    for place in places:
        if not place.is_priced and place.name not in _told:
            _told.add(place.name)
            logger.warning("deployment %s has no price: its work costs $0; add a Price for %s", place.name, place.target.upstream_model)


_told: set[str] = set()


def _place(row: Deployment, prices: dict[tuple[str, str], money.Price]) -> Place:
    account = row.account
    options = {**account.options, **row.options}
    target = Target(account.provider, account.base_url, account.credentials.reveal(), row.upstream_model, row.region, options)
    price = find_price(prices, account.provider, row.upstream_model)
    return Place(row.pk, row.name, account.pk, target, price or money.Price(), price is not None, account.tenant_id)
