"""The shapes of failures; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from rateguard.api.jobs.shapes import JobErrorShape
from rateguard.api.limits.shapes import name_of
from rateguard.api.schema.describing import Shape, constant, list_of

FAILURE_PARAMETERS = [
    name_of("model", "Groups in which a job of this model is among the newest."),
    OpenApiParameter("since", {"type": "string", "format": "date-time"}, description="That ended at this time or later, with its zone."),
    OpenApiParameter("until", {"type": "string", "format": "date-time"}, description="That ended before this time, with its zone."),
]


class FailureShape(Shape):
    """Jobs that failed alike."""

    object = constant("failure")
    fingerprint = serializers.CharField(help_text="For `fingerprint=` of a list of jobs, and for the filter of many.")
    jobs = serializers.IntegerField(help_text="How many; counted up to 10,000.")
    is_more = serializers.BooleanField(help_text="Whether there are more than were counted.")
    models = serializers.ListField(child=serializers.CharField(), help_text="Of the newest 200 of them.")
    first_at = serializers.DateTimeField(help_text="When the first of them ended.")
    last_at = serializers.DateTimeField(help_text="When the last of them ended.")
    last_job = serializers.UUIDField()
    error = JobErrorShape(help_text="Of the last of them.")


FAILURES = list_of(FailureShape, is_partial=serializers.BooleanField(help_text="Whether there are groups beside these: narrow the time."))
