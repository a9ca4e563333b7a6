"""Marks: how they are written, and what they make of a list."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rateguard.engine.routing import marks
from rateguard.engine.routing.marks import Marks

ids = st.integers(1, 10**6).map(str)


@dataclasses.dataclass(frozen=True)
class Place:
    id: str
    tier: int = 0


def made_of(text: str, *places: Place) -> list[tuple[str, int]]:
    return [(one.id, one.tier) for one in marks.apply(marks.read(text), places)]


def test_the_same_marks_are_the_same_text_and_ids_ascend_by_their_value():
    assert marks.write(Marks(frozenset({"10", "9", "7"}), "8", frozenset({"5", "11"}))) == "-7-9-10+8*5*11"
    assert not marks.write(Marks())


@given(st.frozensets(ids, max_size=4), st.one_of(st.just(""), ids), st.frozensets(ids, max_size=4))
def test_what_was_written_is_read(never, first, last):
    assert marks.read(marks.write(Marks(never, first, last))) == Marks(never, first, last)


@pytest.mark.parametrize(
    ("name", "parts"), [("m", ("m", "")), ("m!-7+8", ("m", "-7+8")), ("m@5~long!*7", ("m@5~long", "*7")), ("m!", ("m", ""))]
)
def test_a_name_is_parted_where_its_marks_begin(name, parts):
    assert marks.split(name) == parts


def test_first_and_last_have_tiers_of_their_own():
    assert made_of("+9*7", Place("7"), Place("8"), Place("9", 3)) == [("9", -1), ("8", 0), ("7", 4)]


def test_never_wins_over_first_and_first_over_last():
    assert made_of("-7+7*8+8", Place("7"), Place("8"), Place("9")) == [("8", -1), ("9", 0)]


def test_ids_that_are_not_in_the_list_change_nothing():
    assert made_of("-1+2*3", Place("7", 1), Place("8", 2)) == [("7", 1), ("8", 2)]


def test_where_nobody_would_be_left_all_stay():
    assert made_of("-7-8", Place("7"), Place("8", 1)) == [("7", 0), ("8", 1)]
    assert made_of("-7") == []
