"""What may be used: scopes, the limits on them, on accounts and on deployments, and budgets."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from rateguard.engine.money import MAX_BUDGET_NANO_USD, format_usd
from tenants.models.configuration import ConfigurationModel
from tenants.models.providers import Deployment, ProviderAccount
from tenants.models.tenant import Tenant

MAX_AMOUNT = 4_000_000_000
MIN_WINDOW_MS = 100
MAX_WINDOW_MS = 31 * 86_400_000


class ScopeKind(models.TextChoices):
    """The kinds of nodes that limits attach to, from the root down."""

    GLOBAL = "global"
    TENANT = "tenant"
    TEAM = "team"
    ROLEGROUP = "rolegroup"
    ROLE = "role"
    USER = "user"
    RUN = "run"
    KEY = "key"


_NAMELESS = (ScopeKind.GLOBAL, ScopeKind.TENANT)


class Scope(ConfigurationModel):
    """A node that limits attach to. Only nodes with limits or budgets have a row; the global one and a tenant's own have no name."""

    kind = models.CharField(max_length=16, choices=ScopeKind)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, blank=True, related_name="scopes")
    name = models.CharField(max_length=128, blank=True, default="")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(kind__in=ScopeKind.values), name="scope_kind"),
            models.CheckConstraint(
                condition=Q(kind=ScopeKind.GLOBAL, tenant__isnull=True) | (~Q(kind=ScopeKind.GLOBAL) & Q(tenant__isnull=False)),
                name="scope_global_has_no_tenant",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=_NAMELESS, name="") | (~Q(kind__in=_NAMELESS) & ~Q(name="")),
                name="scope_name_fits_kind",
            ),
            models.UniqueConstraint(fields=["tenant", "kind", "name"], name="scope_once_a_tenant"),
            models.UniqueConstraint(fields=["kind"], condition=Q(tenant__isnull=True), name="scope_one_global"),
        )

    def __str__(self) -> str:
        return ":".join(part for part in (self.kind, str(self.tenant_id or ""), self.name) if part)


class Metric(models.TextChoices):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CONCURRENCY = "concurrency"


class LimitKind(models.TextChoices):
    """How a limit counts: over a sliding window, or what is under way at once."""

    WINDOW = "window"
    CONCURRENCY = "concurrency"


class Limit(ConfigurationModel):
    """An amount per window on exactly one of a scope, a provider account, a deployment.

    window_ms: 0 for concurrency. burst_permille: the share of the amount that may come at once; 1000 means no pacing.
    """

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    metric = models.CharField(max_length=16, choices=Metric)
    kind = models.CharField(max_length=16, choices=LimitKind, default=LimitKind.WINDOW)
    amount = models.BigIntegerField()
    window_ms = models.BigIntegerField(default=0)
    burst_permille = models.PositiveSmallIntegerField(default=1_000)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(scope__isnull=False, account__isnull=True, deployment__isnull=True)
                | Q(scope__isnull=True, account__isnull=False, deployment__isnull=True)
                | Q(scope__isnull=True, account__isnull=True, deployment__isnull=False),
                name="limit_on_exactly_one",
            ),
            models.CheckConstraint(condition=Q(metric__in=Metric.values), name="limit_metric"),
            models.CheckConstraint(condition=Q(amount__range=(1, MAX_AMOUNT)), name="limit_amount"),
            models.CheckConstraint(condition=Q(burst_permille__range=(1, 1_000)), name="limit_burst"),
            models.CheckConstraint(
                condition=Q(kind=LimitKind.CONCURRENCY, metric=Metric.CONCURRENCY, window_ms=0)
                | (Q(kind=LimitKind.WINDOW, window_ms__range=(MIN_WINDOW_MS, MAX_WINDOW_MS)) & ~Q(metric=Metric.CONCURRENCY)),
                name="limit_kind_fits_metric_and_window",
            ),
            models.UniqueConstraint(fields=["scope", "metric", "kind", "window_ms"], name="limit_once_a_scope"),
            models.UniqueConstraint(fields=["account", "metric", "kind", "window_ms"], name="limit_once_an_account"),
            models.UniqueConstraint(fields=["deployment", "metric", "kind", "window_ms"], name="limit_once_a_deployment"),
        )

    def __str__(self) -> str:
        return f"{self.metric} {self.amount}/{self.window_ms} ms"


class BudgetPeriod(models.TextChoices):
    """Over which time a budget counts."""

    TOTAL = "total"


class Exhaustion(models.TextChoices):
    """What happens to work that does not fit the rest of a budget."""

    REJECT = "reject"


class Budget(ConfigurationModel):
    """Money on a scope, in nano-dollars: spent + reserved never exceeds it."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, related_name="budgets")
    amount_nano_usd = models.BigIntegerField()
    period = models.CharField(max_length=16, choices=BudgetPeriod, default=BudgetPeriod.TOTAL)
    on_exhaustion = models.CharField(max_length=16, choices=Exhaustion, default=Exhaustion.REJECT)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(amount_nano_usd__range=(0, MAX_BUDGET_NANO_USD)), name="budget_amount"),
            models.CheckConstraint(condition=Q(period__in=BudgetPeriod.values), name="budget_period"),
            models.CheckConstraint(condition=Q(on_exhaustion__in=Exhaustion.values), name="budget_on_exhaustion"),
            models.UniqueConstraint(fields=["scope", "period"], name="budget_once_a_period"),
        )

    def __str__(self) -> str:
        return f"{format_usd(self.amount_nano_usd)} ({self.period})"
