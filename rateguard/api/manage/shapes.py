"""The shapes of what is managed: what a caller sends, which is read by them, and what it gets, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from rateguard.api.manage.reading import (
    NAME_CHARS,
    FlagField,
    LaneField,
    MomentField,
    NameField,
    RequestShape,
    SpanField,
    TextField,
    WholeField,
)
from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.conf import BREAKER_RANGES
from rateguard.engine.lanes import Lane
from tenants.changes import budgets, key_rules, limits, members
from tenants.changes.scopes import MOST_NAME_CHARS
from tenants.changes.tenants import MOST_DAYS
from tenants.models import (
    BudgetPeriod,
    BudgetUnit,
    LimitKind,
    MemberRole,
    Metric,
    OnExhausted,
    Permission,
    ScopeKind,
    TenantStatus,
)
from tenants.models.tenant import MAX_WAITING, MAX_WEIGHT

LANES = [lane.label for lane in Lane]
MOST_OVERLAP_S = 30 * 86_400
BREAKER_OF_NAME = {f"breaker_{name}": bounds for name, bounds in BREAKER_RANGES.items()}


def next_cursor() -> serializers.CharField:
    """Where a list goes on."""
    return serializers.CharField(allow_null=True, help_text="The cursor of the next page; null on the last one.")


def of_tenant() -> TextField:
    """Whose it is to be."""
    return TextField(required=False, max_length=NAME_CHARS, help_text="The tenant, by name or id. A tenant's own key need not name it.")


def whole(least: int, most: int, **said: Any) -> WholeField:
    """A whole number in a range."""
    return WholeField(min_value=least, max_value=most, **said)


# ---- tenants and members


class TenantChangesShape(RequestShape):
    """What a tenant is."""

    name = NameField()
    weight = whole(1, MAX_WEIGHT, required=False, help_text="Its part of a contested lane.")
    status = serializers.ChoiceField(TenantStatus.values, required=False, help_text="`paused`: its keys and new work are refused.")
    time_zone = TextField(required=False, max_length=64, help_text="Where the days and months of its budgets begin.")
    max_waiting = whole(1, MAX_WAITING, required=False, allow_null=True, help_text="How many of its jobs may wait; null: the default.")
    keep_bodies_days = whole(
        1, MOST_DAYS, required=False, allow_null=True, help_text="After so many days requests and answers are removed; null: the default."
    )


class TenantShape(Shape):
    """A tenant."""

    id = serializers.IntegerField()
    object = constant("tenant")
    name = serializers.CharField()
    weight = serializers.IntegerField()
    status = serializers.ChoiceField(TenantStatus.values)
    time_zone = serializers.CharField()
    max_waiting = serializers.IntegerField(allow_null=True)
    keep_bodies_days = serializers.IntegerField(allow_null=True)
    created_at = serializers.DateTimeField()


TENANTS = list_of(TenantShape, next_cursor=next_cursor())


class MemberChangesShape(RequestShape):
    """What may change of a member."""

    role = serializers.ChoiceField(MemberRole.values, required=False, help_text="`member` where nothing is said.")


class NewMemberShape(MemberChangesShape):
    """A person who is to belong to a tenant."""

    tenant = of_tenant()
    username = TextField(max_length=members.MOST_NAME_CHARS)
    email = TextField(required=False, allow_blank=True, max_length=254, help_text="Of a person who is not known yet; operators alone.")


class MemberShape(Shape):
    """A person who belongs to a tenant."""

    id = serializers.IntegerField()
    object = constant("member")
    tenant = serializers.CharField()
    username = serializers.CharField()
    role = serializers.ChoiceField(MemberRole.values)
    created_at = serializers.DateTimeField()


MEMBERS = list_of(MemberShape, next_cursor=next_cursor())

# ---- keys


class BoundShape(RequestShape):
    """What a key's requests are charged to, whatever they say."""

    team = TextField(required=False, max_length=MOST_NAME_CHARS)
    rolegroup = TextField(required=False, max_length=MOST_NAME_CHARS)
    role = TextField(required=False, max_length=MOST_NAME_CHARS)
    user = TextField(required=False, max_length=MOST_NAME_CHARS)
    cost_center = TextField(required=False, max_length=MOST_NAME_CHARS)


class KeyChangesShape(RequestShape):
    """What a key may do."""

    name = TextField(max_length=key_rules.MOST_NAME_CHARS)
    permissions = serializers.ListField(
        child=serializers.ChoiceField(Permission.values), required=False, allow_empty=False, max_length=len(Permission.values)
    )
    is_operator = FlagField(required=False, help_text="Whether it reaches all tenants; operators alone make such keys.")
    allowed_models = serializers.ListField(
        child=TextField(max_length=MOST_NAME_CHARS),
        required=False,
        max_length=key_rules.MOST_MODELS,
        help_text="Empty: all models. `openrouter/*`: all whose names begin so.",
    )
    default_lane = LaneField(required=False, allow_null=True)
    highest_lane = LaneField(required=False, allow_null=True)
    bound = BoundShape(required=False)
    expires_at = MomentField(required=False, allow_null=True)


class NewKeyShape(KeyChangesShape):
    """A key that is to be made."""

    tenant = of_tenant()


class RotationShape(RequestShape):
    """How long the old secret of a key is good: a day, unless one of the two says otherwise."""

    overlap = SpanField(required=False)
    overlap_s = whole(0, MOST_OVERLAP_S, required=False)


class KeyShape(Shape):
    """A key, without its secret."""

    id = serializers.IntegerField()
    object = constant("key")
    tenant = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="How the secret begins.")
    permissions = serializers.ListField(child=serializers.ChoiceField(Permission.values))
    is_operator = serializers.BooleanField()
    allowed_models = serializers.ListField(child=serializers.CharField())
    default_lane = serializers.ChoiceField(LANES, allow_null=True)
    highest_lane = serializers.ChoiceField(LANES, allow_null=True)
    bound = serializers.DictField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    rotated_at = serializers.DateTimeField(allow_null=True)
    old_secret_until = serializers.DateTimeField(allow_null=True, help_text="How long the secret before the last rotation is good.")
    revoked_at = serializers.DateTimeField(allow_null=True)


class KeyWithSecretShape(KeyShape):
    """A key with its secret, this once."""

    secret = serializers.CharField()


KEYS = list_of(KeyShape, next_cursor=next_cursor())

# ---- limits and budgets


class LimitChangesShape(RequestShape):
    """A limit as people write it."""

    limit = TextField(max_length=limits.LONGEST_TEXT, help_text="Such as `600/min`, `2M tokens/min burst 10%` or `40 concurrent`.")


class NewLimitShape(LimitChangesShape):
    """A limit, and what it is on: a node (scope_kind, scope), an account or a deployment."""

    tenant = of_tenant()
    scope_kind = serializers.ChoiceField(ScopeKind.values, required=False)
    scope = TextField(required=False, allow_blank=True, max_length=MOST_NAME_CHARS, help_text="A name, or `*` for each one of the kind.")
    account = TextField(required=False, max_length=NAME_CHARS)
    deployment = TextField(required=False, max_length=NAME_CHARS)


class LimitShape(Shape):
    """A limit."""

    id = serializers.IntegerField()
    object = constant("limit")
    tenant = serializers.CharField(allow_null=True)
    scope_kind = serializers.ChoiceField(ScopeKind.values, allow_null=True)
    scope = serializers.CharField(allow_null=True)
    account = serializers.CharField(allow_null=True)
    deployment = serializers.CharField(allow_null=True)
    limit = serializers.CharField()
    metric = serializers.ChoiceField(Metric.values)
    kind = serializers.ChoiceField(LimitKind.values)
    amount = serializers.IntegerField()
    window_ms = serializers.IntegerField(help_text="0: at once.")


LIMITS = list_of(LimitShape, next_cursor=next_cursor())


class BudgetChangesShape(RequestShape):
    """A budget as people write it."""

    budget = TextField(max_length=budgets.LONGEST_TEXT, help_text="Such as `$5/day`, `$250 in total hold` or `2M tokens/month`.")


class NewBudgetShape(BudgetChangesShape):
    """A budget, and the node that it is on."""

    tenant = of_tenant()
    scope_kind = serializers.ChoiceField(ScopeKind.values)
    scope = TextField(required=False, allow_blank=True, max_length=MOST_NAME_CHARS, help_text="A name, or `*` for each one of the kind.")


class BudgetShape(Shape):
    """A budget."""

    id = serializers.IntegerField()
    object = constant("budget")
    tenant = serializers.CharField(allow_null=True)
    scope_kind = serializers.ChoiceField(ScopeKind.values)
    scope = serializers.CharField()
    budget = serializers.CharField()
    unit = serializers.ChoiceField(BudgetUnit.values)
    amount = serializers.IntegerField(help_text="Nano-dollars, or tokens.")
    period = serializers.ChoiceField(BudgetPeriod.values)
    on_exhausted = serializers.ChoiceField(OnExhausted.values)
    downgrade_to = serializers.CharField(allow_null=True)
    thresholds = serializers.ListField(child=serializers.IntegerField())


BUDGETS = list_of(BudgetShape, next_cursor=next_cursor())
