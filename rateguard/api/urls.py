"""The addresses of /api."""

from __future__ import annotations

from django.urls import include, path, re_path

from rateguard.api.batches.views import BatchErrors, Batches, BatchResults, CancelBatch, OneBatch
from rateguard.api.estimate.views import Estimates
from rateguard.api.failures.views import FailureGroups
from rateguard.api.jobs.many import ManyJobs
from rateguard.api.jobs.views import CancelJob, EventsOfJob, Jobs, Nothing, OneJob, RequeueJob, RetryJob
from rateguard.api.limits.breakers import Breakers, Events, OneBreaker
from rateguard.api.limits.probing import ProbeDeployment
from rateguard.api.limits.syncing import SyncDeployment
from rateguard.api.limits.views import Capacities, GlobalScope, Limits, OneScope
from rateguard.api.models.views import Models, OneModel
from rateguard.api.pauses.views import OnePause, Pauses
from rateguard.api.routes.views import ExplainRoute
from rateguard.api.runs.views import OneRun, Runs, StopRun
from rateguard.api.schema.document import JSON, YAML, SchemaDocument
from rateguard.api.schema.error_page import error_page
from rateguard.api.schema.swagger import SwaggerFile, SwaggerPage
from rateguard.api.usage.views import Usage

app_name = "rateguard"
"""Addresses are found as `rateguard:job`: a host project may have names like ours."""

urlpatterns = [
    path("v1/jobs", Jobs.as_view(), name="jobs"),
    path("v1/jobs/bulk", ManyJobs.as_view(), name="jobs-bulk"),
    path("v1/jobs/<uuid:job_id>", OneJob.as_view(), name="job"),
    path("v1/jobs/<uuid:job_id>/events", EventsOfJob.as_view(), name="job-events"),
    path("v1/jobs/<uuid:job_id>/cancel", CancelJob.as_view(), name="job-cancel"),
    path("v1/jobs/<uuid:job_id>/retry", RetryJob.as_view(), name="job-retry"),
    path("v1/batches", Batches.as_view(), name="batches"),
    path("v1/batches/<uuid:batch_id>", OneBatch.as_view(), name="batch"),
    path("v1/batches/<uuid:batch_id>/results", BatchResults.as_view(), name="batch-results"),
    path("v1/batches/<uuid:batch_id>/errors", BatchErrors.as_view(), name="batch-errors"),
    path("v1/batches/<uuid:batch_id>/cancel", CancelBatch.as_view(), name="batch-cancel"),
    path("v1/jobs/<uuid:job_id>/requeue", RequeueJob.as_view(), name="job-requeue"),
    path("v1/failures", FailureGroups.as_view(), name="failures"),
    path("v1/estimate", Estimates.as_view(), name="estimate"),
    path("v1/limits", Limits.as_view(), name="limits"),
    path("v1/scopes/global", GlobalScope.as_view(), name="scope-global"),
    path("v1/scopes/<str:kind>/<path:name>", OneScope.as_view(), name="scope"),
    path("v1/capacity", Capacities.as_view(), name="capacity"),
    path("v1/breakers", Breakers.as_view(), name="breakers"),
    path("v1/breakers/<str:deployment>", OneBreaker.as_view(), name="breaker"),
    path("v1/deployments/<str:deployment>/sync", SyncDeployment.as_view(), name="deployment-sync"),
    path("v1/deployments/<str:deployment>/probe", ProbeDeployment.as_view(), name="deployment-probe"),
    path("v1/events", Events.as_view(), name="events"),
    path("v1/pauses", Pauses.as_view(), name="pauses"),
    path("v1/pauses/<int:pause_id>", OnePause.as_view(), name="pause"),
    path("v1/runs", Runs.as_view(), name="runs"),
    path("v1/runs/<uuid:run_id>", OneRun.as_view(), name="run"),
    path("v1/runs/<uuid:run_id>/stop", StopRun.as_view(), name="run-stop"),
    path("v1/models", Models.as_view(), name="models"),
    path("v1/models/<path:name>", OneModel.as_view(), name="model"),
    path("v1/routes/<path:name>/explain", ExplainRoute.as_view(), name="route-explain"),
    path("v1/usage", Usage.as_view(), name="usage"),
    path("v1/manage/", include("rateguard.api.manage.urls")),
    path("v1/schema", SchemaDocument.as_view(), name="schema"),
    path("v1/schema.json", SchemaDocument.as_view(media_type=JSON, schema=None), name="schema-json"),
    path("v1/schema.yaml", SchemaDocument.as_view(media_type=YAML, schema=None), name="schema-yaml"),
    path("v1/docs", SwaggerPage.as_view(schema=None), name="swagger"),
    path("v1/docs/<str:name>", SwaggerFile.as_view(schema=None), name="swagger-file"),
    path("v1/errors", error_page, name="errors"),
    re_path(r"", Nothing.as_view()),
]
