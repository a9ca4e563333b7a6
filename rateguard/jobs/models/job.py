"""A job's row: the truth of what it is and where it stands."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.ids import new_id
from rateguard.jobs.models.body_field import BodyField, SealedJsonField
from rateguard.jobs.states import TERMINAL, State
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
    tries: failures that the retry policy counted. input_tokens, output_tokens, max_output_tokens: what the gate reserves. counted_tokens:
    its input as we counted it, before it was put right by what is learned of its deployment; 0: not known. price_words: what it asks for
    that changes its price (see `engine.asked`). route_marks: which of its model's deployments are never asked, first, or last, as the gate
    reads it (see `engine.routing.marks`).
    queued_at: its place in the order. holder: the process that runs it. path: the nodes that it charges (see engine.scopes); run: the
    innermost run on it. downgraded_from: the model that was asked for, where a budget sent the job to a cheaper one; fallen_back_from: the
    same where a failure sent it to another, and fallbacks: how often one did.
    canvas: what hangs on its end (see `canvas`), None for nothing. tells: who else hears of its end, bits of `Tells`; webhook: the endpoint
    that it names beside those that hear of every job. connect_timeout_s, first_token_timeout_s, timeout_s: of one call at the provider.
    is_stored: False: its request is dropped at its end and its answer is never in the row. purged_at: since then the bodies are gone.
    fingerprint: of its failure (see `failures`). batch, line, custom_id: where it came in by a batch.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="jobs", db_index=False)  # job_tenant_newest begins with it
    model = models.CharField(max_length=128)
    endpoint = models.CharField(max_length=16, choices=[(e.value, e.value) for e in Endpoint])
    lane = models.SmallIntegerField(choices=[(lane.value, lane.label) for lane in Lane], default=Lane.NORMAL)
    state = models.CharField(max_length=16, choices=State)
    request = BodyField()
    result = BodyField(null=True)  # no answer yet is not an empty answer

    path = models.TextField()
    run = models.UUIDField(null=True)
    input_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    max_output_tokens = models.PositiveIntegerField()
    counted_tokens = models.PositiveIntegerField(default=0, db_default=0)
    price_words = models.CharField(max_length=64, blank=True, default="", db_default="")
    route_marks = models.CharField(max_length=128, blank=True, default="", db_default="")

    user = models.CharField(max_length=128, blank=True, default="")
    team = models.CharField(max_length=128, blank=True, default="")
    rolegroup = models.CharField(max_length=128, blank=True, default="")
    role = models.CharField(max_length=128, blank=True, default="")
    cost_center = models.CharField(max_length=128, blank=True, default="")
    labels: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    api_key_id = models.BigIntegerField(null=True)
    downgraded_from = models.CharField(max_length=128, blank=True, default="")
    fallen_back_from = models.CharField(max_length=128, blank=True, default="", db_default="")
    fallbacks = models.PositiveSmallIntegerField(default=0, db_default=0)
    request_id = models.CharField(max_length=128, blank=True, default="")
    via = models.CharField(max_length=8, default="rest")
    canvas = SealedJsonField(null=True, blank=True)
    tells = models.PositiveSmallIntegerField(default=0, db_default=0)
    webhook = models.CharField(max_length=64, blank=True, default="", db_default="")
    is_stored = models.BooleanField(default=True, db_default=True)
    batch = models.ForeignKey(
        "Batch", on_delete=models.PROTECT, null=True, related_name="jobs", db_index=False
    )  # job_batch_line begins with it
    line = models.PositiveIntegerField(null=True)
    custom_id = models.CharField(max_length=255, blank=True, default="", db_default="")

    submitted_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    run_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    purged_at = models.DateTimeField(null=True)
    timeout_s = models.PositiveIntegerField()
    connect_timeout_s = models.PositiveIntegerField(null=True)
    first_token_timeout_s = models.PositiveIntegerField(null=True)
    max_tries = models.PositiveSmallIntegerField()
    delivery = models.CharField(max_length=16, choices=Delivery, default=Delivery.AT_LEAST_ONCE)

    attempt = models.PositiveIntegerField(default=0)
    tries = models.PositiveSmallIntegerField(default=0)
    abandoned = models.PositiveSmallIntegerField(default=0)
    holder = models.CharField(max_length=64, blank=True, default="")
    cancel_requested = models.BooleanField(default=False)
    requeue_requested = models.BooleanField(default=False, db_default=False)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = BodyField(blank=True, default="")
    fingerprint = models.CharField(max_length=16, blank=True, default="", db_default="")

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
            models.Index(fields=["batch", "line"], condition=Q(batch__isnull=False), name="job_batch_line"),
            models.Index(fields=["batch", "state"], condition=Q(batch__isnull=False), name="job_batch_state"),
            models.Index(fields=["tenant", "fingerprint", "-finished_at"], condition=~Q(fingerprint=""), name="job_failures"),
            models.Index(fields=["tenant", "finished_at"], condition=Q(state__in=ENDED, purged_at__isnull=True), name="job_bodies"),
        )

    def __str__(self) -> str:
        return f"{self.id} {self.state}"

    @property
    def asked_model(self) -> str:
        """The model that its caller named, wherever it went since."""
        return self.downgraded_from or self.fallen_back_from or self.model
