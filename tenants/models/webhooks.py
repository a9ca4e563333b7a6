"""Where a tenant hears of what ended: its webhook endpoints."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.models.configuration import ConfigurationModel
from tenants.models.tenant import Tenant
from tenants.secrets import EncryptedTextField


class WebhookEvent(models.TextChoices):
    """What a message can be about."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_EXPIRED = "job.expired"
    BATCH_COMPLETED = "batch.completed"
    BATCH_CANCELLED = "batch.cancelled"


class WebhookEndpoint(ConfigurationModel):
    """An address of a tenant that is told of ends, each message signed (Standard Webhooks).

    events: of `WebhookEvent`; empty for all. hears_all: of every job and batch of the tenant, else only of those that name it.
    secret: `whsec_…`; previous_secret: the one before the last rotation, with which messages are signed too until previous_expires_at.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="webhook_endpoints")
    name = models.SlugField(max_length=64)
    url = models.URLField(max_length=1024)
    secret = EncryptedTextField()
    previous_secret = EncryptedTextField(blank=True, default="")
    previous_expires_at = models.DateTimeField(null=True, blank=True)
    events: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    hears_all = models.BooleanField(default=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["tenant", "name"], name="webhook_once_a_tenant"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(url=""), name="webhook_has_name_and_url"),
        )

    def __str__(self) -> str:
        return self.name
