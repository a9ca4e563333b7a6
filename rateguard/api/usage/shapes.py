"""The shape of usage; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from rateguard.api.limits.shapes import name_of, whole, word
from rateguard.api.params import MOST_PK
from rateguard.api.schema.describing import Shape, constant
from tenants.usage.question import LONGEST, Per
from tenants.usage.reading import DIMENSIONS, MOST_LINES

_SPANS = ", ".join(f"{days.days} days with `per={per}`" for per, days in LONGEST.items())

USAGE_PARAMETERS = [
    OpenApiParameter(
        "group_by",
        {"type": "array", "items": {"type": "string", "enum": list(DIMENSIONS)}, "uniqueItems": True},
        style="form",
        explode=False,
        description="What is told apart. `tenant` takes an operator's key. `user` or `label` stand alone, or with `tenant`.",
    ),
    word("per", list(Per), "How time is divided; `day` where absent."),
    name_of("time_zone", "Whose hours, days and months, such as `Asia/Kathmandu`; the tenant's where absent. Users and labels: UTC."),
    name_of("from", "A day of that zone, or a time with its zone. Without it 1 day (hours), 30 days or a year before `to`."),
    name_of("to", f"The same; now where absent. The longest span: {_SPANS}."),
    name_of("tenant", "A tenant's name, for operators' keys."),
    name_of("model"),
    name_of("deployment"),
    name_of("team"),
    whole("key", 0, MOST_PK, "A key's id; 0: what came in without one."),
    name_of("user"),
    OpenApiParameter("label", {"type": "string", "maxLength": 384}, description="`feature:search`, or `feature` for all its values."),
    OpenApiParameter("cursor", {"type": "string"}, description="`next_cursor` of the page before."),
    whole("limit", 1, MOST_LINES, "Lines a page; 100 where absent."),
]


class PercentilesShape(Shape):
    """Milliseconds, within 4.6 %; null where nothing was measured."""

    p50 = serializers.IntegerField(allow_null=True)
    p90 = serializers.IntegerField(allow_null=True)
    p95 = serializers.IntegerField(allow_null=True)
    p99 = serializers.IntegerField(allow_null=True)


class UsageLineShape(Shape):
    """What was used in a period by a group. The dimensions that were not asked for are null; so is what is not kept by user and label."""

    starts_at = serializers.DateTimeField(help_text="In the zone that was asked for.")
    ends_at = serializers.DateTimeField()
    tenant = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    deployment = serializers.CharField(allow_null=True)
    team = serializers.CharField(allow_null=True, help_text="Empty: of no team.")
    key = serializers.IntegerField(allow_null=True, help_text="The key's id; 0: it came in without one.")
    user = serializers.CharField(allow_null=True)
    label = serializers.CharField(allow_null=True, help_text="Such as `feature:search`.")  # type: ignore[assignment]  # a field, off the class
    key_name = serializers.CharField(allow_null=True)
    jobs = serializers.IntegerField(help_text="Jobs that ended.")
    succeeded = serializers.IntegerField(allow_null=True)
    failed = serializers.IntegerField(allow_null=True)
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(allow_null=True)
    cache_write_tokens = serializers.IntegerField(allow_null=True)
    output_tokens = serializers.IntegerField()
    cost_usd = serializers.CharField(help_text="Exact, nine places; corrections included.")
    cost_nano_usd = serializers.IntegerField()
    latency_ms = PercentilesShape(allow_null=True)
    queue_ms = PercentilesShape(allow_null=True)


class UsageShape(Shape):
    """A page of usage."""

    object = constant("usage")
    group_by = serializers.ListField(child=serializers.ChoiceField(list(DIMENSIONS)))
    per = serializers.ChoiceField(list(Per))
    time_zone = serializers.CharField()
    to = serializers.DateTimeField()
    next_cursor = serializers.CharField(allow_null=True, help_text="`cursor` of the next page.")

    def get_fields(self) -> dict[str, serializers.Field]:  # type: ignore[type-arg]  # of all types
        """`from` is a word of Python's, and `data` one of DRF's: both stand here."""
        return {**super().get_fields(), "from": serializers.DateTimeField(), "data": UsageLineShape(many=True)}
