"""A body as a shape says: each field of its own type and nothing else, all fields at fault told at once."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.validators import RegexValidator
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from rateguard.api.reading import read_object, read_time
from rateguard.api.schema.describing import Shape
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.jobs.faults import escaped
from tenants.changes.price_parts import MOST_USD

NAME_CHARS = 64
LONGEST_DOLLARS = 32
_NAME = r"^[-a-zA-Z0-9_]*[-a-zA-Z_][-a-zA-Z0-9_]*$"
_NAME_SAYS = "a name is letters, digits, - and _, and not a number alone"
_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "day": 86_400}
_SPAN = r"([0-9]{1,6}) ?(s|min|h|d|day)"
_LANES = [lane.label for lane in Lane]


class RequestShape(Shape):
    """A body of which every field is known."""

    def to_internal_value(self, data: Any) -> Any:
        """The values. Raises InvalidRequest `unknown_field`, ValidationError."""
        if isinstance(data, Mapping) and (unknown := [name for name in data if name not in self.fields]):
            said = f"the fields are {', '.join(self.fields)}"
            errors = [(f"{self._place()}/{escaped(str(name))[:100]}", said) for name in unknown[:20]]
            raise InvalidRequest(said, code="unknown_field", pointer=errors[0][0], errors=errors)
        return super().to_internal_value(data)

    def _place(self) -> str:
        name = self.field_name or (self.parent.field_name if self.parent is not None else "")
        return f"/{name}" if name else ""


def read(request: Request, shape: type[RequestShape], *, partial: bool = False) -> dict[str, Any]:
    """The fields of a body. partial: those that were named alone. Raises InvalidRequest, ValidationError."""
    found = shape(data=read_object(request), partial=partial)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)


# ---- fields that take nothing for another type


class TextField(serializers.CharField):
    """A text, as it was written."""

    def __init__(self, **said: Any) -> None:
        super().__init__(**{"trim_whitespace": False, **said})

    def to_internal_value(self, data: Any) -> str:
        """Nothing but a text."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


@extend_schema_field({"type": "string", "pattern": _NAME, "maxLength": NAME_CHARS})
class NameField(TextField):
    """A name of letters, digits, - and _ that is no number."""

    def __init__(self, **said: Any) -> None:
        super().__init__(max_length=NAME_CHARS, validators=[RegexValidator(_NAME, _NAME_SAYS)], **said)


class WholeField(serializers.IntegerField):
    """A whole number."""

    def to_internal_value(self, data: Any) -> int:
        """Nothing but a number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class FlagField(serializers.BooleanField):
    """True or false."""

    def to_internal_value(self, data: Any) -> bool:
        """Nothing but these."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class MomentField(serializers.DateTimeField):
    """A time with its zone."""

    def to_internal_value(self, value: Any) -> dt.datetime:
        """RFC 3339, in UTC from here on."""
        try:
            return read_time(value, "")
        except InvalidRequest as error:
            raise serializers.ValidationError(str(error)) from None


@extend_schema_field({"type": "string", "enum": _LANES})
class LaneField(serializers.Field[Lane, Any, str, Any]):
    """A lane's name."""

    def to_internal_value(self, data: Any) -> Lane:
        """The lane."""
        if not isinstance(data, str) or data not in _LANES:
            raise serializers.ValidationError(f"the lanes are {', '.join(_LANES)}")
        return parse_lane(data)


@extend_schema_field(
    {
        "oneOf": [
            {"type": "string", "pattern": r"^[0-9]{1,4}(\.[0-9]{1,6})?$"},
            {"type": "number", "minimum": 0, "maximum": MOST_USD},
        ],
        "description": "Dollars per million tokens, with at most six places.",
    }
)
class DollarsField(serializers.Field[Decimal, Any, str, Any]):
    """Dollars, as a text or a number. How many there may be says `tenants.changes.prices`."""

    def to_internal_value(self, data: Any) -> Decimal:
        """Exact, as it was written."""
        if not isinstance(data, bool) and isinstance(data, int | float | str) and len(str(data)) <= LONGEST_DOLLARS:
            try:
                return Decimal(str(data))
            except InvalidOperation:
                pass
        raise serializers.ValidationError("write dollars per million tokens, such as 0.15")


@extend_schema_field({"type": "string", "pattern": f"^{_SPAN}$", "description": "A time like 30 min, 1h or 2 day."})
class SpanField(serializers.Field[dt.timedelta, Any, str, Any]):
    """A stretch of time as people write it."""

    def to_internal_value(self, data: Any) -> dt.timedelta:
        """The time."""
        found = re.fullmatch(_SPAN, data) if isinstance(data, str) else None
        if found is None:
            raise serializers.ValidationError("write a time such as 1h, 30 min or 2 day")
        count, unit = found[1], found[2]
        return dt.timedelta(seconds=int(count) * _UNITS[unit])
