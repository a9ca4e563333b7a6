"""What the tables of tenants refuse, keep and find."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import uuid

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from rateguard.engine import money
from rateguard.engine.money import MAX_BUDGET_NANO_USD
from tenants.keys import find_key, issue_key, revoke_key
from tenants.models import (
    ApiKey,
    Budget,
    Deployment,
    LedgerEntry,
    LedgerUnchangeable,
    Limit,
    ModelRoute,
    Price,
    RouteTarget,
    Scope,
    Tenant,
    UsageDay,
    UsageQuarter,
    UsageQuarterBin,
)
from tenants.prices import FROM_THE_START, load_prices, price_for, prices_at
from tests.owned import account, deployment, entry, refused, scope, tenant  # noqa: F401

pytestmark = pytest.mark.django_db


NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


class TestConstraints:
    @pytest.mark.parametrize("fields", [{"name": ""}, {"name": "acme"}, {"weight": 0}, {"weight": 1_001}, {"status": "gone"}])
    def test_a_tenant_has_a_name_of_its_own_a_weight_and_a_status(self, tenant, fields):
        refused(lambda: Tenant.objects.create(**{"name": "other", **fields}))

    def test_a_scope_is_once_a_tenant_and_the_global_one_once(self, tenant, scope):
        Scope.objects.create(kind="global")
        Scope.objects.create(kind="team", tenant=tenant, name="red")
        refused(lambda: Scope.objects.create(kind="global"))
        refused(lambda: Scope.objects.create(kind="tenant", tenant=tenant))
        refused(lambda: Scope.objects.create(kind="team", tenant=tenant, name="red"))

    @pytest.mark.parametrize(
        "fields", [{"kind": "team"}, {"kind": "tenant", "name": "x"}, {"kind": "galaxy", "name": "x"}, {"kind": "run", "name": "x"}]
    )
    def test_a_scope_has_a_name_exactly_where_its_kind_needs_one(self, tenant, fields):
        refused(lambda: Scope.objects.create(tenant=tenant, **fields))

    def test_only_the_global_scope_has_no_tenant(self, tenant):
        refused(lambda: Scope.objects.create(kind="global", tenant=tenant))
        refused(lambda: Scope.objects.create(kind="team", name="red"))

    def test_a_limit_is_on_exactly_one_thing(self, scope, account, deployment):
        value = {"metric": "tokens", "amount": 280_000, "window_ms": 10_000}
        Limit.objects.create(scope=scope, **value)
        Limit.objects.create(account=account, **value)
        Limit.objects.create(deployment=deployment, **value)
        refused(lambda: Limit.objects.create(**value))
        refused(lambda: Limit.objects.create(scope=scope, account=account, **value))
        refused(lambda: Limit.objects.create(account=account, deployment=deployment, **value))

    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": 0},
            {"amount": 4_000_000_001},
            {"metric": "apples"},
            {"window_ms": 99},
            {"window_ms": 31 * 86_400_000 + 1},
            {"burst_permille": 0},
            {"burst_permille": 1_001},
            {"kind": "sieve"},
            {"kind": "bucket", "amount": 99, "burst_permille": 10},
            {"kind": "bucket", "window_ms": 0},
            {"reserve_permille": 100},
            {"reserve_lane": 2},
            {"reserve_permille": 901, "reserve_lane": 2},
            {"reserve_permille": 100, "reserve_lane": 5},
            {"kind": "concurrency", "window_ms": 0},
            {"metric": "concurrency"},
            {"metric": "concurrency", "kind": "concurrency", "window_ms": 1_000},
        ],
    )
    def test_a_limit_that_means_nothing_is_refused(self, scope, fields):
        refused(lambda: Limit.objects.create(**{"scope": scope, "metric": "requests", "amount": 600, "window_ms": 60_000, **fields}))

    def test_concurrency_has_no_window(self, scope):
        Limit.objects.create(scope=scope, metric="concurrency", kind="concurrency", amount=50)

    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": -1},
            {"amount": MAX_BUDGET_NANO_USD + 1},
            {"unit": "apples"},
            {"period": "blue moon"},
            {"on_exhausted": "borrow"},
            {"on_exhausted": "downgrade"},
        ],
    )
    def test_a_budget_is_one_that_the_gate_can_count(self, scope, fields):
        refused(lambda: Budget.objects.create(**{"scope": scope, "amount": MAX_BUDGET_NANO_USD, **fields}))

    def test_a_scope_has_one_budget_a_period_and_unit(self, scope):
        Budget.objects.create(scope=scope, amount=0)
        Budget.objects.create(scope=scope, amount=0, unit="tokens")
        Budget.objects.create(scope=scope, amount=0, period="day")
        refused(lambda: Budget.objects.create(scope=scope, amount=1))

    def test_an_account_with_deployments_cannot_be_deleted(self, deployment):
        with pytest.raises(ProtectedError):
            deployment.account.delete()

    def test_a_route_asks_a_deployment_once_and_one_a_position(self, account, deployment):
        route = ModelRoute.objects.create(name="gpt-5.4-mini")
        other = Deployment.objects.create(account=account, name="other", upstream_model="x")
        RouteTarget.objects.create(route=route, deployment=deployment, position=0)
        refused(lambda: RouteTarget.objects.create(route=route, deployment=deployment, position=1))
        refused(lambda: RouteTarget.objects.create(route=route, deployment=other, position=0))

    def test_a_rollup_has_one_row_a_key(self, tenant):
        quarter = UsageQuarter.objects.create(tenant=tenant, model="m", starts_at=NOON)
        UsageQuarterBin.objects.create(quarter=quarter, measure=1, bin=20, count=1)
        UsageDay.objects.create(tenant=tenant, day=NOON.date(), dimension="user", value="ann")
        refused(lambda: UsageQuarter.objects.create(tenant=tenant, model="m", starts_at=NOON))
        refused(lambda: UsageQuarterBin.objects.create(quarter=quarter, measure=1, bin=20, count=1))
        refused(lambda: UsageQuarterBin.objects.create(quarter=quarter, measure=9, bin=20, count=1))
        refused(lambda: UsageDay.objects.create(tenant=tenant, day=NOON.date(), dimension="user", value="ann"))


class TestLedger:
    def test_an_attempt_has_one_charge_and_any_number_of_corrections(self, tenant):
        first = entry(tenant, nano_usd=750)
        for nano_usd in (-10, 5):
            entry(tenant, kind="correction", nano_usd=nano_usd, input_tokens=-3, reservation_id=first.reservation_id)
        entry(tenant, reservation_id=first.reservation_id, attempt=2)
        refused(lambda: entry(tenant, reservation_id=first.reservation_id))

    def test_a_charge_is_never_negative(self, tenant):
        refused(lambda: entry(tenant, nano_usd=-1))

    def test_an_entry_is_never_changed(self, tenant):
        stored = entry(tenant, nano_usd=750)
        fetched = LedgerEntry.objects.get()
        fetched.nano_usd = 1
        ways = [
            stored.save,
            fetched.save,
            stored.delete,
            LedgerEntry.objects.all().delete,
            lambda: LedgerEntry.objects.filter(pk=stored.pk).update(nano_usd=1),
            lambda: tenant.ledger_entries.update(nano_usd=1),
            lambda: LedgerEntry.objects.bulk_update([fetched], ["nano_usd"]),
            lambda: LedgerEntry.objects.update_or_create(pk=stored.pk, defaults={"nano_usd": 1}),
            lambda: LedgerEntry.objects.bulk_create([fetched], update_conflicts=True, unique_fields=["pk"], update_fields=["nano_usd"]),
            LedgerEntry(pk=stored.pk, tenant=tenant, reservation_id=uuid.uuid4(), attempt=1, kind="credit").save,
        ]
        for way in ways:
            with pytest.raises((LedgerUnchangeable, IntegrityError)), transaction.atomic():
                way()
        assert LedgerEntry.objects.get().nano_usd == 750

    def test_a_tenant_with_entries_cannot_be_deleted(self, tenant):
        entry(tenant)
        with pytest.raises(ProtectedError):
            tenant.delete()

    def test_the_database_says_when(self, tenant):
        stored = entry(tenant)
        stored.refresh_from_db()
        assert abs(stored.created_at - timezone.now()) < dt.timedelta(minutes=1)


class TestKeys:
    def test_a_key_is_found_by_its_secret_with_its_tenant(self, tenant, django_assert_num_queries):
        key, secret = issue_key(tenant, "ci", is_operator=True)
        with django_assert_num_queries(1):
            found = find_key(secret)
            assert (found, found.tenant, found.is_operator) == (key, tenant, True)

    def test_a_secret_is_long_random_and_stored_nowhere(self, tenant):
        key, secret = issue_key(tenant, "ci")
        assert (len(secret), secret[:3], key.prefix) == (43, "rg_", secret[:12])
        with connection.cursor() as cursor:
            cursor.execute("select * from rateguard_tenants_apikey")
            assert secret not in str(cursor.fetchall())
        assert secret not in repr(key) + str(vars(key))

    def test_what_is_no_secret_finds_nothing_at_the_same_cost(self, tenant, django_assert_num_queries):
        key, secret = issue_key(tenant, "ci")
        for wrong in ("", "rg_", secret[:-1], secret + "a", key.digest, key.prefix, "\x00", "ü" * 100):
            with django_assert_num_queries(1):
                assert find_key(wrong) is None

    def test_an_expired_key_finds_nothing(self, tenant):
        _, late = issue_key(tenant, "late", expires_at=timezone.now() - dt.timedelta(seconds=5))
        _, early = issue_key(tenant, "early", expires_at=timezone.now() + dt.timedelta(minutes=5))
        assert find_key(late) is None
        assert find_key(early) is not None

    def test_a_revoked_key_finds_nothing_and_keeps_the_time(self, tenant):
        key, secret = issue_key(tenant, "ci")
        revoke_key(key)
        first = ApiKey.objects.get().revoked_at
        revoke_key(key)
        assert find_key(secret) is None
        assert ApiKey.objects.get().revoked_at == first is not None

    def test_the_key_of_a_paused_tenant_finds_nothing(self, tenant):
        _, secret = issue_key(tenant, "ci")
        Tenant.objects.update(status="paused")
        assert find_key(secret) is None


class TestPrices:
    def test_the_shipped_prices_are_there(self):
        assert load_prices() == Price.objects.filter(valid_from=FROM_THE_START).count() == 78

    def test_a_list_price_is_exact(self):
        load_prices()
        found = price_for("openai", "gpt-6-astra", NOON)
        assert (found.input_pico, found.cached_input_pico, found.cache_write_pico, found.output_pico) == (
            10_000_000, 1_000_000, 12_500_000, 50_000_000,
        )  # fmt: skip
        assert (found.cache_write_long_pico, found.at("priority").output_pico, found.search_nano_usd) == (
            25_000_000,
            100_000_000,
            10_000_000,
        )

    def test_tokens_of_the_cache_cost_what_input_costs_where_no_price_is_named(self):
        load_prices()
        without = [row for row in Price.objects.all() if row.cached_input_pico == row.cache_write_pico == row.input_pico]
        assert without

    def test_loading_again_puts_a_shipped_price_right_and_adds_none(self):
        load_prices()
        Price.objects.filter(model="gpt-6-astra").update(input_pico=1)
        load_prices()
        assert Price.objects.count() == 78
        assert price_for("openai", "gpt-6-astra", NOON).input_pico == 10_000_000

    def test_a_later_price_holds_from_its_moment_on(self):
        for moment, pico in ((NOON, 2), (NOON - dt.timedelta(days=1), 1)):
            Price.objects.create(provider="sim", model="m", valid_from=moment, input_pico=pico)
        moments = (NOON - dt.timedelta(days=2), NOON - dt.timedelta(seconds=1), NOON, NOON + dt.timedelta(days=1))
        expected = [None, money.Price(input_pico=1), money.Price(input_pico=2), money.Price(input_pico=2)]
        assert [price_for("sim", "m", moment) for moment in moments] == expected
        assert [prices_at(moment).get(("sim", "m")) for moment in moments] == expected

    def test_an_unknown_model_has_no_price(self):
        assert price_for("openai", "gpt-0", NOON) is None
