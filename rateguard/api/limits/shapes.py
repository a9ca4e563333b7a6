"""The shapes of limits and of what operators see: scopes, capacity, breakers, events; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from rateguard.api.jobs.shapes import LANES
from rateguard.api.params import MOST_PK
from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.jobs.names import MOST_NAME_CHARS
from tenants.models import BudgetPeriod, EventKind, ForcedBreaker, Metric, OnExhausted

MOST_TOKENS = 10_000_000
BREAKER_WORDS = ["closed", "open", "half_open", "forced_open", "forced_closed"]

# ---- what is asked


def whole(name: str, least: int, most: int, description: str = "") -> OpenApiParameter:
    """A whole number in the query."""
    return OpenApiParameter(name, {"type": "integer", "minimum": least, "maximum": most}, description=description)


def name_of(name: str, description: str = "") -> OpenApiParameter:
    """A name in the query."""
    return OpenApiParameter(name, {"type": "string", "maxLength": MOST_NAME_CHARS}, description=description)


def word(name: str, options: list[str], description: str = "") -> OpenApiParameter:
    """One of some words in the query."""
    return OpenApiParameter(name, {"type": "string", "enum": options}, description=description)


LANE = word("lane", LANES, "`normal` where absent.")
NODES = [name_of(kind, f"The {kind} of the request.") for kind in ("team", "rolegroup", "role", "user")]
RUN = OpenApiParameter("run", {"type": "string", "format": "uuid"}, description="The run of the request.")
REQUEST = [
    name_of("model", "The model of the request; then its deployments are told as well."),
    LANE,
    whole("input_tokens", 0, MOST_TOKENS, "1 where absent."),
    whole("max_tokens", 0, MOST_TOKENS, "0 where absent."),
]

# ---- limits


class NodeShape(Shape):
    """A node that limits are on."""

    kind = serializers.CharField()
    id = serializers.CharField(help_text="Its name; empty for all.")


class ObstacleShape(Shape):
    """What is in the way, or would be first."""

    kind = serializers.ChoiceField(["limit", "budget", "pause", "cooldown", "breaker", "no_deployment"])
    id = serializers.CharField(allow_null=True)
    scope = NodeShape()
    never = serializers.BooleanField(help_text="The request needs more than there is in all.")
    wait_ms = serializers.IntegerField(allow_null=True, help_text="0: it fits now. null: not by itself.")
    wait_until = serializers.DateTimeField(allow_null=True)
    headroom = serializers.IntegerField(allow_null=True, help_text="How many such requests fit one after the other.")


class ReserveShape(Shape):
    """The part of a limit that is kept for a lane and those above it."""

    permille = serializers.IntegerField()
    lane = serializers.ChoiceField(LANES)


class EffectiveLimitShape(Shape):
    """A limit, a budget or a pause as it stands. Of one that others use too a tenant sees no figures."""

    id = serializers.CharField()
    scope = NodeShape()
    kind = serializers.ChoiceField(["window", "bucket", "learned", "concurrency", "budget", "pause"])
    metric = serializers.ChoiceField([*Metric.values, "cost"], allow_null=True)
    unit = serializers.ChoiceField(["requests", "tokens", "places", "nano_usd"], allow_null=True)
    shared = serializers.BooleanField()
    amount = serializers.IntegerField(allow_null=True)
    used = serializers.IntegerField(allow_null=True)
    reserved = serializers.IntegerField(allow_null=True)
    left = serializers.IntegerField(allow_null=True, help_text="For the lane that was asked for.")
    left_usd = serializers.CharField(allow_null=True)
    window_ms = serializers.IntegerField(allow_null=True)
    period = serializers.ChoiceField(BudgetPeriod.values, allow_null=True)
    period_starts_at = serializers.DateTimeField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)
    next_ms = serializers.IntegerField(allow_null=True)
    next_at = serializers.DateTimeField(allow_null=True)
    reserve = ReserveShape(allow_null=True)
    on_exhausted = serializers.ChoiceField(OnExhausted.values, allow_null=True)
    downgrade_to = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)


class PlaceShape(Shape):
    """A deployment as the request would find it."""

    deployment = serializers.CharField()
    open = serializers.BooleanField()
    closed_by = ObstacleShape(allow_null=True)
    breaker = serializers.ChoiceField(BREAKER_WORDS)
    breaker_ms = serializers.IntegerField(allow_null=True)
    cooling_ms = serializers.IntegerField()
    limits = EffectiveLimitShape(many=True)


class AskedShape(Shape):
    """The request that was asked about."""

    input_tokens = serializers.IntegerField()
    max_tokens = serializers.IntegerField()
    fits = serializers.BooleanField()
    binding = ObstacleShape(allow_null=True)


class LimitsShape(Shape):
    """What limits a request, and what it meets first."""

    object = constant("limits")
    at = serializers.DateTimeField()
    lane = serializers.ChoiceField(LANES)
    request = AskedShape()
    limits = EffectiveLimitShape(many=True)
    deployments = PlaceShape(many=True)


class ScopeLimitsShape(LimitsShape):
    """The same, of one node."""

    object = constant("scope")
    scope = NodeShape()


# ---- capacity


class RoomShape(Shape):
    """What could go now; null: nothing limits it."""

    requests = serializers.IntegerField(allow_null=True)
    tokens = serializers.IntegerField(allow_null=True)


class DeploymentRoomShape(RoomShape):
    """The room at one deployment."""

    deployment = serializers.CharField()
    id = serializers.IntegerField()
    open = serializers.BooleanField()
    closed_by = ObstacleShape(allow_null=True)


class ModelRoomShape(RoomShape):
    """The room of a model over its deployments. `gpt@5` is tenant 5's own list of deployments."""

    model = serializers.CharField()
    deployments = DeploymentRoomShape(many=True)


class CapacityShape(Shape):
    """What each model could take now in a lane."""

    object = constant("capacity")
    at = serializers.DateTimeField()
    lane = serializers.ChoiceField(LANES)
    above = EffectiveLimitShape(many=True, help_text="What stands above all models.")
    models = ModelRoomShape(many=True)


# ---- breakers and events


class BreakerShape(Shape):
    """A deployment's breaker; its counts are those of its window."""

    object = constant("breaker")
    deployment = serializers.CharField()
    id = serializers.IntegerField()
    account = serializers.CharField()
    state = serializers.ChoiceField(["closed", "open", "half_open"])
    forced = serializers.ChoiceField(ForcedBreaker.values)
    calls = serializers.IntegerField()
    failures = serializers.IntegerField()
    slow = serializers.IntegerField()
    generation = serializers.IntegerField()
    probing = serializers.BooleanField()
    probe_at = serializers.DateTimeField(allow_null=True)


class BreakerActionShape(Shape):
    """What to do with a breaker: force it, let it follow its rule again, or reset it."""

    action = serializers.ChoiceField(["open", "close", "auto", "reset"])


class BreakerSetShape(Shape):
    """A breaker after that."""

    object = constant("breaker")
    deployment = serializers.CharField()
    id = serializers.IntegerField()
    action = serializers.ChoiceField(["open", "close", "auto", "reset"])
    forced = serializers.ChoiceField(ForcedBreaker.values)


class LiftedShape(Shape):
    """What no longer cools the deployment: `a3` its account, `d7` itself."""

    target = serializers.CharField()
    for_ms = serializers.IntegerField(help_text="For how much longer it would have.")


class ToldShape(Shape):
    """What the provider told of one of the limits that were set."""

    limit = serializers.CharField()
    amount = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    reset_ms = serializers.IntegerField(allow_null=True)


class SyncShape(Shape):
    """What came of asking a provider."""

    object = constant("sync")
    deployment = serializers.CharField()
    id = serializers.IntegerField()
    status = serializers.IntegerField(help_text="The provider's answer; 0: there was none.")
    reason = serializers.CharField(allow_blank=True, help_text="Why there was none, or what it refused.")
    lifted = LiftedShape(many=True)
    limits = ToldShape(many=True)


class ProbeWishShape(Shape):
    """How to look."""

    spend = serializers.BooleanField(required=False, help_text="Whether a call may be paid for; false by default.")


class ProbeShape(Shape):
    """What came of a look at a deployment."""

    object = constant("probe")
    deployment = serializers.CharField()
    id = serializers.IntegerField()
    status = serializers.IntegerField(help_text="Of the provider's list of models, which costs nothing; 0: there was no answer.")
    reason = serializers.CharField(allow_blank=True, help_text="Why there was none, or what it refused.")
    ms = serializers.IntegerField()
    cost_usd = serializers.CharField(
        allow_null=True, help_text="0 where it was for nothing; else the most that a call costs. null: no price is known."
    )
    cost_nano_usd = serializers.IntegerField(allow_null=True)
    job = serializers.UUIDField(allow_null=True, help_text="The job that calls it, where `spend` said so: its end is the answer.")


class EventShape(Shape):
    """What the gate noticed."""

    id = serializers.IntegerField()
    object = constant("event")
    kind = serializers.ChoiceField(EventKind.values)
    tenant = serializers.CharField(allow_null=True)
    subject = serializers.CharField(help_text="A budget as the gate calls it, or a deployment's id.")
    value = serializers.IntegerField(help_text="Per cent of the budget, or the breaker's generation.")
    period_starts_at = serializers.DateTimeField(allow_null=True)
    detail = serializers.CharField()
    at = serializers.DateTimeField()


BREAKERS, EVENTS = list_of(BreakerShape), list_of(EventShape)
BEFORE = whole("before", 1, MOST_PK, "The last id of the page before.")
