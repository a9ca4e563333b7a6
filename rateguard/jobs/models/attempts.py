"""What happened to a job: its attempts and its events."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.jobs.models.body_field import BodyField
from rateguard.jobs.models.job import Job
from rateguard.jobs.states import AttemptState
from tenants.models import Tenant


class Attempt(models.Model):
    """One try of a job (or of a synchronous call: job null) at one deployment. Open while `running`; its end is written once.

    reservation_id: the job's id, or the call's own. reserved_nano_usd: the most it can cost. late_usage: learned after it was abandoned.
    is_retry: it follows a failure that the retry policy counted. path, run: of a synchronous call, what it charged; "" and null where the
    job tells. cache_write_long_tokens … searches: as in the ledger's entry.
    """

    reservation_id = models.UUIDField()
    number = models.PositiveIntegerField()
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, related_name="attempts")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="attempts")
    state = models.CharField(max_length=16, choices=AttemptState, default=AttemptState.RUNNING)
    model = models.CharField(max_length=128)
    deployment_id = models.BigIntegerField()
    deployment = models.CharField(max_length=64)
    holder = models.CharField(max_length=64)
    reserved_input_tokens = models.PositiveIntegerField()
    reserved_output_tokens = models.PositiveIntegerField()
    reserved_max_output_tokens = models.PositiveIntegerField()
    reserved_nano_usd = models.BigIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = BodyField(blank=True, default="")
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    nano_usd = models.BigIntegerField(default=0)
    is_estimated = models.BooleanField(default=False)
    latency_ms = models.PositiveIntegerField(null=True)
    provider_request_id = models.CharField(max_length=128, blank=True, default="")
    late_usage: models.JSONField[Any, Any] = models.JSONField(null=True)
    is_retry = models.BooleanField(default=False, db_default=False)
    cache_write_long_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_input_tokens = models.BigIntegerField(default=0, db_default=0)
    audio_output_tokens = models.BigIntegerField(default=0, db_default=0)
    reasoning_tokens = models.BigIntegerField(default=0, db_default=0)
    tier = models.CharField(max_length=16, blank=True, default="", db_default="")
    terms = models.CharField(max_length=64, blank=True, default="", db_default="")
    searches = models.PositiveIntegerField(default=0, db_default=0)
    path = models.TextField(blank=True, default="", db_default="")
    run = models.UUIDField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=AttemptState.values), name="attempt_state"),
            models.UniqueConstraint(fields=["reservation_id", "number"], name="attempt_once"),
        )
        indexes = (
            models.Index(fields=["started_at"], name="attempt_started"),
            models.Index(fields=["holder"], condition=Q(state=AttemptState.RUNNING), name="attempt_running"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="attempt_finished"),
            models.Index(fields=["started_at"], condition=Q(is_retry=True), name="attempt_retried"),
            models.Index(fields=["run"], condition=Q(run__isnull=False), name="attempt_run"),
        )

    def __str__(self) -> str:
        return f"{self.reservation_id}.{self.number} {self.state}"

    @property
    def is_second_call(self) -> bool:
        """Whether it went beside an attempt of its job (hedging): it has a reservation and a number of its own."""
        return self.job_id is not None and self.job_id != self.reservation_id


class JobEvent(models.Model):
    """One thing that happened to a job, written in the transaction in which it happened. kind: a transition's name."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=24)
    attempt = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())
    detail: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = (models.Index(fields=["job", "at"], name="event_job_at"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.kind}"
