"""What may be used in a time: the limits on scopes, on accounts and on deployments."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.lookups import GreaterThanOrEqual

from rateguard.engine.lanes import Lane
from tenants.models.configuration import ConfigurationModel
from tenants.models.providers import Deployment, ProviderAccount
from tenants.models.scopes import Scope

MAX_AMOUNT = 4_000_000_000
MIN_WINDOW_MS = 100
MAX_WINDOW_MS = 31 * 86_400_000
MAX_RESERVE_PERMILLE = 900

_RESERVING = tuple(lane for lane in Lane if lane != Lane.BACKGROUND)


class Metric(models.TextChoices):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CONCURRENCY = "concurrency"


class LimitKind(models.TextChoices):
    """How a limit counts: over a sliding window, in a bucket that refills without a break, or what is under way at once.

    LEARNED: a window whose amount nobody knows; the gate finds it out, see `rateguard.engine.limits.told`.
    """

    WINDOW = "window"
    BUCKET = "bucket"
    CONCURRENCY = "concurrency"
    LEARNED = "learned"


_TIMED = (LimitKind.WINDOW, LimitKind.BUCKET, LimitKind.LEARNED)
_ONCE = "there is a limit of this metric, kind and window already: change that one"


class Limit(ConfigurationModel):
    """An amount per window on exactly one of a scope, a provider account, a deployment.

    window_ms: 0 for concurrency. burst_permille: the share of the amount that may come at once; 1000 means no pacing.
    reserve_permille: the share that only `reserve_lane` (a lane's number) and the lanes above it may use.
    Of a learned one, amount is what it begins with; learned_amount: what the gate had learned when it was last asked, for a gate that is
    rebuilt.
    """

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    account = models.ForeignKey(ProviderAccount, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, null=True, blank=True, related_name="limits")
    metric = models.CharField(max_length=16, choices=Metric)
    kind = models.CharField(max_length=16, choices=LimitKind, default=LimitKind.WINDOW)
    amount = models.BigIntegerField()
    window_ms = models.BigIntegerField(default=0)
    burst_permille = models.PositiveSmallIntegerField(default=1_000)
    reserve_permille = models.PositiveSmallIntegerField(default=0)
    learned_amount = models.BigIntegerField(null=True, blank=True, editable=False)
    reserve_lane = models.SmallIntegerField(choices=[(lane.value, lane.label) for lane in _RESERVING], null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(scope__isnull=False, account__isnull=True, deployment__isnull=True)
                | Q(scope__isnull=True, account__isnull=False, deployment__isnull=True)
                | Q(scope__isnull=True, account__isnull=True, deployment__isnull=False),
                name="limit_on_exactly_one",
                violation_error_message="a limit is on exactly one of a scope, an account and a deployment: name one of them",
            ),
            models.CheckConstraint(
                condition=Q(metric__in=Metric.values),
                name="limit_metric",
                violation_error_message=f"a limit counts one of {', '.join(Metric.values)}",
            ),
            models.CheckConstraint(
                condition=Q(amount__range=(1, MAX_AMOUNT)),
                name="limit_amount",
                violation_error_message=f"the amount is a whole number from 1 to {MAX_AMOUNT}",
            ),
            models.CheckConstraint(
                condition=Q(burst_permille__range=(1, 1_000)),
                name="limit_burst",
                violation_error_message="the burst is from 1 to 1000 permille of the amount",
            ),
            models.CheckConstraint(
                condition=Q(kind=LimitKind.CONCURRENCY, metric=Metric.CONCURRENCY, window_ms=0)
                | (Q(kind__in=_TIMED, window_ms__range=(MIN_WINDOW_MS, MAX_WINDOW_MS)) & ~Q(metric=Metric.CONCURRENCY)),
                name="limit_kind_fits_metric_and_window",
                violation_error_message=(
                    f"a window or bucket has a window of {MIN_WINDOW_MS} ms to 31 days and counts requests or tokens; "
                    "concurrency is a kind and a metric of its own, without a window"
                ),
            ),
            models.CheckConstraint(
                condition=~Q(kind=LimitKind.BUCKET) | Q(GreaterThanOrEqual(F("amount") * F("burst_permille"), 1_000)),
                name="limit_bucket_holds_one",
                violation_error_message="this bucket would hold less than one: raise its burst",
            ),
            models.CheckConstraint(
                condition=Q(reserve_permille=0, reserve_lane__isnull=True)
                | Q(
                    reserve_permille__range=(1, MAX_RESERVE_PERMILLE),
                    reserve_lane__isnull=False,
                    reserve_lane__in=[lane.value for lane in _RESERVING],
                ),
                name="limit_reserve",
                violation_error_message=(
                    f"a reserve is 1 to {MAX_RESERVE_PERMILLE} permille of the amount and for a lane above background; set both or none"
                ),
            ),
            models.CheckConstraint(
                condition=~Q(kind=LimitKind.LEARNED) | Q(scope__isnull=True),
                name="limit_learned_of_a_provider",
                violation_error_message="only a provider's limit is learned: put it on an account or a deployment",
            ),
            models.UniqueConstraint(
                fields=["scope", "metric", "kind", "window_ms"], name="limit_once_a_scope", violation_error_message=_ONCE
            ),
            models.UniqueConstraint(
                fields=["account", "metric", "kind", "window_ms"], name="limit_once_an_account", violation_error_message=_ONCE
            ),
            models.UniqueConstraint(
                fields=["deployment", "metric", "kind", "window_ms"], name="limit_once_a_deployment", violation_error_message=_ONCE
            ),
        )

    def __str__(self) -> str:
        if self.kind == LimitKind.CONCURRENCY:
            return f"{self.amount:,} at the same time"
        return f"{self.amount:,} {Metric(self.metric).label.lower()} in {self.window_ms / 1_000:g} s"
