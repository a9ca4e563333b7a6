"""The directory: which models there are, where their deployments live, what they cost. Rows read once, kept as values."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator

from django.utils import timezone

from rateguard.engine import money
from rateguard.engine.providers.base import Target
from rateguard.engine.routing.contract import Strategy
from rateguard.engine.routing.marks import split
from rateguard.engine.wildcards import STAR, is_pattern
from tenants.models import ConfigVersion, Deployment, Limit, ModelRoute, RouteFallback, RouteTarget
from tenants.prices import find_price_of, prices_at
from tenants.records.readable import NOTHING, Readable, readable
from tenants.routing import Fallback, Routing

__all__ = [
    "DEARER",
    "LONG",
    "DearerWork",
    "Directory",
    "Fallback",
    "ModelRetry",
    "Place",
    "Routing",
    "dearer_work",
    "read_directory",
    "tell_unpriced",
]

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
class DearerWork:
    """What makes requests of a model dearer: words that they ask for, and more input than `long_above`, tokens; None: no input does."""

    words: frozenset[str]
    long_above: int | None

    @property
    def is_any(self) -> bool:
        """Whether anything does."""
        return bool(self.words) or self.long_above is not None

    def of(self, words: Iterable[str], input_tokens: int) -> str:
        """What of it holds for a request, as the end of a list's name; "" for nothing."""
        found = self.words.intersection(words)
        if self.long_above is not None and input_tokens > self.long_above:
            found |= {LONG}
        return f"{DEARER}{'+'.join(sorted(found))}" if found else ""

    def each(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every end that a list may have, and its words."""
        all_words = sorted(self.words if self.long_above is None else self.words | {LONG})
        for count in range(1, len(all_words) + 1):
            for words in itertools.combinations(all_words, count):
                yield f"{DEARER}{'+'.join(words)}", words


LONG = "long"
DEARER = "~"
"""Between a list's name and the words of its dearer work; no model's name has it."""


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRetry:
    """What a model says of its jobs' retries; None: as the settings say."""

    max_tries: int | None
    base_ms: int | None
    longest_ms: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Directory:
    """Routes by public name and places by deployment id, as of `version` of the configuration.

    retries: of models that say something; dearer: of models whose price depends on the request;
    readable: by deployment, the limits that a provider's headers may speak of; routing: how each model chooses. wildcards: by pattern
    where its models would lead, the longest first; they are models that nobody asked for yet, so neither routes nor places hold them.
    followers: models that were made from a wildcard, and its pattern.
    """

    version: int
    routes: dict[str, tuple[Place, ...]]
    places: dict[int, Place]
    retries: dict[str, ModelRetry]
    dearer: dict[str, DearerWork] = dataclasses.field(default_factory=dict)
    readable: dict[int, Readable] = dataclasses.field(default_factory=dict)
    routing: dict[str, Routing] = dataclasses.field(default_factory=dict)
    wildcards: dict[str, tuple[Place, ...]] = dataclasses.field(default_factory=dict)
    followers: dict[str, str] = dataclasses.field(default_factory=dict)

    def readable_at(self, deployment: int) -> Readable:
        """Of which limits a provider's answer speaks."""
        return self.readable.get(deployment, NOTHING)

    def places_for(self, model: str, tenant_id: int) -> tuple[Place, ...] | None:
        """The deployments of a model that a tenant may use, in order of preference; None: there is no such model."""
        places = self.routes.get(model)
        return None if places is None else tuple(place for place in places if place.tenant_id in (None, tenant_id))

    def gate_model(self, model: str, tenant_id: int, words: Iterable[str] = (), input_tokens: int = 0) -> str:
        """What the gate calls the model: a tenant with deployments of its own has a list of its own, and so has work that is dearer.

        words: what the request asks for, as `engine.asked` reads it; input_tokens: its input as it is counted.
        """
        is_own = any(place.tenant_id == tenant_id for place in self.routes.get(model, ()))
        dearer = self.dearer.get(model)
        end = "" if dearer is None else dearer.of(words, input_tokens)
        return f"{model}@{tenant_id}{end}" if is_own else f"{model}{end}"

    def public_name(self, gate_model: str) -> str:
        """The model of a list: `m` of `m@5~long!-7`, the list of tenant 5 for its long requests that leave out deployment 7."""
        name = split(gate_model)[0].partition(DEARER)[0]
        return name if name in self.routes else name.rpartition("@")[0]

    def gate_models(self) -> dict[str, tuple[Place, ...]]:
        """All lists of deployments by what the gate calls them, but those of dearer work."""
        found: dict[str, tuple[Place, ...]] = {}
        for model, places in self.routes.items():
            found[model] = tuple(place for place in places if place.tenant_id is None)
            for owner in {place.tenant_id for place in places if place.tenant_id is not None}:
                found[self.gate_model(model, owner)] = self.places_for(model, owner) or ()
        return found

    def dearer_models(self) -> dict[str, tuple[Place, ...]]:
        """The lists of dearer work: the same deployments, at the most that such work costs there."""
        return {
            f"{name}{end}": tuple(_at_the_most(place, words) for place in places)
            for name, places in self.gate_models().items()
            if (dearer := self.dearer.get(self.public_name(name))) is not None
            for end, words in dearer.each()
        }


def read_directory() -> Directory:
    """Read the directory from the rows. Disabled models and deployments are left out."""
    version = ConfigVersion.current()
    prices = prices_at(timezone.now())
    deployments = list(Deployment.objects.filter(is_enabled=True).select_related("account"))
    places = {row.pk: _place(row, prices) for row in deployments}
    weights = {row.pk: row.weight for row in deployments}
    routes: dict[str, list[Place]] = defaultdict(list)
    retries: dict[str, ModelRetry] = {}
    routing: dict[str, Routing] = {}
    fallbacks = _fallbacks()
    rows = list(ModelRoute.objects.filter(is_enabled=True).defer("is_enabled"))
    for row in rows:
        routes[row.name] = []
        routing[row.name] = _routing(row, fallbacks[row.pk])
        if row.max_tries or row.retry_base_ms or row.retry_max_ms:
            retries[row.name] = ModelRetry(row.max_tries, row.retry_base_ms, row.retry_max_ms)
    targets = RouteTarget.objects.filter(route__is_enabled=True).order_by("route", "position")
    for name, deployment, own_weight, after_ms in targets.values_list("route__name", "deployment_id", "weight", "after_ms"):
        if deployment in places:
            routes[name].append(places[deployment])
            routing[name].weights[deployment] = own_weight or weights[deployment]
            routing[name].after_ms[deployment] = after_ms
    patterns = sorted(filter(is_pattern, routes), key=len, reverse=True)
    wildcards = {name: tuple(routes.pop(name)) for name in patterns}
    places = {pk: place for pk, place in places.items() if STAR not in place.target.upstream_model}
    dearer = {name: work for name, found in routes.items() if (work := dearer_work(found)).is_any}
    accounts = {place.id: place.account_id for place in places.values()}
    read = readable(Limit.objects.filter(scope__isnull=True).order_by("pk"), accounts)
    made_of = {name: tuple(found) for name, found in routes.items()}
    return Directory(version, made_of, places, retries, dearer, read, routing, wildcards, _followers(rows))


def _followers(rows: Iterable[ModelRoute]) -> dict[str, str]:
    """By name the pattern that a model follows."""
    names = {row.pk: row.name for row in rows}
    return {row.name: names[row.wildcard_id] for row in rows if row.wildcard_id in names}


def _fallbacks() -> defaultdict[int, list[Fallback]]:
    """By model, in order. Those that lead to a disabled model are left out: nobody serves it."""
    found: defaultdict[int, list[Fallback]] = defaultdict(list)
    rows = RouteFallback.objects.filter(to__is_enabled=True).order_by("route", "position")
    for route, on, to in rows.values_list("route_id", "on", "to__name"):
        found[route].append(Fallback(on, to))
    return found


def _routing(row: ModelRoute, fallbacks: list[Fallback]) -> Routing:
    """How a model chooses; its deployments are not in it yet."""
    return Routing(
        strategy=Strategy(row.strategy),
        regions=tuple(row.regions),
        fallbacks=tuple(fallbacks),
        max_fallbacks=row.max_fallbacks,
        is_sticky=row.is_sticky,
        hedges=row.hedges,
    )


def dearer_work(places: Iterable[Place]) -> DearerWork:
    """What makes requests at one of these dearer."""
    prices = [place.price for place in places]
    words = {money.PRIORITY for price in prices if any(name == money.PRIORITY for name, _ in price.tiers)}
    words |= {name for price in prices for name, permille in price.terms if permille > money.WHOLE_PERMILLE}
    long_above = min((one.above_input_tokens for price in prices for one in price.long_contexts), default=None)
    return DearerWork(frozenset(words), long_above)


def _at_the_most(place: Place, words: Iterable[str]) -> Place:
    """A place at one price, the most that work with these words costs there."""
    input_tokens = _ANY_LENGTH if LONG in words else 0
    input_pico, output_pico = place.price.dearest_at(words, input_tokens)
    return dataclasses.replace(place, price=money.Price(input_pico, output_pico=output_pico))


_ANY_LENGTH = 2**62


def tell_unpriced(places: Iterable[Place]) -> None:
    """Once a process: work of a deployment without a price costs nothing, and no budget holds it back."""
    for place in places:
        if not place.is_priced and place.name not in _told:
            _told.add(place.name)
            logger.warning("deployment %s has no price: its work costs $0; add a Price for %s", place.name, place.target.base_model)


_told: set[str] = set()


def _place(row: Deployment, prices: dict[tuple[str, str], money.Price]) -> Place:
    account = row.account
    options = {**account.options, **row.options}
    target = Target(account.provider, account.base_url, account.credentials.reveal(), row.upstream_model, row.region, options)
    price = find_price_of(prices, row)
    return Place(row.pk, row.name, account.pk, target, price or money.Price(), price is not None, account.tenant_id)
