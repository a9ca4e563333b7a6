"""The shapes of pauses; for the schema alone."""

from __future__ import annotations

from rest_framework import serializers

from rateguard.api.schema.describing import Shape, constant, list_of
from rateguard.api.schema.fields import MomentField
from rateguard.jobs.controls.pauses import LONGEST_REASON
from rateguard.jobs.names import MOST_NAME_CHARS
from tenants.models import PauseKind


class NewPauseShape(Shape):
    """Something to pause."""

    target_kind = serializers.ChoiceField(PauseKind.values)
    target = serializers.CharField(
        required=False, allow_null=True, allow_blank=True, max_length=MOST_NAME_CHARS, help_text="Its name or id; nothing for `all`."
    )
    until = MomentField(required=False)
    reason = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=LONGEST_REASON)
    drain = serializers.BooleanField(required=False, allow_null=True, help_text="Answer 202 while something still runs.")


class PauseShape(Shape):
    """A pause in force."""

    id = serializers.IntegerField()
    object = constant("pause")
    target_kind = serializers.ChoiceField(PauseKind.values)
    target = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    running = serializers.IntegerField(help_text="Calls that were granted before and still run.")


PAUSES = list_of(PauseShape)
