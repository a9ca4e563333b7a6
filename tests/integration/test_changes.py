"""What people change: a changed limit acts at once on what waits, two who change the same thing, and faults in between."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import concurrent.futures
import datetime as dt
import threading
import time

import orjson
import pytest
from django.db import connections

from rateguard.engine.errors import InvalidRequest
from tenants.changes import accounts, audit, budgets, deployments, keys, limits, members, models, rows, scopes, tenants
from tenants.changes.actor import Actor
from tenants.keys import issue_key
from tenants.models import AuditEntry, Limit, ProviderAccount, Scope, Tenant
from tests.api import Api
from tests.line import all_ended, states, wait_for
from tests.tenancy import acme  # noqa: F401
from tests.webprocess import call, session, start_web  # noqa: F401

OPERATOR = Actor("shell ada")
MANAGE = "/api/v1/manage/"


# ---- on a line


@pytest.fixture
def operator(line):
    return Api(issue_key(line.tenant("house"), "ops", is_operator=True)[1])


def amount_in_gate(line, name):
    return {use.id: use.amount for use in line.gate.inspect((name,)).limits}.get(name)


def grants(line, count):
    """So many more are granted, and no other."""
    line.beat()
    while count > 0:
        count -= len(line.next_message()[0])
    line.settled()
    return count == 0 and line.messages.empty()


def test_what_is_put_on_taken_off_or_changed_acts_on_the_jobs_that_wait(line, operator):
    made = operator.post(MANAGE + "limits", {"tenant": "acme", "scope_kind": "tenant", "limit": "1/h"}).json()
    line.submit_many(6)
    assert grants(line, 1)
    place = f"{MANAGE}limits/{made['id']}"
    assert operator.send("patch", place, orjson.dumps({"limit": "3/h"})).status_code == 200
    assert amount_in_gate(line, f"l{made['id']}") == 3
    assert grants(line, 2)
    assert operator.delete(place).status_code == 204
    assert grants(line, 3)
    assert amount_in_gate(line, f"l{made['id']}") is None


@pytest.mark.long
def test_a_limit_changed_by_rest_acts_within_a_second_on_workers_that_run(live, start_web):
    operator = issue_key(live.line.tenant("house"), "ops", is_operator=True)[1]
    web = start_web()
    limit = live.line.limit("requests", 1)
    live.worker("--without-gossip", "--without-mingle")
    live.line.submit_many(5)
    wait_for(lambda: states()["succeeded"], 20)
    assert states() == {"succeeded": 1, "queued": 4}
    with session(web, operator) as caller:
        changed = time.monotonic()
        assert call(caller, "PATCH", f"{MANAGE}limits/{limit.pk}", b'{"limit": "100/h"}')[0] == 200
    assert live.line.used(limit).amount == 100
    wait_for(all_ended, 20)
    assert time.monotonic() - changed < 5


# ---- two at once


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_of_two_who_make_the_same_one_is_told_that_it_is_there(self, acme):
        results = at_once([lambda: tenants.create_tenant(OPERATOR, name="twin")] * 4)
        assert sorted(results) == ["Tenant", "name_taken", "name_taken", "name_taken"]
        on_user = [lambda: limits.create_limit(OPERATOR, scopes.scope_for("user", acme.tenant, "ann"), "5/min")] * 4
        assert sorted(at_once(on_user)) == ["Limit", "name_taken", "name_taken", "name_taken"]
        assert Scope.objects.count() == Limit.objects.count() == 1
        assert AuditEntry.objects.count() == 2

    def test_a_change_of_what_is_gone_brings_nothing_back(self, acme):
        limit = limits.create_limit(OPERATOR, scopes.scope_for("tenant", acme.tenant), "5/min")
        limits.delete_limit(OPERATOR, limit.__class__.objects.get(pk=limit.pk))
        for change in (lambda: limits.change_limit(OPERATOR, limit, "6/min"), lambda: limits.delete_limit(OPERATOR, limit)):
            assert code_of(change) == "not_found"
        assert not Limit.objects.exists()

    def test_a_tenant_that_goes_takes_along_what_is_made_for_it_at_that_moment_or_stays_without(self, acme):
        for number in range(4):
            tenant = tenants.create_tenant(OPERATOR, name=f"t{number}")
            making = [
                lambda tenant=tenant: keys.create_key(OPERATOR, tenant, name="k"),
                lambda tenant=tenant: members.add_member(OPERATOR, tenant, username="ann"),
                lambda tenant=tenant: limits.create_limit(OPERATOR, scopes.scope_for("tenant", tenant), "5/min"),
            ]
            *made, deleted = at_once([*making, lambda tenant=tenant: tenants.delete_tenant(OPERATOR, tenant)])
            assert set(made) <= {"tuple", "Member", "Limit", "not_found"}
            assert deleted == "NoneType"
            assert not Tenant.objects.filter(pk=tenant.pk).exists()


def at_once(calls):
    """What each call gives: its type, or the code of its refusal."""
    barrier = threading.Barrier(len(calls))

    def call(function):
        barrier.wait(10)
        try:
            return code_of(function) or "NoneType"
        finally:
            connections.close_all()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


def code_of(function):
    """The code of a refusal, else the type of what came."""
    try:
        return type(function()).__name__
    except InvalidRequest as error:
        return error.code


# ---- whichever door it is


def test_the_functions_themselves_keep_a_tenant_to_what_is_its_own(acme):
    other = tenants.create_tenant(OPERATOR, name="globex")
    ours = {"name": "ours", "provider": "openai", "base_url": "https://x.example", "credentials": "k"}
    account = accounts.create_account(OPERATOR, **ours, tenant=other)
    deployment = deployments.create_deployment(OPERATOR, account=account, name="mini", upstream_model="m")
    limit = limits.create_limit(OPERATOR, scopes.scope_for("user", other, "*"), "5/min")
    budget = budgets.create_budget(OPERATOR, scopes.scope_for("user", other, "*"), "$5/day")
    member = members.add_member(OPERATOR, other, username="ann")
    key, _ = keys.create_key(OPERATOR, other, name="k")
    shared = ProviderAccount.objects.get(name="main")
    count, actor = AuditEntry.objects.count(), Actor("x", acme.tenant)
    calls = [
        lambda: accounts.change_account(actor, account, name="x"),
        lambda: deployments.change_deployment(actor, deployment, name="x"),
        lambda: members.change_member(actor, member, role="admin"),
        lambda: keys.change_key(actor, key, name="x"),
        lambda: limits.change_limit(actor, limit, "6/min"),
        lambda: limits.create_limit(actor, deployment, "6/min"),
        lambda: budgets.delete_budget(actor, budget),
        lambda: keys.create_key(actor, other, name="x"),
        lambda: keys.rotate(actor, key, dt.timedelta(0)),
        lambda: members.add_member(actor, other, username="x"),
        lambda: accounts.create_account(actor, **{**ours, "name": "x"}, tenant=other),
        lambda: deployments.create_deployment(actor, account=account, name="x", upstream_model="m"),
    ]
    assert {code_of(call) for call in calls} == {"not_found"}
    of_all = [
        lambda: accounts.change_account(actor, shared, name="x"),
        lambda: accounts.create_account(actor, **{**ours, "name": "x"}),
        lambda: deployments.create_deployment(actor, account=shared, name="x", upstream_model="m"),
        lambda: limits.create_limit(actor, shared, "6/min"),
        lambda: tenants.change_tenant(actor, acme.tenant, weight=9),
    ]
    assert {code_of(call) for call in of_all} == {"forbidden"}
    assert AuditEntry.objects.count() == count


# ---- all or nothing


def test_a_change_whose_line_in_the_audit_cannot_be_written_did_not_happen(acme, monkeypatch):
    def broken(*_args, **_more):
        raise OSError("the disk is full")

    limit = limits.create_limit(OPERATOR, scopes.scope_for("tenant", acme.tenant), "5/min")
    monkeypatch.setattr(audit, "note", broken)
    key = acme.key
    for change in (
        lambda: limits.change_limit(OPERATOR, limit, "6/min"),
        lambda: keys.create_key(OPERATOR, acme.tenant, name="x"),
        lambda: keys.revoke(OPERATOR, key),
        lambda: tenants.delete_tenant(OPERATOR, acme.tenant),
    ):
        with pytest.raises(OSError, match="full"):
            change()
    assert Limit.objects.get().amount == 5
    assert [row.revoked_at for row in acme.tenant.api_keys.all()] == [None]


def test_every_kind_of_change_speaks_of_itself_by_the_words_of_the_api():
    kinds = [module.KIND for module in (accounts, budgets, deployments, keys, limits, members, models, tenants)]
    assert len({kind.name for kind in kinds}) == len(kinds)
    assert all(isinstance(kind, rows.Kind) for kind in kinds)
