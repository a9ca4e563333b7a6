"""What lasts of a job: its row (the truth), its attempts, its events; and the lease that names the caretaker."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.ids import new_id
from rateguard.jobs.states import TERMINAL, AttemptState, State
from tenants.models import Tenant

ENDED = sorted(TERMINAL)
ENDED_BADLY = sorted(TERMINAL - {State.SUCCEEDED})


class Delivery(models.TextChoices):
    """Whether a job may be sent again when nobody knows if it arrived."""

    AT_LEAST_ONCE = "at_least_once"
    AT_MOST_ONCE = "at_most_once"


class Job(models.Model):
    """One request for a completion or an embedding. Its row is the truth; Redis and Celery carry hints.

    request, result: the caller's body and the provider's answer, JSON text, verbatim. attempt: the number of the last claimed attempt.
    tries: failures that the retry policy counted. input_tokens, output_tokens, max_output_tokens: what the gate reserves.
    queued_at: its place in the order. holder: the process that runs it. path: the nodes that it charges (see engine.scopes); run: the
    innermost run on it. downgraded_from: the model that was asked for, where a budget sent the job to a cheaper one.
    canvas: what hangs on its end (see `canvas`), None for nothing.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="jobs", db_index=False)  # job_tenant_newest begins with it
    model = models.CharField(max_length=128)
    endpoint = models.CharField(max_length=16, choices=[(e.value, e.value) for e in Endpoint])
    lane = models.SmallIntegerField(choices=[(lane.value, lane.label) for lane in Lane], default=Lane.NORMAL)
    state = models.CharField(max_length=16, choices=State)
    request = models.TextField()
    result = models.TextField(null=True)  # noqa: DJ001 - no answer yet is not an empty answer

    path = models.TextField()
    run = models.UUIDField(null=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    max_output_tokens = models.PositiveIntegerField()

    user = models.CharField(max_length=128, blank=True, default="")
    team = models.CharField(max_length=128, blank=True, default="")
    rolegroup = models.CharField(max_length=128, blank=True, default="")
    role = models.CharField(max_length=128, blank=True, default="")
    cost_center = models.CharField(max_length=128, blank=True, default="")
    labels: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    api_key_id = models.BigIntegerField(null=True)
    downgraded_from = models.CharField(max_length=128, blank=True, default="")
    request_id = models.CharField(max_length=128, blank=True, default="")
    via = models.CharField(max_length=8, default="rest")
    canvas: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True)

    submitted_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    timeout_s = models.PositiveIntegerField()
    max_tries = models.PositiveSmallIntegerField()
    delivery = models.CharField(max_length=16, choices=Delivery, default=Delivery.AT_LEAST_ONCE)

    attempt = models.PositiveIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    abandoned = models.PositiveSmallIntegerField(default=0)
    holder = models.CharField(max_length=64, blank=True, default="")
    cancel_requested = models.BooleanField(default=False)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")

    deployment = models.CharField(max_length=64, blank=True, default="")
    used_input_tokens = models.BigIntegerField(default=0)
    used_output_tokens = models.BigIntegerField(default=0)
    nano_usd = models.BigIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(null=True)
    queue_ms = models.PositiveBigIntegerField(null=True)

    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - unique where given
    request_hash = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=State.values), name="job_state"),
            models.CheckConstraint(condition=Q(lane__in=[lane.value for lane in Lane]), name="job_lane"),
            models.CheckConstraint(
                condition=Q(state__in=ENDED, finished_at__isnull=False) | (~Q(state__in=ENDED) & Q(finished_at__isnull=True)),
                name="job_ended_has_time",
            ),
            models.CheckConstraint(condition=~Q(state=State.SCHEDULED) | Q(run_at__isnull=False), name="job_scheduled_has_time"),
            models.UniqueConstraint(
                fields=["tenant", "idempotency_key"], condition=Q(idempotency_key__isnull=False), name="job_idempotency_given"
            ),
        )
        indexes = (
            models.Index(fields=["run_at"], condition=Q(state=State.SCHEDULED), name="job_due"),
            models.Index(fields=["queued_at", "id"], condition=Q(state=State.QUEUED), name="job_queued"),
            models.Index(fields=["lane", "queued_at", "tenant"], condition=Q(state=State.QUEUED), name="job_lane_queued"),
            models.Index(fields=["holder"], condition=Q(state=State.RUNNING), name="job_running"),
            models.Index(
                fields=["deadline_at"],
                condition=Q(state__in=[State.QUEUED, State.SCHEDULED], deadline_at__isnull=False),
                name="job_deadline",
            ),
            models.Index(fields=["tenant", "-submitted_at", "-id"], name="job_tenant_newest"),
            models.Index(fields=["-submitted_at", "-id"], name="job_newest"),
            models.Index(fields=["model", "-submitted_at", "-id"], name="job_model_newest"),
            models.Index(fields=["-submitted_at", "-id"], condition=Q(state__in=ENDED_BADLY), name="job_ended_badly"),
            models.Index(fields=["tenant"], condition=Q(state__in=[State.QUEUED, State.SCHEDULED]), name="job_tenant_waiting"),
            models.Index(fields=["run", "state"], condition=Q(run__isnull=False), name="job_run"),
        )

    def __str__(self) -> str:
        return f"{self.id} {self.state}"


class Attempt(models.Model):
    """One try of a job (or of a synchronous call: job null) at one deployment. Open while `running`; its end is written once.

    reservation_id: the job's id, or the call's own. reserved_nano_usd: the most it can cost. late_usage: learned after it was abandoned.
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
    error_message = models.TextField(blank=True, default="")
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    nano_usd = models.BigIntegerField(default=0)
    is_estimated = models.BooleanField(default=False)
    latency_ms = models.PositiveIntegerField(null=True)
    provider_request_id = models.CharField(max_length=128, blank=True, default="")
    late_usage: models.JSONField[Any, Any] = models.JSONField(null=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(state__in=AttemptState.values), name="attempt_state"),
            models.UniqueConstraint(fields=["reservation_id", "number"], name="attempt_once"),
        )
        indexes = (
            models.Index(fields=["started_at"], name="attempt_started"),
            models.Index(fields=["holder"], condition=Q(state=AttemptState.RUNNING), name="attempt_running"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="attempt_finished"),
        )

    def __str__(self) -> str:
        return f"{self.reservation_id}.{self.number} {self.state}"


class JobEvent(models.Model):
    """One thing that happened to a job, written in the transaction in which it happened. kind: a transition's name."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=16)
    attempt = models.PositiveIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())
    detail: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)

    class Meta:
        indexes = (models.Index(fields=["job", "at"], name="event_job_at"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.kind}"


class OutboxKind(models.TextChoices):
    """What is to be told."""

    CANVAS = "canvas"


class OutboxRow(models.Model):
    """Something to tell of a job's end, written in the transaction that ended it and deleted in the one that told it."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="outbox")
    kind = models.CharField(max_length=16, choices=OutboxKind)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["job", "kind"], name="outbox_once"),
            models.CheckConstraint(condition=Q(kind__in=OutboxKind.values), name="outbox_kind"),
        )
        indexes = (models.Index(fields=["created_at"], name="outbox_oldest"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.kind}"


class Hindrance(models.Model):
    """What held waiting jobs of a model back, from the first look that found it to the last. The history of what is in the way now.

    kind, scope_kind, scope: as in `insight.binding.Obstacle`; kind `slots`: no worker had room. limit_id: the gate's, empty where none;
    text: the limit as people type it. tenant, node: on whose path it is, and which node (`user:ada`); null and empty for what all share.
    jobs: held back at the last look, most_jobs: at the worst.
    """

    model = models.CharField(max_length=128)
    lane = models.SmallIntegerField(choices=[(lane.value, lane.label) for lane in Lane])
    kind = models.CharField(max_length=16)
    scope_kind = models.CharField(max_length=16, blank=True, default="")
    scope = models.CharField(max_length=128, blank=True, default="")
    limit_id = models.CharField(max_length=255, blank=True, default="")
    text = models.CharField(max_length=128, blank=True, default="")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    node = models.CharField(max_length=255, blank=True, default="")
    jobs = models.PositiveBigIntegerField(default=0)
    most_jobs = models.PositiveBigIntegerField(default=0)
    began_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(model="") & ~Q(kind=""), name="hindrance_says_what"),)
        indexes = (
            models.Index(fields=["model", "seen_at"], name="hindrance_model_seen"),
            models.Index(fields=["seen_at"], name="hindrance_seen"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.scope_kind} {self.scope} holds {self.model} back".replace("  ", " ")


CARETAKER = "caretaker"
"""The duty of keeping gate and rows the same; its lease's name."""


class Lease(models.Model):
    """Who does a duty of which there is one (`caretaker`), until when by the database's clock. swept_at: the last sweep of new rows.

    repaired: reservations that differed from their rows when the two were compared, since the first day; it stays 0 without faults.
    """

    name = models.CharField(max_length=32, primary_key=True)
    holder = models.CharField(max_length=64)
    expires_at = models.DateTimeField()
    swept_at = models.DateTimeField(null=True)
    repaired = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.holder}"
