"""The views of models: what the caller's key may use."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.door import ApiView, caller_of
from rateguard.api.models.shapes import MODELS, OfferShape
from rateguard.api.params import Query
from rateguard.api.schema.describing import extend_schema
from rateguard.engine.money import Price
from rateguard.jobs.intake.allowed import rules_of
from rateguard.jobs.intake.catalog import Offer, OfferedPlace, offer, offers
from tenants.changes.price_parts import usd_of


class Models(ApiView):
    """GET: the models."""

    http_method_names = ("get", "head")

    @extend_schema(operation_id="list_models", summary="The models that you may use", tags=["models"], responses={200: MODELS})
    def get(self, request: Request) -> Response:
        """By name, with deployments, prices and whether there is room now."""
        Query(request, ())
        caller = caller_of(request)
        return Response({"object": "list", "data": [render_offer(one) for one in offers(caller.tenant.pk, rules_of(caller.key))]})


class OneModel(ApiView):
    """GET: one model."""

    http_method_names = ("get", "head")

    @extend_schema(operation_id="get_model", summary="A model that you may use", tags=["models"], responses={200: OfferShape})
    def get(self, request: Request, name: str) -> Response:
        """As in the list."""
        Query(request, ())
        caller = caller_of(request)
        found = offer(name, caller.tenant.pk, rules_of(caller.key))
        if found is None:
            raise NotFound
        return Response(render_offer(found))


def render_offer(found: Offer) -> dict[str, Any]:
    """A model as callers see it."""
    return {
        "object": "model",
        "id": found.model,
        "endpoints": found.endpoints,
        "context_tokens": found.context_tokens,
        "max_output_tokens": found.max_output_tokens,
        "open": found.is_open,
        "deployments": [_render_place(one) for one in found.places],
    }


def _render_place(one: OfferedPlace) -> dict[str, Any]:
    return {"deployment": one.place.name, "open": one.is_open, "price": render_price(one.place.price) if one.place.is_priced else None}


def render_price(price: Price) -> dict[str, str]:
    """Dollars per million tokens."""
    return {
        "input_usd": usd_of(price.input_pico),
        "cached_input_usd": usd_of(price.cached_input_pico),
        "cache_write_usd": usd_of(price.cache_write_pico),
        "output_usd": usd_of(price.output_pico),
    }
