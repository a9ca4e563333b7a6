"""Who pays, and the keys with which they come in."""

from __future__ import annotations

import functools
import zoneinfo
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from rateguard.engine.lanes import Lane
from tenants.models.configuration import ConfigurationModel

MAX_WEIGHT = 1_000
MAX_WAITING = 100_000_000
LANES = [(lane.value, lane.label) for lane in Lane]


class TenantStatus(models.TextChoices):
    """Whether a tenant's work is let in."""

    ACTIVE = "active"
    PAUSED = "paused"


@functools.cache
def _known_zones() -> frozenset[str]:
    """Read once a process: Python walks through the folders of zones each time it is asked."""
    return frozenset(zoneinfo.available_timezones())


def zone_named(name: str) -> zoneinfo.ZoneInfo | None:
    """The time zone of a name that somebody wrote; None where nobody knows it."""
    return zoneinfo.ZoneInfo(name) if name in _known_zones() else None


def no_such_zone(name: str) -> str:
    """What to tell whoever wrote a name that is none."""
    return f"there is no time zone {name!r}: write one like UTC, Europe/Berlin or Asia/Kathmandu"


def check_time_zone(name: str) -> None:
    """Raise ValidationError for a time zone that nobody knows."""
    if zone_named(name) is None:
        raise ValidationError(no_such_zone(name))


class Tenant(ConfigurationModel):
    """Who pays; owns keys, limits, budgets, jobs and ledger entries.

    weight: its part of a contested lane, against the others'. time_zone: where the days, weeks and months of its budgets begin.
    max_waiting: how many of its jobs may wait at once; None: as RATEGUARD["MAX_WAITING"] says. keep_bodies_days: after so many days the
    requests and answers of ended jobs are removed; None: as RATEGUARD["KEEP_BODIES_DAYS"] says.
    """

    name = models.SlugField(max_length=64, unique=True)
    weight = models.PositiveIntegerField(default=1)
    status = models.CharField(max_length=16, choices=TenantStatus, default=TenantStatus.ACTIVE)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[check_time_zone])
    max_waiting = models.PositiveIntegerField(null=True, blank=True)
    keep_bodies_days = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        permissions = (("operate", "Can operate the service: sees and changes what is of all tenants"),)
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="tenant_has_name"),
            models.CheckConstraint(condition=Q(weight__range=(1, MAX_WEIGHT)), name="tenant_weight"),
            models.CheckConstraint(condition=Q(status__in=TenantStatus.values), name="tenant_status"),
            models.CheckConstraint(
                condition=Q(max_waiting__isnull=True) | Q(max_waiting__range=(1, MAX_WAITING)),
                name="tenant_max_waiting",
                violation_error_message=f"max_waiting is from 1 to {MAX_WAITING}, or empty for the default",
            ),
        )

    def __str__(self) -> str:
        return self.name


class Permission(models.TextChoices):
    """What a key may do. `manage` is the tenant's own: with the operator flag it reaches every tenant."""

    READ = "read"
    SUBMIT = "submit"
    MANAGE = "manage"


def default_permissions() -> list[str]:
    """What a key may do where nobody says more: work, and look at it."""
    return [Permission.READ.value, Permission.SUBMIT.value]


class ApiKey(ConfigurationModel):
    """A key of a tenant. Only its SHA-256 is kept; `prefix` (its first 12 characters) is what people recognise it by.

    is_operator: may see and stop what is not its tenant's. permissions: of `Permission`. allowed_models: public names, empty for all.
    default_lane: where a request names none; highest_lane: the most urgent that it may use. bound: names of the path that are the key's,
    such as {"team": "ml"}: its requests are charged to them, whatever they say. previous_digest: the secret before the last rotation,
    which is good until previous_expires_at. Made by `tenants.keys.issue_key`. A change raises the configuration's version, so that no
    process goes on believing a revoked key.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=64)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    is_operator = models.BooleanField(default=False)
    permissions: models.JSONField[Any, Any] = models.JSONField(default=default_permissions)
    allowed_models: models.JSONField[Any, Any] = models.JSONField(default=list, blank=True)
    default_lane = models.SmallIntegerField(choices=LANES, null=True, blank=True)
    highest_lane = models.SmallIntegerField(choices=LANES, null=True, blank=True)
    bound: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)
    previous_digest = models.CharField(max_length=64, unique=True, null=True, editable=False)  # noqa: DJ001 - unique where there is one
    previous_expires_at = models.DateTimeField(null=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "API key"
        constraints = (
            models.CheckConstraint(condition=~Q(digest=""), name="apikey_has_digest"),
            models.CheckConstraint(
                condition=Q(previous_digest__isnull=True, previous_expires_at__isnull=True)
                | Q(previous_digest__isnull=False, previous_expires_at__isnull=False),
                name="apikey_previous_expires",
            ),
        )

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class MemberRole(models.TextChoices):
    """What a person may do for a tenant: look, work, set keys and limits, or also say who belongs to it. See `tenants.access`."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"


class Member(models.Model):
    """A person who belongs to a tenant."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="rateguard_members")
    role = models.CharField(max_length=16, choices=MemberRole, default=MemberRole.MEMBER)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["tenant", "user"], name="member_once_a_tenant", violation_error_message="this person is a member already"
            ),
            models.CheckConstraint(condition=Q(role__in=MemberRole.values), name="member_role"),
        )

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} of {self.tenant_id}"
