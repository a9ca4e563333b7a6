"""Where the work of a model may go, and what a request takes there at most."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from rateguard import wiring
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.limits.limit import Need
from rateguard.engine.money import most_nano_usd
from tenants.directory import Place


def places_of(model: str, tenant_id: int, pointer: str = "") -> tuple[Place, ...]:
    """The deployments of a model that a tenant may use, perhaps none. Raises InvalidRequest: `unknown_model`."""
    places = wiring.directory().places_for(model, tenant_id)
    if places is None:
        known = ", ".join(sorted(wiring.directory().routes)[:20]) or "none are configured yet"
        raise InvalidRequest(f"there is no model {model!r}; the models are: {known}", code="unknown_model", pointer=pointer)
    return places


def need_at(
    places: Iterable[Place], input_tokens: int, output_tokens: int, max_output_tokens: int, price_words: Collection[str] = ()
) -> Need:
    """The most that a request takes of each metric at these deployments: of money, what the dearest may ask.

    price_words: what it asks for that changes its price.
    """
    cost = max((most_nano_usd(place.price, input_tokens, max_output_tokens, terms=price_words) for place in places), default=0)
    return Need(input_tokens, output_tokens, max_output_tokens, cost)
