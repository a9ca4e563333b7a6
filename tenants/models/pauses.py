"""What takes no work for now: everything, a tenant, a lane, a model, a deployment, an account, a run."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.lanes import Lane
from tenants.models.configuration import ConfigurationModel
from tenants.models.providers import Deployment, ModelRoute, ProviderAccount
from tenants.models.runs import Run
from tenants.models.tenant import Tenant


class PauseKind(models.TextChoices):
    """What can be paused."""

    ALL = "all"
    TENANT = "tenant"
    LANE = "lane"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    ACCOUNT = "account"
    RUN = "run"


class Pause(ConfigurationModel):
    """One pause: nothing of the target is let through until a moment, or until the row is gone. What waits goes on waiting.

    target: a tenant's, deployment's or account's id, a lane's or a model's name, a run's id in hexadecimal; empty for all.
    """

    target_kind = models.CharField(max_length=16, choices=PauseKind)
    target = models.CharField(max_length=128, blank=True, default="")
    until = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=128, blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(target_kind__in=PauseKind.values),
                name="pause_kind",
                violation_error_message=f"what is paused is one of {', '.join(PauseKind.values)}",
            ),
            models.CheckConstraint(
                condition=Q(target_kind=PauseKind.ALL, target="") | (~Q(target_kind=PauseKind.ALL) & ~Q(target="")),
                name="pause_target_fits_kind",
                violation_error_message="say which one is paused; only the pause of all has no target",
            ),
            models.CheckConstraint(
                condition=~Q(target_kind=PauseKind.LANE) | Q(target__in=[lane.label for lane in Lane]),
                name="pause_lane",
                violation_error_message=f"the lanes are {', '.join(lane.label for lane in Lane)}",
            ),
            models.UniqueConstraint(
                fields=["target_kind", "target"], name="pause_once", violation_error_message="it is paused already: change that pause"
            ),
        )

    def __str__(self) -> str:
        return f"{self.target_kind} {self.target}".strip()

    def clean(self) -> None:
        """What is paused exists."""
        if self.target_kind in _EXISTS and not _EXISTS[PauseKind(self.target_kind)](self.target):
            raise ValidationError({"target": f"there is no {self.target_kind} {self.target!r}"})


def _has_number(rows: type[Tenant | Deployment | ProviderAccount], target: str) -> bool:
    return target.isdecimal() and rows._default_manager.filter(pk=int(target)).exists()  # noqa: SLF001 - Django's own name for it


def _is_run(target: str) -> bool:
    try:
        return uuid.UUID(target).hex == target and Run.objects.filter(pk=target).exists()
    except ValueError:
        return False


_EXISTS: dict[PauseKind, Callable[[str], bool]] = {
    PauseKind.TENANT: lambda target: _has_number(Tenant, target),
    PauseKind.DEPLOYMENT: lambda target: _has_number(Deployment, target),
    PauseKind.ACCOUNT: lambda target: _has_number(ProviderAccount, target),
    PauseKind.MODEL: lambda target: ModelRoute.objects.filter(name=target).exists(),
    PauseKind.RUN: _is_run,
}
