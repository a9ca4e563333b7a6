"""The shape of a model's choice; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from rateguard.api.jobs.shapes import LANES
from rateguard.api.limits.shapes import LANE, MOST_TOKENS, ObstacleShape, name_of, whole
from rateguard.api.schema.describing import Shape, constant
from rateguard.engine.routing.contract import Mode, Strategy
from rateguard.jobs.intake.checking import MOST_KEY_CHARS
from tenants.routing import FALLBACK_KINDS

MOST_SESSION_CHARS = MOST_KEY_CHARS
QUESTION = [
    LANE,
    whole("input_tokens", 0, MOST_TOKENS, "1 where absent."),
    whole("max_tokens", 0, MOST_TOKENS, "0 where absent."),
    OpenApiParameter("session", {"type": "string", "maxLength": MOST_SESSION_CHARS}, description="Where work of this session would stay."),
    name_of("tenant", "The list of this tenant, by name or id. For operators."),
]


class SeenShape(Shape):
    """What a deployment's calls showed."""

    calls = serializers.IntegerField()
    latency_ms = serializers.IntegerField(allow_null=True, help_text="Of an answer, a moving mean; null before the first.")
    failed_permille = serializers.IntegerField(help_text="A moving mean.")
    used_ago_ms = serializers.IntegerField(allow_null=True)


class RankedShape(Shape):
    """A deployment in the order in which the gate asks. What others' use shows is null for a tenant."""

    deployment = serializers.CharField()
    region = serializers.CharField()
    tier = serializers.IntegerField(help_text="A later one is asked only where none before has room.")
    after_ms = serializers.IntegerField(help_text="It takes only work that has waited for so long.")
    weight = serializers.IntegerField(allow_null=True)
    score = serializers.FloatField(allow_null=True, help_text="0–1, the higher the better.")
    why = serializers.CharField(allow_null=True)
    share_permille = serializers.IntegerField(
        allow_null=True, help_text="Of such requests, how many of a thousand it takes as things stand."
    )
    open = serializers.BooleanField()
    closed_by = ObstacleShape(allow_null=True)
    statistics = SeenShape(allow_null=True, help_text="null: none yet, or others use it too.")


class FallbackShownShape(Shape):
    """Another model that is asked after an error."""

    on = serializers.ChoiceField(FALLBACK_KINDS)
    to = serializers.CharField()


class ChoiceShape(Shape):
    """Who is asked first now."""

    deployment = serializers.CharField()
    why = serializers.CharField()


class ExplainedShape(Shape):
    """How a model chooses now."""

    object = constant("route")
    model = serializers.CharField()
    at = serializers.DateTimeField()
    lane = serializers.ChoiceField(LANES)
    list = serializers.CharField(help_text="What the gate calls the list: a tenant with deployments of its own has one of its own.")
    own_lists_of = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="The tenants who have deployments of their own; null for a tenant's key."
    )
    strategy = serializers.ChoiceField([one.value for one in Strategy])
    mode = serializers.ChoiceField([one.name.lower() for one in Mode])
    regions = serializers.ListField(child=serializers.CharField())
    closed_by = ObstacleShape(allow_null=True, help_text="What closes the whole model, or the lane.")
    deployments = RankedShape(many=True)
    sticky = serializers.BooleanField()
    session_stays_at = serializers.CharField(allow_null=True)
    hedges = serializers.BooleanField()
    fallbacks = FallbackShownShape(many=True)
    max_fallbacks = serializers.IntegerField()
    choice = ChoiceShape(allow_null=True, help_text="null: nobody has room now.")
