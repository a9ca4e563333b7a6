"""The people who sign in to our own project, for whoever may set them. In a host project they are the host's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.auth.admin import UserAdmin

from rateguard.admin.base import HAS_UNFOLD

if TYPE_CHECKING:
    Looks = UserAdmin[Any]
elif HAS_UNFOLD:
    from unfold.admin import ModelAdmin
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class Looks(UserAdmin, ModelAdmin):
        """Django's own, in unfold's look."""

        form = UserChangeForm
        add_form = UserCreationForm
        change_password_form = AdminPasswordChangeForm

else:
    Looks = UserAdmin


class PersonAdmin(Looks):
    """A name, a password, and whether they operate the service. What they may do for a tenant says their membership."""

    list_display = ("username", "email", "is_superuser", "is_active", "last_login")
    list_filter = ("is_superuser", "is_active")
    filter_horizontal = ()
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
    readonly_fields = ("last_login",)
