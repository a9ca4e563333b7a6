"""The project's URLs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from rateguard.api.health import healthz, readyz

handler404 = "dashboard.views.errors.not_found"
handler500 = "dashboard.views.errors.fault"

urlpatterns = [
    path("healthz", healthz, name="healthz"),  # the web process answers both before Django does
    path("readyz", readyz, name="readyz"),
    path("api/", include("rateguard.api.urls")),
    path("admin/", admin.site.urls),
    path("dashboard/", include("dashboard.urls")),
    path("", RedirectView.as_view(pattern_name="dashboard:now"), name="home"),
]
