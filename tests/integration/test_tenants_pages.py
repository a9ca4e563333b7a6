"""The pages of tenants: their figures are the ledger's, in the tenant's own days; nobody sees another's; what they cost to load."""

import datetime as dt
import itertools
import json
import re
import uuid
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from dashboard.queries.quotas import read_quotas
from dashboard.queries.spans import CHOICES, chosen
from dashboard.queries.tenant import DIMENSIONS, read_figures
from dashboard.queries.tenants import list_tenants
from rateguard.engine.histogram import bin_of
from rateguard.engine.money import Usage, format_usd
from rateguard.jobs.attempts.settle import Ended, settle
from rateguard.jobs.states import SUCCEED, AttemptState
from rateguard.jobs.upkeep.bill import Amount
from rateguard.jobs.upkeep.reconcile import reconcile
from tenants.access import access_of
from tenants.models import Budget, LedgerEntry, Measure, Member, Scope, Tenant, UsageDay, UsageQuarter, UsageQuarterBin
from tenants.usage import past
from tenants.usage.tally import Tally

KATHMANDU, NEW_YORK = ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/New_York")
QUARTER = dt.timedelta(minutes=15)


@pytest.fixture
def acme(db):
    return Tenant.objects.create(name="acme", time_zone="Asia/Kathmandu")


def person(name, tenant=None, role="viewer"):
    if tenant is None:
        return get_user_model().objects.create_superuser(name)
    user = get_user_model().objects.create_user(name)
    Member.objects.create(user=user, tenant=tenant, role=role)
    return user


def browser(user):
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def used(tenant, starts_at, nano_usd, *, times=(), **fields):
    """A quarter of the rollups with the ledger entry behind it."""
    named = {"model": "gpt", "deployment": "d", "team": "", "api_key_id": 0, **fields}
    row = UsageQuarter.objects.create(
        tenant=tenant,
        starts_at=starts_at,
        jobs=1,
        succeeded=1,
        input_tokens=30,
        cached_tokens=10,
        output_tokens=5,
        nano_usd=nano_usd,
        **named,
    )
    for value in times:
        UsageQuarterBin.objects.create(quarter=row, measure=Measure.LATENCY_MS, bin=bin_of(value), count=1)
    LedgerEntry.objects.create(
        tenant=tenant, reservation_id=uuid.uuid4(), attempt=1, kind="charge", nano_usd=nano_usd, created_at=starts_at, **named
    )


def ledger(tenant, period):
    found = LedgerEntry.objects.filter(tenant=tenant, created_at__gte=period.start, created_at__lt=period.end)
    return found.aggregate(sum=Sum("nano_usd"))["sum"] or 0


class TestTheListOfTenants:
    def test_today_and_this_month_begin_in_each_tenants_own_zone(self, acme):
        york = Tenant.objects.create(name="york", time_zone="America/New_York")
        now = timezone.now()
        for tenant, zone in ((acme, KATHMANDU), (york, NEW_YORK)):
            today = dt.datetime.combine(now.astimezone(zone).date(), dt.time(), zone)
            month = today.replace(day=1)
            for power, moment in enumerate((today, today - QUARTER, month, month - QUARTER)):
                used(tenant, moment, 10**power, model=f"m{power}")

        lines = {line.name: line for line in list_tenants(access_of(person("maria"))).lines}

        for tenant, zone in ((acme, KATHMANDU), (york, NEW_YORK)):
            today = dt.datetime.combine(now.astimezone(zone).date(), dt.time(), zone)
            line = lines[tenant.name]
            assert line.zone == zone
            for found, start in ((line.today, today), (line.month, today.replace(day=1))):
                entries = LedgerEntry.objects.filter(tenant=tenant, created_at__gte=start).aggregate(sum=Sum("nano_usd"))
                assert found.nano_usd == entries["sum"]
            assert line.today.nano_usd % 100 // 10 == 0  # the quarter before midnight is yesterday's

    def test_a_line_says_share_against_weight_times_and_use_of_budgets(self, acme):
        heavy = Tenant.objects.create(name="heavy", weight=3)
        Tenant.objects.create(name="idle", weight=5)
        now = timezone.now()
        recent = past.quarter_of(now)
        for model in ("a", "b", "c"):
            used(acme, recent, 1_000_000_000, model=model, times=(100, 4_000))
        used(heavy, recent, 5)
        Budget.objects.create(scope=Scope.objects.create(kind="tenant", tenant=acme), amount=10**10, period="month")

        listing = list_tenants(access_of(person("maria")), sort="cost")

        assert [line.name for line in listing.lines] == ["acme", "heavy", "idle"]
        first, second, third = listing.lines
        assert (first.token_share, first.weight_share) == (0.75, 0.25)
        assert (second.token_share, second.weight_share) == (0.25, 0.75)
        assert third.token_share is None
        assert [(one.period, one.share) for one in first.budgets] == [("month", 0.3)]
        assert listing.total.nano_usd == LedgerEntry.objects.aggregate(sum=Sum("nano_usd"))["sum"]
        page = browser(get_user_model().objects.get()).get("/dashboard/tenants?q=acm").content.decode()
        for text in ("got 75 %", "weight says 25 %", "30 % of $10.00", "Asia/Kathmandu", "p90 3", "p99 3"):
            assert text in page
        assert "heavy" not in page

    def test_a_member_sees_the_own_tenants_and_nothing_of_all(self, acme):
        used(Tenant.objects.create(name="other"), past.quarter_of(timezone.now()), 77)
        listing = list_tenants(access_of(person("ada", acme)))
        assert ([line.name for line in listing.lines], listing.total, listing.count) == (["acme"], None, 1)
        page = browser(get_user_model().objects.get(username="ada")).get("/dashboard/tenants")
        assert page.status_code == 200
        assert b"other" not in page.content
        assert b"Share of tokens" not in page.content

    def test_pages_hold_each_tenant_once(self, db):
        Tenant.objects.bulk_create([Tenant(name=f"t{number:03}") for number in range(60)])
        access = access_of(person("maria"))
        for sort in ("name", "latency"):
            names = [line.name for number in (1, 2, 3) for line in list_tenants(access, sort=sort, number=number).lines]
            assert names == [f"t{number:03}" for number in range(60)]
        assert list_tenants(access, number=99).number == 3


class TestATenantsPage:
    def test_every_sum_is_the_ledgers_with_its_corrections(self, line):
        ended = [ran(line, 5_000 + number, user=f"u{number % 2}", team=f"t{number}", labels={"f": "x"}) for number in range(3)]
        reconcile({ended[0]: Amount(10, 8, 4_200)}, apply=True)
        line.acme.time_zone = "Asia/Kathmandu"
        line.acme.save()
        booked = LedgerEntry.objects.aggregate(money=Sum("nano_usd"), inside=Sum("input_tokens"), outside=Sum("output_tokens"))
        client = browser(person("maria"))

        for span, dimension in itertools.product(CHOICES, DIMENSIONS):
            figures = read_figures(line.acme, span, dimension)
            for tallies in ([figures.total], figures.parts.values(), figures.overall.by_piece(), figures.split.by_piece()):
                found = sum(tallies, Tally())
                assert (found.nano_usd, found.input_tokens, found.output_tokens, found.jobs) == (*booked.values(), 3), (span, dimension)
        for dimension in DIMENSIONS:
            page = client.get(f"/dashboard/tenants/acme?by={dimension}&span=7d").content.decode()
            assert format_usd(booked["money"]) in page
            assert ("UTC" if dimension in {"user", "label"} else "Asia/Kathmandu") in page

    @pytest.mark.parametrize("span", list(CHOICES))
    def test_a_span_is_of_whole_pieces_of_the_tenants_zone_and_so_is_the_one_before(self, acme, span):
        now = timezone.now()
        asked = chosen(span, KATHMANDU, now)
        for power, moment in enumerate(
            (asked.period.start, asked.period.start - QUARTER, asked.before.start, asked.before.start - QUARTER)
        ):
            used(acme, moment, 10**power, model=f"m{power}")
        used(acme, past.quarter_of(now), 10**5, model="m5")

        figures = read_figures(acme, span, "model")

        assert figures.total.nano_usd == ledger(acme, asked.period) >= 10**5
        assert figures.overall.by_piece()[0].nano_usd % 10 == 1
        assert figures.overall.by_piece()[-1].nano_usd >= 10**5
        assert figures.overall.before.nano_usd == ledger(acme, asked.before)
        assert {piece.start.astimezone(KATHMANDU).minute for piece in figures.overall.pieces} == {0}

    def test_what_is_past_is_read_once_and_what_comes_is_added(self, acme):
        now = timezone.now()
        used(acme, past.quarter_of(now) - 8 * QUARTER, 7)
        person("maria")
        first = read_figures(acme, "7d", "model")
        used(acme, past.quarter_of(now), 11)
        with CaptureQueriesContext(connection) as seen:
            second = read_figures(acme, "7d", "model")
        assert (first.total.nano_usd, second.total.nano_usd) == (7, 18)
        assert len(seen) == 2

    def test_the_dearest_stand_apart_and_the_others_together(self, acme):
        now = past.quarter_of(timezone.now())
        for number in range(14):
            used(acme, now - QUARTER * (number % 2) * 4, 10**number, model=f"m{number:02}", times=(100 * number,))
        figures = read_figures(acme, "7d", "model")
        assert list(figures.parts) == [f"m{number:02}" for number in range(13, 3, -1)] + [None]
        assert figures.parts[None].nano_usd == 1_111
        page = browser(person("maria")).get("/dashboard/tenants/acme?span=7d").content.decode()
        data = json.loads(re.search(r'<script id="cost-data" type="application/json">(.*?)</script>', page)[1])
        assert len(data["series"]) == 8
        assert sum(value for one in data["series"] for value in one["values"]) == pytest.approx(sum(10**n for n in range(14)) / 10**9)

    def test_users_rest_is_what_nobody_is_named_for(self, acme):
        today = past.quarter_of(timezone.now())
        used(acme, today, 100)
        UsageDay.objects.create(tenant=acme, day=today.date(), dimension="user", value="ada", jobs=0, nano_usd=60)
        figures = read_figures(acme, "7d", "user")
        assert {part: tally.nano_usd for part, tally in figures.parts.items()} == {"ada": 60, None: 40}
        assert figures.span.zone.key == "UTC"

    def test_who_may_look_sees_figures_and_who_manages_sees_people(self, acme):
        page = browser(person("vera", acme)).get("/dashboard/tenants/acme")
        assert page.status_code == 200
        assert b"Members and keys" not in page.content
        assert b"acme has had no job yet" in page.content
        page = browser(person("adam", acme, "admin")).get("/dashboard/tenants/acme").content.decode()
        assert "Members and keys" in page
        assert "vera" in page

    def test_anothers_tenant_is_not_there(self, acme):
        client = browser(person("olga", Tenant.objects.create(name="other"), "owner"))
        assert client.get("/dashboard/tenants/acme").status_code == 404
        assert client.get("/dashboard/tenants/nobody").status_code == 404

    @pytest.mark.parametrize("query", ["span=1y", "by=color", "zone=Mars/Olympus", "zone=%00", "span=%00"])
    def test_what_is_not_there_to_choose_is_refused_with_the_choices(self, acme, query):
        answer = browser(person("vera", acme)).get(f"/dashboard/tenants/acme?{query}")
        assert answer.status_code == 400
        assert b"notice" in answer.content or b"This cannot be done" in answer.content

    def test_another_zone_may_be_asked_for(self, acme):
        used(acme, past.quarter_of(timezone.now()), 5)
        assert "America/New_York" in browser(person("vera", acme)).get("/dashboard/tenants/acme?zone=America/New_York").content.decode()

    @pytest.mark.parametrize("query", ["sort=color", "page=0", "page=abc", "page=²"])
    def test_a_list_that_cannot_be_is_refused(self, acme, query):
        assert browser(person("vera", acme)).get(f"/dashboard/tenants?{query}").status_code == 400

    def test_without_the_gate_budgets_show_what_was_booked(self, acme):
        now = timezone.now()
        used(acme, past.quarter_of(now), 300, team="ml")
        used(acme, past.quarter_of(now), 200, model="other")
        of_tenant, of_team, of_user = (
            Scope.objects.create(kind=kind, tenant=acme, name=name) for kind, name in (("tenant", ""), ("team", "ml"), ("user", "ada"))
        )
        for scope, period in ((of_tenant, "total"), (of_team, "week"), (of_user, "day")):
            Budget.objects.create(scope=scope, amount=1_000, period=period)
        Budget.objects.create(scope=Scope.objects.create(kind="tenant", name="*"), amount=50, period="total")  # the own one stands instead
        LedgerEntry.objects.create(tenant=acme, reservation_id=uuid.uuid4(), attempt=1, kind="charge", nano_usd=40, user="ada")

        found = read_quotas(acme)

        assert not found.is_live
        assert [(one.on, one.used) for one in found.budgets] == [("this tenant", 500), ("team ml", 300), ("user ada", 40)]
        assert found.budgets[0].begins_at is None
        assert found.budgets[2].begins_at.astimezone(KATHMANDU).time() == dt.time()


def test_budgets_are_told_by_the_gate_where_it_answers(line):
    Budget.objects.create(scope=Scope.objects.create(kind="tenant", name="*"), amount=10**9, period="day")
    ran(line, 5_000)
    (own,) = [one for one in read_quotas(line.acme).budgets if one.on == "every tenant"]
    assert (own.used, own.reserved) == (5_000, 0)


@pytest.mark.parametrize("role", [None, "owner"])
def test_pages_cost_few_statements(acme, role):
    for number in range(30):
        used(Tenant.objects.create(name=f"t{number}"), past.quarter_of(timezone.now()), number)
    used(acme, past.quarter_of(timezone.now()), 5, api_key_id=3)
    client = browser(person("maria", acme if role else None, role))
    for page in ("tenants", "tenants?sort=cost", "tenants?sort=latency", "tenants/acme?span=30d&by=key", "tenants/acme?by=user"):
        client.get(f"/dashboard/{page}")
        with CaptureQueriesContext(connection) as seen:
            assert client.get(f"/dashboard/{page}").status_code == 200
        assert len(seen) <= 15, page


def ran(line, nano_usd, **fields):
    claimed = line.run(**fields)
    usage = Usage(input_tokens=9, output_tokens=11)
    settle(
        [Ended(job=claimed.job, attempt=claimed.attempt, state=AttemptState.SUCCEEDED, transition=SUCCEED, usage=usage, nano_usd=nano_usd)]
    )
    line.end_in_gate(claimed, nano_usd)
    return claimed.job, claimed.attempt
