"""The people who sign in to our own project, for whoever may set them. In a host project they are the host's."""

from __future__ import annotations

from typing import Any, ClassVar

from rateguard.admin.base import HAS_UNFOLD


class Person:
    """A name, a password, and whether they operate the service. What they may do for a tenant says their membership."""

    list_display = ("username", "email", "is_superuser", "is_active", "last_login")
    list_filter = ("is_superuser", "is_active")
    filter_horizontal = ()
    readonly_fields = ("last_login",)
    fieldsets: ClassVar[Any] = (
        (None, {"fields": ("username", "password")}),
        ("Who it is", {"fields": ("first_name", "last_name", "email")}),
        (
            "What they may do",
            {
                "fields": ("is_active", "is_superuser"),
                "description": "A superuser operates the service, for all tenants. For one tenant, make them a member.",
            },
        ),
    )


def person_admin(given: type[Any]) -> type[Any]:
    """Django's own admin of users, which registers itself while it is imported, with our fields and in the admin's look."""
    if not HAS_UNFOLD:
        return type("PersonAdmin", (Person, given), {})
    from unfold.admin import ModelAdmin  # noqa: PLC0415 -- an own project may do without
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm  # noqa: PLC0415 -- as above

    forms = {"form": UserChangeForm, "add_form": UserCreationForm, "change_password_form": AdminPasswordChangeForm}
    return type("PersonAdmin", (Person, given, ModelAdmin), forms)
