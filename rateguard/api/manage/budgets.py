"""Budgets, on nodes, as people write them."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from rateguard.api.limits.shapes import name_of, word
from rateguard.api.manage.described import TENANT, changes, creates, deletes, lists, shows
from rateguard.api.manage.door import ManageView, numbered, reach_of
from rateguard.api.manage.limits import named_scope
from rateguard.api.manage.paging import PAGE, page_of
from rateguard.api.manage.reading import read
from rateguard.api.manage.rendering import render_budget
from rateguard.api.manage.shapes import BUDGETS, BudgetChangesShape, BudgetShape, NewBudgetShape
from rateguard.api.params import Query
from tenants.changes.budgets import change_budget, create_budget, delete_budget
from tenants.models import Budget, ScopeKind

FILTERS = {"scope_kind": "scope__kind", "scope": "scope__name"}


class Budgets(ManageView):
    """GET: the budgets. POST: a new one."""

    @lists("budgets", BUDGETS, TENANT, word("scope_kind", ScopeKind.values), name_of("scope"))
    def get(self, request: Request) -> Response:
        """Of all for an operator, or of one tenant."""
        query = Query(request, ("tenant", *FILTERS, *PAGE))
        query.choice("scope_kind", ScopeKind.values)
        wanted = {path: query.text(name) for name, path in FILTERS.items()}
        rows = reach_of(request).listed(_rows(), query, "scope__tenant")
        return page_of(rows.filter(**{path: value for path, value in wanted.items() if value}), query, render_budget)

    @creates("budget", NewBudgetShape, BudgetShape)
    def post(self, request: Request) -> Response:
        """201. It acts on what waits already, within a second."""
        reach, fields = reach_of(request), read(request, NewBudgetShape)
        row = create_budget(reach.actor, named_scope(reach, fields), fields["budget"])
        return Response(render_budget(row), status=201, headers={"Location": reverse("rateguard:manage-budget", args=[row.pk])})


class OneBudget(ManageView):
    """GET, PATCH and DELETE of a budget."""

    @shows("budget", BudgetShape)
    def get(self, request: Request, budget: int) -> Response:
        """A budget. What is left of it, `GET /api/v1/limits` says."""
        Query(request, ())
        return Response(render_budget(_row(request, budget)))

    @changes("budget", BudgetChangesShape, BudgetShape)
    def patch(self, request: Request, budget: int) -> Response:
        """The budget, written anew. What is spent stays spent; what waited for more goes on."""
        row, fields = _row(request, budget), read(request, BudgetChangesShape, partial=True)
        return Response(render_budget(change_budget(reach_of(request).actor, row, fields["budget"]) if fields else row))

    @deletes("budget")
    def delete(self, request: Request, budget: int) -> Response:
        """204. What waited for it goes on."""
        delete_budget(reach_of(request).actor, _row(request, budget))
        return Response(status=204)


def _rows() -> Any:
    return Budget.objects.select_related("scope__tenant", "downgrade_to")


def _row(request: Request, pk: int) -> Budget:
    found: Budget = numbered(reach_of(request).own(_rows(), "scope__tenant"), pk)
    return found
