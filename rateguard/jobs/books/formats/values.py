"""A bill that was read."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal, InvalidOperation

from rateguard.engine.money import NANO
from rateguard.jobs.upkeep.bill import Amount, Bill, InvalidBill, Key


@dataclasses.dataclass(frozen=True, slots=True)
class DayAmount:
    """What a provider tells of a model on a day; None: it does not tell that. requests: how many calls it counted.

    cached_tokens, audio_input_tokens, audio_output_tokens: parts of the tokens; batch_tokens: all that went through batches.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    nano_usd: int | None = None
    requests: int | None = None
    cached_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    batch_tokens: int | None = None

    def __add__(self, other: DayAmount) -> DayAmount:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return DayAmount(*(None if a is None and b is None else (a or 0) + (b or 0) for a, b in pairs))


DayKey = tuple[dt.date, str]
"""A day in UTC, and the model as the provider names it; "": all models together."""


@dataclasses.dataclass(slots=True)
class ReadBill:
    """A bill of either kind, or of both. attempts: None where it names no attempts at all."""

    attempts: dict[Key, Amount] | None = None
    days: dict[DayKey, DayAmount] = dataclasses.field(default_factory=dict)

    def add(self, other: ReadBill) -> None:
        """Another file of the same bill: what stands in both adds up."""
        if other.attempts is not None:
            self.add_attempts(other.attempts)
        for key, amount in other.days.items():
            self.add_day(key, amount)

    def add_attempts(self, billed: Bill) -> None:
        """Lines by attempt."""
        mine = self.attempts if self.attempts is not None else {}
        for key, amount in billed.items():
            mine[key] = mine.get(key, Amount()) + amount
        self.attempts = mine

    def add_day(self, key: DayKey, amount: DayAmount) -> None:
        """A line by day and model."""
        self.days[key] = self.days.get(key, DayAmount()) + amount


# ---- what stands in a line, read with the place of an error


def as_tokens(text: object, where: str) -> int:
    """A whole number from 0; nothing is 0. Raises InvalidBill."""
    value = as_decimal(text, where)
    if value < 0 or value != value.to_integral_value():
        raise InvalidBill(f"{where}: {text!r} is no whole number from 0")
    return int(value)


def as_nano_usd(text: object, where: str, *, per_usd: int = 1) -> int:
    """Dollars (or 1/per_usd of them) in nano-dollars, rounded half up. Credits are negative. Raises InvalidBill."""
    return int((as_decimal(text, where) * NANO / per_usd).to_integral_value(rounding="ROUND_HALF_UP"))


def as_decimal(text: object, where: str) -> Decimal:
    """A number as it is written, with or without `$` and thousands; nothing is 0. Raises InvalidBill."""
    plain = "" if text is None else str(text).strip().replace("$", "").replace(",", "")
    try:
        value = Decimal(plain or "0")
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise InvalidBill(f"{where}: {text!r} is no number")
    return value


def as_day(text: object, where: str) -> dt.date:
    """The day in UTC of seconds since 1970, of a date or of a time. Raises InvalidBill."""
    told = str(text).strip()
    try:
        if told.replace(".", "", 1).isdigit():
            return dt.datetime.fromtimestamp(float(told), dt.UTC).date()
        moment = dt.datetime.fromisoformat(told)
    except (ValueError, OverflowError, OSError):
        raise InvalidBill(f"{where}: {text!r} is no day: write 2030-01-31, a time, or seconds since 1970") from None
    return (moment.astimezone(dt.UTC) if moment.tzinfo else moment).date()
