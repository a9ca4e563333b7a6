"""Jobs that came in together."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.jobs.ids import new_id
from tenants.models import Tenant


class BatchState(models.TextChoices):
    """Where a batch stands. `cancelled`: somebody cancelled the rest, and all its jobs have ended."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Batch(models.Model):
    """Jobs that came in together, in one transaction. Its progress is counted from its jobs; what is written here never is.

    total: lines that became jobs; rejected: lines that did not (see `BatchError`). webhook: the endpoint that it names.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="batches", db_index=False
    )  # batch_tenant_newest begins with it
    state = models.CharField(max_length=16, choices=BatchState, default=BatchState.IN_PROGRESS)
    name = models.CharField(max_length=128, blank=True, default="")
    metadata: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    total = models.PositiveIntegerField()
    rejected = models.PositiveIntegerField(default=0)
    cancel_requested = models.BooleanField(default=False)
    webhook = models.CharField(max_length=64, blank=True, default="")
    tells = models.PositiveSmallIntegerField(default=0)
    api_key_id = models.BigIntegerField(null=True)
    request_id = models.CharField(max_length=128, blank=True, default="")
    via = models.CharField(max_length=8, default="rest")
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - unique where given
    request_hash = models.CharField(max_length=64, blank=True, default="")
    submitted_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            models.CheckConstraint(condition=Q(state__in=BatchState.values), name="batch_state"),
            models.CheckConstraint(
                condition=Q(state=BatchState.IN_PROGRESS, finished_at__isnull=True)
                | (~Q(state=BatchState.IN_PROGRESS) & Q(finished_at__isnull=False)),
                name="batch_ended_has_time",
            ),
            models.UniqueConstraint(
                fields=["tenant", "idempotency_key"], condition=Q(idempotency_key__isnull=False), name="batch_idempotency_given"
            ),
        )
        indexes = (
            models.Index(fields=["tenant", "-submitted_at", "-id"], name="batch_tenant_newest"),
            models.Index(fields=["submitted_at"], condition=Q(state=BatchState.IN_PROGRESS), name="batch_open"),
        )

    def __str__(self) -> str:
        return f"{self.id} {self.state}"


class BatchError(models.Model):
    """A line of a batch that became no job: its number (the first is 1), and what is wrong with it, as an error of the API says it."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="errors", db_index=False)  # batcherror_once begins with it
    line = models.PositiveIntegerField()
    custom_id = models.CharField(max_length=255, blank=True, default="")
    code = models.CharField(max_length=64)
    message = models.TextField()
    pointer = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=["batch", "line"], name="batcherror_once"),)

    def __str__(self) -> str:
        return f"line {self.line}: {self.code}"
