"""Who pays, and the keys with which they come in."""

from __future__ import annotations

import functools
import zoneinfo

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.models.configuration import ConfigurationModel

MAX_WEIGHT = 1_000


class TenantStatus(models.TextChoices):
    """Whether a tenant's work is let in."""

    ACTIVE = "active"
    PAUSED = "paused"


@functools.cache
def _known_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def check_time_zone(name: str) -> None:
    """Raise ValidationError for a time zone that nobody knows."""
    if name not in _known_zones():
        raise ValidationError(f"there is no time zone {name!r}: write one like UTC, Europe/Berlin or Asia/Kathmandu")


class Tenant(ConfigurationModel):
    """Who pays; owns keys, limits, budgets, jobs and ledger entries.

    weight: its part of a contested lane, against the others'. time_zone: where the days, weeks and months of its budgets begin.
    """

    name = models.SlugField(max_length=64, unique=True)
    weight = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=16, choices=TenantStatus, default=TenantStatus.ACTIVE)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="tenant_has_name"),
            models.CheckConstraint(condition=Q(weight__range=(1, MAX_WEIGHT)), name="tenant_weight"),
            models.CheckConstraint(condition=Q(status__in=TenantStatus.values), name="tenant_status"),
        )

    def __str__(self) -> str:
        return self.name


class ApiKey(ConfigurationModel):
    """A key of a tenant. Only its SHA-256 is kept; `prefix` (its first 12 characters) is what people recognise it by.

    is_operator: may see and stop what is not its tenant's. Made by `tenants.keys.issue_key`. A change raises
    the configuration's version, so that no process goes on believing a revoked key.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=64)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    is_operator = models.BooleanField(default=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(digest=""), name="apikey_has_digest"),)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"
