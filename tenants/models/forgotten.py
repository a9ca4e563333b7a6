"""What the gate must forget because its row is gone. Written with the deletion, so that a gate that was away hears of it too."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ForgottenKind(models.TextChoices):
    """What it was to the gate."""

    LIMIT = "limit"
    SCOPE = "scope"
    MODEL = "model"


class Forgotten(models.Model):
    """A record that the gate may still have. name: as the gate calls it. Removed when the gate was told with all the rest."""

    kind = models.CharField(max_length=8, choices=ForgottenKind)
    name = models.CharField(max_length=600)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(kind__in=ForgottenKind.values), name="forgotten_kind"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"
