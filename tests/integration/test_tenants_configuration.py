"""Every change of the configuration raises its version, in the transaction that makes it, and is told on commit."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import datetime as dt
import threading

import pytest
from django.db import connections
from django.db.models.signals import post_save

from tenants.keys import issue_key, revoke_key
from tenants.models import (
    Budget,
    ConfigVersion,
    Deployment,
    GateEpoch,
    Limit,
    ModelRoute,
    Pause,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    Tenant,
)
from tenants.signals import configuration_changed
from tests.owned import refused, tenant  # noqa: F401

pytestmark = pytest.mark.django_db

RACERS, TURNS = 8, 10

NOON = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


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
