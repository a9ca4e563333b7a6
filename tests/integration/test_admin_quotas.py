"""Limits and budgets in the admin: typed as people say them, with what binds and what is used, and in force at once."""

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rateguard import wiring
from rateguard.engine.gate.holders import GateSettings
from rateguard.engine.gate.redis import RedisGate, connect
from rateguard.jobs.line.pump import process_pump
from rateguard.jobs.models import Attempt
from rateguard.jobs.states import State
from tenants.models import AuditEntry, Budget, Limit, Scope, Tenant
from tests.line import HOUR_MS, state_of, wait_for
from tests.signedin import errors_of, signed_in
from tests.tenancy import acme, add_tenant  # noqa: F401

MOST_QUERIES = 15


@pytest.fixture
def root(acme):  # noqa: F811
    return signed_in("root")


@pytest.fixture
def adam(acme):  # noqa: F811
    """An admin of acme."""
    add_tenant("globex")
    return signed_in("adam", acme="admin")


def limit_on(tenant, kind="tenant", name="", amount=600, **fields):
    scope, _ = Scope.objects.get_or_create(tenant=tenant, kind=kind, name=name)
    return Limit.objects.create(scope=scope, **{"metric": "requests", "amount": amount, "window_ms": 60_000, **fields})


def test_a_limit_is_made_changed_and_deleted_as_people_type_it(root, acme):  # noqa: F811
    assert "added" in root.told(root.make("limit", on="team", tenant=acme.tenant.pk, name="ml", limit="600/min burst 20%"))
    row = Limit.objects.get()
    assert (row.scope.kind, row.scope.name, row.amount, row.burst_permille) == ("team", "ml", 600, 200)
    assert "600/min burst 20%" in root.see(row).content.decode()
    root.told(root.change(row, limit="50 concurrent"))
    row.refresh_from_db()
    assert (row.kind, row.amount) == ("concurrency", 50)
    assert "deleted" in root.told(root.delete(row))
    assert not Limit.objects.exists()
    told = AuditEntry.objects.filter(kind="limit").order_by("pk")
    assert [(one.by, one.action, bool(one.request_id)) for one in told] == [
        ("user root", done, True) for done in ("created", "changed", "deleted")
    ]


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"on": "team", "name": "ml", "limit": "lots"}, "limit"),
        ({"on": "team", "name": "ml", "limit": ""}, "limit"),
        ({"on": "team", "name": "", "limit": "5/min"}, "name"),
        ({"on": "team", "name": "ml", "limit": "5/min", "tenant": ""}, "tenant"),
        ({"on": "team", "name": "ml", "limit": "5/min", "tenant": "another"}, "tenant"),
        ({"on": "team", "name": " ml\n", "limit": "5/day/day"}, "limit"),
        ({"on": "key", "name": "rg_unknown", "limit": "5/min"}, "name"),
        ({"on": "tenant", "name": "", "limit": "5/min"}, "on"),
        ({"on": "global", "name": "", "limit": "5/min", "tenant": ""}, "on"),
        ({"on": "account", "limit": "5/min"}, "account"),
    ],
)
def test_a_bad_limit_is_told_beside_its_field_and_nothing_is_written(adam, acme, fields, at):  # noqa: F811
    named = {"another": Tenant.objects.get(name="globex").pk}
    tenant = fields.get("tenant", acme.tenant.pk)
    response = adam.make("limit", **{**fields, "tenant": named.get(tenant, tenant)})
    assert (response.status_code, list(errors_of(response))) == (200, [at])
    assert not Limit.objects.exists()
    assert not AuditEntry.objects.exists()


def test_an_operators_bad_budget_and_one_that_is_there_already_are_told(root, acme):  # noqa: F811
    place = {"on": "tenant", "tenant": acme.tenant.pk, "name": ""}
    root.told(root.make("budget", **place, budget="$500/month"))
    assert "change that one" in str(errors_of(root.make("budget", **place, budget="$600/month"))["budget"])
    assert "no model" in str(errors_of(root.change(Budget.objects.get(), budget="$5/day downgrade to nothing"))["budget"])
    root.told(root.make("budget", on="global", budget="$9000/month"))
    root.told(root.make("budget", on="tenant", name="*", budget="2M tokens/day hold"))
    assert sorted(map(str, Budget.objects.values_list("amount", flat=True))) == ["2000000", "500000000000", "9000000000000"]


def test_a_tenants_admin_sets_what_is_below_the_tenant_and_sees_what_is_its_own(adam, acme):  # noqa: F811
    adam.told(adam.make("limit", on="key", tenant=acme.tenant.pk, name=acme.key.prefix, limit="60/min"))
    adam.told(adam.make("budget", on="user", tenant=acme.tenant.pk, name="*", budget="$5/day"))
    assert Limit.objects.get().scope.name == str(acme.key.pk)
    above, foreign = limit_on(acme.tenant), limit_on(Tenant.objects.get(name="globex"), "team", "grue")
    assert "tenant acme" in adam.see(above).content.decode()
    assert (adam.change(above, limit="9000/min").status_code, adam.delete(above).status_code) == (403, 403)
    assert {adam.see(foreign).status_code, adam.change(foreign, limit="1/min").status_code, adam.delete(foreign).status_code} == {404}
    assert "grue" not in adam.text("limit")
    assert Limit.objects.filter(amount__in=(600, 60)).count() == 3


def test_a_list_of_a_thousand_tenants_asks_little_and_works_without_the_gate(root, monkeypatch):
    away = RedisGate(connect("redis://127.0.0.1:1/0", 100), GateSettings(5_000, 12_000, 100), "default")
    monkeypatch.setattr(wiring, "gate", lambda: away)
    tenants = Tenant.objects.bulk_create([Tenant(name=f"customer-{number}") for number in range(1_000)])
    scopes = Scope.objects.bulk_create([Scope(kind="tenant", tenant=tenant) for tenant in tenants])
    Limit.objects.bulk_create([Limit(scope=scope, metric="requests", amount=10, window_ms=1_000) for scope in scopes])
    for model in ("limit", "budget", "tenant", "member", "apikey", "provideraccount", "deployment", "modelroute", "price"):
        with CaptureQueriesContext(connection) as asked:
            response = root.list(model)
        assert (response.status_code, len(asked) <= MOST_QUERIES) == (200, True), (model, len(asked))
    with CaptureQueriesContext(connection) as asked:
        form = root.client.get("/admin/rateguard_tenants/limit/add/").content.decode()
    assert len(asked) <= MOST_QUERIES
    assert "customer-7" not in form
    page = root.text("limit", tenant="customer-77")
    assert ("tenant customer-77" in page, "customer-78" in page) == (True, False)
    assert "The gate does not answer" in page


def test_the_list_tells_what_binds_and_what_is_used_in_one_call_of_the_gate(line, station, monkeypatch):
    root = signed_in("root")
    line.limit("requests", 100)
    below = limit_on(line.acme, "team", "ml", 500, window_ms=HOUR_MS)
    limit_on(line.acme, "user", "*", 20, window_ms=HOUR_MS)
    limit_on(line.acme, "user", "ada", 60, window_ms=HOUR_MS)
    jobs = [line.submit(team="ml", user=user) for user in ("ada", "bob", "bob", "eve")]
    wait_for(lambda: {state_of(job) for job in jobs} == {State.SUCCEEDED})
    line.settled()
    calls = []
    inspect = line.gate.inspect
    monkeypatch.setattr(line.gate, "inspect", lambda ids=None: calls.append(ids) or inspect(ids))
    page = root.text("limit")
    assert len(calls) == 1
    for text in (
        "tenant acme lets less through",
        "60/h",
        "instead of 20/h of every user of acme",
        "1 with their own instead",
        "4 of 500",
        "user bob, the fullest of 2",
    ):
        assert text in page, text
    assert f"l{below.pk}" in calls[0]


def test_a_limit_that_is_edited_lets_a_waiting_job_start_within_a_second(line, station):
    root = signed_in("root")
    limit = line.limit("requests", 1)
    first = line.submit()
    wait_for(lambda: state_of(first) == State.SUCCEEDED)
    second = line.submit()
    line.settled()
    assert (state_of(second), Attempt.objects.filter(job=second).exists()) == (State.QUEUED, False)
    began = time.monotonic()
    response = root.change(limit, limit="2/h")
    in_gate = line.used(limit).amount
    assert (response.status_code, in_gate) == (302, 2), "the gate has it when the form is answered"
    wait_for(lambda: Attempt.objects.filter(job=second).exists(), 10)
    started_s = time.monotonic() - began
    wait_for(lambda: state_of(second) == State.SUCCEEDED)
    changed = AuditEntry.objects.get(kind="limit", action="changed")
    assert changed.at <= Attempt.objects.get(job=second).started_at
    assert started_s < 1.0
    assert process_pump().flush(10)
    assert wiring.gate().inspect((f"l{limit.pk}",)).limits[0].used == 2
