"""The part of an address behind `?`, and the fields of a small body: read by kind, and refused by name."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from rest_framework.request import Request

from rateguard.api.reading import read_object, read_time
from rateguard.engine.errors import InvalidRequest
from rateguard.engine.lanes import Lane, parse_lane
from rateguard.engine.money import NANO
from rateguard.jobs.faults import escaped
from rateguard.jobs.names import MOST_NAME_CHARS

MOST_SECONDS = 10 * 365 * 86_400
LONGEST_AMOUNT = 32
MOST_PK = 2**63 - 1


class Query:
    """The parameters of a GET. One that nobody knows is refused, so that a misspelt one is noticed."""

    def __init__(self, request: Request, known: Sequence[str]) -> None:
        self._given = request.query_params
        if unknown := [name for name in self._given if name not in known]:
            _refuse(f"there is no parameter {unknown[0][:100]!r}; there are {', '.join(known) or 'none'}")

    def text(self, name: str, default: str = "", most: int = MOST_NAME_CHARS) -> str:
        """A name of at most 128 characters, or a text of at most so many."""
        value = self._given.get(name, default)
        if len(value) > most or "\0" in value:
            _refuse(f"{name} is a text of at most {most} characters, without NUL")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number in a range."""
        text = self._given.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
            _refuse(f"{name} is a whole number from {least} to {most}")
        return int(text)

    def choice(self, name: str, options: Sequence[str]) -> str:
        """One of some words; empty where it is absent."""
        value = self._given.get(name)
        if value is not None and value not in options:
            _refuse(f"{name} is one of {', '.join(options)}")
        return value or ""

    def lane(self) -> Lane:
        """`lane`; normal where it is absent."""
        value = self._given.get("lane", Lane.NORMAL.label)
        try:
            return parse_lane(value)
        except InvalidRequest:
            _refuse(f"lane is one of {', '.join(lane.label for lane in Lane)}")

    def time(self, name: str) -> dt.datetime | None:
        """A moment with its zone; None where it is absent. A plus sign that nobody quoted came as a space."""
        text = self._given.get(name)
        try:
            return None if text is None else read_time(text.replace(" ", "+"), "")
        except InvalidRequest as refusal:
            _refuse(f"{name}: {refusal}")

    def uuid(self, name: str) -> uuid.UUID | None:
        """An id; None where it is absent."""
        text = self._given.get(name)
        try:
            return None if text is None else uuid.UUID(text)
        except ValueError:
            _refuse(f"{name} is the id of one, such as 01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e")


def _refuse(message: str) -> NoReturn:
    raise InvalidRequest(message, code="invalid_parameter")


class Body:
    """The fields of a POST. One that nobody knows is refused. `null` is as good as absent."""

    def __init__(self, request: Request, known: Sequence[str]) -> None:
        self._given: Mapping[str, Any] = {name: value for name, value in read_object(request).items() if value is not None}
        if unknown := [name for name in self._given if name not in known]:
            place = escaped(unknown[0])[:100]
            raise InvalidRequest(f"the fields are {', '.join(known)}", code="unknown_field", pointer=f"/{place}")

    def text(self, name: str, most: int, default: str = "") -> str:
        """A text of at most so many characters."""
        value = self._given.get(name, default)
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            self._refuse(name, f"write a text of at most {most} characters")
        return str(value)

    def choice(self, name: str, options: Sequence[str]) -> str:
        """One of some words; it must be there."""
        value = self._given.get(name)
        if not isinstance(value, str) or value not in options:
            self._refuse(name, f"write one of {', '.join(options)}")
        return str(value)

    def object(self, name: str) -> dict[str, Any]:
        """An object; it must be there."""
        value = self._given.get(name)
        if not isinstance(value, dict):
            self._refuse(name, "write an object")
        return dict(value)

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self._given.get(name, False)
        if not isinstance(value, bool):
            self._refuse(name, "write true or false")
        return bool(value)

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number in a range; None where it is absent."""
        value = self._given.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse(name, f"write a whole number from {least} to {most}")
        return int(value)

    def time(self, name: str) -> dt.datetime | None:
        """A moment with its zone; None where it is absent."""
        value = self._given.get(name)
        return None if value is None else read_time(value, f"/{name}")

    def time_or_seconds(self, name: str) -> dt.datetime | dt.timedelta | None:
        """A moment, or how many seconds from now; None where it is absent."""
        value = self._given.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return self.time(name)
        if not 0 < value <= MOST_SECONDS:
            self._refuse(name, f"write a number of seconds from 1 to {MOST_SECONDS}, or a time with its zone")
        return dt.timedelta(seconds=value)

    def nano_usd(self, name: str, most: int) -> int | None:
        """Dollars, as a number or as a text with up to nine places, in nano-dollars; None where they are absent."""
        value = self._given.get(name)
        if value is None:
            return None
        exact = _nano_usd(value)
        if exact is None or not 0 <= exact <= most:
            self._refuse(name, f"write dollars from 0 to {most // NANO} with at most nine places, such as 2 or 0.05")
        return exact

    def uuid(self, name: str) -> uuid.UUID | None:
        """An id; None where it is absent."""
        value = self._given.get(name)
        try:
            return None if value is None else uuid.UUID(value)
        except (ValueError, TypeError, AttributeError):
            self._refuse(name, "write the id of one, such as 01936f2e-5c1a-7d3b-9f60-6d1f4a0c2b7e")

    @staticmethod
    def _refuse(name: str, message: str) -> NoReturn:
        raise InvalidRequest(message, code="invalid_field", pointer=f"/{name}")


def _nano_usd(value: object) -> int | None:
    """Dollars in nano-dollars; None for what is no amount, or not a whole number of them."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > LONGEST_AMOUNT:
        return None
    try:
        exact = Decimal(str(value)) * NANO
    except InvalidOperation:
        return None
    return int(exact) if exact.is_finite() and exact == int(exact) else None
