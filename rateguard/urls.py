"""The addresses for programs: `path("llm/", include("rateguard.urls"))`. The pages are `dashboard.urls`."""

from __future__ import annotations

from django.urls import include, path

from rateguard.api.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),  # our own web process answers both before Django does
    path("readyz", readyz, name="readyz"),
    path("api/", include("rateguard.api.urls")),
]
