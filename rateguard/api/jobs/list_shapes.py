"""The shapes of lists of jobs and of a retry; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from rateguard.api.jobs.listing import MOST, USUAL
from rateguard.api.jobs.shapes import LANES, JobShape
from rateguard.api.limits.shapes import name_of, whole
from rateguard.api.params import MOST_PK
from rateguard.api.schema.describing import Shape, list_of
from rateguard.jobs.insight.keyset import LONGEST_CURSOR
from rateguard.jobs.intake.checking import MOST_LABEL_KEY_CHARS, MOST_LABEL_VALUE_CHARS
from rateguard.jobs.states import State


def _several(name: str, words: list[str], description: str) -> OpenApiParameter:
    """Words with commas between them."""
    schema = {"type": "array", "items": {"type": "string", "enum": words}, "minItems": 1}
    return OpenApiParameter(name, schema, style="form", explode=False, description=description)


def _moment(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", "format": "date-time"}, description=description)


_LABEL = {
    "type": "string",
    "pattern": f"^[^:=\\x00]{{1,{MOST_LABEL_KEY_CHARS}}}:[^\\x00]*$",
    "maxLength": MOST_LABEL_KEY_CHARS + 1 + MOST_LABEL_VALUE_CHARS,
}

JOB_FILTERS = [
    _several("status", [state.value for state in State], "Those in one of these states."),
    _several("lane", LANES, "Those on one of these lanes."),
    name_of("user"),
    name_of("team"),
    name_of("model", "The model that it goes to."),
    name_of("error", "The code with which it ended."),
    name_of("fingerprint", "Those that failed alike (see failures)."),
    OpenApiParameter("run", {"type": "string", "format": "uuid"}, description="Those submitted in this run itself."),
    OpenApiParameter("batch", {"type": "string", "format": "uuid"}, description="Those that came in by this batch."),
    whole("key", 1, MOST_PK, "The id of the key that they came in by."),
    OpenApiParameter(
        "label",
        _LABEL,
        description="`feature:search`: those with this label. `label.feature=search` says the same of any key. Of several all must hold.",
    ),
    _moment("submitted_after", "Not before this time, with its zone."),
    _moment("submitted_before", "Before this time, with its zone."),
    OpenApiParameter("include", {"type": "string", "enum": ["result"]}, description="`result`: with the providers' answers."),
    OpenApiParameter("cursor", {"type": "string", "maxLength": LONGEST_CURSOR}, description="Of the page before or after."),
    whole("limit", 1, MOST, f"Jobs a page; {USUAL} where absent."),
    OpenApiParameter(
        "Link", str, OpenApiParameter.HEADER, response=[200], description="The pages beside this one, `rel` `next` (older) and `prev`."
    ),
]


class ListedJobShape(JobShape):
    """A job in a list."""

    result = serializers.DictField(allow_null=True, required=False, help_text="With `include=result`: the provider's answer, verbatim.")


JOBS = list_of(
    ListedJobShape,
    next_cursor=serializers.CharField(allow_null=True, help_text="Of the page of older jobs."),
    previous_cursor=serializers.CharField(allow_null=True, help_text="Of the page of newer jobs."),
)


class RetryShape(Shape):
    """There need be no body."""

    may_be_absent = True

    deadline = serializers.DateTimeField(required=False, allow_null=True, help_text="By when it must have started, instead of the old one.")
