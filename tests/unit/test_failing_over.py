"""Where work goes after a failure, and where a session stays."""

from __future__ import annotations

import collections

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rateguard.engine.routing.failing_over import MOST_SPARED, closed, spared
from rateguard.engine.routing.marks import Marks, read, write
from rateguard.engine.routing.sticky import home


def after(marks: str, failed: str, *, of: str = "1 2 3") -> str:
    return write(spared(read(marks), of.split(), failed))


@pytest.mark.parametrize(
    ("marks", "failed", "then"),
    [
        ("", "1", "*1"),
        ("*1", "2", "*1*2"),
        ("*1*2", "3", "*3"),  # never all: the newest alone
        ("-3*1", "2", "-3*2"),
        ("-2-3", "1", "-2-3"),  # nobody else can do it
        ("+1", "1", "*1"),
        ("-2+3", "1", "-2+3*1"),
        ("*9", "1", "*1"),  # 9 is no longer of the model
    ],
)
def test_what_failed_is_asked_last_but_never_all_that_can(marks, failed, then):
    assert after(marks, failed) == then


def test_at_most_three_are_spared_and_then_the_newest_alone():
    marks = ""
    for failed in "1234":
        marks = after(marks, failed, of="1 2 3 4 5 6")
    assert (MOST_SPARED, marks) == (3, "*4")


def test_where_there_is_one_deployment_a_failure_marks_nothing():
    assert after("", "1", of="1") == ""


@pytest.mark.parametrize(("marks", "then"), [("", "-1"), ("*1", "-1"), ("-2+1*3", "-1-2*3"), ("-2-3", None)])
def test_what_can_never_do_it_is_left_out_while_others_can(marks, then):
    found = closed(read(marks), ["1", "2", "3"], "1")
    assert found == (None if then is None else read(then))


ids = st.integers(1, 10**6).map(str)


@settings(max_examples=40)
@given(st.text(), st.dictionaries(ids, st.integers(1, 1_000), min_size=2, max_size=8), st.data())
def test_a_deployment_that_goes_moves_its_own_sessions_alone(session, weights, data):
    gone = data.draw(st.sampled_from(sorted(weights)))
    before = home(session, weights.items())
    now = home(session, [one for one in weights.items() if one[0] != gone])
    assert now != gone
    assert before in {gone, now}


def test_sessions_fall_by_weight_and_each_stays():
    found = collections.Counter(home(f"s{number}", [("1", 3), ("2", 1)]) for number in range(2_000))
    assert 1_400 < found["1"] < 1_600
    assert home("s1", [("1", 3), ("2", 1)]) == home("s1", [("2", 1), ("1", 3)])
    assert home("s1", []) == ""


def test_a_session_that_failed_at_home_is_asked_elsewhere_first():
    assert spared(Marks(first="1"), ["1", "2"], "1") == Marks(last=frozenset({"1"}))
