"""Who changed what: one line a change of the configuration that a person or a key made."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.models.tenant import Tenant


class AuditAction(models.TextChoices):
    """What was done."""

    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    ROTATED = "rotated"
    REVOKED = "revoked"


class AuditEntry(models.Model):
    """One change, written in the transaction that made it, and never changed itself.

    tenant: whose it was, None for what is of all tenants. by: `key rg_…`, `shell ada` or a user's name. kind: the API's word for what was
    changed (`limit`, `key`, …); name, object_id: which one. changes: by field [before, after]; a secret is never among them.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.SET_NULL, null=True, blank=True, related_name="audit_entries")
    at = models.DateTimeField(db_default=Now(), editable=False)
    by = models.CharField(max_length=160)
    action = models.CharField(max_length=16, choices=AuditAction)
    kind = models.CharField(max_length=32)
    object_id = models.CharField(max_length=64)
    name = models.CharField(max_length=160, blank=True, default="")
    changes: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    request_id = models.CharField(max_length=128, blank=True, default="")

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = (models.CheckConstraint(condition=Q(action__in=AuditAction.values), name="audit_action"),)
        indexes = (models.Index(fields=["tenant", "-at"], name="audit_tenant_at"), models.Index(fields=["-at"], name="audit_at"))

    def __str__(self) -> str:
        return f"{self.by} {self.action} {self.kind} {self.name or self.object_id}"
