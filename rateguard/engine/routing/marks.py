"""Marks at the end of a list's name: the same list for work that must leave out, prefer or spare some of its deployments.

`m!-7-9+8*5` is the list `m` without 7 and 9; 8 is asked before all others, 5 after all others. No record is written for such a list: it is
derived from that of the name before the mark, so it shares the pool and with it the fair order. The gate's Lua is the same, name by name.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, TypeVar

MARK = "!"
"""What parts a list's name from its marks; in no public name of a model."""

_WORD = re.compile(r"([-+*])([^-+*!]+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Marks:
    """never: ids that are not asked. first: the id that is asked before all, "" for none. last: ids asked where no other has room.

    An id that is not in the list changes nothing; one that is named twice is never asked, or else first. Where nobody would be left, as
    after an edit of the list, `never` says nothing: else such work would wait for ever.
    """

    never: frozenset[str] = frozenset()
    first: str = ""
    last: frozenset[str] = frozenset()


class Placed(Protocol):
    """A deployment of a list, a frozen dataclass. tier: a later one is asked only where none before has room."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """Its id in the gate."""
        ...

    @property
    def tier(self) -> int:
        """Its tier."""
        ...


P = TypeVar("P", bound=Placed)


def write(marks: Marks) -> str:
    """The marks as text, "" for none. The same marks are the same text: ids ascend, numbers by their value."""
    parts = [f"-{one}" for one in _ascending(marks.never)]
    parts += [f"+{marks.first}"] if marks.first else []
    return "".join([*parts, *(f"*{one}" for one in _ascending(marks.last))])


def read(text: str) -> Marks:
    """The inverse of `write`; of two that are asked first the later one counts."""
    found: dict[str, list[str]] = {"-": [], "+": [], "*": []}
    for sign, one in _WORD.findall(text):
        found[sign].append(one)
    return Marks(frozenset(found["-"]), (found["+"] or [""])[-1], frozenset(found["*"]))


def split(list_name: str) -> tuple[str, str]:
    """(the list that the record is of, its marks as text)."""
    name, _, text = list_name.partition(MARK)
    return name, text


def apply(marks: Marks, deployments: Iterable[P]) -> tuple[P, ...]:
    """The deployments in their new order: the first one's tier is before all, those asked last have one behind all."""
    known = list(deployments)
    left = [one for one in known if one.id not in marks.never] or known
    before, behind = min((one.tier for one in left), default=0) - 1, max((one.tier for one in left), default=0) + 1
    first = [dataclasses.replace(one, tier=before) for one in left if one.id == marks.first]
    last = [dataclasses.replace(one, tier=behind) for one in left if one.id in marks.last and one.id != marks.first]
    moved = {one.id for one in (*first, *last)}
    return (*first, *(one for one in left if one.id not in moved), *last)


def _ascending(ids: Iterable[str]) -> list[str]:
    return sorted(ids, key=lambda one: (int(one) if one.isdecimal() else 0, one))
