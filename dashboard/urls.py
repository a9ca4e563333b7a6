"""The addresses of the pages: `path("dashboard/", include("dashboard.urls"))`."""

from __future__ import annotations

from django.urls import path

from dashboard.views import job, job_verbs, jobs, now, password, signin, tenants

app_name = "dashboard"

urlpatterns = [
    path("", now.now, name="now"),
    path("now/panels", now.panels, name="now-panels"),
    path("now/live", now.live, name="now-live"),
    path("tenants", tenants.tenants, name="tenants"),
    path("tenants/<slug:name>", tenants.tenant, name="tenant"),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/<uuid:job_id>", job.job, name="job"),
    path("jobs/<uuid:job_id>/part", job.part, name="job-part"),
    path("jobs/<uuid:job_id>/request.json", job.request_file, name="job-request"),
    path("jobs/<uuid:job_id>/answer.json", job.answer_file, name="job-answer"),
    path("jobs/<uuid:job_id>/cancel", job_verbs.cancel_job, name="job-cancel"),
    path("jobs/<uuid:job_id>/retry", job_verbs.retry_job, name="job-retry"),
    path("signin", signin.sign_in, name="signin"),
    path("signin/<str:secret>", signin.sign_in_by_link, name="signin-link"),
    path("signout", signin.sign_out, name="signout"),
    path("password", password.password, name="password"),
]
