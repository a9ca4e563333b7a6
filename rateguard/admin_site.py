"""The admin of our own project: operators enter, and whoever may set something for a tenant. A host project's site has its own rules.

It lies outside `rateguard.admin`, which registers with the site as soon as it is imported: by then the site must be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache

from tenants.access import Power

if TYPE_CHECKING or not apps.is_installed("unfold"):
    BaseSite = admin.AdminSite
else:
    from unfold.sites import UnfoldAdminSite as BaseSite


class RateguardSite(BaseSite):
    """Who enters is asked of `Access`; whoever is not signed in is sent to the project's one page for that."""

    site_header = "rateguard"
    site_title = "rateguard"
    index_title = "Settings"

    def has_permission(self, request: HttpRequest) -> bool:
        """Operators, and who sets something for a tenant."""
        from rateguard.admin.base import reach_of  # noqa: PLC0415 -- see above

        return bool(request.user.is_active) and reach_of(request).may_anywhere(Power.MANAGE)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Ours, and the people who sign in. What other apps would show is for their own commands."""
        from rateguard.admin.base import RateguardAdmin  # noqa: PLC0415 -- see above
        from rateguard.admin.people import person_admin  # noqa: PLC0415 -- see above

        models = model_or_iterable if isinstance(model_or_iterable, list | tuple) else (model_or_iterable,)
        if get_user_model() in models:
            super().register(models, person_admin(admin_class), **options)
        elif isinstance(admin_class, type) and issubclass(admin_class, RateguardAdmin):
            super().register(models, admin_class, **options)

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """To the page where people sign in; who is signed in and may set nothing is told so."""
        there = request.GET.get("next") or reverse(f"{self.name}:index")
        if not request.user.is_authenticated:
            return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': there})}")
        if self.has_permission(request):
            return redirect(reverse(f"{self.name}:index"))
        text = "Owners and admins of a tenant set its limits, budgets and keys. Ask one of them, or whoever runs this service."
        return render(request, "rateguard/trouble.html", {"title": "You may not set anything here", "text": text}, status=403)

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:  # type: ignore[override]
        """What people come for most: the quotas."""
        return redirect(reverse(f"{self.name}:rateguard_tenants_limit_changelist"))
