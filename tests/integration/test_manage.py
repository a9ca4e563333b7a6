"""Management by REST: who may list, make, change and delete what; what the audit keeps."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import dataclasses
import json

import orjson
import pytest
from django.contrib.auth import get_user_model

from tenants.keys import issue_key
from tenants.models import (
    ApiKey,
    AuditEntry,
    Limit,
    Price,
    ProviderAccount,
    Scope,
    Tenant,
)
from tests.api import problem_of
from tests.managing import CREDENTIALS, MANAGE, PRICE, Manager, globex, operator, own  # noqa: F401
from tests.tenancy import CHAT_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

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
    Thing(
        "prices",
        PRICE,
        {"cached_input_usd": "0.015", "parts": {"batch_input_usd": 0.0750, "terms": {"us": "1.1"}}},
        {
            "input_usd": "0.15",
            "cached_input_usd": "0.015",
            "cache_write_usd": "0.15",
            "parts": {"batch_input_usd": "0.075", "terms": {"us": "1.1"}},
        },
    ),
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
    ("post", "prices", PRICE),
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
