"""Where the work of a model may go, and what a request takes there at most."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.limits.limit import Need
from rateguard.engine.money import most_nano_usd
from rateguard.engine.wildcards import longest
from tenants.changes.adopting import adopt
from tenants.directory import Directory, Place

MOST_NAMED = 20


def places_of(model: str, tenant_id: int, pointer: str = "", *, adopts: bool = True) -> tuple[Place, ...]:
    """The deployments of a model that a tenant may use, perhaps none. Raises InvalidRequest: `unknown_model`, `wildcard_full`.

    A name under a wildcard is made a model of its own at its first use, in the caller's transaction if there is one; where the account is
    another tenant's it is unknown. adopts: False where somebody only asks: it is unknown then, too, until somebody has used it.
    """
    directory = wiring.directory()
    places = directory.places_for(model, tenant_id)
    if places is None and adopts:
        places = _adopted(directory, model, tenant_id)
    if places is None or (not places and model in wiring.directory().followers):
        raise _unknown(directory, model, tenant_id, pointer)
    return places


def _adopted(directory: Directory, model: str, tenant_id: int) -> tuple[Place, ...] | None:
    """The deployments of a model that was made just now, here or by a racing twin; None: no wildcard of the tenant's stands for it."""
    pattern = longest(directory.wildcards, model)
    if pattern is None or not _within(directory.wildcards[pattern], tenant_id) or not adopt(pattern, model):
        return None
    wiring.show_uncommitted()
    return wiring.directory().places_for(model, tenant_id)


def _within(places: Iterable[Place], tenant_id: int) -> bool:
    return any(place.tenant_id in {None, tenant_id} for place in places)


def _unknown(directory: Directory, model: str, tenant_id: int, pointer: str) -> InvalidRequest:
    """Names what there is for this tenant; models that follow a wildcard are named by it."""
    plain = [name for name, places in directory.routes.items() if name not in directory.followers and _within(places, tenant_id)]
    patterns = [name for name, places in directory.wildcards.items() if _within(places, tenant_id)]
    known = ", ".join(sorted([*plain, *patterns])[:MOST_NAMED]) or "none are configured yet"
    return InvalidRequest(f"there is no model {model!r}; the models are: {known}", code="unknown_model", pointer=pointer)


def need_at(
    places: Iterable[Place], input_tokens: int, output_tokens: int, max_output_tokens: int, price_words: Collection[str] = ()
) -> Need:
    """The most that a request takes of each metric at these deployments: of money, what the dearest may ask.

    price_words: what it asks for that changes its price.
    """
    cost = max((most_nano_usd(place.price, input_tokens, max_output_tokens, terms=price_words) for place in places), default=0)
    return Need(input_tokens, output_tokens, max_output_tokens, cost)
