"""What held waiting jobs back."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.lanes import Lane
from tenants.models import Tenant


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
