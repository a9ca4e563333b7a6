"""Management by REST: what is refused, with the place of each fault, and writes nothing."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import pytest
from django.contrib.auth import get_user_model

from tenants.models import (
    ApiKey,
    AuditEntry,
    Budget,
    LedgerEntry,
    Limit,
    Member,
    ModelRoute,
    Price,
    Scope,
)
from tests.api import problem_of
from tests.managing import PRICE, operator  # noqa: F401
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme  # noqa: F401

pytestmark = pytest.mark.django_db

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
    ("post", "prices", {**PRICE, "input_usd": "0.1234567", "output_usd": -1}, "invalid_field", {"/input_usd", "/output_usd"}),
    ("post", "prices", {**PRICE, "input_usd": "NaN", "output_usd": 10_001}, "invalid_field", {"/input_usd", "/output_usd"}),
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
