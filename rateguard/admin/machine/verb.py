"""A verb: something that people do to many rows at once, after they were told how many it touches."""

from __future__ import annotations

import abc
import dataclasses
import datetime as dt
import enum
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from django import forms
from django.db.models import QuerySet

from tenants.access import Access, Power

Page = TypeVar("Page")

AT_ONCE = 10_000
"""Rows of one go. Of more, the newest are taken, and the page says so."""
WITHIN_S = 20.0
"""How long one go may take; what was not reached then is told, and stays as it is."""
MOST_REASONS = 5


class Tone(enum.Enum):
    """How what became of something is told."""

    DONE = "success"
    BESIDE = "warning"
    REFUSED = "error"


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One kind of what became of rows."""

    tone: Tone
    text: str


@dataclasses.dataclass(frozen=True, slots=True)
class Chosen:
    """What a person chose. rows: within their reach, in the list's order. is_all: all that match the filter, not rows one by one.

    seen_at: when they were first asked, by the database's clock: what came in or changed after that is not touched.
    """

    rows: QuerySet[Any]
    is_all: bool
    seen_at: dt.datetime
    access: Access


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What a verb would do. touches: the keys of the rows, at most AT_ONCE; one: what they are; sentences: that in words."""

    touches: Sequence[Any]
    sentences: tuple[str, ...]
    one: str = "job"

    @property
    def how_many(self) -> str:
        """The number that it touches, with its word."""
        return count(len(self.touches), self.one)


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """A verb that was said yes to. by: who did; fields: what the form says."""

    look: Look
    chosen: Chosen
    by: str
    fields: Mapping[str, Any]
    ends_at: float = dataclasses.field(default_factory=lambda: time.monotonic() + WITHIN_S)

    @property
    def is_late(self) -> bool:
        """Whether the go has taken as long as it may."""
        return time.monotonic() >= self.ends_at


class Walk(Generic[Page]):
    """Pages of an order's rows, done one after the other as long as a go may take. reached: how many rows those pages had."""

    def __init__(self, order: Order, pages: Iterable[Page], size: int) -> None:
        self.reached = 0
        self._order = order
        self._pages = pages
        self._size = size

    def __iter__(self) -> Iterator[Page]:
        most = len(self._order.look.touches)
        for page in self._pages:
            self.reached = min(self.reached + self._size, most)
            yield page
            if self._order.is_late:
                return


class Verb(abc.ABC):
    """name: in the form's action; label: in its list; button: what the yes says; is_grave: whether it takes something away.

    form: what else it asks.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    button: ClassVar[str]
    is_grave: ClassVar[bool] = False
    form: ClassVar[type[forms.Form] | None] = None

    def may(self, access: Access) -> bool:
        """Whether it is offered to somebody: to who works for a tenant, where a verb does not say otherwise."""
        return access.may_anywhere(Power.WORK)

    @abc.abstractmethod
    def fits(self, row: Any, access: Access) -> bool:
        """Whether it is offered on the page of a row."""

    @abc.abstractmethod
    def look(self, chosen: Chosen) -> Look:
        """What it would do; changes nothing."""

    @abc.abstractmethod
    def do(self, order: Order) -> list[Told]:
        """Do it, and say what became of it."""


# ---- words


def count(number: int, one: str, many: str = "") -> str:
    """A number with its word.

    >>> count(1, "job"), count(2_500, "job"), count(2, "entry", "entries")
    ('1 job', '2,500 jobs', '2 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def bounded(number: int, one: str) -> str:
    """The same where somebody stopped counting behind AT_ONCE.

    >>> bounded(10_001, "job")
    'more than 10,000 jobs'
    """
    return count(number, one) if number <= AT_ONCE else f"more than {count(AT_ONCE, one)}"


def of_the_chosen(possible: int, chosen: int, one: str, can_be: str, *, is_all: bool) -> str:
    """How many of what was chosen it concerns.

    >>> of_the_chosen(12, 14, "job", "cancelled", is_all=False)
    '12 of the 14 chosen jobs can be cancelled.'
    """
    if chosen == 1 and not is_all:
        return f"The chosen {one} {'can' if possible else 'cannot'} be {can_be}."
    which = f"{bounded(chosen, one)} that match the filter" if is_all else f"{count(chosen, 'chosen ' + one)}"
    return (
        f"{_upper(bounded(possible, one))} can be {can_be}, of the {which}." if is_all else f"{possible:,} of the {which} can be {can_be}."
    )


def reasons(refused: Counter[str], said: Callable[[int], str]) -> list[Told]:
    """Why some were refused, the most frequent reasons first."""
    shown = [Told(Tone.REFUSED, f"{said(number)}: {reason}") for reason, number in refused.most_common(MOST_REASONS)]
    rest = sum(refused.values()) - sum(number for _, number in refused.most_common(MOST_REASONS))
    return [*shown, Told(Tone.REFUSED, f"{said(rest)} for other reasons.")] if rest else shown


def not_reached(number: int, one: str) -> list[Told]:
    """What the time did not suffice for."""
    if not number:
        return []
    return [Told(Tone.BESIDE, f"{count(number, one)} not reached within {WITHIN_S:.0f} s, and as before. Do it again for the rest.")]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
