"""The addresses of the pages: `path("dashboard/", include("dashboard.urls"))`."""

from __future__ import annotations

from django.urls import path

from dashboard.views import batches, failures, job, job_verbs, jobs, now, password, signin, tenants

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
    path("batches", batches.batches, name="batches"),
    path("batches/<uuid:batch_id>", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/part", batches.part, name="batch-part"),
    path("batches/<uuid:batch_id>/cancel", batches.cancel, name="batch-cancel"),
    path("jobs/<uuid:job_id>/requeue", job_verbs.requeue_job, name="job-requeue"),
    path("jobs/<uuid:job_id>/lane", job_verbs.move_job, name="job-lane"),
    path("failures", failures.failures, name="failures"),
    path("failures/<slug:name>/<slug:fingerprint>/retry", failures.retry_failures, name="failures-retry"),
    path("signin", signin.sign_in, name="signin"),
    path("signin/<str:secret>", signin.sign_in_by_link, name="signin-link"),
    path("signout", signin.sign_out, name="signout"),
    path("password", password.password, name="password"),
]
