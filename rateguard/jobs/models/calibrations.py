"""How far our counts of a deployment's input are from the provider's."""

from __future__ import annotations

from typing import Any

from django.db import models


class Calibration(models.Model):
    """What lately settled attempts at a deployment say of our counts: the state of `engine.tokens.calibration`, and up to when it was read.

    deployment_id: a value, for it outlives its deployment. mean_permille: the provider's count in thousandths of ours.
    """

    deployment_id = models.BigIntegerField(primary_key=True)
    mean_permille = models.PositiveIntegerField(default=1000)
    samples = models.BigIntegerField(default=0)
    bins: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    read_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"deployment {self.deployment_id}: {self.mean_permille / 10:.1f} % of what we count"
