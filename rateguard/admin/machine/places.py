"""A place in a list, as its address carries it: the row beside the page, and on which side the page lies.

A page is named by a row and not by a number, so it stays what it is while rows are added, and the hundredth costs what the first does.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
from typing import Any

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Model, Q

LONGEST = 400

Order = tuple[str, ...]
"""Columns, the newest first: each begins with `-`, and the last one is unique."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Beside the row with these values in the columns of the order; on the side of the older rows, or of the newer."""

    values: tuple[Any, ...]
    is_to_newer: bool = False

    def written(self) -> str:
        """As an address carries it."""
        values = [value.isoformat() if isinstance(value, dt.datetime) else str(value) for value in self.values]
        return base64.urlsafe_b64encode(orjson.dumps([self.is_to_newer, *values])).decode().rstrip("=")

    def beyond(self, order: Order) -> Q:
        """The rows on that side. The outer bound is what an index is searched by."""
        sign = "g" if self.is_to_newer else "l"
        columns = [name.removeprefix("-") for name in order]
        found = Q()
        for column, value in reversed(list(zip(columns, self.values, strict=True))):
            nearer = Q(**{f"{column}__{sign}t": value})
            found = nearer | (Q(**{column: value}) & found) if found else nearer
        return Q(**{f"{columns[0]}__{sign}te": self.values[0]}) & found


def place_of(row: Model, order: Order, *, is_to_newer: bool) -> Place:
    """Beside this row."""
    return Place(tuple(getattr(row, name.removeprefix("-")) for name in order), is_to_newer)


def read_place(text: str, model: type[Model], order: Order) -> Place | None:
    """None where there is none. Raises ValueError for what no page of this list has written."""
    if not text:
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True) if len(text) <= LONGEST else b""
        is_to_newer, *values = orjson.loads(raw)
        fields: list[Any] = [model._meta.get_field(name.removeprefix("-")) for name in order]  # noqa: SLF001 - a model's description
        found = tuple(field.to_python(str(value)) for field, value in zip(fields, values, strict=True))
    except (binascii.Error, orjson.JSONDecodeError, ValidationError, ValueError, TypeError, OverflowError) as error:
        raise ValueError("this is no place in this list") from error
    if not isinstance(is_to_newer, bool) or None in found:
        raise ValueError("this is no place in this list")
    return Place(found, is_to_newer)


def turned(order: Order) -> Order:
    """The same columns, the oldest first."""
    return tuple(name.removeprefix("-") for name in order)
