"""A provider's bill, line by line, matched to our attempts by the id that each call carried."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping

import orjson

from rateguard.engine.errors import RateguardError

Key = tuple[uuid.UUID, int]
"""An attempt: the job (or the synchronous call) and the attempt's number."""


class InvalidBill(RateguardError):
    """A line of a bill cannot be read; the message names it."""

    code = "invalid_bill"


@dataclasses.dataclass(frozen=True, slots=True)
class Amount:
    """Tokens (input of every kind, output) and nano-dollars of an attempt."""

    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, self.nano_usd + other.nano_usd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.input_tokens - other.input_tokens, self.output_tokens - other.output_tokens, self.nano_usd - other.nano_usd)


NOTHING = Amount()

Bill = Mapping[Key, Amount]
"""What the bill says of each attempt."""


def read_bill(lines: Iterable[str | bytes]) -> dict[Key, Amount]:
    """A bill in JSON lines: attempt_id ("<job uuid>.<n>"), input_tokens, output_tokens, nano_usd. Lines of one attempt add up.

    Raises InvalidBill with the number of the first line that cannot be read.
    """
    bill: dict[Key, Amount] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            key, amount = _read_line(number, line)
            bill[key] = bill.get(key, NOTHING) + amount
    return bill


def _read_line(number: int, line: str | bytes) -> tuple[Key, Amount]:
    try:
        fields = orjson.loads(line)
        key = parse_attempt_id(fields["attempt_id"])
        values = [fields[name] for name in ("input_tokens", "output_tokens", "nano_usd")]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidBill(f"line {number} is no line of a bill: {error!r}") from None
    if not all(type(value) is int and value >= 0 for value in values):
        raise InvalidBill(f"line {number}: tokens and nano_usd are whole numbers from 0")
    return key, Amount(*values)


def parse_attempt_id(text: str) -> Key:
    """The job (or call) and the number of an attempt id. Raises ValueError."""
    job, dot, attempt = text.partition(".")
    if not dot:
        raise ValueError(f"{text!r} is no attempt id")
    return uuid.UUID(job), int(attempt)


def attempt_id(key: Key) -> str:
    """An attempt as providers are told it."""
    return f"{key[0]}.{key[1]}"
