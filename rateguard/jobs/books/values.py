"""What a comparison of the books finds, as values."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable

from rateguard.jobs.upkeep.bill import NOTHING, Amount

NAMED = 20
"""Attempts named in one difference; its count says how many there are."""


class Kind(enum.StrEnum):
    """Which two books differ."""

    NOT_CHARGED = "not_charged"
    NO_ATTEMPT = "no_attempt"
    ATTEMPT_DIFFERS = "attempt_differs"
    JOB_DIFFERS = "job_differs"
    ROLLUP_DIFFERS = "rollup_differs"
    DAY_ROLLUP_DIFFERS = "day_rollup_differs"
    GATE_DIFFERS = "gate_differs"
    RESERVATION_LEFT = "reservation_left"
    BILL_DIFFERS = "bill_differs"
    NOT_BILLED = "not_billed"
    NEVER_OURS = "never_ours"
    NOT_ENDED = "not_ended"
    BILL_DAY_DIFFERS = "bill_day_differs"


WORDS = {
    Kind.NOT_CHARGED: "ended, but not charged",
    Kind.NO_ATTEMPT: "charged, but there is no such attempt",
    Kind.ATTEMPT_DIFFERS: "the attempt's row and its charge differ",
    Kind.JOB_DIFFERS: "the job's row and its entries differ",
    Kind.ROLLUP_DIFFERS: "the rollup of a quarter and its entries differ",
    Kind.DAY_ROLLUP_DIFFERS: "the rollup of a user's or a label's day and its entries differ",
    Kind.GATE_DIFFERS: "the gate counts another amount for a budget than the ledger",
    Kind.RESERVATION_LEFT: "the gate holds a reservation of an attempt that does not run",
    Kind.BILL_DIFFERS: "the bill and the ledger differ",
    Kind.NOT_BILLED: "charged, but not billed",
    Kind.NEVER_OURS: "billed, but never ours",
    Kind.NOT_ENDED: "billed, but not ended yet",
    Kind.BILL_DAY_DIFFERS: "the bill of a day and the ledger differ",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree. amount: the first book named in its words less the second; of a bill: bill − ledger.

    day: of the attempts' beginning, or of the booking for rollups; None where it has none. deployment: "" where it has none; of a model at
    several deployments all names. where: which rollup or limit. attempts: at most NAMED of `count`. cause: what it probably is.
    is_corrected: this run has put it right.
    """

    kind: Kind
    day: dt.date | None
    deployment: str
    amount: Amount
    cause: str
    where: str = ""
    attempts: tuple[str, ...] = ()
    count: int = 0
    is_corrected: bool = False

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "kind": self.kind.value,
            "day": None if self.day is None else self.day.isoformat(),
            "deployment": self.deployment,
            "where": self.where,
            **dataclasses.asdict(self.amount),
            "probably": self.cause,
            "attempts": list(self.attempts),
            "count": self.count,
            "corrected": self.is_corrected,
        }


@dataclasses.dataclass(slots=True)
class DayLine:
    """One deployment on one day (UTC). rows, ledger, bill: of the attempts that began on it; booked, rollups: of what was booked on it."""

    day: dt.date
    deployment: str
    attempts: int = 0
    rows: Amount = NOTHING
    ledger: Amount = NOTHING
    booked: Amount = NOTHING
    rollups: Amount = NOTHING
    bill: Amount | None = None

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "day": self.day.isoformat(),
            "deployment": self.deployment,
            "attempts": self.attempts,
            **{name: dataclasses.asdict(getattr(self, name)) for name in ("rows", "ledger", "booked", "rollups")},
            "bill": None if self.bill is None else dataclasses.asdict(self.bill),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """One attempt, job or rollup of a difference, before they are gathered."""

    kind: Kind
    day: dt.date | None
    deployment: str
    amount: Amount
    cause: str
    attempt: str = ""
    where: str = ""
    is_corrected: bool = False


def gathered(found: Iterable[Found]) -> list[Difference]:
    """A difference for each kind, day, deployment, place and cause, with the attempts it is made of."""
    by_key: dict[tuple[object, ...], list[Found]] = {}
    for one in found:
        key = (one.kind.value, "" if one.day is None else one.day.isoformat(), one.deployment, one.where, one.cause, one.is_corrected)
        by_key.setdefault(key, []).append(one)
    return [_of(by_key[key]) for key in sorted(by_key, key=str)]


def _of(ones: list[Found]) -> Difference:
    first = ones[0]
    return Difference(
        kind=first.kind,
        day=first.day,
        deployment=first.deployment,
        amount=sum((one.amount for one in ones), NOTHING),
        cause=first.cause,
        where=first.where,
        attempts=tuple(one.attempt for one in ones if one.attempt)[:NAMED],
        count=len(ones),
        is_corrected=first.is_corrected,
    )
