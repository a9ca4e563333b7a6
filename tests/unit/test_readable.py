"""Which of our limits a provider's headers speak of."""

from __future__ import annotations

import pytest

from rateguard.engine.gate.contract import LimitReading
from rateguard.engine.readings import Axis, Reading
from tenants.records.readable import Readable, ReadableLimit

MINUTE, DAY = 60_000, 86_400_000
OWN = ReadableLimit("l1", Axis.REQUESTS, MINUTE, of_account=False)
ACCOUNT = ReadableLimit("l2", Axis.REQUESTS, MINUTE, of_account=True)
DAILY = ReadableLimit("l3", Axis.REQUESTS, DAY, of_account=False)
TOKENS = ReadableLimit("l4", Axis.TOKENS, MINUTE, of_account=False)


def said(axis=Axis.REQUESTS, window_ms=MINUTE, **figures) -> Reading:
    return Reading(axis, window_ms, 100, 40, 6_000, **figures)


def meant(limits, reading, *, is_alone=False) -> list[str]:
    return [one.limit for one in Readable(tuple(limits), is_alone).of([reading])]


@pytest.mark.parametrize(
    ("limits", "reading", "expected"),
    [
        ([OWN, ACCOUNT, DAILY, TOKENS], said(), ["l1"]),
        ([OWN, ACCOUNT, DAILY, TOKENS], said(of_account=True), ["l2"]),
        ([OWN, ACCOUNT, DAILY, TOKENS], said(window_ms=DAY), ["l3"]),
        ([OWN, ACCOUNT, DAILY, TOKENS], said(Axis.TOKENS), ["l4"]),
        ([OWN, ACCOUNT, DAILY, TOKENS], said(Axis.INPUT_TOKENS), []),
        ([OWN, DAILY], said(window_ms=0), []),  # it may mean either
        ([OWN, TOKENS], said(window_ms=0), ["l1"]),
        ([ACCOUNT], said(), []),  # of one model of several
    ],
)
def test_a_reading_speaks_of_the_limit_of_its_axis_its_time_and_its_place(limits, reading, expected):
    assert meant(limits, reading) == expected


def test_where_a_deployment_is_all_of_its_account_what_binds_one_binds_the_other():
    assert meant([ACCOUNT], said(), is_alone=True) == ["l2"]
    assert meant([OWN], said(of_account=True), is_alone=True) == ["l1"]


def test_what_was_said_is_handed_on():
    assert Readable((OWN,)).of([said()]) == (LimitReading("l1", told=100, remaining=40, reset_ms=6_000),)
