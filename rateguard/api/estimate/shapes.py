"""The shape of estimates; for the schema alone."""

from __future__ import annotations

from rest_framework import serializers

from rateguard.api.jobs.shapes import LANES
from rateguard.api.limits.shapes import EffectiveLimitShape, ObstacleShape, PlaceShape
from rateguard.api.schema.describing import Shape, constant
from rateguard.engine.providers.base import Endpoint


class OutputTokensShape(Shape):
    """How long the answer may get."""

    expected = serializers.IntegerField(
        help_text="95 of 100 answers of this tenant and model are not longer; the most, while too few are known."
    )
    most = serializers.IntegerField()


class CostRangeUsdShape(Shape):
    """Dollars, exact, nine places."""

    low = serializers.CharField(help_text="The expected output at the cheapest deployment.")
    high = serializers.CharField(help_text="The most output at the dearest deployment: what a budget reserves.")


class CostRangeNanoUsdShape(Shape):
    """The same in nano-dollars."""

    low = serializers.IntegerField()
    high = serializers.IntegerField()


class RefusalShape(Shape):
    """What submit would answer now to a request that is good in itself."""

    code = serializers.CharField()
    detail = serializers.CharField()
    scope_kind = serializers.CharField()
    scope = serializers.CharField()
    limit = serializers.CharField()
    retry_after = serializers.IntegerField(allow_null=True, help_text="Seconds; null: not by itself.")


class EstimateShape(Shape):
    """What a request would need, cost and meet."""

    object = constant("estimate")
    at = serializers.DateTimeField()
    model = serializers.CharField()
    endpoint = serializers.ChoiceField([endpoint.value for endpoint in Endpoint])
    lane = serializers.ChoiceField(LANES)
    path = serializers.CharField(help_text="The nodes that it would charge.")
    input_tokens = serializers.IntegerField(help_text="Counted.")
    output_tokens = OutputTokensShape()
    cost_usd = CostRangeUsdShape()
    cost_nano_usd = CostRangeNanoUsdShape()
    priced = serializers.BooleanField(help_text="Every deployment has a price; without one it counts as nothing.")
    fits = serializers.BooleanField(help_text="It would be taken and could start now.")
    refusal = RefusalShape(allow_null=True)
    binding = ObstacleShape(allow_null=True, help_text="What it would meet first, and when there is room.")
    limits = EffectiveLimitShape(many=True, help_text="On its path, with what is left.")
    deployments = PlaceShape(many=True)
