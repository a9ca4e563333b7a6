"""A tenant with a key and two models, for tests of what callers meet: `from tests.tenancy import acme` gives a module the fixture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from rateguard import wiring
from rateguard.jobs.insight import expect
from rateguard.jobs.intake import affordable, hearing
from rateguard.jobs.line.pump import process_pump
from tenants.keys import issue_key
from tenants.models import ApiKey, Deployment, ModelRoute, ProviderAccount, RouteTarget, Tenant

__all__ = ["CHAT_MODEL", "EMBEDDING_MODEL", "acme", "add_tenant"]

CHAT_MODEL = "gpt-5.4-mini"
EMBEDDING_MODEL = "text-embedding-3-small"


@dataclasses.dataclass(frozen=True)
class Customer:
    """A tenant, its key, and the key's secret."""

    tenant: Tenant
    key: ApiKey
    secret: str


def add_tenant(name: str) -> Customer:
    tenant = Tenant.objects.create(name=name)
    return Customer(tenant, *issue_key(tenant, "tests"))


@pytest.fixture
def acme(db: None, redis_url: str) -> Iterator[Customer]:
    """Tenant `acme`, in a world with a chat model and an embedding model at one account. No gate of an earlier test answers for it."""
    account = ProviderAccount.objects.create(name="main", provider="openai", base_url="https://api.example.com/v1", credentials="sk-test")
    for model in (CHAT_MODEL, EMBEDDING_MODEL):
        deployment = Deployment.objects.create(account=account, name=model.replace(".", "-"), upstream_model=model)
        RouteTarget.objects.create(route=ModelRoute.objects.create(name=model), deployment=deployment)
    customer = add_tenant("acme")
    _forget()
    yield customer
    _forget()


def _forget() -> None:
    """What this process knows of rows that are gone, and the line on which it would tell a later test's gate of them."""
    wiring.forget_directory()
    expect.forget()
    affordable.forget()
    hearing.forget()
    if process_pump.cache_info().currsize:
        process_pump().stop(0)
        process_pump.cache_clear()
