"""Runs, pauses, scopes' names, breakers: what the tables hold, and what a form says of what they do not."""

import datetime as dt
import uuid

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection
from django.db.models import ProtectedError
from django.utils import timezone

from tenants.keys import issue_key
from tenants.models import (
    Budget,
    Deployment,
    ForcedBreaker,
    Forgotten,
    GateEvent,
    Limit,
    ModelRoute,
    Pause,
    ProviderAccount,
    Run,
    Scope,
    Tenant,
    runs,
)
from tests.owned import refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant():
    return Tenant.objects.create(name="acme")


@pytest.fixture
def deployment():
    account = ProviderAccount.objects.create(name="main", provider="openai", base_url="https://api.example.com/v1")
    return Deployment.objects.create(account=account, name="mini", upstream_model="gpt-5.4-mini")


def told(row):
    """What a form says of a row."""
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    return " ".join(caught.value.messages)


class TestScopes:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"kind": "tenant", "name": "*"}, "name the tenant"),
            ({"kind": "user", "name": "*", "weight": 2}, "only a named user has a weight"),
            ({"kind": "team", "name": "red", "weight": 2}, "only a named user has a weight"),
            ({"kind": "user", "name": "ann", "weight": 1_001}, "from 1 to 1000"),
            ({"kind": "user"}, "every other kind needs one, * for all"),
        ],
    )
    def test_a_scope_that_means_nothing_is_refused_and_a_form_says_what_to_do(self, tenant, fields, said):
        assert said in told(Scope(tenant=tenant, **fields))
        refused(lambda: Scope.objects.create(tenant=tenant, **fields))

    def test_every_kind_of_a_tenant_may_have_a_default_and_so_may_all_tenants(self, tenant):
        for kind in ("team", "rolegroup", "role", "user", "key"):
            Scope(tenant=tenant, kind=kind, name="*").full_clean()
        Scope(kind="tenant", name="*").full_clean()
        Scope.objects.create(kind="tenant", name="*")
        Scope.objects.create(kind="global")
        refused(lambda: Scope.objects.create(kind="tenant", name="*"))

    def test_a_key_is_named_by_the_id_of_one_of_the_tenants(self, tenant):
        key, _ = issue_key(tenant, "ci")
        stranger, _ = issue_key(Tenant.objects.create(name="other"), "ci")
        Scope(tenant=tenant, kind="key", name=str(key.pk)).full_clean()
        for name in ("ci", str(stranger.pk)):
            assert "name a key by its id" in told(Scope(tenant=tenant, kind="key", name=name))

    def test_a_time_zone_is_one_that_there_is(self):
        assert "Europe/Berlin" in told(Tenant(name="acme", time_zone="Berlin"))


class TestLimits:
    def test_a_form_says_how_to_put_a_limit_right(self, tenant, deployment):
        scope = Scope.objects.create(tenant=tenant, kind="tenant")
        fields = {"scope": scope, "metric": "requests", "amount": 5, "window_ms": 60_000}
        assert "name one of them" in told(Limit(**fields, deployment=deployment))
        assert "raise its burst" in told(Limit(**fields, kind="bucket", burst_permille=100))
        assert "set both or none" in told(Limit(**fields, reserve_permille=100))
        Limit.objects.create(**fields)
        assert "change that one" in told(Limit(**fields))

    def test_a_window_and_a_bucket_may_stand_beside_each_other(self, tenant):
        scope = Scope.objects.create(tenant=tenant, kind="tenant")
        for kind in ("window", "bucket"):
            Limit(scope=scope, kind=kind, metric="requests", amount=5, window_ms=60_000).full_clean()


class TestBudgets:
    @pytest.mark.parametrize("thresholds", ["50", [0], [101], [80, 50], [50, 50], [True], [1.5], list(range(1, 12))])
    def test_thresholds_are_a_few_rising_per_cents(self, tenant, thresholds):
        scope = Scope.objects.create(tenant=tenant, kind="tenant")
        assert "like [50, 80, 100]" in told(Budget(scope=scope, amount=1, thresholds=thresholds))

    def test_a_budget_downgrades_to_exactly_one_model(self, tenant):
        scope, small = Scope.objects.create(tenant=tenant, kind="tenant"), ModelRoute.objects.create(name="small")
        assert "names the cheaper model" in told(Budget(scope=scope, amount=1, on_exhausted="downgrade"))
        refused(lambda: Budget.objects.create(scope=scope, amount=1, downgrade_to=small))
        Budget.objects.create(scope=scope, amount=1, on_exhausted="downgrade", downgrade_to=small)
        with pytest.raises(ProtectedError):
            small.delete()


class TestRuns:
    def test_runs_lie_in_each_other_four_deep_and_know_their_lineage(self, tenant, django_assert_num_queries):
        lineage, parent = [], None
        for _ in range(4):
            parent = Run.objects.create(tenant=tenant, parent=parent)
            lineage.append(parent.pk)
        with django_assert_num_queries(1):
            assert parent.lineage() == tuple(lineage)
        assert Run.objects.get(pk=lineage[1]).lineage() == tuple(lineage[:2])
        assert "start this one further out" in told(Run(tenant=tenant, parent=parent))
        refused(lambda: Run.objects.create(tenant=tenant, parent=parent))

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "gone"},
            {"state": "stopped"},
            {"stopped_at": timezone.now()},
            {"budget_nano_usd": -1},
            {"max_calls": -1},
        ],
    )
    def test_a_run_that_means_nothing_is_refused(self, tenant, fields):
        refused(lambda: Run.objects.create(tenant=tenant, **fields))

    def test_a_run_lies_in_an_open_run_of_its_tenant(self, tenant):
        stranger = Run.objects.create(tenant=Tenant.objects.create(name="other"))
        ended = Run.objects.create(tenant=tenant, state="stopped", stopped_at=timezone.now())
        for parent in (stranger, ended):
            assert "an open run of the same tenant" in told(Run(tenant=tenant, parent=parent))

    def test_a_tenant_has_so_many_open_runs(self, tenant, monkeypatch):
        monkeypatch.setattr(runs, "MOST_OPEN_RUNS", 2)
        Run.objects.create(tenant=Tenant.objects.create(name="other"))
        for _ in range(2):
            Run(tenant=tenant).full_clean()
            run = Run.objects.create(tenant=tenant)
        run.full_clean()
        assert "stop those that are over" in told(Run(tenant=tenant))

    def test_a_change_is_told_on_commit_whichever_way_it_was_made(self, tenant, django_capture_on_commit_callbacks):
        heard = []

        def hear(pks, **_):
            heard.append(pks)

        runs.runs_changed.connect(hear)
        try:
            with django_capture_on_commit_callbacks(execute=True):
                first, second = Run.objects.create(tenant=tenant), Run.objects.create(tenant=tenant)
                Run.objects.filter(tenant=tenant).update(max_calls=5)
                Run.objects.filter(pk=uuid.uuid4()).update(max_calls=5)
                assert heard == []
        finally:
            runs.runs_changed.disconnect(hear)
        assert heard[:2] == [(first.pk,), (second.pk,)]
        assert [set(pks) for pks in heard[2:]] == [{first.pk, second.pk}]


class TestPauses:
    def test_a_pause_says_what_and_is_there_once(self):
        Pause.objects.create(target_kind="lane", target="low")
        refused(lambda: Pause.objects.create(target_kind="lane", target="low"))
        refused(lambda: Pause.objects.create(target_kind="lane", target="vip"))
        refused(lambda: Pause.objects.create(target_kind="all", target="x"))
        refused(lambda: Pause.objects.create(target_kind="tenant"))
        refused(lambda: Pause.objects.create(target_kind="weather", target="x"))
        assert "paused already" in told(Pause(target_kind="lane", target="low"))

    def test_what_is_paused_exists(self, tenant, deployment):
        run = Run.objects.create(tenant=tenant)
        ModelRoute.objects.create(name="m")
        there = {
            "tenant": str(tenant.pk),
            "deployment": str(deployment.pk),
            "account": str(deployment.account.pk),
            "model": "m",
            "run": run.pk.hex,
            "lane": "low",
        }
        for kind, target in there.items():
            Pause(target_kind=kind, target=target).full_clean()
            assert told(Pause(target_kind=kind, target="0" * 32))
        Pause(target_kind="all").full_clean()


class TestBreakers:
    @pytest.mark.parametrize(
        "fields",
        [
            {"breaker_failures": 0},
            {"breaker_failure_permille": 1_001},
            {"breaker_window_ms": 999},
            {"breaker_open_ms": 99},
            {"breaker_slow_permille": 0},
            {"breaker_probes": 101},
            {"breaker_forced": "ajar"},
        ],
    )
    def test_a_breaker_that_means_nothing_is_refused(self, deployment, fields):
        refused(lambda: Deployment.objects.filter(pk=deployment.pk).update(**fields))
        for name, value in fields.items():
            setattr(deployment, name, value)
        assert told(deployment)

    def test_what_a_deployment_does_not_say_is_the_default(self, deployment):
        deployment.full_clean()
        assert (deployment.breaker_failures, deployment.breaker_forced) == (None, ForcedBreaker.NO)


def test_an_event_is_there_once(tenant):
    fields = {"notice": "breaker|7|1|0", "kind": "breaker", "subject": "7", "at": timezone.now()}
    GateEvent.objects.create(tenant=tenant, **fields)
    refused(lambda: GateEvent.objects.create(**fields))
    refused(lambda: GateEvent.objects.create(**{**fields, "notice": "x", "kind": "rumour"}))


def test_what_is_deleted_is_written_down_for_the_gate(tenant):
    scope = Scope.objects.create(tenant=tenant, kind="user", name="ann")
    limit = Limit.objects.create(scope=scope, metric="requests", amount=5, window_ms=60_000)
    gone = {("limit", f"l{limit.pk}"), ("scope", f"{tenant.pk}|user:ann")}
    scope.delete()
    assert set(Forgotten.objects.values_list("kind", "name")) == gone


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_the_tables_go_back_and_forth_with_rows_in_them(tenant):
    """Buckets become windows, budgets of money in total reject; what older tables cannot hold goes."""
    own = Scope.objects.create(tenant=tenant, kind="tenant")
    Limit.objects.create(scope=Scope.objects.create(kind="tenant", name="*"), metric="requests", amount=9, window_ms=60_000)
    small = ModelRoute.objects.create(name="small")
    Limit.objects.create(scope=own, kind="bucket", metric="requests", amount=5, window_ms=60_000)
    Limit.objects.create(scope=own, kind="bucket", metric="tokens", amount=5, window_ms=60_000)
    Limit.objects.create(scope=own, metric="tokens", amount=7, window_ms=60_000, reserve_permille=100, reserve_lane=2)
    Budget.objects.create(scope=own, amount=5, on_exhausted="downgrade", downgrade_to=small)
    Budget.objects.create(scope=own, amount=5, unit="tokens", period="day")
    Run.objects.create(tenant=tenant, deadline_at=timezone.now() + dt.timedelta(days=1))
    try:
        call_command("migrate", "rateguard_tenants", "0008", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("select amount_nano_usd, period, on_exhaustion from rateguard_tenants_budget")
            assert cursor.fetchall() == [(5, "total", "reject")]
            cursor.execute("select metric, kind, amount from rateguard_tenants_limit order by metric")
            assert cursor.fetchall() == [("requests", "window", 5), ("tokens", "window", 7)]
            cursor.execute("insert into rateguard_tenants_scope (kind, tenant_id, name) values ('run', %s, 'r')", [tenant.pk])
    finally:
        call_command("migrate", verbosity=0)
    assert list(Scope.objects.values_list("kind", "name", "weight")) == [("tenant", "", 1)]
    assert Budget.objects.get().thresholds == [50, 80, 100]
