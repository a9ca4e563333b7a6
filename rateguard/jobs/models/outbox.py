"""What is to be told of a job's end."""

from __future__ import annotations

import enum

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.jobs.models.job import Job


class Tells(enum.IntFlag):
    """Who hears of a job's end beside its canvas: the tenant's webhooks, the receivers of `rateguard.signals.job_ended`."""

    WEBHOOK = 1
    SIGNAL = 2


class OutboxKind(models.TextChoices):
    """What is to be told, and so by whom: each is told for itself."""

    CANVAS = "canvas"
    WEBHOOK = "webhook"
    SIGNAL = "signal"


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
