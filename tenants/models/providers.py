"""Where work goes: provider accounts, their deployments, the public models that route to them, and what they cost."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from rateguard.conf import BREAKER_RANGES
from rateguard.engine.routing.contract import Strategy
from tenants import routing
from tenants.models.configuration import ConfigurationModel
from tenants.models.tenant import MAX_WEIGHT, Tenant
from tenants.secrets import EncryptedTextField

REGION_CHARS = 32


class ProviderAccount(ConfigurationModel):
    """Credentials and base URL at one provider: one unit, never mixed. tenant: whose it is, None for all tenants.

    provider: the adapter's name (`openai`, …). credentials: a `Secret`. options: what else its provider has to know, in the words of that
    provider's page in the docs (`api_version`, `project`, …).
    """

    name = models.SlugField(max_length=64, unique=True)
    provider = models.SlugField(max_length=32)
    base_url = models.URLField(max_length=255)
    credentials = EncryptedTextField(blank=True, default="")
    options: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default={}, blank=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="provider_accounts")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=~Q(name="") & ~Q(provider=""), name="account_has_names"),)

    def __str__(self) -> str:
        return self.name


def _breaker_constraint(name: str, least: int, most: int) -> models.CheckConstraint:
    field = f"breaker_{name}"
    return models.CheckConstraint(
        condition=Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__range": (least, most)}),
        name=f"deployment_{field}",
        violation_error_message=f"{field} is from {least} to {most}, or empty for the default",
    )


class ForcedBreaker(models.TextChoices):
    """What a person has set a breaker to: nothing, closed whatever happens, open until it is lifted."""

    NO = "no"
    CLOSED = "closed"
    OPEN = "open"


class Deployment(ConfigurationModel):
    """One model at one provider account (and region), with its own limits, weight and breaker.

    options: over those of its account. breaker_…: the rule as in `rateguard.engine.breaker.rule`; what is empty is as RATEGUARD["BREAKER"]
    says. wildcard: the deployment of a wildcard from which it was made (see `tenants.changes.wildcards`), whose upstream_model has a `*`.
    """

    account = models.ForeignKey(ProviderAccount, on_delete=models.PROTECT, related_name="deployments")
    name = models.SlugField(max_length=64, unique=True)
    upstream_model = models.CharField(max_length=128)
    region = models.CharField(max_length=REGION_CHARS, blank=True, default="")
    options: models.JSONField[Any, Any] = models.JSONField(default=dict, db_default={}, blank=True)
    weight = models.PositiveIntegerField(default=1)
    is_enabled = models.BooleanField(default=True)
    breaker_failures = models.PositiveIntegerField(null=True, blank=True)
    breaker_failure_permille = models.PositiveSmallIntegerField(null=True, blank=True)
    breaker_window_ms = models.PositiveIntegerField(null=True, blank=True)
    breaker_open_ms = models.PositiveIntegerField(null=True, blank=True)
    breaker_slow_ms = models.PositiveIntegerField(null=True, blank=True)
    breaker_slow_permille = models.PositiveSmallIntegerField(null=True, blank=True)
    breaker_probes = models.PositiveSmallIntegerField(null=True, blank=True)
    breaker_forced = models.CharField(max_length=8, choices=ForcedBreaker, default=ForcedBreaker.NO)
    wildcard = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="followers")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["wildcard", "upstream_model"], name="deployment_once_a_wildcard"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(upstream_model=""), name="deployment_has_names"),
            models.CheckConstraint(condition=Q(weight__range=(1, MAX_WEIGHT)), name="deployment_weight"),
            *(_breaker_constraint(name, least, most) for name, (least, most) in BREAKER_RANGES.items()),
            models.CheckConstraint(
                condition=Q(breaker_forced__in=ForcedBreaker.values),
                name="deployment_breaker_forced",
                violation_error_message=f"a breaker is forced to one of {', '.join(ForcedBreaker.values)}",
            ),
        )

    def __str__(self) -> str:
        return self.name


RETRY_RANGES = {"max_tries": (1, 100), "retry_base_ms": (1, 3_600_000), "retry_max_ms": (1, 86_400_000)}
"""What a model may say of its jobs' retries: the least and the most."""


def within(least: int, most: int) -> tuple[MinValueValidator, MaxValueValidator]:
    """The validators of a whole number in a range."""
    return MinValueValidator(least), MaxValueValidator(most)


MOST_REGIONS = 20
STRATEGIES = tuple((one.value, one.value.replace("_", " ")) for one in Strategy)
MOST_FALLBACKS = 10
"""A job of a model goes to so many others at most, whatever the model says."""
LONGEST_AFTER_MS = 86_400_000
"""Work waits for a day at most before a deployment takes it that is for overflow."""


def check_regions(value: object) -> None:
    """Raise ValidationError for what is no list of regions."""
    names = value if isinstance(value, list) else [0]
    is_text = all(isinstance(one, str) and 1 <= len(one) <= REGION_CHARS and one.isprintable() for one in names)
    if not is_text or len(set(names)) != len(names) or len(names) > MOST_REGIONS:
        raise ValidationError(f'write a list of at most {MOST_REGIONS} regions, each once, the best first, like ["eu", "us"]')


class ModelRoute(ConfigurationModel):
    """A model as callers name it, and how it chooses among deployments (see `tenants.routing`).

    regions: those that are preferred, the best first. max_fallbacks: a job goes to so many other models at most. is_sticky: who names a
    session stays at one deployment, for its prompt cache. hedges: the critical lane is hedged. max_tries, retry_base_ms, retry_max_ms: of
    its jobs' retries; what is empty is as the settings say. wildcard: the model with a `*` that it follows, which made it when somebody
    first asked for it (see `tenants.changes.wildcards`).
    """

    name = models.CharField(max_length=128, unique=True)
    strategy = models.CharField(max_length=32, choices=STRATEGIES, default=Strategy.ORDERED.value)
    regions: models.JSONField[Any, Any] = models.JSONField(default=list, db_default=[], blank=True, validators=[check_regions])
    max_fallbacks = models.PositiveSmallIntegerField(
        default=routing.USUAL_FALLBACKS, db_default=routing.USUAL_FALLBACKS, validators=[*within(0, MOST_FALLBACKS)]
    )
    is_sticky = models.BooleanField(default=False, db_default=False)
    hedges = models.BooleanField(default=False, db_default=False)
    is_enabled = models.BooleanField(default=True)
    max_tries = models.PositiveSmallIntegerField(null=True, blank=True, validators=[*within(*RETRY_RANGES["max_tries"])])
    retry_base_ms = models.PositiveIntegerField(null=True, blank=True, validators=[*within(*RETRY_RANGES["retry_base_ms"])])
    retry_max_ms = models.PositiveIntegerField(null=True, blank=True, validators=[*within(*RETRY_RANGES["retry_max_ms"])])
    wildcard = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="followers")

    class Meta:
        verbose_name = "model"
        constraints = (
            models.CheckConstraint(condition=~Q(name=""), name="route_has_name"),
            models.CheckConstraint(condition=Q(strategy__in=[one.value for one in Strategy]), name="route_strategy"),
            models.CheckConstraint(
                condition=Q(max_fallbacks__range=(0, MOST_FALLBACKS)),
                name="route_max_fallbacks",
                violation_error_message=f"a job goes to 0 to {MOST_FALLBACKS} other models",
            ),
        )

    def __str__(self) -> str:
        return self.name


class RouteTarget(ConfigurationModel):
    """One deployment of a model; the lowest position is asked first.

    weight: in this model; empty: the deployment's. after_ms: it takes only work that has waited for so long.
    """

    route = models.ForeignKey(ModelRoute, on_delete=models.CASCADE, related_name="targets")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="targets")
    position = models.PositiveSmallIntegerField(default=0)
    weight = models.PositiveIntegerField(null=True, blank=True)
    after_ms = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        ordering = ("route", "position")
        constraints = (
            models.UniqueConstraint(fields=["route", "deployment"], name="target_once_a_route"),
            models.UniqueConstraint(fields=["route", "position"], name="target_position"),
            models.CheckConstraint(condition=Q(weight__isnull=True) | Q(weight__range=(1, MAX_WEIGHT)), name="target_weight"),
            models.CheckConstraint(condition=Q(after_ms__range=(0, LONGEST_AFTER_MS)), name="target_after_ms"),
        )

    def __str__(self) -> str:
        return f"{self.route_id}[{self.position}] → {self.deployment_id}"


class RouteFallback(ConfigurationModel):
    """Where a job of a model goes after an error; the lowest position is tried first. on: an ErrorKind's value, or `any`."""

    route = models.ForeignKey(ModelRoute, on_delete=models.CASCADE, related_name="fallbacks")
    on = models.CharField(max_length=32, choices=[(one, one.replace("_", " ")) for one in routing.FALLBACK_KINDS])
    position = models.PositiveSmallIntegerField(default=0)
    to = models.ForeignKey(ModelRoute, on_delete=models.PROTECT, related_name="fallback_of")

    class Meta:
        verbose_name = "fallback"
        ordering = ("route", "position")
        constraints = (
            models.UniqueConstraint(fields=["route", "position"], name="fallback_position"),
            models.UniqueConstraint(fields=["route", "on", "to"], name="fallback_once"),
            models.CheckConstraint(condition=Q(on__in=routing.FALLBACK_KINDS), name="fallback_on"),
            models.CheckConstraint(condition=~Q(route=F("to")), name="fallback_elsewhere"),
        )

    def __str__(self) -> str:
        return f"{self.route.name} on {self.on}"


class Price(ConfigurationModel):
    """The list price of a provider's model from a moment on, in pico-dollars a token (= micro-dollars per million tokens).

    details: the prices that depend on the request (`prices`: batch, tiers; `long_context`) and facts of the model, as in
    data/prices.json.
    """

    provider = models.SlugField(max_length=32)
    model = models.CharField(max_length=128)
    valid_from = models.DateTimeField()
    input_pico = models.BigIntegerField(default=0)
    cached_input_pico = models.BigIntegerField(default=0)
    cache_write_pico = models.BigIntegerField(default=0)
    output_pico = models.BigIntegerField(default=0)
    details: models.JSONField[Any, Any] = models.JSONField(default=dict, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["provider", "model", "valid_from"], name="price_once_a_moment"),
            models.CheckConstraint(
                condition=Q(input_pico__gte=0, cached_input_pico__gte=0, cache_write_pico__gte=0, output_pico__gte=0),
                name="price_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} from {self.valid_from:%Y-%m-%d}"
