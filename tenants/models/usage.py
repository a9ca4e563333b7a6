"""Rollups of the ledger and of the jobs' times: by 15 minutes for all, by day for users and labels."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from tenants.models.tenant import Tenant

QUARTER_S = 900


class UsageQuarter(models.Model):
    """What happened in 15 minutes from `starts_at`, by tenant, model, deployment, key and team (0 and "": none).

    Tokens and money may be negative: a correction counts in the quarter in which it was written.
    """

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage_quarters")
    model = models.CharField(max_length=128)
    deployment = models.CharField(max_length=64, blank=True, default="")
    api_key_id = models.BigIntegerField(default=0)
    team = models.CharField(max_length=128, blank=True, default="")
    starts_at = models.DateTimeField()
    jobs = models.BigIntegerField(default=0)
    succeeded = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    nano_usd = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["tenant", "model", "deployment", "api_key_id", "team", "starts_at"],
                name="quarter_once",
            ),
            models.CheckConstraint(condition=Q(jobs__gte=0, succeeded__gte=0, failed__gte=0), name="quarter_counts"),
        )
        indexes = (
            models.Index(fields=["tenant", "starts_at"], name="quarter_tenant_starts"),
            models.Index(fields=["starts_at"], name="quarter_starts"),
        )

    def __str__(self) -> str:
        return f"{self.model} {self.starts_at:%Y-%m-%d %H:%M}"


class Measure(models.IntegerChoices):
    """What a histogram counts; times in milliseconds."""

    LATENCY_MS = 1, "latency"
    QUEUE_WAIT_MS = 2, "queue wait"
    OUTPUT_TOKENS = 3, "output tokens"


class UsageQuarterBin(models.Model):
    """One bin of a quarter's histogram; `bin` as in `rateguard.engine.histogram`."""

    quarter = models.ForeignKey(UsageQuarter, on_delete=models.CASCADE, related_name="bins")
    measure = models.SmallIntegerField(choices=Measure)
    bin = models.SmallIntegerField()
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["quarter", "measure", "bin"], name="bin_once"),
            models.CheckConstraint(condition=Q(measure__in=Measure.values, bin__gte=0, count__gte=0), name="bin_values"),
        )

    def __str__(self) -> str:
        return f"{self.measure}[{self.bin}] = {self.count}"


class Dimension(models.TextChoices):
    """What a day's rollup tells apart; a label's value is `key=value`."""

    USER = "user"
    LABEL = "label"


class UsageDay(models.Model):
    """What a user or a label used on one day (UTC)."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="usage_days")
    day = models.DateField()
    dimension = models.CharField(max_length=8, choices=Dimension)
    value = models.CharField(max_length=384)
    jobs = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    nano_usd = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["tenant", "day", "dimension", "value"], name="day_once"),
            models.CheckConstraint(condition=Q(dimension__in=Dimension.values, jobs__gte=0), name="day_values"),
        )

    def __str__(self) -> str:
        return f"{self.dimension} {self.value} {self.day}"
