"""The shapes of runs; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.api.schema.fields import DollarsField, MomentField
from rateguard.jobs.controls.runs import MOST_CALLS
from rateguard.jobs.names import MOST_NAME_CHARS
from rateguard.jobs.states import State
from tenants.models import RunState


class NewRunShape(Shape):
    """A run to start; every bound may be absent."""

    name = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=MOST_NAME_CHARS)
    budget_usd = DollarsField(required=False)
    max_calls = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MOST_CALLS)
    deadline = MomentField(required=False)
    parent = serializers.UUIDField(required=False, allow_null=True, help_text="The run that it lies in.")  # type: ignore[assignment]  # a field, off the class


class RunShape(Shape):
    """A run."""

    id = serializers.UUIDField()
    object = constant("run")
    name = serializers.CharField()
    status = serializers.ChoiceField(RunState.values)
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]  # a field, off the class
    budget_usd = serializers.CharField(allow_null=True)
    max_calls = serializers.IntegerField(allow_null=True)
    deadline = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    stopped_at = serializers.DateTimeField(allow_null=True)


class RunJobShape(Shape):
    """A job in a run's tree."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(State.values)
    model = serializers.CharField()
    cost_usd = serializers.CharField()
    submitted_at = serializers.DateTimeField()


@extend_schema_field({"type": "array", "items": {"$ref": "#/components/schemas/RunTree"}})
class RunsInsideField(serializers.Field):  # type: ignore[type-arg]  # drf-spectacular follows no recursion
    """Runs that lie in a run."""


class RunTreeShape(RunShape):
    """A run with what happened in it; cost and calls count the runs inside it too."""

    cost_usd = serializers.CharField()
    cost_nano_usd = serializers.IntegerField()
    calls = serializers.IntegerField()
    left_usd = serializers.CharField(allow_null=True, help_text="What its own budget leaves; null without one.")
    left_calls = serializers.IntegerField(allow_null=True)
    job_count = serializers.IntegerField()
    jobs = RunJobShape(many=True, help_text="The first 1,000 of the tree; `job_count` counts all.")
    runs = RunsInsideField()


RUNS = list_of(RunShape)
