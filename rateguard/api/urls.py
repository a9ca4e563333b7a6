"""The addresses of /api."""

from __future__ import annotations

from django.urls import path, re_path

from rateguard.api.views import CancelJob, Jobs, Nothing, OneJob

urlpatterns = [
    path("v1/jobs", Jobs.as_view(), name="jobs"),
    path("v1/jobs/<uuid:job_id>", OneJob.as_view(), name="job"),
    path("v1/jobs/<uuid:job_id>/cancel", CancelJob.as_view(), name="job-cancel"),
    re_path(r"", Nothing.as_view()),
]
