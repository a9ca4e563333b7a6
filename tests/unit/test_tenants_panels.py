"""Spans of a tenant's page in zones whose clocks move, and what panels say of figures: changes, charts, names, addresses."""

import datetime as dt
import itertools
from zoneinfo import ZoneInfo

import pytest

from dashboard.panels.charts import Chart, Series
from dashboard.panels.tenant import change
from dashboard.panels.tenants import list_panel
from dashboard.queries.spans import CHOICES, chosen
from dashboard.queries.tenants import PAGE, Listing
from tenants.usage.course import pieces_of
from tenants.usage.past import past
from tenants.usage.question import Per, Period
from tenants.usage.tally import Tally, percentiles, total

LORD_HOWE, BERLIN, KATHMANDU = ZoneInfo("Australia/Lord_Howe"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")


def moment(text):
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize("name", list(CHOICES))
@pytest.mark.parametrize("zone", [LORD_HOWE, BERLIN, KATHMANDU, ZoneInfo("UTC")])
@pytest.mark.parametrize("now", ["2026-04-05T03:07:00Z", "2026-10-25T12:20:00Z", "2028-02-29T23:59:59Z", "2026-03-31T18:15:01Z"])
def test_a_span_has_as_many_pieces_as_its_name_says_and_the_one_before_ends_before_it(name, zone, now):
    span = chosen(name, zone, moment(now))
    pieces = pieces_of(span.per, zone, span.period)
    assert abs(len(pieces) - (CHOICES[name].back + 1)) <= (name == "24h")  # a clock that moves by half an hour makes a short hour
    assert pieces[0].start == span.period.start
    assert pieces[-1].end == span.period.end == moment(now)
    assert all(one.end == other.start for one, other in itertools.pairwise(pieces))
    assert span.before.start < span.before.end <= span.period.start
    if name != "24h":
        assert {piece.start.time() for piece in pieces} == {dt.time()}
        assert span.before.start.astimezone(zone).time() == dt.time()


def test_days_have_the_hours_that_the_clock_gives_them():
    summer_ends = Period(moment("2026-10-24T22:00Z"), moment("2026-10-25T23:00Z"))
    assert len(pieces_of(Per.HOUR, BERLIN, summer_ends)) == 25
    assert [piece.start.hour for piece in pieces_of(Per.HOUR, BERLIN, summer_ends)][1:5] == [1, 2, 2, 3]


def test_where_hours_are_not_kept_a_day_is_yesterday_and_today():
    span = chosen("24h", ZoneInfo("UTC"), moment("2026-11-21T13:07Z"), is_by_day=True)
    assert (span.per, span.period.start) == (Per.DAY, moment("2026-11-20T00:00Z"))
    assert span.before == Period(moment("2026-11-18T00:00Z"), moment("2026-11-19T13:00Z"))


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [(112, 100, "+12 %"), (97, 100, "−3 %"), (100, 100, "±0 %"), (1_400, 100, "×14"), (5, 0, ""), (0, 10, "−100 %"), (5, -3, "")],
)
def test_a_change_is_said_in_percent(now, before, said):
    assert change(now, before) == said


def test_a_charts_table_says_what_the_chart_shows_the_newest_first():
    chart = Chart(
        ("1", "2"), ("one", "two"), (Series("a", (10**9, 5), 1), Series("b", (None, 7), 2)), is_money=True, has_sums=True, summary=""
    )
    assert chart.rows == [("two", [5, 7], 12), ("one", [10**9, None], 10**9)]
    assert chart.data["series"][0]["values"] == [1.0, 5e-9]
    assert chart.data["series"][1]["values"][0] is None


def test_tallies_add_their_histograms():
    found = total([Tally(1, 1, 2, 3, 4, {5: 1}, {}), Tally(1, 0, 2, 3, -1, {5: 2, 7: 1}, {9: 1})])
    assert found == Tally(2, 1, 4, 6, 3, {5: 3, 7: 1}, {9: 1})
    assert (found.success, found.tokens, Tally().success) == (0.5, 10, None)
    assert percentiles({}).p90 is None
    assert percentiles({3: 9, 7: 1}).p90 == 3
    assert percentiles({3: 9, 7: 1}).p95 == 7


def test_addresses_of_other_pages_keep_what_was_asked():
    panel = list_panel(Listing((), 2, 3 * PAGE, None, moment("2026-11-21T13:07Z")), "a&b", "cost")
    assert (panel.previous, panel.following) == ("?q=a%26b&sort=cost", "?q=a%26b&sort=cost&page=3")
    assert [column.address for column in panel.columns if column.sort == "name"] == ["?q=a%26b"]
    assert "Share of tokens" not in [column.words for column in panel.columns]


def test_what_is_known_of_the_past_grows_and_is_read_once():
    asked = []

    def read(span):
        asked.append((span.start.hour, span.end.hour))
        return {("a",): Tally(jobs=span.end.hour - span.start.hour)}

    spans = [Period(moment("2026-11-21T01:00Z"), moment(f"2026-11-21T{end:02}:00Z")) for end in (5, 5, 9, 7)]
    found = [past("key", span, read)["a",].jobs for span in spans]

    assert found == [4, 4, 8, 6]
    assert asked == [(1, 5), (5, 9), (1, 7)]
    assert past("other", spans[0], read)["a",].jobs == 4
    assert len(asked) == 4
