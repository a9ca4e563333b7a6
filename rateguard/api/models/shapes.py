"""The shape of models as callers see them; for the schema alone."""

from __future__ import annotations

from rest_framework import serializers

from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.engine.providers.base import Endpoint


class OfferedPriceShape(Shape):
    """Dollars per million tokens, exact."""

    input_usd = serializers.CharField()
    cached_input_usd = serializers.CharField()
    cache_write_usd = serializers.CharField()
    output_usd = serializers.CharField()


class OfferedDeploymentShape(Shape):
    """A deployment that the model leads to."""

    deployment = serializers.CharField()
    open = serializers.BooleanField(allow_null=True, help_text="It takes a request now; null: the gate did not say.")
    price = OfferedPriceShape(allow_null=True, help_text="null: none is known, and its work costs nothing.")


class OfferShape(Shape):
    """A model that the key may use; in the order of preference its deployments."""

    object = constant("model")
    id = serializers.CharField(help_text="What a request names.")
    endpoints = serializers.ListField(
        child=serializers.ChoiceField([endpoint.value for endpoint in Endpoint]), allow_null=True, help_text="null: not known."
    )
    context_tokens = serializers.IntegerField(allow_null=True)
    max_output_tokens = serializers.IntegerField(allow_null=True)
    open = serializers.BooleanField(allow_null=True, help_text="One of its deployments takes a request now.")
    deployments = OfferedDeploymentShape(many=True)


MODELS = list_of(OfferShape)
