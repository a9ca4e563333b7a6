"""GET usage: figures by group and by local hours, days and months; their sum is the ledger's; a tenant sees its own."""

import datetime as dt
import uuid
from collections import Counter
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Sum

from rateguard.engine.histogram import bin_of
from rateguard.engine.money import Usage
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.states import SUCCEED, AttemptState
from rateguard.jobs.upkeep.bill import Amount
from rateguard.jobs.upkeep.reconcile import reconcile
from tenants.keys import issue_key
from tenants.models import LedgerEntry, Measure, Tenant, UsageDay, UsageQuarter, UsageQuarterBin
from tests.api import Api, problem_of

QUARTER = dt.timedelta(minutes=15)


@pytest.fixture
def acme(db):
    return Tenant.objects.create(name="acme", time_zone="Asia/Kathmandu")


@pytest.fixture
def api(acme):
    return Api(issue_key(acme, "tests")[1])


def quarter(tenant, starts_at, nano_usd=1, *, times=(), **fields):
    row = UsageQuarter.objects.create(
        tenant=tenant,
        model=fields.pop("model", "gpt"),
        starts_at=starts_at,
        jobs=1,
        succeeded=1,
        input_tokens=10,
        nano_usd=nano_usd,
        **fields,
    )
    for number, count in Counter(map(bin_of, times)).items():
        UsageQuarterBin.objects.create(quarter=row, measure=Measure.LATENCY_MS, bin=number, count=count)
    return row


def moment(text):
    return dt.datetime.fromisoformat(text)


def lines(api, query):
    response = api.get(f"/api/v1/usage?{query}")
    assert response.status_code == 200, response.json()
    return response.json()["data"]


def every_quarter_of(tenant, first, last):
    rows, at = [], moment(first)
    while at < moment(last):
        rows.append(UsageQuarter(tenant=tenant, model="gpt", starts_at=at, jobs=1, nano_usd=1))
        at += QUARTER
    UsageQuarter.objects.bulk_create(rows)


class TestPeriods:
    def test_a_day_of_kathmandu_begins_a_quarter_past_six_in_utc(self, api, acme):
        quarter(acme, moment("2026-03-01T18:00Z"), 1)
        quarter(acme, moment("2026-03-01T18:15Z"), 10)

        found = lines(api, "per=day&from=2026-03-01&to=2026-03-03")

        assert [(line["starts_at"], line["cost_nano_usd"]) for line in found] == [
            ("2026-03-01T00:00:00+05:45", 1),
            ("2026-03-02T00:00:00+05:45", 10),
        ]
        assert [line["starts_at"] for line in lines(api, "per=hour&from=2026-03-01&to=2026-03-03")] == [
            "2026-03-01T23:00:00+05:45",
            "2026-03-02T00:00:00+05:45",
        ]

    @pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
    def test_a_day_has_the_hours_that_the_clock_gives_it(self, api, acme, day, hours):
        zone = ZoneInfo("Europe/Berlin")
        start = dt.datetime.combine(dt.date.fromisoformat(day), dt.time(), zone)
        every_quarter_of(acme, (start - dt.timedelta(days=1)).isoformat(), (start + dt.timedelta(days=2)).isoformat())
        after = start.date() + dt.timedelta(days=1)
        span = f"from={day}&to={after}&time_zone=Europe/Berlin"

        (whole,) = lines(api, f"per=day&{span}")
        by_hour = lines(api, f"per=hour&{span}")

        assert whole["jobs"] == hours * 4
        assert [line["jobs"] for line in by_hour] == [4] * hours
        assert len({line["starts_at"] for line in by_hour}) == hours  # the hour that is shown twice is two

    def test_a_clock_that_moves_by_half_an_hour_makes_a_short_hour(self, api, acme):
        every_quarter_of(acme, "2026-04-04T13:00Z", "2026-04-04T17:00Z")  # at 15:00 UTC Lord Howe Island goes from +11 to +10:30

        found = lines(api, "per=hour&time_zone=Australia/Lord_Howe&from=2026-04-04T13:00:00Z&to=2026-04-04T17:00:00Z")

        assert [line["jobs"] for line in found] == [4, 4, 2, 4, 2]
        assert [line["starts_at"][11:] for line in found][2] == "01:30:00+10:30"

    def test_months_are_local_too(self, api, acme):
        quarter(acme, moment("2026-01-31T18:00Z"), 1)
        quarter(acme, moment("2026-01-31T18:15Z"), 10)
        found = lines(api, "per=month&from=2026-01-01&to=2026-03-01")
        assert [(line["starts_at"], line["ends_at"], line["cost_nano_usd"]) for line in found] == [
            ("2026-01-01T00:00:00+05:45", "2026-02-01T00:00:00+05:45", 1),
            ("2026-02-01T00:00:00+05:45", "2026-03-01T00:00:00+05:45", 10),
        ]

    def test_what_begins_at_to_is_not_in_it(self, api, acme):
        quarter(acme, moment("2026-03-01T12:00Z"))
        assert lines(api, "per=total&from=2026-03-01T12:00:00Z&to=2026-03-01T12:15:00Z")[0]["jobs"] == 1
        assert lines(api, "per=total&from=2026-03-01T11:00:00Z&to=2026-03-01T12:00:00Z") == []


class TestGroups:
    def test_groups_and_filters_tell_apart(self, api, acme):
        at = moment("2026-03-01T12:00Z")
        quarter(acme, at, 1, model="a", team="x", times=[100, 100, 100, 4_000])
        quarter(acme, at, 10, model="a", team="y", deployment="d", api_key_id=7)
        quarter(acme, at, 100, model="b", team="x")
        span = "per=total&from=2026-03-01&to=2026-03-03"

        by_model = lines(api, f"group_by=model&{span}")
        assert [(line["model"], line["cost_nano_usd"], line["team"]) for line in by_model] == [("a", 11, None), ("b", 100, None)]
        assert by_model[0]["latency_ms"]["p50"] == pytest.approx(100, rel=0.047)
        assert by_model[0]["latency_ms"]["p90"] == by_model[0]["latency_ms"]["p95"] == pytest.approx(4_000, rel=0.047)
        assert by_model[1]["latency_ms"] is None
        assert [line["cost_usd"] for line in lines(api, f"group_by=team&model=a&{span}")] == ["0.000000001", "0.000000010"]
        assert [line["cost_nano_usd"] for line in lines(api, f"key=7&{span}")] == [10]
        assert [line["deployment"] for line in lines(api, f"group_by=deployment&deployment=d&{span}")] == ["d"]
        assert [line["key"] for line in lines(api, f"group_by=key,team&model=a&{span}")] == [0, 7]

    @pytest.mark.parametrize("per", ["hour", "day"])
    def test_pages_give_each_line_once_and_in_order(self, api, acme, per):
        for number in range(4):
            for model in ("a", "b", "c"):
                quarter(acme, moment("2026-03-01T12:00Z") + number * dt.timedelta(days=1), number, model=model, times=[number])
        query = f"group_by=model&per={per}&from=2026-03-01&to=2026-03-20&limit=5"
        all_at_once = lines(api, query.replace("limit=5", "limit=50"))

        pages, more = [], ""
        while more is not None:
            answer = api.get(f"/api/v1/usage?{query}{more and f'&cursor={more}'}").json()
            pages.append(answer["data"])
            more = answer["next_cursor"]

        assert [len(page) for page in pages] == [5, 5, 2]
        assert [line for page in pages for line in page] == all_at_once

    def test_users_and_labels_are_counted_by_days_of_utc(self, api, acme):
        for value, kind in (("ada", "user"), ("feature=chat", "label"), ("Feature=chat", "label"), ("feature=chat/2", "label")):
            UsageDay.objects.create(tenant=acme, day="2026-03-01", dimension=kind, value=value, jobs=1, nano_usd=5)
            UsageDay.objects.create(tenant=acme, day="2026-03-02", dimension=kind, value=value, jobs=1, nano_usd=6)
        span = "from=2026-03-01&to=2026-03-03"

        (by_user, next_day) = lines(api, f"group_by=user&{span}")
        assert (by_user["user"], by_user["cost_nano_usd"], by_user["starts_at"]) == ("ada", 5, "2026-03-01T00:00:00+00:00")
        assert (by_user["succeeded"], by_user["latency_ms"], next_day["cost_nano_usd"]) == (None, None, 6)
        assert [line["label"] for line in lines(api, f"group_by=label&label=feature&per=month&{span}")] == [
            "feature:chat",
            "feature:chat/2",
        ]
        assert [line["cost_nano_usd"] for line in lines(api, f"label=feature:chat&per=total&{span}")] == [11]

        first = api.get(f"/api/v1/usage?group_by=label&limit=4&{span}").json()
        second = lines(api, f"group_by=label&limit=4&{span}&cursor={first['next_cursor']}")
        told = [(line["starts_at"], line["label"]) for line in first["data"] + second]
        assert len(set(told)) == len(told) == 6


class TestWhoMaySee:
    def test_a_tenant_sees_its_own_alone(self, api, acme):
        other = Tenant.objects.create(name="other")
        quarter(other, moment("2026-03-01T12:00Z"))
        assert lines(api, "per=total&from=2026-03-01&to=2026-03-03") == []
        problem_of(api.get("/api/v1/usage?tenant=other"), 403, "forbidden")
        problem_of(api.get("/api/v1/usage?group_by=tenant"), 403, "forbidden")

    def test_an_operator_names_a_tenant_or_tells_them_apart(self, acme):
        other = Tenant.objects.create(name="other")
        quarter(acme, moment("2026-03-01T12:00Z"), 1)
        quarter(other, moment("2026-03-01T12:00Z"), 10)
        operator = Api(issue_key(acme, "ops", is_operator=True)[1])
        span = "per=total&from=2026-03-01&to=2026-03-03"

        assert [(line["tenant"], line["cost_nano_usd"]) for line in lines(operator, f"group_by=tenant&{span}")] == [
            ("acme", 1),
            ("other", 10),
        ]
        assert [line["cost_nano_usd"] for line in lines(operator, f"tenant=other&{span}")] == [10]
        assert [line["cost_nano_usd"] for line in lines(operator, span)] == [1]
        problem_of(operator.get("/api/v1/usage?tenant=nobody"), 400, "invalid_parameter")


@pytest.mark.parametrize(
    "query",
    [
        "group_by=color",
        "group_by=model,model",
        "per=week",
        "time_zone=Mars/Olympus",
        "from=yesterday",
        "from=2026-03-02&to=2026-03-01",
        "per=hour&from=2026-01-01&to=2026-03-01",
        "from=0001-01-01",
        "to=9999-12-31T23:59:59-23:59",
        "group_by=user&time_zone=Asia/Kathmandu",
        "group_by=user&per=hour",
        "group_by=user,model",
        "user=ada&model=gpt",
        "group_by=user&label=a",
        "key=-1",
        "cursor=abc",
        "cursor=W10",
        "cursor=WyIyMDI2IiwiMjAyNiIsIjIwMjYiLCIyMDI2Il0",
        "limit=501",
        "colour=red",
        "model=%00",
    ],
)
def test_what_cannot_be_answered_is_refused(api, query):
    problem = problem_of(api.get(f"/api/v1/usage?{query}"), 400, "invalid_parameter")
    assert problem["detail"]


def ran(line, nano_usd, **fields):
    claimed = line.run(**fields)
    usage = Usage(input_tokens=9, output_tokens=11)
    settle(
        [Ended(job=claimed.job, attempt=claimed.attempt, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=nano_usd)]
    )
    line.end_in_gate(claimed, nano_usd)
    return claimed.job, claimed.attempt


@pytest.mark.parametrize("group_by", ["model,team", "key", "user", "label"])
def test_the_sum_is_the_ledgers_with_its_corrections(line, group_by):
    keys = [ran(line, 5_000 + number, user=f"u{number % 2}", team=f"t{number}", labels={"f": "x"}) for number in range(3)]
    reconcile({keys[0]: Amount(10, 8, 4_200)}, apply=True)
    api = Api(issue_key(line.acme, uuid.uuid4().hex[:8])[1])

    found = lines(api, f"group_by={group_by}&per=day")

    booked = LedgerEntry.objects.aggregate(money=Sum("nano_usd"), input=Sum("input_tokens"), output=Sum("output_tokens"))
    summed = {
        name: sum(row[field] for row in found)
        for name, field in (("money", "cost_nano_usd"), ("input", "input_tokens"), ("output", "output_tokens"))
    }
    assert summed == booked
    assert sum(row["jobs"] for row in found) == 3
