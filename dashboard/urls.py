"""The addresses of the pages: `path("dashboard/", include("dashboard.urls"))`."""

from __future__ import annotations

from django.urls import path

from dashboard.views import jobs, now, password, signin, tenants

app_name = "dashboard"

urlpatterns = [
    path("", now.now, name="now"),
    path("tenants", tenants.tenants, name="tenants"),
    path("jobs", jobs.jobs, name="jobs"),
    path("signin", signin.sign_in, name="signin"),
    path("signin/<str:secret>", signin.sign_in_by_link, name="signin-link"),
    path("signout", signin.sign_out, name="signout"),
    path("password", password.password, name="password"),
]
