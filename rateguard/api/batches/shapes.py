"""The shapes of batches; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import serializers

from rateguard.api.batches.content import MOST_WEBHOOK_CHARS, REJECT, SKIP
from rateguard.api.jobs.shapes import JobOptionsShape, TokensShape, header
from rateguard.api.limits.shapes import whole
from rateguard.api.schema.describing import LineFaultShape, Shape, constant, list_of
from rateguard.api.schema.fields import MetadataField
from rateguard.jobs.batches.asked import MOST_NAME_CHARS
from rateguard.jobs.models import BatchState
from rateguard.jobs.states import State

USUAL, MOST = 20, 100
USUAL_ERRORS, MOST_ERRORS = 100, 1_000


class NewBatchShape(Shape):
    """Many jobs. JSON Lines (`application/jsonl`) have a job a line instead, also as OpenAI writes it, and the rest as parameters."""

    jobs = serializers.ListField(
        child=serializers.DictField(), min_length=1, help_text="Jobs as `POST /jobs` takes them; `custom_id` beside."
    )
    name = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=MOST_NAME_CHARS)
    metadata = MetadataField(required=False)
    on_error = serializers.ChoiceField(
        [REJECT, SKIP], required=False, allow_null=True, help_text="Lines at fault: `reject` refuses all (usual), `skip` leaves them out."
    )
    webhook = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MOST_WEBHOOK_CHARS,
        help_text="The name of a webhook endpoint that hears of the batch's end.",
    )
    job = JobOptionsShape(required=False, allow_null=True, help_text="For every job that does not say otherwise.")


class CountsShape(Shape):
    """Jobs by state."""


for _state in State.values:
    CountsShape._declared_fields[_state] = serializers.IntegerField()  # noqa: SLF001 - a field a state, in one place


class ListedBatchShape(Shape):
    """A batch in a list."""

    id = serializers.UUIDField()
    object = constant("batch")
    status = serializers.ChoiceField(BatchState.values)
    name = serializers.CharField()
    metadata = serializers.DictField()
    webhook = serializers.CharField()
    total = serializers.IntegerField(help_text="Lines that became jobs.")
    rejected = serializers.IntegerField(help_text="Lines that did not.")
    counts = CountsShape()
    cancel_requested = serializers.BooleanField()
    request_id = serializers.CharField()
    submitted_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class BatchShape(ListedBatchShape):
    """A batch. Its progress is counted from its jobs at each look."""

    eta_s = serializers.IntegerField(allow_null=True, help_text="Seconds until the rest has ended, as fast as in the last minute.")
    usage = TokensShape()
    cost_usd = serializers.CharField(help_text="Exact, nine places.")
    cost_nano_usd = serializers.IntegerField()


class CancelledBatchShape(BatchShape):
    """A batch whose rest was cancelled."""

    cancelled = serializers.IntegerField(help_text="Jobs that waited and are cancelled now.")
    asked = serializers.IntegerField(help_text="Jobs that run and are asked to end.")


BATCHES = list_of(ListedBatchShape, next_cursor=serializers.CharField(allow_null=True, help_text="Of the page of older batches."))
ERRORS = list_of(LineFaultShape, next_line=serializers.IntegerField(allow_null=True, help_text="`after` of the next page."))
ERROR_PAGE = [whole("after", 0, 2**31 - 1, "Those behind this line."), whole("limit", 1, MOST_ERRORS, f"{USUAL_ERRORS} where absent.")]
LIST_PAGE = [
    OpenApiParameter("status", {"type": "string", "enum": BatchState.values}),
    OpenApiParameter("cursor", {"type": "string", "maxLength": 100}, description="Of the page of older batches."),
    whole("limit", 1, MOST, f"Batches a page; {USUAL} where absent."),
]
CREATED_HEADERS = [
    header("Location", "Where the batch is.", [200, 201]),
    header("Idempotent-Replayed", "`true`: an earlier request with this key made the batch.", [200]),
]
EXAMPLES = [
    OpenApiExample(
        "Two jobs",
        {
            "name": "nightly",
            "on_error": SKIP,
            "job": {"lane": "background"},
            "jobs": [
                {"custom_id": "q-1", "model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 50},
                {"custom_id": "q-2", "model": "text-embedding-3-small", "input": "Say goodbye"},
            ],
        },
        request_only=True,
    )
]
