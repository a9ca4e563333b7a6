"""Users who have more of their tenant's share than others: everybody else has weight 1."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from rateguard.admin.base import actor_of, reach_of
from rateguard.admin.changing import ChangeForm, ChangingAdmin
from rateguard.admin.filters import TenantFilter
from rateguard.admin.inputs import one_of
from tenants.access import Power
from tenants.changes.scopes import set_weight
from tenants.models import Scope, ScopeKind, Tenant
from tenants.models.tenant import MAX_WEIGHT


class WeightForm(ChangeForm):
    """A user and their part."""

    called: ClassVar[dict[str, str]] = {"scope": "user"}

    tenant = forms.ModelChoiceField(Tenant.objects.none())
    user = forms.CharField(max_length=128, help_text="As callers name them.")
    weight = forms.IntegerField(
        min_value=1, max_value=MAX_WEIGHT, help_text="Their part of the tenant's share against its other users, who have 1 each."
    )

    def prepare(self) -> None:
        """The tenants within reach."""
        if self.instance.pk:
            self.initial["weight"] = self.instance.weight
            return
        access = reach_of(self.request)
        mine = access.tenants(Power.MANAGE)
        self.fields["tenant"] = one_of(mine, (Scope, "tenant"), self.admin_site)
        if not access.is_operator and mine.count() == 1:
            self.initial["tenant"] = mine.first()


@admin.register(Scope)
class WeightAdmin(ChangingAdmin):
    """Users with a weight of their own. Deleting one gives it back: the user has 1 again."""

    form = WeightForm
    list_display = ("who", "tenant", "weight")
    list_filter = (TenantFilter.over("tenant"),)
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__name")
    ordering = ("tenant__name", "name")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Of all nodes, the users that have one."""
        return super().get_queryset(request).filter(kind=ScopeKind.USER, weight__gt=1)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Who it is stays."""
        return ("who", "of", "weight") if obj else ("tenant", "user", "weight")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """As above."""
        return ("who", "of") if obj else ()

    @admin.display(description="User", ordering="name")
    def who(self, row: Scope) -> str:
        """As callers name them."""
        return row.name

    @admin.display(description="Tenant")
    def of(self, row: Scope) -> str:
        """Whose user it is."""
        return str(row.tenant)

    def write(self, request: HttpRequest, form: Any, row: Scope | None) -> Scope:
        """Set a weight."""
        tenant: Any = form.cleaned_data["tenant"] if row is None else row.tenant  # a user's node has one
        user = form.cleaned_data["user"] if row is None else row.name
        return set_weight(actor_of(request, tenant), tenant, user, form.cleaned_data["weight"])

    def erase(self, request: HttpRequest, row: Scope) -> None:
        """Give the user weight 1 again; its limits stay."""
        if row.tenant is not None:
            set_weight(actor_of(request, row.tenant), row.tenant, row.name, 1)
