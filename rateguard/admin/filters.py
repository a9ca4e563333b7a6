"""Filters of lists that hold with a thousand tenants: the few that one has as links, else a field for the name."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from rateguard.admin.base import reach_of
from tenants.access import Power

MOST_LINKS = 12


class TenantFilter(admin.SimpleListFilter):
    """One tenant's rows. `TenantFilter.over("scope__tenant")` is the filter of rows whose tenant is found that way."""

    title = "tenant"
    parameter_name = "tenant"
    template = "rateguard/admin/typed_filter.html"
    placeholder = "its name"
    ways: tuple[str, ...] = ("tenant",)

    @classmethod
    def over(cls, *ways: str) -> type[TenantFilter]:
        """The filter for rows whose tenant is found by one of these ways."""
        return type("TenantFilter", (cls,), {"ways": ways})

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        kept = request.GET.copy()
        for name in (self.parameter_name, "p"):
            kept.pop(name, None)
        self.kept = [(name, value) for name in kept for value in kept.getlist(name)]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The names within reach, as links where they are few."""
        names = list(reach_of(request).tenants(Power.LOOK).order_by("name").values_list("name", flat=True)[: MOST_LINKS + 1])
        self.is_typed = len(names) > MOST_LINKS
        return [(name, name) for name in names[:MOST_LINKS]]

    def has_output(self) -> bool:
        """Whether there is something to choose."""
        return len(self.lookup_choices) > 1

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the tenant of this name."""
        name = self.value()
        if not name:
            return queryset
        wanted = Q(pk__in=())
        for way in self.ways:
            wanted |= Q(**{f"{way}__name": name})
        return queryset.filter(wanted)
