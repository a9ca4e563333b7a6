"""A tenant, its scope, an account and a deployment as bare rows: `from tests.owned import tenant, scope` gives a module the fixtures."""

import pytest

from tenants.models import Deployment, ProviderAccount, Scope, Tenant


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
