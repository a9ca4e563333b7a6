"""Fields of bodies that the schema describes by hand; for the schema alone."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from rateguard.api.params import MOST_SECONDS
from rateguard.jobs.names import MOST_NAME_CHARS

_NO_CONTROLS = r"^[^\x00-\x1f\x7f-\x9f]*$"


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


_SECONDS = {"type": "integer", "minimum": 1}


@extend_schema_field(
    {
        "oneOf": [
            _SECONDS,
            {
                "type": "object",
                "properties": {"connect": _SECONDS, "first_token": _SECONDS, "total": _SECONDS},
                "additionalProperties": False,
            },
            {"type": "null"},
        ],
        "description": "Seconds in all, or by its parts.",
    }
)
class TimeoutField(serializers.Field):  # type: ignore[type-arg]  # of no one type
    """How long a call may take."""
