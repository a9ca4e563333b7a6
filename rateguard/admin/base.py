"""What all our admins have in common: who is signed in sees and changes what `Access` says, and nothing is counted for nothing.

Where unfold is installed the classes are unfold's, else Django's own. Who may enter at all is for the site to say: ours asks
`Access` too (`rateguard.admin_site`), a host project's its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.db.models import ForeignKey, Model, QuerySet
from django.forms.models import ModelChoiceField
from django.http import Http404, HttpRequest

from tenants.access import Access, Power, access_of
from tenants.changes.actor import Actor
from tenants.models import Tenant

HAS_UNFOLD = apps.is_installed("unfold")

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
elif HAS_UNFOLD:
    from unfold.admin import ModelAdmin as BaseAdmin
else:
    BaseAdmin = admin.ModelAdmin


def reach_of(request: HttpRequest) -> Access:
    """What who is signed in may see and do; asked of the database once a request."""
    found: Access | None = getattr(request, "rateguard_access", None)
    if found is None:
        found = access_of(request.user)
        request.rateguard_access = found  # type: ignore[attr-defined]
    return found


def actor_of(request: HttpRequest, tenant: Tenant | None) -> Actor:
    """In whose name a request changes something of a tenant; None: of all tenants."""
    return reach_of(request).actor(tenant, getattr(request, "request_id", ""))


class RateguardAdmin(BaseAdmin):
    """An admin of rows that belong to a tenant, or to all: rows out of reach are not there.

    tenant_field: the rows' way to the tenant ("pk" of the tenants themselves; "" where all rows are the operators'). sees, changes: the
    power that it takes. is_set_by_operators: others see it at most. A row without a tenant is the operators'.
    """

    tenant_field: ClassVar[str] = "tenant"
    sees: ClassVar[Power] = Power.MANAGE
    changes: ClassVar[Power] = Power.MANAGE
    is_set_by_operators: ClassVar[bool] = False
    show_full_result_count = False
    list_per_page = 50
    save_as = False

    def tenant_id_of(self, row: Model) -> int | None:
        """Whose a row is; None for the operators'."""
        found: Any = row
        *way, last = self.tenant_field.split("__")
        for name in way:
            found = getattr(found, name) if found is not None else None
        if found is None or not last:
            return None
        owner: int | None = found.pk if last == "pk" else getattr(found, f"{last}_id")
        return owner

    def may(self, request: HttpRequest, power: Power, row: Model | None = None) -> bool:
        """Whether who is signed in may do this with a row, or with any row at all."""
        access = reach_of(request)
        if row is not None:
            return access.may(power, self.tenant_id_of(row))
        return access.may_anywhere(power) if self.tenant_field else access.is_operator

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows within reach."""
        return self.within(reach_of(request), super().get_queryset(request))

    def within(self, access: Access, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of these rows, those within reach."""
        if self.tenant_field:
            return access.within(rows, self.tenant_field, self.sees)
        return rows if access.is_operator else rows.none()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row. Raises Http404 for one that there is not, or not within reach."""
        found = super().get_object(request, object_id, from_field)
        if found is None:
            raise Http404
        return found

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What the address says of a new row; a row is named there by its number, and anything else is passed over."""
        found: dict[str, Any] = super().get_changeform_initial_data(request)
        rows = {field.name for field in self.model._meta.get_fields() if isinstance(field, ForeignKey)}  # noqa: SLF001 - Django's public API
        return {name: value for name, value in found.items() if name not in rows or str(value).isdecimal()}

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Whether it is shown in lists of what there is."""
        return self.may(request, self.sees)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether rows, or this one, are shown."""
        return self.may(request, self.sees, obj)

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Whether there is something for which they may make a row."""
        return self.may_set(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether rows, or this one, may be changed."""
        return self.may_set(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether rows, or this one, may be deleted."""
        return self.may_set(request, obj)

    def may_set(self, request: HttpRequest, row: Model | None = None) -> bool:
        """Whether who is signed in may make, change and delete such rows, or this one."""
        return reach_of(request).is_operator if self.is_set_by_operators else self.may(request, self.changes, row)

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any) -> ModelChoiceField[Any] | None:
        """Only rows within reach can be chosen; of a model that has no admin of ours, none."""
        if "queryset" not in kwargs:
            kwargs["queryset"] = self._choices(db_field.related_model, request)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _choices(self, model: Any, request: HttpRequest) -> QuerySet[Any]:
        if model is Tenant:
            return reach_of(request).tenants(self.changes)
        found = self.admin_site._registry.get(model)  # noqa: SLF001 - `get_model_admin` raises where there is none
        rows: QuerySet[Any] = model._default_manager.all()  # noqa: SLF001 - Django's own name for it
        return found.get_queryset(request) if isinstance(found, RateguardAdmin) else rows.none()


class ReadOnlyAdmin(RateguardAdmin):
    """Rows that the machine writes: they are looked at; what can be done with them is a verb."""

    actions_on_bottom = False

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Never: the machine does."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
