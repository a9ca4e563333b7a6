"""The shapes of jobs and runs, and of the requests that make them; for the schema alone: `reading` and `params` read."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from rateguard.api.params import MOST_SECONDS
from rateguard.api.reading import LONGEST_WAIT_S, RUN_HEADER
from rateguard.api.schema import Shape, constant, list_of
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.models import Delivery
from rateguard.jobs.runs import MOST_CALLS
from rateguard.jobs.states import State
from rateguard.jobs.submission import MOST_NAME_CHARS, MOST_TRIES
from tenants.models import RunState

LANES = [lane.label for lane in Lane]
MOST_OUTPUT_TOKENS = 10_000_000
_NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"


def header(name: str, description: str, statuses: list[int], schema: Any = str) -> OpenApiParameter:
    """A header of the answers with these statuses."""
    return OpenApiParameter(name, schema, OpenApiParameter.HEADER, description=description, response=statuses)


LOCATION = header("Location", "Where the object is.", [201, 202])
SUBMITTED_HEADERS = [
    LOCATION,
    header("Idempotent-Replayed", "`true`: an earlier request with this key submitted the job.", [200, 202]),
    header("Preference-Applied", "The wait that was kept.", [200, 202]),
]
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"},
    OpenApiParameter.HEADER,
    description="The same key and body give the same job again; another body with it is refused. It is kept for 24 hours.",
)
PREFER = OpenApiParameter(
    "Prefer",
    str,
    OpenApiParameter.HEADER,
    description=f"`wait=30`: answer when the job has ended, after at most {LONGEST_WAIT_S} seconds. "
    "`handling=strict, wait=30`: take it only if it can start within 30 seconds, else refuse it (429).",
)
RUN = OpenApiParameter(
    RUN_HEADER,
    {"type": "string", "format": "uuid"},
    OpenApiParameter.HEADER,
    description="The run that the job belongs to; the same as `job.run`.",
)
WAIT = OpenApiParameter(
    "wait",
    {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_S},
    description="Answer when the job has ended, after at most so many seconds.",
)


# ---- what a caller sends


@extend_schema_field({"type": "string", "maxLength": MOST_NAME_CHARS, "pattern": _NO_CONTROLS, "examples": ["ml"]})
class NameField(serializers.CharField):
    """A name of who or what is charged."""


@extend_schema_field(
    {
        "type": ["object", "null"],
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 256},
        "description": "At most 16 texts by key; a dimension of cost.",
    }
)
class LabelsField(serializers.DictField):
    """Labels as a caller sends them."""


@extend_schema_field({"type": ["object", "null"], "additionalProperties": True, "description": "Yours; at most 16,384 bytes as JSON."})
class MetadataField(serializers.DictField):
    """Whatever the caller wants back."""


class JobOptionsShape(Shape):
    """How the work is to be done, and whom it charges."""

    lane = serializers.ChoiceField(LANES, required=False, allow_null=True, help_text="The urgency; `normal`, or the key's, where absent.")
    user = NameField(required=False, allow_null=True, allow_blank=True, help_text="The end user; users of a tenant take turns.")
    team = NameField(required=False, allow_null=True, allow_blank=True)
    rolegroup = NameField(required=False, allow_null=True, allow_blank=True)
    role = NameField(required=False, allow_null=True, allow_blank=True)
    cost_center = NameField(required=False, allow_null=True, allow_blank=True, help_text="A dimension of cost.")
    labels = LabelsField(required=False)
    metadata = MetadataField(required=False)
    run = serializers.UUIDField(required=False, allow_null=True, help_text="The run that it belongs to.")
    run_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Not before this time, with its zone.")
    deadline = serializers.DateTimeField(required=False, allow_null=True, help_text="It must have started by then, or it expires.")
    max_tries = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_TRIES)
    timeout = serializers.IntegerField(required=False, allow_null=True, min_value=1, help_text="Of one call at the provider, seconds.")
    delivery = serializers.ChoiceField(
        Delivery.values, required=False, allow_null=True, help_text="`at_most_once`: never sent again when nobody knows whether it arrived."
    )


@extend_schema_field(
    {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["role"],
            "properties": {
                "role": {"type": "string"},
                "content": {
                    "oneOf": [
                        {"type": "string"},
                        {"type": "array", "items": {"type": "object", "additionalProperties": True}},
                        {"type": "null"},
                    ]
                },
                "tool_calls": {"type": ["array", "null"], "items": {"type": "object", "additionalProperties": True}},
            },
            "additionalProperties": True,
        },
        "description": "As in OpenAI's API.",
    }
)
class MessagesField(serializers.ListField):
    """A conversation."""


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            {"type": "array", "minItems": 1, "items": {"type": "integer"}},
            {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "integer"}}},
        ],
        "description": "As in OpenAI's API: a text, texts, or token numbers.",
    }
)
class EmbeddingInputField(serializers.Field):  # type: ignore[type-arg]  # of no one type
    """What is to be embedded."""


class ChatShape(Shape):
    """OpenAI's body of a chat completion, and `job` beside it. What we do not read goes to the provider as it is."""

    is_open = True
    model = serializers.CharField(max_length=MOST_NAME_CHARS)
    messages = MessagesField()
    max_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_OUTPUT_TOKENS)
    max_completion_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_OUTPUT_TOKENS)
    n = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=128)
    tools = serializers.ListField(child=serializers.DictField(), required=False, allow_null=True)
    job = JobOptionsShape(required=False, allow_null=True)


class EmbeddingsShape(Shape):
    """OpenAI's body of embeddings, and `job` beside it."""

    is_open = True
    model = serializers.CharField(max_length=MOST_NAME_CHARS)
    input = EmbeddingInputField()
    job = JobOptionsShape(required=False, allow_null=True)


SUBMISSION = PolymorphicProxySerializer(
    component_name="Submission", serializers=[ChatShape, EmbeddingsShape], resource_type_field_name=None
)
"""`messages` make a chat completion, `input` makes embeddings; not both."""

EXAMPLES = [
    OpenApiExample(
        "A chat completion",
        {
            "model": "gpt-5.4-mini",
            "messages": [{"role": "user", "content": "Say hello"}],
            "max_tokens": 50,
            "job": {"lane": "high", "user": "ada", "team": "support", "labels": {"feature": "greeting"}},
        },
        request_only=True,
    ),
    OpenApiExample(
        "Embeddings",
        {"model": "text-embedding-3-small", "input": ["Say hello", "Say goodbye"], "job": {"lane": "background"}},
        request_only=True,
    ),
]


# ---- what we answer


class JobErrorShape(Shape):
    """Why a job ended without an answer."""

    code = serializers.CharField()
    message = serializers.CharField()


class TokensShape(Shape):
    """As billed, over all attempts."""

    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()


class JobShape(Shape):
    """A job. Times are RFC 3339 in UTC."""

    id = serializers.UUIDField()
    object = constant("job")
    status = serializers.ChoiceField(State.values)
    model = serializers.CharField()
    endpoint = serializers.ChoiceField([endpoint.value for endpoint in Endpoint])
    user = serializers.CharField()
    team = serializers.CharField()
    rolegroup = serializers.CharField()
    role = serializers.CharField()
    cost_center = serializers.CharField()
    labels = serializers.DictField(child=serializers.CharField())
    metadata = serializers.DictField()
    deployment = serializers.CharField(help_text="Where it was done last; empty before.")
    request_id = serializers.CharField(help_text="Of the request that submitted it.")
    run = serializers.UUIDField(allow_null=True)
    path = serializers.CharField(help_text="The nodes that it charges.")
    downgraded_from = serializers.CharField(allow_null=True, help_text="The model that was asked for, where a budget chose a cheaper one.")
    lane = serializers.ChoiceField(LANES)
    submitted_at = serializers.DateTimeField()
    run_at = serializers.DateTimeField(allow_null=True)
    deadline = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    delivery = serializers.ChoiceField(Delivery.values)
    timeout = serializers.IntegerField(help_text="Seconds.")
    max_tries = serializers.IntegerField()
    tries = serializers.IntegerField(help_text="Failures that counted.")
    attempts = serializers.IntegerField(help_text="Calls at a provider.")
    cancel_requested = serializers.BooleanField()
    result = serializers.DictField(allow_null=True, help_text="The provider's answer, verbatim.")
    error = JobErrorShape(allow_null=True)
    usage = TokensShape()
    cost_usd = serializers.CharField(help_text="Exact, nine places.")
    cost_nano_usd = serializers.IntegerField()
    queue_ms = serializers.IntegerField(allow_null=True)
    latency_ms = serializers.IntegerField(allow_null=True)


# ---- runs


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "format": "date-time"},
            {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_SECONDS},
            {"type": "null"},
        ],
        "description": "A time with its zone, or a number of seconds from now.",
    }
)
class MomentField(serializers.Field):  # type: ignore[type-arg]  # of no one type
    """A moment, or how far off it is."""


@extend_schema_field(
    {
        "oneOf": [
            {"type": "number", "minimum": 0, "maximum": 9_000_000},
            {"type": "string", "pattern": r"^[0-9]{1,7}(\.[0-9]{1,9})?$"},
            {"type": "null"},
        ],
        "description": "Dollars, with at most nine places.",
    }
)
class DollarsField(serializers.Field):  # type: ignore[type-arg]  # of no one type
    """Dollars."""


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
