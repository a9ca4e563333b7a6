import datetime as dt
import itertools
import random
from zoneinfo import ZoneInfo

import pytest

from tenants.models import BudgetPeriod
from tenants.periods import period_starts

DAY, WEEK, MONTH = BudgetPeriod.DAY, BudgetPeriod.WEEK, BudgetPeriod.MONTH
HOUR = dt.timedelta(hours=1)


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


def local(starts, zone):
    return [start.astimezone(ZoneInfo(zone)).isoformat() for start in starts]


def lengths(starts):
    return [(later - earlier) / HOUR for earlier, later in itertools.pairwise(starts)]


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("Europe/Berlin", utc(2026, 3, 28, 12), [24, 23, 24]),
        ("Europe/Berlin", utc(2026, 10, 24, 12), [24, 25, 24]),
        ("America/New_York", utc(2026, 3, 7, 12), [24, 23, 24]),
        ("America/New_York", utc(2026, 10, 31, 12), [24, 25, 24]),
        ("Asia/Kathmandu", utc(2026, 3, 28, 12), [24, 24, 24]),
    ],
)
def test_a_day_is_as_long_as_the_clocks_of_the_zone_make_it(zone, now, hours):
    assert lengths(period_starts(DAY, ZoneInfo(zone), now, 4)) == hours


def test_a_day_begins_at_the_zones_midnight():
    starts = period_starts(DAY, ZoneInfo("Asia/Kathmandu"), utc(2026, 11, 21, 18, 14, 59), 2)
    assert starts == (utc(2026, 11, 20, 18, 15), utc(2026, 11, 21, 18, 15))
    assert period_starts(DAY, ZoneInfo("Asia/Kathmandu"), utc(2026, 11, 21, 18, 15), 1) == (utc(2026, 11, 21, 18, 15),)


def test_a_week_begins_on_monday_also_where_the_clocks_change_in_it():
    starts = period_starts(WEEK, ZoneInfo("America/New_York"), utc(2026, 11, 2, 4, 59), 3)
    assert local(starts, "America/New_York") == ["2026-10-26T00:00:00-04:00", "2026-11-02T00:00:00-05:00", "2026-11-09T00:00:00-05:00"]
    assert lengths(starts) == [169, 168]


def test_a_month_begins_on_its_first_day_over_the_year():
    starts = period_starts(MONTH, ZoneInfo("Europe/Berlin"), utc(2026, 12, 31, 22, 59, 59), 4)
    assert starts == (utc(2026, 11, 30, 23), utc(2026, 12, 31, 23), utc(2027, 1, 31, 23), utc(2027, 2, 28, 23))
    assert period_starts(MONTH, ZoneInfo("Europe/Berlin"), utc(2026, 12, 31, 23), 1) == (utc(2026, 12, 31, 23),)


def test_a_day_that_a_country_left_out_is_no_period():
    starts = period_starts(DAY, ZoneInfo("Pacific/Apia"), utc(2011, 12, 30, 9, 59, 59), 3)
    assert local(starts, "Pacific/Apia") == ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"]
    assert lengths(starts) == [24, 24]


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("America/Sao_Paulo", utc(2018, 11, 4, 12), "2018-11-04T01:00:00-02:00"),  # 00:00 leapt to 01:00
        ("America/Toronto", utc(1919, 3, 31, 12), "1919-03-31T00:30:00-04:00"),  # 23:30 leapt to 00:30
    ],
)
def test_a_midnight_that_the_clock_leapt_over_is_the_first_moment_after_the_leap(zone, now, expected):
    assert local(period_starts(DAY, ZoneInfo(zone), now, 1), zone) == [expected]


def test_an_hour_that_comes_twice_before_midnight_belongs_to_the_old_day():
    second_half_past_eleven = utc(2019, 2, 17, 2, 30)
    assert local(period_starts(DAY, ZoneInfo("America/Sao_Paulo"), second_half_past_eleven, 2), "America/Sao_Paulo") == [
        "2019-02-16T00:00:00-02:00",
        "2019-02-17T00:00:00-03:00",
    ]


def test_a_midnight_that_comes_twice_begins_the_day_once():
    first, second = utc(2026, 11, 1, 4, 30), utc(2026, 11, 1, 5, 30)  # Havana: 01:00 goes back to 00:00
    starts = {period_starts(DAY, ZoneInfo("America/Havana"), now, 1)[0] for now in (first, second)}
    assert starts == {utc(2026, 11, 1, 4)}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"])
@pytest.mark.parametrize("period", [DAY, WEEK, MONTH])
def test_the_first_period_holds_now_and_each_follows_the_other(zone, period):
    rng = random.Random(zone + period)
    for _ in range(50):
        now = utc(2009, 1, 1) + dt.timedelta(seconds=rng.randrange(20 * 365 * 86_400))
        starts = period_starts(period, ZoneInfo(zone), now, 4)
        assert starts[0] <= now < starts[1] < starts[2] < starts[3]
        assert period_starts(period, ZoneInfo(zone), starts[1], 3) == starts[1:]
        assert period_starts(period, ZoneInfo(zone), starts[1] - dt.timedelta(microseconds=1), 4) == starts


def test_a_total_has_no_periods():
    assert period_starts(BudgetPeriod.TOTAL, ZoneInfo("UTC"), utc(2026, 1, 1), 32) == ()


def test_as_many_as_are_asked_for_are_known_ahead():
    assert len(period_starts(DAY, ZoneInfo("UTC"), utc(2026, 1, 1), 32)) == 32
