"""The shapes of what is done to many jobs; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from rateguard.api.jobs.shapes import LANES
from rateguard.api.schema.describing import Shape, constant
from rateguard.jobs.steering.wishes import AT_ONCE, WHY_NOT, Deed


class LaneShape(Shape):
    """What of a waiting job can be changed."""

    lane = serializers.ChoiceField(LANES)


class FilterShape(Shape):
    """The parameters of GET jobs that choose: at least one. Of several all must hold."""

    is_open = True

    status = serializers.CharField(required=False, help_text="Several with commas between them.")
    lane = serializers.CharField(required=False, help_text="Several with commas between them.")
    user = serializers.CharField(required=False)
    team = serializers.CharField(required=False)
    model = serializers.CharField(required=False)
    error = serializers.CharField(required=False)
    fingerprint = serializers.CharField(required=False)
    run = serializers.UUIDField(required=False)
    key = serializers.IntegerField(required=False)
    label = serializers.CharField(required=False, help_text="`feature:search`; `label.feature` says the same.")  # type: ignore[assignment]  # a field, off the class
    submitted_after = serializers.DateTimeField(required=False)
    submitted_before = serializers.DateTimeField(required=False)


class ManyShape(Shape):
    """What is to be done, and to which jobs."""

    action = serializers.ChoiceField([deed.value for deed in Deed])
    filter = FilterShape()
    lane = serializers.ChoiceField(LANES, required=False, help_text="For the action `lane`.")
    dry_run = serializers.BooleanField(required=False, help_text="`true`: say what it would do, and do nothing.")
    as_of = serializers.DateTimeField(
        required=False, help_text="`as_of` of an earlier answer: what came in or ended after that is not meant."
    )


class RefusedShape(Shape):
    """Jobs that were refused for the same reason."""

    code = serializers.CharField()
    detail = serializers.CharField(help_text="Of the first of them.")
    jobs = serializers.IntegerField()


class ManyDoneShape(Shape):
    """What it meets, and what became of it."""

    object = constant("jobs")
    action = serializers.ChoiceField([deed.value for deed in Deed])
    dry_run = serializers.BooleanField()
    as_of = serializers.DateTimeField()
    chosen = serializers.IntegerField(help_text=f"What this go is about: the newest {AT_ONCE:,} that can be moved.")
    by_status = serializers.DictField(child=serializers.IntegerField())
    by_model = serializers.DictField(child=serializers.IntegerField())
    by_fingerprint = serializers.DictField(child=serializers.IntegerField(), help_text="The most frequent 20.")
    left_out = serializers.DictField(
        child=serializers.IntegerField(), help_text=f"What matches and is not moved, by reason: {', '.join(WHY_NOT)}."
    )
    moved = serializers.IntegerField(help_text="At once.")
    asked = serializers.IntegerField(help_text="They run, and end or come back within a second or so.")
    refused = RefusedShape(many=True)
    left = serializers.IntegerField(help_text="What could be moved and was not, this time: send the same again. Counted up to 100,000.")


MANY_EXAMPLES = [
    OpenApiExample(
        "What would a retry do?",
        {"action": "retry", "filter": {"status": "failed", "error": "timeout"}, "dry_run": True},
        request_only=True,
    ),
    OpenApiExample("Make room", {"action": "lane", "lane": "background", "filter": {"label": "batch:nightly"}}, request_only=True),
]
