"""The shapes of jobs and of the requests that make them; for the schema alone: `reading` reads."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, PolymorphicProxySerializer
from rest_framework import serializers

from rateguard.api.reading import LONGEST_WAIT_S, RUN_HEADER
from rateguard.api.schema.describing import Shape, constant
from rateguard.api.schema.fields import EmbeddingInputField, LabelsField, MessagesField, MetadataField, NameField, TimeoutField
from rateguard.engine.lanes import Lane
from rateguard.engine.providers.base import Endpoint
from rateguard.jobs.intake.checking import MOST_KEY_CHARS
from rateguard.jobs.intake.submission import MOST_TRIES
from rateguard.jobs.models import Delivery
from rateguard.jobs.names import MOST_NAME_CHARS
from rateguard.jobs.states import State

LANES = [lane.label for lane in Lane]
MOST_OUTPUT_TOKENS = 10_000_000


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
_EVENT_ID = {"type": "string", "pattern": r"^([0-9]{1,9}\.[0-9]{1,10})?$"}
LAST_EVENT = OpenApiParameter(
    "Last-Event-ID",
    _EVENT_ID,
    OpenApiParameter.HEADER,
    description="The last id that the reader saw, such as `2.17`: it is told what came after it. Browsers send it by themselves.",
)
AFTER = OpenApiParameter("after", _EVENT_ID, description="The same, for who cannot send that header.")
EVENTS = OpenApiResponse(
    {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "id": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
            "retry": {"type": "integer"},
        },
    },
    description="Server-sent events, each of this shape; `data` is JSON.",
)


# ---- what a caller sends


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
    timeout = TimeoutField(required=False, allow_null=True, help_text="Of one call at the provider, seconds: in all, or by its parts.")
    store = serializers.BooleanField(required=False, allow_null=True, help_text="False: its request and its answer are not kept.")
    webhook = serializers.SlugField(
        required=False, allow_null=True, max_length=64, help_text="The name of a webhook endpoint that hears of its end."
    )
    delivery = serializers.ChoiceField(
        Delivery.values, required=False, allow_null=True, help_text="`at_most_once`: never sent again when nobody knows whether it arrived."
    )
    session = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=MOST_KEY_CHARS,
        help_text="What belongs together: a model whose sessions are sticky sends it to one deployment, whose prompt cache knows it.",
    )


class ChatShape(Shape):
    """OpenAI's body of a chat completion, and `job` beside it. What we do not read goes to the provider as it is."""

    is_open = True
    model = serializers.CharField(max_length=MOST_NAME_CHARS)
    messages = MessagesField()
    max_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_OUTPUT_TOKENS)
    max_completion_tokens = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MOST_OUTPUT_TOKENS)
    n = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=128)
    stream = serializers.BooleanField(
        required=False,
        allow_null=True,
        help_text="True: the job's events tell the answer in pieces, as it comes. The job itself has it whole.",
    )
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
    fallen_back_from = serializers.CharField(allow_null=True, help_text="The model that was asked for, where a failure sent it to another.")
    fallbacks = serializers.IntegerField(help_text="How often a failure sent it to another model.")
    lane = serializers.ChoiceField(LANES)
    submitted_at = serializers.DateTimeField()
    run_at = serializers.DateTimeField(allow_null=True)
    deadline = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    delivery = serializers.ChoiceField(Delivery.values)
    timeout = serializers.IntegerField(help_text="Of one call, in all, seconds.")
    connect_timeout = serializers.IntegerField(allow_null=True, help_text="Seconds; null: the setting's.")
    first_token_timeout = serializers.IntegerField(allow_null=True, help_text="Seconds; null: the setting's.")
    store = serializers.BooleanField(help_text="Whether its request and its answer are kept.")
    purged_at = serializers.DateTimeField(allow_null=True, help_text="Since then its request and its answer are gone.")
    webhook = serializers.CharField(help_text="The endpoint that it names; empty for none.")
    batch = serializers.UUIDField(allow_null=True, help_text="The batch that it came in by.")
    custom_id = serializers.CharField(help_text="Of its line in the batch.")
    fingerprint = serializers.CharField(help_text="The same for failures that are alike; empty where it did not fail.")
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
