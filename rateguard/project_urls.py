"""Our own project's URLs: what a guest brings, the pages, the admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from rateguard import urls

handler404 = "dashboard.views.errors.not_found"
handler500 = "dashboard.views.errors.fault"

urlpatterns = [
    *urls.urlpatterns,
    path("admin/", admin.site.urls),
    path("dashboard/", include("dashboard.urls")),
    path("", RedirectView.as_view(pattern_name="dashboard:now"), name="home"),
]
