"""The project's URLs."""

from __future__ import annotations

from django.urls import include, path

from rateguard.api.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),  # the web process answers both before Django does
    path("readyz", readyz, name="readyz"),
    path("api/", include("rateguard.api.urls")),
]
