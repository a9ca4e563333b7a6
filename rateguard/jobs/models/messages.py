"""What a tenant's webhook endpoints are told."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.jobs.ids import new_id
from rateguard.jobs.models.batches import Batch
from rateguard.jobs.models.body_field import BodyField
from rateguard.jobs.models.job import Job
from tenants.models import Tenant, WebhookEndpoint


class MessageState(models.TextChoices):
    """Where a webhook message stands: `dead` after the last attempt, until somebody sends it again."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class WebhookMessage(models.Model):
    """One message to one endpoint of a tenant, made in the transaction that deletes its row of the outbox.

    The id is the receiver's key against doubles (`webhook-id`). kind: `job.succeeded`, `batch.completed`, …. body: the JSON text that is
    signed and sent. next_at: when it is sent, or sent again; held_until: somebody is sending it, until then at the latest.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="webhook_messages", db_index=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="messages", db_index=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, null=True, related_name="webhook_messages")
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, related_name="webhook_messages")
    kind = models.CharField(max_length=32)
    body = BodyField()
    state = models.CharField(max_length=16, choices=MessageState, default=MessageState.PENDING)
    tries = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    next_at = models.DateTimeField(db_default=Now())
    held_until = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(state__in=MessageState.values), name="message_state"),)
        indexes = (
            models.Index(fields=["next_at"], condition=Q(state=MessageState.PENDING), name="message_due"),
            models.Index(fields=["tenant", "-created_at"], name="message_tenant_newest"),
            models.Index(fields=["endpoint", "state", "-created_at"], name="message_endpoint"),
        )

    def __str__(self) -> str:
        return f"{self.id} {self.kind} {self.state}"
