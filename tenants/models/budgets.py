"""What may be spent: money or tokens on a scope, in all or in each period."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from rateguard.engine.money import MAX_BUDGET_NANO_USD, format_usd
from tenants.models.configuration import ConfigurationModel
from tenants.models.providers import ModelRoute
from tenants.models.scopes import Scope

MAX_BUDGET = MAX_BUDGET_NANO_USD
"""The largest amount, of nano-dollars as of tokens: the gate counts exactly up to 2**53."""
MOST_THRESHOLDS = 10


class BudgetUnit(models.TextChoices):
    """What a budget is of: money (its amount is nano-dollars), or tokens."""

    USD = "usd"
    TOKENS = "tokens"


class BudgetPeriod(models.TextChoices):
    """Over which time a budget counts. Days, weeks (from Monday) and months are those of the tenant's time zone."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class OnExhausted(models.TextChoices):
    """What happens to work that does not fit the rest of a budget: it ends, waits for more, or goes to a cheaper model."""

    REJECT = "reject"
    HOLD = "hold"
    DOWNGRADE = "downgrade"


def default_thresholds() -> list[int]:
    """Half, most, all."""
    return [50, 80, 100]


def check_thresholds(value: object) -> None:
    """Raise ValidationError for what is no list of per cents."""
    shares = value if isinstance(value, list) else [0]
    if not all(type(one) is int and 1 <= one <= 100 for one in shares) or sorted(set(shares)) != shares or len(shares) > MOST_THRESHOLDS:
        raise ValidationError(f"write thresholds as a list of at most {MOST_THRESHOLDS} rising per cents from 1 to 100, like [50, 80, 100]")


class Budget(ConfigurationModel):
    """Money or tokens on a scope: spent + reserved never exceeds the amount, in a period or in all.

    amount: nano-dollars, or tokens. downgrade_to: the cheaper model, where that is what happens at the end. thresholds: per cents of
    the amount at which people are told, once a period.
    """

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, related_name="budgets")
    unit = models.CharField(max_length=16, choices=BudgetUnit, default=BudgetUnit.USD)
    amount = models.BigIntegerField()
    period = models.CharField(max_length=16, choices=BudgetPeriod, default=BudgetPeriod.TOTAL)
    on_exhausted = models.CharField(max_length=16, choices=OnExhausted, default=OnExhausted.REJECT)
    downgrade_to = models.ForeignKey(ModelRoute, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    thresholds: models.JSONField[Any, Any] = models.JSONField(default=default_thresholds, blank=True, validators=[check_thresholds])

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(unit__in=BudgetUnit.values), name="budget_unit", violation_error_message="a budget is of usd or of tokens"
            ),
            models.CheckConstraint(
                condition=Q(amount__range=(0, MAX_BUDGET)),
                name="budget_amount",
                violation_error_message=f"a budget is from 0 to {format_usd(MAX_BUDGET)} (in nano-dollars), or to {MAX_BUDGET} tokens",
            ),
            models.CheckConstraint(
                condition=Q(period__in=BudgetPeriod.values),
                name="budget_period",
                violation_error_message=f"a budget's period is one of {', '.join(BudgetPeriod.values)}",
            ),
            models.CheckConstraint(
                condition=Q(on_exhausted__in=OnExhausted.values),
                name="budget_on_exhausted",
                violation_error_message=f"at its end a budget does one of {', '.join(OnExhausted.values)}",
            ),
            models.CheckConstraint(
                condition=Q(on_exhausted=OnExhausted.DOWNGRADE, downgrade_to__isnull=False)
                | (~Q(on_exhausted=OnExhausted.DOWNGRADE) & Q(downgrade_to__isnull=True)),
                name="budget_downgrade_names_a_model",
                violation_error_message="a budget that downgrades names the cheaper model in downgrade_to; any other names none",
            ),
            models.UniqueConstraint(
                fields=["scope", "period", "unit"],
                name="budget_once_a_period",
                violation_error_message="there is a budget of this period and unit already: change that one",
            ),
        )

    def __str__(self) -> str:
        amount = format_usd(self.amount) if self.unit == BudgetUnit.USD else f"{self.amount} tokens"
        return f"{amount} ({self.period})"
