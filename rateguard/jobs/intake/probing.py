"""Is a deployment well? Asked at no cost where its provider has a page for that; else by one tiny job, if somebody wants to pay for it.

The job goes the way of all jobs, at that deployment alone: the gate grants it, the ledger has it, its end is the answer.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from django.utils import timezone

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane
from rateguard.engine.money import most_nano_usd
from rateguard.engine.providers.base import Endpoint
from rateguard.engine.providers.listing import Listing
from rateguard.engine.tokens import count_input
from rateguard.jobs.controls.syncing import heard
from rateguard.jobs.intake.submission import Submission
from rateguard.jobs.intake.submit import submit
from rateguard.jobs.models import Job
from tenants.directory import Place
from tenants.models import ApiKey, Deployment, Price, Tenant
from tenants.routing import PLAIN

START_WITHIN = dt.timedelta(minutes=1)
"""A probe that nothing let through for so long has told enough: it expires."""
_TEXT = "ping"


@dataclasses.dataclass(frozen=True, slots=True)
class Probed:
    """What came of it. listing: what the provider said for nothing.

    nano_usd: what this look costs at most; where none is possible for nothing, and nobody paid, what a call would cost; None: no price is
    known. job: the call that was paid for, on its way.
    """

    listing: Listing
    nano_usd: int | None
    job: Job | None = None


def probe(deployment: Deployment) -> Probed:
    """Ask for nothing, or say what a call would cost. Raises InvalidRequest where the deployment is out."""
    place = _place_of(deployment)
    listing = heard(place.target)
    return Probed(listing, 0 if listing.was_asked else _price(place, _body(place, deployment.upstream_model)))


def probe_by_call(deployment: Deployment, tenant: Tenant, *, key: ApiKey | None = None, via: str = "rest") -> Probed:
    """The same, and one call of a token of output there, which the tenant pays. Raises as `submit`, and `no_deployment`."""
    place = _place_of(deployment)
    if place.tenant_id not in {None, tenant.pk}:
        raise InvalidRequest(f"the account of {deployment.name} is another tenant's, who alone can pay a call there", code="no_deployment")
    body = _body(place, _model_at(place, tenant.pk))
    asked = Submission(
        tenant=tenant,
        endpoint=_endpoint(place),
        body=body,
        lane=Lane.HIGH if key is None else None,
        labels={"probe": deployment.name},
        max_tries=1,
        deadline=timezone.now() + START_WITHIN,
        key=key,
        api_key_id=None if key is None else key.pk,
        via=via,
        only=place.id,
    )
    job = submit(asked).job
    return Probed(heard(place.target), _price(place, body), job)


def _place_of(deployment: Deployment) -> Place:
    place = wiring.directory().places.get(deployment.pk)
    if place is None:
        raise InvalidRequest(f"deployment {deployment.name} takes no calls: it is out, or a wildcard's", code="no_deployment")
    return place


def _model_at(place: Place, tenant_id: int) -> str:
    """The public model that leads there, of several the one with the least besides: no fallbacks, the fewest other deployments."""
    directory = wiring.directory()
    found = {name: places for name in directory.routes if place in (places := directory.places_for(name, tenant_id) or ())}
    if not found:
        raise InvalidRequest(f"no model leads to {place.name}: make one, then it can be called", code="no_deployment")
    return min(found, key=lambda name: (len(directory.routing.get(name, PLAIN).fallbacks), len(found[name]), name))


def _endpoint(place: Place) -> Endpoint:
    """What the price list says that the model is; a chat where it does not know it."""
    rows = Price.objects.filter(provider=place.target.provider, model=place.target.base_model).order_by("-valid_from")
    details = rows.values_list("details", flat=True).first() or {}
    return Endpoint.EMBEDDINGS if details.get("kind") == "embedding" else Endpoint.CHAT


def _body(place: Place, model: str) -> dict[str, Any]:
    """The smallest request that there is."""
    if _endpoint(place) == Endpoint.EMBEDDINGS:
        return {"model": model, "input": _TEXT}
    return {"model": model, "messages": [{"role": "user", "content": _TEXT}], "max_tokens": 1}


def _price(place: Place, body: dict[str, Any]) -> int | None:
    """The most that it can cost, nano-dollars."""
    tokens = count_input(body, place.target.base_model, place.target.provider)
    return most_nano_usd(place.price, tokens, int(body.get("max_tokens", 0))) if place.is_priced else None
