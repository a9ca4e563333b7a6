import datetime as dt
import threading
import uuid

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import ProtectedError
from django.db.models.signals import post_save
from django.utils import timezone

from rateguard.engine import money
from rateguard.engine.money import MAX_BUDGET_NANO_USD
from tenants.keys import find_key, issue_key, revoke_key
from tenants.models import (
    ApiKey,
    Budget,
    ConfigVersion,
    Deployment,
    GateEpoch,
    LedgerEntry,
    LedgerUnchangeable,
    Limit,
    ModelRoute,
    Pause,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    Tenant,
    UsageDay,
    UsageQuarter,
    UsageQuarterBin,
)
from tenants.prices import FROM_THE_START, load_prices, price_for, prices_at
from tenants.signals import configuration_changed

pytestmark = pytest.mark.django_db

RACERS, TURNS = 8, 10

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


@pytest.fixture
def tenant():
    return Tenant.objects.create(name="acme")


@pytest.fixture
def scope(tenant):
    return Scope.objects.create(kind="tenant", tenant=tenant)


@pytest.fixture
def account():
    return ProviderAccount.objects.create(name="main", provider="openai", base_url="https://api.example.com/v1")


@pytest.fixture
def deployment(account):
    return Deployment.objects.create(account=account, name="mini", upstream_model="gpt-5.4-mini")


def entry(tenant, **fields):
    return LedgerEntry.objects.create(**{"tenant": tenant, "reservation_id": uuid.uuid4(), "attempt": 1, "kind": "charge", **fields})


def refused(make):
    with pytest.raises(IntegrityError), transaction.atomic():
        make()


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
        assert load_prices() == Price.objects.filter(valid_from=FROM_THE_START).count() == 69

    def test_a_list_price_is_exact(self):
        load_prices()
        assert price_for("openai", "gpt-6-astra", NOON) == money.Price(
            input_pico=10_000_000, cached_input_pico=1_000_000, cache_write_pico=12_500_000, output_pico=50_000_000
        )

    def test_tokens_of_the_cache_cost_what_input_costs_where_no_price_is_named(self):
        load_prices()
        without = [row for row in Price.objects.all() if row.cached_input_pico == row.cache_write_pico == row.input_pico]
        assert without

    def test_loading_again_puts_a_shipped_price_right_and_adds_none(self):
        load_prices()
        Price.objects.filter(model="gpt-6-astra").update(input_pico=1)
        load_prices()
        assert Price.objects.count() == 69
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


def rows_of_every_configuration_model():
    tenant = Tenant.objects.create(name="other")
    scope = Scope.objects.create(kind="tenant", tenant=tenant)
    account = ProviderAccount.objects.create(name="account", provider="openai", base_url="https://api.example.com")
    deployment = Deployment.objects.create(account=account, name="deployment", upstream_model="m")
    route = ModelRoute.objects.create(name="m")
    return [
        issue_key(tenant, "ci")[0],
        RouteTarget.objects.create(route=route, deployment=deployment),
        Limit.objects.create(scope=scope, metric="requests", amount=1, window_ms=1_000),
        Budget.objects.create(scope=scope, amount=1),
        Price.objects.create(provider="sim", model="m", valid_from=NOON),
        Pause.objects.create(target_kind="all"),
        route,
        deployment,
        account,
        scope,
        tenant,
    ]


class TestConfiguration:
    def test_every_save_and_every_deletion_raises_the_version(self):
        rows = rows_of_every_configuration_model()
        for row in rows:
            before = ConfigVersion.current()
            row.save()
            assert ConfigVersion.current() == before + 1, row
        for row in rows:
            before = ConfigVersion.current()
            row.delete()
            assert ConfigVersion.current() > before, row

    @pytest.mark.parametrize(
        "change",
        [
            lambda: Tenant.objects.filter(name="acme").update(weight=2),
            lambda: Tenant.objects.bulk_create([Tenant(name="b"), Tenant(name="c")]),
            lambda: Tenant.objects.bulk_update([Tenant(pk=Tenant.objects.get().pk, weight=5)], ["weight"]),
            lambda: Tenant.objects.filter(name="acme").delete(),
            lambda: Tenant.objects.update_or_create(name="acme", defaults={"weight": 3}),
        ],
    )
    def test_changes_of_many_rows_raise_it_too(self, tenant, change):
        before = ConfigVersion.current()
        change()
        assert ConfigVersion.current() > before

    def test_a_change_that_is_rolled_back_raises_nothing(self, tenant):
        before = ConfigVersion.current()

        def change_and_fail():
            tenant.save()
            Tenant.objects.create(name="acme")

        refused(change_and_fail)
        assert ConfigVersion.current() == before

    def test_a_change_is_told_on_commit_with_the_row_and_the_version(self, tenant, django_capture_on_commit_callbacks):
        heard = []

        def hear(sender, instance, version, pk, is_deleted, **_):
            heard.append((sender, instance, version, pk, is_deleted))

        configuration_changed.connect(hear)
        pk, version = tenant.pk, ConfigVersion.current()
        try:
            with django_capture_on_commit_callbacks(execute=True):
                tenant.save()
                Tenant.objects.update(weight=7)
                tenant.delete()
                assert heard == []
        finally:
            configuration_changed.disconnect(hear)
        assert heard == [
            (Tenant, tenant, version + 1, pk, False),
            (Tenant, None, version + 2, None, False),
            (Tenant, tenant, version + 3, pk, True),
        ]

    def test_revoking_a_key_raises_it_so_that_no_process_goes_on_believing_the_key(self, tenant):
        key, _ = issue_key(tenant, "ci")
        before = ConfigVersion.current()
        revoke_key(key)
        assert ConfigVersion.current() == before + 1

    def test_a_listener_that_fails_undoes_and_disturbs_nothing(self, tenant, django_capture_on_commit_callbacks, caplog):
        def fail(**_):
            raise ConnectionError("the gate is away")

        configuration_changed.connect(fail)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                Tenant.objects.update(weight=9)
        finally:
            configuration_changed.disconnect(fail)
        assert Tenant.objects.get().weight == 9
        assert "the gate is away" in caplog.text

    def test_there_is_one_row_of_each_number(self):
        GateEpoch.increase()
        refused(lambda: GateEpoch.objects.create(id=2))
        refused(lambda: ConfigVersion.objects.create(id=2))


@pytest.mark.django_db(transaction=True)
class TestCommits:
    def test_numbers_raised_by_racers_are_all_different_even_where_the_row_is_missing(self):
        GateEpoch.objects.all().delete()
        raised, together = [], threading.Barrier(RACERS)

        def race():
            try:
                GateEpoch.current()  # the connection is open before the race begins
                together.wait(timeout=30)
                raised.extend([GateEpoch.increase() for _ in range(TURNS)])
            finally:
                connections.close_all()

        racers = [threading.Thread(target=race) for _ in range(RACERS)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(timeout=60)
        assert sorted(raised) == list(range(1, RACERS * TURNS + 1))

    def test_a_row_and_its_version_commit_together(self):
        def fail_after_the_version(**_):
            raise InterruptedError

        post_save.connect(fail_after_the_version, sender=Tenant)
        before = ConfigVersion.current()
        try:
            with pytest.raises(InterruptedError):
                Tenant.objects.create(name="acme")
        finally:
            post_save.disconnect(fail_after_the_version, sender=Tenant)
        assert (Tenant.objects.count(), ConfigVersion.current()) == (0, before)
