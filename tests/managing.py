"""Who manages by REST: `from tests.managing import operator, own, globex` gives a module the fixtures."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import dataclasses

import orjson
import pytest
from django.contrib.auth import get_user_model

from tenants.keys import issue_key
from tenants.models import (
    Budget,
    Deployment,
    Limit,
    Member,
    ModelRoute,
    Permission,
    ProviderAccount,
    RouteTarget,
    Scope,
)
from tests.api import Api
from tests.tenancy import CHAT_MODEL, EMBEDDING_MODEL, acme, add_tenant  # noqa: F401

MANAGE = "/api/v1/manage/"
ALL = list(Permission.values)
CREDENTIALS = "sk-canary-19c4"
PRICE = {"provider": "openai", "model": "own-1", "valid_from": "2026-01-01T00:00:00Z", "input_usd": 0.15, "output_usd": "4"}


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
