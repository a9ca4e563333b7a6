"""Management by REST: who may list, make, change and delete what; what is refused, and what the audit keeps."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import dataclasses
import datetime as dt
import json

import orjson
import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from tenants.keys import find_key, issue_key
from tenants.models import (
    ApiKey,
    AuditEntry,
    Budget,
    Deployment,
    LedgerEntry,
    Limit,
    Member,
    ModelRoute,
    Permission,
    Price,
    ProviderAccount,
    RouteTarget,
    Scope,
    Tenant,
)
from tests.api import Api, problem_of
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

pytestmark = pytest.mark.django_db

MANAGE = "/api/v1/manage/"
ALL = list(Permission.values)
CREDENTIALS = "sk-canary-19c4"


class Manager(Api):
    """A caller who manages. Paths are those behind /manage/."""

    def ask(self, method, path, body=None):
        return self.send(method, MANAGE + path, b"" if body is None else orjson.dumps(body))

    def rows(self, path):
        response = self.ask("get", path)
        assert response.status_code == 200, response.json()
        return response.json()["data"]

    def made(self, path, body):
        response = self.ask("post", path, body)
        assert response.status_code == 201, response.json()
        assert response.headers["Location"].startswith(MANAGE + path)
        return response.json() | {"at": response.headers["Location"].removeprefix(MANAGE)}


@pytest.fixture
def operator(acme):
    return Manager(issue_key(add_tenant("house").tenant, "ops", is_operator=True)[1])


@pytest.fixture
def own(acme):
    """A key of acme's that manages."""
    return Manager(issue_key(acme.tenant, "boss", permissions=ALL)[1])


@pytest.fixture
def globex(acme):
    """Another tenant, with one of each thing."""
    other = add_tenant("globex")
    account = ProviderAccount.objects.create(
        name="globex-main", provider="openai", base_url="https://api.example.com/v1", credentials="sk-g", tenant=other.tenant
    )
    deployment = Deployment.objects.create(account=account, name="globex-mini", upstream_model="mini")
    RouteTarget.objects.create(route=ModelRoute.objects.get(name=CHAT_MODEL), deployment=deployment, position=7)
    scope = Scope.objects.create(tenant=other.tenant, kind="team", name="ml")
    member = Member.objects.create(tenant=other.tenant, user=get_user_model().objects.create(username="gert"))
    limit = Limit.objects.create(scope=scope, metric="requests", amount=7, window_ms=60_000)
    budget = Budget.objects.create(scope=scope, amount=7)
    paths = {
        "tenants": "globex",
        "members": member.pk,
        "keys": other.key.pk,
        "limits": limit.pk,
        "budgets": budget.pk,
        "accounts": "globex-main",
        "deployments": deployment.pk,
    }
    return dataclasses.replace(other), paths


# ---- each thing, from its making to its end


@dataclasses.dataclass(frozen=True)
class Thing:
    """One thing of each kind: what makes it, what changes it, what is seen then, and what a tenant's key sends (None: it may not)."""

    things: str
    body: dict
    change: dict
    seen: dict
    own: dict | None = None


_KEY = {"name": "ci", "allowed_models": [CHAT_MODEL], "default_lane": "low", "highest_lane": "normal", "bound": {"team": "ml"}}
_PRICE = {"provider": "openai", "model": "own-1", "valid_from": "2026-01-01T00:00:00Z", "input_usd": 0.15, "output_usd": "4"}
THINGS = [
    Thing("tenants", {"name": "initech", "weight": 2}, {"status": "paused", "max_waiting": 10}, {"weight": 2, "max_waiting": 10}),
    Thing(
        "members",
        {"tenant": "acme", "username": "ann", "role": "admin"},
        {"role": "viewer"},
        {"username": "ann"},
        {"username": "bob", "role": "member"},
    ),
    Thing("keys", {"tenant": "acme", **_KEY}, {"highest_lane": None, "bound": {}}, {"highest_lane": None, "default_lane": "low"}, _KEY),
    Thing(
        "limits",
        {"tenant": "acme", "scope_kind": "tenant", "limit": "600/min"},
        {"limit": "5k tokens/h burst 10%"},
        {"limit": "5000 tokens/h burst 10%", "metric": "tokens", "window_ms": 3_600_000},
        {"scope_kind": "user", "scope": "*", "limit": "20/min"},
    ),
    Thing(
        "budgets",
        {"scope_kind": "global", "budget": "$5/day"},
        {"budget": f"$7/day downgrade to {CHAT_MODEL}"},
        {"amount": 7 * 10**9, "downgrade_to": CHAT_MODEL, "period": "day"},
        {"scope_kind": "team", "scope": "ml", "budget": "2M tokens/month hold"},
    ),
    Thing(
        "accounts",
        {"name": "second", "provider": "openai", "base_url": "http://127.0.0.1:9000/v1", "credentials": CREDENTIALS},
        {"name": "renamed", "credentials": CREDENTIALS + "2"},
        {"tenant": None, "has_credentials": True},
        {"name": "ours", "provider": "openai", "base_url": "https://llm.acme.example/v1", "credentials": CREDENTIALS},
    ),
    Thing(
        "deployments",
        {"name": "second-mini", "account": "main", "upstream_model": "mini", "breaker_failures": 10},
        {"is_enabled": False, "breaker_failures": None},
        {"is_enabled": False, "breaker_failures": None, "upstream_model": "mini"},
    ),
    Thing(
        "models",
        {"name": "meta/llama-4", "deployments": ["gpt-5-4-mini"]},
        {"deployments": ["text-embedding-3-small", "gpt-5-4-mini"]},
        {"deployments": ["text-embedding-3-small", "gpt-5-4-mini"]},
    ),
    Thing("prices", _PRICE, {"cached_input_usd": "0.015"}, {"input_usd": "0.15", "cached_input_usd": "0.015", "cache_write_usd": "0.15"}),
]
LIVES = [pytest.param(thing, thing.body, id=f"{thing.things}-operator") for thing in THINGS]
OWN = [pytest.param(thing, thing.own, id=f"{thing.things}-own") for thing in THINGS if thing.own]


def lives(manager, thing, body):
    """A thing is made, seen, listed, changed and deleted; the audit has a line for each step."""
    made = manager.made(thing.things, body)
    place = made.pop("at")
    secret = made.pop("secret", "")
    assert manager.ask("get", place).json() == made
    assert made in manager.rows(f"{thing.things}?limit=200")
    changed = manager.ask("patch", place, thing.change)
    assert changed.status_code == 200, changed.json()
    place = f"{thing.things}/{made['id']}"
    assert manager.ask("get", place).json() == changed.json()
    gone = manager.ask("delete", place)
    assert gone.status_code == 204, gone.content
    kind = made["object"]
    lines = AuditEntry.objects.filter(kind=kind, object_id=str(made["id"])).order_by("pk")
    assert [line.action for line in lines] == ["created", "changed", "revoked" if kind == "key" else "deleted"]
    told = json.dumps([line.changes for line in lines])
    assert CREDENTIALS not in told
    assert not secret or secret[12:] not in told
    if kind == "key":
        assert manager.ask("get", place).json()["revoked_at"]
    else:
        problem_of(manager.ask("get", place), 404, "not_found")
        problem_of(manager.ask("delete", place), 404, "not_found")
    return changed.json()


@pytest.mark.parametrize(("thing", "body"), LIVES)
def test_an_operator_makes_changes_and_deletes_each_thing(operator, acme, thing, body):
    assert lives(operator, thing, body).items() >= thing.seen.items()


@pytest.mark.parametrize(("thing", "body"), OWN)
def test_a_tenants_key_does_so_with_what_is_the_tenants(own, acme, thing, body):
    assert lives(own, thing, body)["tenant"] == "acme"


def test_a_tenants_deployments_are_at_its_own_accounts(own, globex):
    own.made("accounts", {"name": "ours", "provider": "openai", "base_url": "https://llm.acme.example/v1", "credentials": CREDENTIALS})
    lives(own, THINGS[6], {"name": "our-mini", "account": "ours", "upstream_model": "mini"})
    own.made("limits", {"account": "ours", "limit": "100/min"})
    for account in ("main", "globex-main"):
        refused = own.ask("post", "deployments", {"name": "theirs", "account": account, "upstream_model": "mini"})
        problem_of(refused, 400, "unknown_account")
        problem_of(own.ask("post", "limits", {"account": account, "limit": "1/min"}), 400, "unknown_account")
    problem_of(own.ask("post", "limits", {"deployment": "gpt-5-4-mini", "limit": "1/min"}), 400, "unknown_deployment")


OUT_OF_REACH = [
    ("post", "tenants", {"name": "mine-too"}),
    ("patch", "tenants/acme", {"weight": 1000}),
    ("delete", "tenants/acme", None),
    ("post", "models", {"name": "x", "deployments": ["gpt-5-4-mini"]}),
    ("patch", f"models/{CHAT_MODEL}", {"is_enabled": False}),
    ("delete", f"models/{CHAT_MODEL}", None),
    ("post", "prices", _PRICE),
    ("patch", "prices/{price}", {"input_usd": 0}),
    ("delete", "prices/{price}", None),
    ("post", "limits", {"scope_kind": "global", "limit": "1/min"}),
    ("post", "limits", {"scope_kind": "tenant", "limit": "1/min"}),
    ("patch", "limits/{limit}", {"limit": "9999/min"}),
    ("delete", "limits/{limit}", None),
    ("post", "budgets", {"scope_kind": "tenant", "budget": "$1/day"}),
    ("post", "keys", {"name": "x", "is_operator": True}),
    ("patch", "keys/{ops}", {"name": "mine"}),
    ("post", "keys/{ops}/rotate", {}),
    ("delete", "keys/{ops}", None),
    ("post", "members", {"username": "cy", "email": "cy@example.com"}),
]


def test_a_tenants_key_changes_nothing_that_the_service_sets(own, acme):
    scope = Scope.objects.create(tenant=acme.tenant, kind="tenant")
    names = {
        "price": Price.objects.first().pk,
        "limit": Limit.objects.create(scope=scope, metric="requests", amount=7, window_ms=60_000).pk,
        "ops": issue_key(acme.tenant, "ops", is_operator=True)[0].pk,
    }
    for method, path, body in OUT_OF_REACH:
        assert problem_of(own.ask(method, path.format(**names), body), 403, "forbidden")["detail"]
    assert not AuditEntry.objects.exists()


def test_nothing_of_another_tenant_is_there_for_a_tenants_key(own, operator, globex):
    other, paths = globex
    changes = {"tenants": {"weight": 2}, "members": {"role": "admin"}, "limits": {"limit": "1/min"}, "budgets": {"budget": "$1/day"}}
    for things, name in paths.items():
        assert operator.ask("get", f"{things}/{name}").status_code == 200
        for method, body in (("get", None), ("patch", changes.get(things, {"name": "mine"})), ("delete", None)):
            problem_of(own.ask(method, f"{things}/{name}", body), 404, "not_found")
        problem_of(own.ask("get", f"{things}?tenant=globex"), 404, "not_found") if things != "tenants" else None
        assert "globex" not in json.dumps(own.rows(things))
        assert "globex" in json.dumps(operator.rows(things))
    problem_of(own.ask("post", f"keys/{other.key.pk}/rotate", {}), 404, "not_found")
    for things, body in (
        ("keys", {"name": "x"}),
        ("members", {"username": "x", "role": "admin"}),
        ("limits", {"scope_kind": "team", "scope": "ml", "limit": "1/min"}),
        ("budgets", {"scope_kind": "team", "scope": "ml", "budget": "$1/day"}),
        ("accounts", {"name": "x", "provider": "openai", "base_url": "https://x.example", "credentials": "k"}),
    ):
        for name in ("globex", str(other.tenant.pk), "nobody"):
            problem_of(own.ask("post", things, {**body, "tenant": name}), 400, "unknown_tenant")
    of_key = own.ask("post", "limits", {"scope_kind": "key", "scope": str(other.key.pk), "limit": "1/min"})
    assert problem_of(of_key, 400, "invalid_field")["errors"][0]["pointer"] == "/scope"
    assert own.ask("get", f"models/{CHAT_MODEL}").json()["deployments"] == ["gpt-5-4-mini"]
    assert operator.ask("get", f"models/{CHAT_MODEL}").json()["deployments"] == ["gpt-5-4-mini", "globex-mini"]
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("things", [*(thing.things for thing in THINGS), "audit"])
def test_only_a_key_that_may_manage_comes_in(acme, things):
    reader = Manager(issue_key(acme.tenant, "reader", permissions=["read", "submit"])[1])
    problem_of(reader.ask("get", things), 403, "forbidden")
    if things != "audit":
        problem_of(reader.ask("post", things, {}), 403, "forbidden")
    problem_of(Manager("rg_nobody").ask("get", things), 401, "unauthenticated")


# ---- what is refused


BAD_BODIES = [
    ("post", "tenants", {"name": "a b", "weight": 0, "time_zone": "Mars"}, "invalid_field", {"/name", "/weight"}),
    ("post", "tenants", {"name": "ok", "time_zone": "Mars"}, "invalid_field", {"/time_zone"}),
    ("post", "tenants", {"name": "42"}, "invalid_field", {"/name"}),
    ("post", "tenants", {"name": "ok", "color": 1, "a/b": 2}, "unknown_field", {"/color", "/a~1b"}),
    ("post", "tenants", {}, "invalid_field", {"/name"}),
    ("patch", "tenants/acme", {"weight": "3", "max_waiting": True}, "invalid_field", {"/weight", "/max_waiting"}),
    ("post", "keys", {"name": "x"}, "missing_field", {"/tenant"}),
    (
        "post",
        "keys",
        {"tenant": "acme", "name": "x", "allowed_models": [CHAT_MODEL, "no"], "default_lane": "high", "highest_lane": "low"},
        "invalid_field",
        {"/allowed_models/1", "/default_lane"},
    ),
    (
        "post",
        "keys",
        {"tenant": "acme", "name": "x", "default_lane": "high", "highest_lane": "low"},
        "invalid_field",
        {"/default_lane"},
    ),
    ("post", "keys", {"tenant": "acme", "name": "x", "permissions": ["rule"]}, "invalid_field", {"/permissions/0"}),
    ("post", "keys", {"tenant": "acme", "name": "x", "bound": {"team": ""}}, "invalid_field", {"/bound/team"}),
    ("post", "keys", {"tenant": "acme", "name": "x", "bound": {"planet": "x"}}, "unknown_field", {"/bound/planet"}),
    ("post", "keys", {"tenant": "acme", "name": "x", "expires_at": "2001-01-01T00:00:00Z"}, "invalid_field", {"/expires_at"}),
    ("post", "keys", {"tenant": "acme", "name": "x", "expires_at": "tomorrow"}, "invalid_field", {"/expires_at"}),
    ("post", "limits", {"limit": "1/min"}, "missing_field", {"/scope_kind"}),
    ("post", "limits", {"account": "main", "deployment": "x", "limit": "1/min"}, "invalid_field", {"/deployment"}),
    ("post", "limits", {"account": "main", "limit": "lots"}, "bad_limit", {"/limit"}),
    ("post", "limits", {"account": "main", "limit": "9/min reserve 20% for all"}, "unknown_lane", {"/limit"}),
    ("post", "limits", {"scope_kind": "team", "scope": "ml", "limit": "1/min"}, "invalid_field", {"/tenant"}),
    ("post", "limits", {"tenant": "acme", "scope_kind": "team", "limit": "1/min"}, "invalid_field", {"/scope"}),
    ("post", "limits", {"tenant": "acme", "scope_kind": "key", "scope": "9" * 30, "limit": "1/min"}, "invalid_field", {"/scope"}),
    ("post", "budgets", {"scope_kind": "global", "budget": "$5/day downgrade to no"}, "unknown_model", {"/budget"}),
    ("post", "budgets", {"scope_kind": "tenant", "scope": "x", "tenant": "acme", "budget": "$5/day"}, "invalid_field", {"/scope"}),
    ("post", "budgets", {"scope_kind": "galaxy", "budget": "free"}, "invalid_field", {"/scope_kind"}),
    (
        "post",
        "accounts",
        {"name": "x", "provider": "nobody", "base_url": "ftp://x", "credentials": "a\nb"},
        "invalid_field",
        {"/provider"},
    ),
    (
        "post",
        "accounts",
        {"name": "x", "provider": "openai", "base_url": "ftp://x", "credentials": "a\nb"},
        "invalid_field",
        {"/base_url", "/credentials"},
    ),
    ("patch", "accounts/main", {"base_url": "https://user:pw@x.example"}, "invalid_field", {"/base_url"}),
    ("patch", "accounts/main", {"base_url": "https://elsewhere.example/v1"}, "invalid_field", {"/credentials"}),
    ("patch", "accounts/main", {"provider": "sim"}, "invalid_field", {"/credentials"}),
    ("patch", "accounts/main", {"tenant": "acme"}, "unknown_field", {"/tenant"}),
    ("patch", "deployments/gpt-5-4-mini", {"weight": 0, "breaker_probes": 0}, "invalid_field", {"/weight", "/breaker_probes"}),
    ("post", "deployments", {"name": "x", "account": "no", "upstream_model": "m"}, "unknown_account", {"/account"}),
    ("post", "models", {"name": "a b", "deployments": ["gpt-5-4-mini"]}, "invalid_field", {"/name"}),
    ("post", "models", {"name": "x", "deployments": ["gpt-5-4-mini", "no"]}, "unknown_deployment", {"/deployments/1"}),
    ("post", "models", {"name": "x", "deployments": ["gpt-5-4-mini"] * 2}, "invalid_field", {"/deployments"}),
    ("post", "models", {"name": "x", "deployments": []}, "invalid_field", {"/deployments"}),
    ("post", "prices", {**_PRICE, "input_usd": "0.1234567", "output_usd": -1}, "invalid_field", {"/input_usd", "/output_usd"}),
    ("post", "prices", {**_PRICE, "input_usd": "NaN", "output_usd": 10_001}, "invalid_field", {"/input_usd", "/output_usd"}),
    ("post", "members", {"tenant": "acme", "username": "x\n", "role": "king"}, "invalid_field", {"/role"}),
    ("post", "members", {"tenant": "acme", "username": "x\n", "role": "admin"}, "invalid_field", {"/username"}),
    ("post", "members", {"tenant": "acme", "username": "x", "role": "admin", "email": "no"}, "invalid_field", {"/email"}),
]


def test_a_bad_body_is_refused_with_the_place_of_each_fault_and_nothing_is_written(operator, acme):
    counted = (AuditEntry, Scope, get_user_model(), Price, ApiKey)
    before = [model.objects.count() for model in counted]
    for method, path, body, code, pointers in BAD_BODIES:
        problem = problem_of(operator.ask(method, path, body), 400, code)
        assert {error["pointer"] for error in problem["errors"]} == pointers, (path, body, problem)
        assert all(error["detail"] for error in problem["errors"]), problem
    assert [model.objects.count() for model in counted] == before


TAKEN = [
    ("tenants", {"name": "acme"}),
    ("accounts", {"name": "main", "provider": "openai", "base_url": "https://x.example", "credentials": "k"}),
    ("deployments", {"name": "gpt-5-4-mini", "account": "main", "upstream_model": "m"}),
    ("models", {"name": CHAT_MODEL, "deployments": ["gpt-5-4-mini"]}),
    ("limits", {"tenant": "acme", "scope_kind": "user", "scope": "ann", "limit": "9/min"}),
    ("budgets", {"tenant": "acme", "scope_kind": "user", "scope": "ann", "budget": "$9 in total"}),
    ("members", {"tenant": "acme", "username": "ann", "role": "admin"}),
]


def test_what_is_there_already_is_not_made_twice(operator, acme):
    scope = Scope.objects.create(tenant=acme.tenant, kind="user", name="ann")
    Limit.objects.create(scope=scope, metric="requests", amount=7, window_ms=60_000)
    Budget.objects.create(scope=scope, amount=7)
    Member.objects.create(tenant=acme.tenant, user=get_user_model().objects.create(username="ann"))
    for things, body in TAKEN:
        assert problem_of(operator.ask("post", things, body), 409, "name_taken")["detail"]


def test_what_something_hangs_on_is_not_deleted_and_the_answer_says_what_to_do(operator, acme):
    LedgerEntry.objects.create(
        tenant=acme.tenant, kind="credit", nano_usd=-1, reservation_id="00000000-0000-0000-0000-000000000001", attempt=1
    )
    scope = Scope.objects.create(tenant=acme.tenant, kind="tenant")
    route = ModelRoute.objects.get(name=EMBEDDING_MODEL)
    Budget.objects.create(scope=scope, amount=7, on_exhausted="downgrade", downgrade_to=route)
    for path, said in (("tenants/acme", "Pause"), ("accounts/main", "2 deployments"), (f"models/{EMBEDDING_MODEL}", "downgrade")):
        assert said in problem_of(operator.ask("delete", path), 409, "in_use")["detail"]
    assert operator.ask("patch", "tenants/acme", {"status": "paused"}).status_code == 200


# ---- keys


@pytest.fixture
def narrow(acme):
    """A key of acme's that manages within bounds, and its secret's holder."""
    settings = {"permissions": ["read", "manage"], "allowed_models": [CHAT_MODEL], "highest_lane": 3, "bound": {"team": "ml"}}
    settings["expires_at"] = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    return Manager(issue_key(acme.tenant, "narrow", **settings)[1])


_WITHIN = {
    "name": "x",
    "permissions": ["read"],
    "allowed_models": [CHAT_MODEL],
    "highest_lane": "low",
    "bound": {"team": "ml", "user": "a"},
    "expires_at": "2040-01-01T00:00:00Z",
}


WIDER = [
    ({"permissions": ["read", "submit"]}, "/permissions"),
    ({"allowed_models": []}, "/allowed_models"),
    ({"allowed_models": [CHAT_MODEL, EMBEDDING_MODEL]}, "/allowed_models"),
    ({"highest_lane": "high"}, "/highest_lane"),
    ({"highest_lane": None}, "/highest_lane"),
    ({"bound": {"user": "a"}}, "/bound"),
    ({"bound": {"team": "sales"}}, "/bound"),
    ({"expires_at": None}, "/expires_at"),
    ({"expires_at": "2040-01-01T00:00:01Z"}, "/expires_at"),
]


def test_a_key_makes_none_that_may_do_more_than_itself(narrow):
    made = narrow.made("keys", _WITHIN)
    for wider, pointer in WIDER:
        for method, path, body in (("post", "keys", {**_WITHIN, **wider}), ("patch", made["at"], wider)):
            assert problem_of(narrow.ask(method, path, body), 403, "forbidden")["errors"][0]["pointer"] == pointer


def test_a_key_leaves_alone_those_that_may_do_more_and_what_is_beyond_its_bound(narrow, acme):
    wide = issue_key(acme.tenant, "wide", permissions=ALL)[0]
    for method, path, body in (
        ("patch", f"keys/{wide.pk}", {"name": "mine"}),
        ("post", f"keys/{wide.pk}/rotate", {}),
        ("delete", f"keys/{wide.pk}", None),
        ("post", "limits", {"scope_kind": "team", "scope": "ml", "limit": "9/min"}),
        ("post", "members", {"username": "x", "role": "admin"}),
    ):
        problem_of(narrow.ask(method, path, body), 403, "forbidden")
    assert not AuditEntry.objects.exists()


def test_a_key_that_expires_may_revoke_one_that_does_not_but_not_take_its_secret(acme):
    brief = Manager(issue_key(acme.tenant, "brief", permissions=ALL, expires_at=timezone.now() + dt.timedelta(days=1))[1])
    problem_of(brief.ask("post", f"keys/{acme.key.pk}/rotate", {}), 403, "forbidden")
    assert brief.ask("patch", f"keys/{acme.key.pk}", {"name": "old"}).status_code == 200
    assert brief.ask("delete", f"keys/{acme.key.pk}").status_code == 204


def test_both_secrets_of_a_rotated_key_work_until_the_overlap_is_over(own, acme):
    made = own.made("keys", {"name": "ci", "permissions": ["read"]})
    limit = own.made("limits", {"scope_kind": "key", "scope": str(made["id"]), "limit": "9/min"})
    rotated = own.ask("post", f"keys/{made['id']}/rotate", {"overlap": "1h"})
    assert rotated.status_code == 200, rotated.json()
    assert rotated.headers["Cache-Control"] == "no-store"
    new = rotated.json()["secret"]
    assert [find_key(secret).pk for secret in (made["secret"], new)] == [made["id"]] * 2
    left = dt.datetime.fromisoformat(rotated.json()["old_secret_until"]) - timezone.now()
    assert dt.timedelta(minutes=55) < left <= dt.timedelta(minutes=65)
    ApiKey.objects.filter(pk=made["id"]).update(previous_expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert find_key(made["secret"]) is None
    assert find_key(new).pk == made["id"]
    assert own.ask("get", limit["at"]).json()["scope"] == str(made["id"])
    newest = own.ask("post", f"keys/{made['id']}/rotate", {"overlap_s": 0}).json()["secret"]
    assert find_key(new) is None
    assert find_key(newest) is not None


@pytest.mark.parametrize("body", [{"overlap": "soon"}, {"overlap": "1h", "overlap_s": 5}, {"overlap": "99 day"}, {"overlap_s": 2_592_001}])
def test_an_overlap_is_a_time_of_at_most_thirty_days(own, acme, body):
    problem_of(own.ask("post", f"keys/{acme.key.pk}/rotate", body), 400, "invalid_field")


def test_a_revoked_or_expired_key_gets_no_new_secret(own, acme):
    assert own.ask("delete", f"keys/{acme.key.pk}").status_code == 204
    assert find_key(acme.secret) is None
    assert own.ask("delete", f"keys/{acme.key.pk}").status_code == 204
    past = issue_key(acme.tenant, "past", expires_at=timezone.now() - dt.timedelta(days=1))[0]
    for key in (acme.key, past):
        problem_of(own.ask("post", f"keys/{key.pk}/rotate", {}), 409, "key_revoked")
    assert {row["name"] for row in own.rows("keys?state=active")} == {"boss"}
    assert {row["name"] for row in own.rows("keys?state=expired")} == {"past"}


# ---- accounts, members


def test_credentials_come_with_a_new_base_url_and_never_out(operator, own, acme):
    moved = {"base_url": "https://elsewhere.example/v1", "credentials": CREDENTIALS}
    response = operator.ask("patch", "accounts/main", moved)
    assert response.status_code == 200
    row = ProviderAccount.objects.get(name="main")
    assert (row.base_url, row.credentials.reveal()) == (moved["base_url"], CREDENTIALS)
    assert CREDENTIALS not in json.dumps([response.json(), operator.rows("accounts"), operator.rows("audit")])
    assert AuditEntry.objects.get().changes == {
        "base_url": ["https://api.example.com/v1", moved["base_url"]],
        "credentials": "changed",
    }


def test_a_tenants_own_account_is_reached_by_https(own):
    body = {"name": "inside", "provider": "openai", "base_url": "http://169.254.169.254/v1", "credentials": "k"}
    assert problem_of(own.ask("post", "accounts", body), 400, "invalid_field")["errors"][0]["pointer"] == "/base_url"


def test_a_tenant_adds_new_people_and_an_operator_also_those_who_are_known(own, operator, acme):
    own.made("members", {"username": "bob", "role": "admin"})
    bob = get_user_model().objects.get(username="bob")
    assert not bob.has_usable_password()
    get_user_model().objects.create(username="known")
    problem_of(own.ask("post", "members", {"username": "known", "role": "viewer"}), 409, "name_taken")
    operator.made("members", {"tenant": "acme", "username": "known", "role": "viewer"})
    operator.made("members", {"tenant": "house", "username": "cy", "role": "viewer", "email": "cy@example.com"})
    assert get_user_model().objects.get(username="cy").email == "cy@example.com"
    assert [row["username"] for row in own.rows("members")] == ["bob", "known"]
    assert "example.com" not in json.dumps(operator.rows("members"))


# ---- changes, lists, the audit


def test_a_change_touches_the_fields_that_are_named_and_none_writes_nothing(operator, acme):
    Tenant.objects.filter(pk=acme.tenant.pk).update(weight=7)
    operator.ask("patch", "tenants/acme", {"max_waiting": 5})
    assert operator.ask("patch", "tenants/acme", {"max_waiting": 5, "weight": 7}).status_code == 200
    assert operator.ask("patch", "tenants/acme", {}).status_code == 200
    assert AuditEntry.objects.get().changes == {"max_waiting": [None, 5]}
    assert Tenant.objects.get(pk=acme.tenant.pk).weight == 7


def test_lists_go_page_by_page_and_by_filters(operator, own, acme):
    names = [operator.made("keys", {"tenant": "acme", "name": f"k{number}"})["name"] for number in range(3)]
    seen, cursor = [], "0"
    while cursor:
        page = operator.ask("get", f"keys?tenant=acme&limit=2&cursor={cursor}").json()
        seen += [row["name"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert seen == ["tests", "boss", *names]
    assert [row["name"] for row in operator.rows(f"keys?tenant={acme.tenant.pk}&name=k1")] == ["k1"]
    for bad in ("limit=0", "limit=201", "cursor=x", "color=red", "state=odd"):
        problem_of(operator.ask("get", f"keys?{bad}"), 400, "invalid_parameter")
    problem_of(operator.ask("get", "keys?tenant=nobody"), 404, "not_found")
    for path in ("keys/99999999999999999999", "limits/0", "models/none/such"):
        problem_of(operator.ask("get", path), 404, "not_found")


def test_the_audit_says_who_changed_what_and_a_tenant_is_not_told_which_operator(own, operator, acme):
    operator.made("limits", {"tenant": "acme", "scope_kind": "tenant", "limit": "600/min"})
    made = own.made("limits", {"scope_kind": "team", "scope": "ml", "limit": "60/min"})
    own.send("patch", MANAGE + made["at"], orjson.dumps({"limit": "30/min"}), X_Request_ID="r-77")
    operator.made("tenants", {"name": "initech"})
    assert [row["kind"] for row in operator.rows("audit")] == ["tenant", "limit", "limit", "limit"]
    mine = own.rows("audit")
    prefix = ApiKey.objects.get(name="boss").prefix
    assert [row["by"] for row in mine] == [f"key {prefix}", f"key {prefix}", "an operator"]
    assert (
        mine[0].items()
        >= {
            "action": "changed",
            "kind": "limit",
            "object_id": str(made["id"]),
            "name": "30/min on team ml of acme",
            "changes": {"limit": ["60/min", "30/min"]},
            "request_id": "r-77",
            "tenant": "acme",
        }.items()
    )
    assert own.rows("audit?action=changed") == mine[:1]
    assert own.rows(f"audit?by=key {ApiKey.objects.get(name='ops').prefix}") == []
    assert own.rows("audit?until=2001-01-01T00:00:00Z") == []
    problem_of(own.ask("get", "audit?since=yesterday"), 400, "invalid_parameter")
