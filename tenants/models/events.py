"""What the gate noticed and people want to hear of: a budget at a threshold, a breaker that changed, what takes nothing for long."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.tenant import Tenant


class EventKind(models.TextChoices):
    """The kinds of notices, by the gate's own words."""

    THRESHOLD = "threshold"
    BREAKER = "breaker"
    COOLED = "cooled"


class GateEvent(models.Model):
    """A notice of the gate, once. notice: the gate's id of it. tenant: whose it is; null where it is everybody's.

    subject: the budget (`b3`, `b3@user:alice`, a run's `rb…`) the deployment's id, or what is cooled (`a3` an account, `d7` a
    deployment). value: per cent of the budget, or the breaker's generation. period: when the budget's period began, or until when it is
    cooled. detail: what a breaker did and why, or why it is cooled.
    """

    notice = models.CharField(max_length=700, unique=True)
    kind = models.CharField(max_length=16, choices=EventKind)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, related_name="gate_events")
    subject = models.CharField(max_length=600)
    value = models.BigIntegerField(default=0)
    period = models.DateTimeField(null=True)
    detail = models.TextField(blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        verbose_name = "notice"
        constraints = (models.CheckConstraint(condition=Q(kind__in=EventKind.values), name="gateevent_kind"),)
        indexes = (
            models.Index(fields=["-at"], name="gateevent_at"),
            models.Index(fields=["tenant", "-at"], name="gateevent_tenant_at"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} {self.value}"
