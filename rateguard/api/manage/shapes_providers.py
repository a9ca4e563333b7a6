"""The shapes of accounts, deployments, models, prices and the audit."""

from __future__ import annotations

from rest_framework import serializers

from rateguard.api.manage.reading import NAME_CHARS, DollarsField, FlagField, MomentField, NameField, RequestShape, TextField
from rateguard.api.manage.shapes import BREAKER_OF_NAME, next_cursor, of_tenant, whole
from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.engine.routing.contract import Strategy
from rateguard.providers import names
from tenants.changes import accounts, routes
from tenants.changes.limits import LONGEST_TEXT
from tenants.models import AuditAction
from tenants.models.providers import LONGEST_AFTER_MS, MOST_FALLBACKS, MOST_REGIONS, REGION_CHARS, RETRY_RANGES
from tenants.models.tenant import MAX_WEIGHT
from tenants.routing import FALLBACK_KINDS

MODEL_CHARS = 128
PROVIDER_CHARS = 32
MOST_LIMITS = 20
STRATEGIES = [one.value for one in Strategy]


def _options() -> serializers.DictField:
    return serializers.DictField(required=False, help_text="What else its provider has to know, in the words of that provider's page.")


class AccountChangesShape(RequestShape):
    """An account: credentials and base URL belong together."""

    name = NameField()
    provider = serializers.ChoiceField(names())
    base_url = TextField(max_length=accounts.MOST_URL_CHARS, help_text="http or https; of a tenant's own account https.")
    credentials = TextField(max_length=accounts.MOST_CREDENTIALS_CHARS, help_text="Never shown again.")
    options = _options()


class NewAccountShape(AccountChangesShape):
    """An account of a tenant, or of all."""

    base_url = TextField(
        required=False,
        allow_blank=True,
        max_length=accounts.MOST_URL_CHARS,
        help_text="As in a change; left out: where the provider's preset says that it is.",
    )
    limits = serializers.ListField(
        child=TextField(max_length=LONGEST_TEXT),
        required=False,
        max_length=MOST_LIMITS,
        help_text="In people's words, like \"600/min\"; left out: those of the provider's preset; []: none.",
    )
    tenant = of_tenant()


class AccountShape(Shape):
    """An account, without its credentials."""

    id = serializers.IntegerField()
    object = constant("account")
    name = serializers.CharField()
    tenant = serializers.CharField(allow_null=True, help_text="null: of all tenants.")
    provider = serializers.CharField()
    base_url = serializers.CharField()
    has_credentials = serializers.BooleanField()
    options = serializers.DictField()
    created_at = serializers.DateTimeField()


ACCOUNTS = list_of(AccountShape, next_cursor=next_cursor())


class DeploymentChangesShape(RequestShape):
    """A model at an account. breaker_…: null is as the settings say."""

    name = NameField()
    upstream_model = TextField(max_length=MODEL_CHARS, help_text="What the provider calls it.")
    region = TextField(required=False, allow_blank=True, max_length=REGION_CHARS)
    weight = whole(1, MAX_WEIGHT, required=False)
    is_enabled = FlagField(required=False)
    options = _options()
    breaker_failures = whole(*BREAKER_OF_NAME["breaker_failures"], required=False, allow_null=True)
    breaker_failure_permille = whole(*BREAKER_OF_NAME["breaker_failure_permille"], required=False, allow_null=True)
    breaker_window_ms = whole(*BREAKER_OF_NAME["breaker_window_ms"], required=False, allow_null=True)
    breaker_open_ms = whole(*BREAKER_OF_NAME["breaker_open_ms"], required=False, allow_null=True)
    breaker_slow_ms = whole(*BREAKER_OF_NAME["breaker_slow_ms"], required=False, allow_null=True)
    breaker_slow_permille = whole(*BREAKER_OF_NAME["breaker_slow_permille"], required=False, allow_null=True)
    breaker_probes = whole(*BREAKER_OF_NAME["breaker_probes"], required=False, allow_null=True)


class NewDeploymentShape(DeploymentChangesShape):
    """A deployment that is to be made."""

    account = TextField(max_length=NAME_CHARS, help_text="By name or id.")


class InputEstimateShape(Shape):
    """How far our counts of input are from the provider's, in thousandths of ours."""

    answers = serializers.IntegerField(help_text="That it is learned from.")
    mean_permille = serializers.IntegerField()
    reserve_permille = serializers.IntegerField(help_text="What is reserved: the p95; 1000 after fewer than 20 answers.")


class DeploymentShape(Shape):
    """A deployment."""

    id = serializers.IntegerField()
    object = constant("deployment")
    name = serializers.CharField()
    account = serializers.CharField()
    tenant = serializers.CharField(allow_null=True)
    upstream_model = serializers.CharField()
    wildcard = serializers.CharField(allow_null=True, help_text="The deployment with a * from which it was made.")
    region = serializers.CharField()
    weight = serializers.IntegerField()
    is_enabled = serializers.BooleanField()
    options = serializers.DictField()
    breaker_failures = serializers.IntegerField(allow_null=True)
    breaker_failure_permille = serializers.IntegerField(allow_null=True)
    breaker_window_ms = serializers.IntegerField(allow_null=True)
    breaker_open_ms = serializers.IntegerField(allow_null=True)
    breaker_slow_ms = serializers.IntegerField(allow_null=True)
    breaker_slow_permille = serializers.IntegerField(allow_null=True)
    breaker_probes = serializers.IntegerField(allow_null=True)
    input_estimate = InputEstimateShape(allow_null=True, help_text="null: no answer has told yet.")


DEPLOYMENTS = list_of(DeploymentShape, next_cursor=next_cursor())


class FallbackShape(RequestShape):
    """Another model that is asked after an error."""

    on = serializers.ChoiceField(FALLBACK_KINDS, help_text="The kind of error; `any`: of all of them.")
    to = TextField(max_length=MODEL_CHARS, help_text="The other model's name.")


class FallbackOfRouteShape(Shape):
    """Another model that is asked after an error."""

    on = serializers.ChoiceField(FALLBACK_KINDS)
    to = serializers.CharField()


class RouteChangesShape(RequestShape):
    """A model as callers name it, and where it leads."""

    name = TextField(max_length=MODEL_CHARS)
    deployments = serializers.ListField(
        child=TextField(max_length=NAME_CHARS),
        allow_empty=False,
        max_length=routes.MOST_DEPLOYMENTS,
        help_text="By name or id, the first one first; a change names all of them.",
    )
    is_enabled = FlagField(required=False)
    strategy = serializers.ChoiceField(STRATEGIES, required=False, help_text="How it chooses among its deployments; `ordered` by default.")
    regions = serializers.ListField(
        child=TextField(max_length=REGION_CHARS),
        max_length=MOST_REGIONS,
        required=False,
        help_text="Those that are preferred, the best first.",
    )
    weights = serializers.DictField(
        child=whole(1, MAX_WEIGHT), required=False, help_text="By deployment; of one that is not named its own weight counts."
    )
    after_ms = serializers.DictField(
        child=whole(0, LONGEST_AFTER_MS), required=False, help_text="By deployment: it takes only work that has waited for so long."
    )
    fallbacks = serializers.ListField(
        child=FallbackShape(), max_length=routes.MOST_FALLBACK_ROWS, required=False, help_text="The first one first."
    )
    max_fallbacks = whole(0, MOST_FALLBACKS, required=False, help_text="A job goes to so many other models at most; 2 by default.")
    is_sticky = FlagField(required=False, help_text="Work of one session stays at one deployment, for its prompt cache.")
    hedges = FlagField(required=False, help_text="In the critical lane a second call follows a slow one; the first answer wins.")
    max_tries = whole(*RETRY_RANGES["max_tries"], required=False, allow_null=True, help_text="null: as the settings say.")
    retry_base_ms = whole(*RETRY_RANGES["retry_base_ms"], required=False, allow_null=True)
    retry_max_ms = whole(*RETRY_RANGES["retry_max_ms"], required=False, allow_null=True)


class RouteShape(Shape):
    """A model as callers name it."""

    id = serializers.IntegerField()
    object = constant("model")
    name = serializers.CharField()
    wildcard = serializers.CharField(allow_null=True, help_text="The model with a * that made it at its first use, and that it follows.")
    deployments = serializers.ListField(child=serializers.CharField())
    is_enabled = serializers.BooleanField()
    strategy = serializers.ChoiceField(STRATEGIES)
    regions = serializers.ListField(child=serializers.CharField())
    weights = serializers.DictField(child=serializers.IntegerField())
    after_ms = serializers.DictField(child=serializers.IntegerField())
    fallbacks = FallbackOfRouteShape(many=True)
    max_fallbacks = serializers.IntegerField()
    is_sticky = serializers.BooleanField()
    hedges = serializers.BooleanField()
    max_tries = serializers.IntegerField(allow_null=True)
    retry_base_ms = serializers.IntegerField(allow_null=True)
    retry_max_ms = serializers.IntegerField(allow_null=True)


ROUTES = list_of(RouteShape, next_cursor=next_cursor())


PRICE_PARTS = (
    "What depends on the request: `cache_write_long_usd`, `audio_input_usd`, `audio_output_usd`; any price at a tier, such as "
    "`batch_input_usd`, `flex_output_usd`, `priority_cached_input_usd`; `long_context`, a list such as "
    '`[{"above_input_tokens": 200000, "input_usd": "4"}]`: prices of all tokens of a longer request; `terms`, factors such as '
    '`{"us": "1.1"}`; `search_usd`, for one hosted search. What is left out follows from the others.'
)


class PriceChangesShape(RequestShape):
    """What a model costs, in dollars per million tokens. Without prices of their own tokens of the cache cost what input costs."""

    valid_from = MomentField()
    input_usd = DollarsField()
    output_usd = DollarsField()
    cached_input_usd = DollarsField(required=False)
    cache_write_usd = DollarsField(required=False)
    parts = serializers.DictField(required=False, help_text=PRICE_PARTS)


class NewPriceShape(PriceChangesShape):
    """A price that is to be in force from a moment on."""

    provider = TextField(max_length=PROVIDER_CHARS)
    model = TextField(max_length=MODEL_CHARS, help_text="What the provider calls it.")


class PriceShape(Shape):
    """A price, in dollars per million tokens."""

    id = serializers.IntegerField()
    object = constant("price")
    provider = serializers.CharField()
    model = serializers.CharField()
    valid_from = serializers.DateTimeField()
    input_usd = serializers.CharField()
    output_usd = serializers.CharField()
    cached_input_usd = serializers.CharField()
    cache_write_usd = serializers.CharField()
    parts = serializers.DictField(help_text=PRICE_PARTS)


PRICES = list_of(PriceShape, next_cursor=next_cursor())


class AuditEntryShape(Shape):
    """A change: who made it, and by field what was before and after. A secret is told as `changed`."""

    id = serializers.IntegerField()
    object = constant("audit_entry")
    at = serializers.DateTimeField()
    tenant = serializers.CharField(allow_null=True)
    by = serializers.CharField()
    action = serializers.ChoiceField(AuditAction.values)
    kind = serializers.CharField()
    object_id = serializers.CharField()
    name = serializers.CharField()
    changes = serializers.DictField()
    request_id = serializers.CharField()


AUDIT = list_of(AuditEntryShape, next_cursor=next_cursor())
