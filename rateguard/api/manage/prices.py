"""Prices, in dollars per million tokens. A tenant's key sees them; an operator sets them."""

from __future__ import annotations

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of
from rateguard.api.manage.described import changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, numbered, reach_of
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_price
from rateguard.api.manage.shapes_providers import PRICES, NewPriceShape, PriceChangesShape, PriceShape
from rateguard.api.params import Query
from tenants.changes.prices import change_price, create_price, delete_price
from tenants.models import Price


class Prices(ManageView):
    """GET: the prices. POST: a new one."""

    @lists("prices", PRICES, name_of("provider"), name_of("model"))
    def get(self, request: Request) -> Response:
        """All of them, those of the past too."""
        query = Query(request, ("provider", "model", *PAGE))
        wanted = {name: query.text(name) for name in ("provider", "model")}
        return page_of(Price.objects.filter(**{name: value for name, value in wanted.items() if value}), query, render_price)

    @creates("price", NewPriceShape, PriceShape)
    def post(self, request: Request) -> Response:
        """201: it is in force from its moment on. For operators."""
        row = create_price(reach_of(request).actor, **read(request, NewPriceShape))
        return Response(render_price(row), status=201, headers={"Location": reverse("rateguard:manage-price", args=[row.pk])})


class OnePrice(ManageView):
    """GET, PATCH and DELETE of a price."""

    @shows("price", PriceShape)
    def get(self, request: Request, price: int) -> Response:
        """A price."""
        Query(request, ())
        return Response(render_price(numbered(Price.objects.all(), price)))

    @changes("price", PriceChangesShape, PriceShape)
    def patch(self, request: Request, price: int) -> Response:
        """The fields that are named. Entries of the ledger stay as they are. For operators."""
        row = numbered(Price.objects.all(), price)
        return Response(render_price(change_price(reach_of(request).actor, row, **read(request, PriceChangesShape, partial=True))))

    @deletes("price")
    def delete(self, request: Request, price: int) -> Response:
        """204: the price before it is in force again. For operators."""
        delete_price(reach_of(request).actor, numbered(Price.objects.all(), price))
        return Response(status=204)
