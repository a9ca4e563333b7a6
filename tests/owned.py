"""A tenant, its scope, an account and a deployment as bare rows: `from tests.owned import tenant, scope` gives a module the fixtures."""

import uuid

import pytest
from django.db import IntegrityError, transaction

from tenants.models import Deployment, LedgerEntry, ProviderAccount, Scope, Tenant


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


def entry(tenant, **fields):
    return LedgerEntry.objects.create(**{"tenant": tenant, "reservation_id": uuid.uuid4(), "attempt": 1, "kind": "charge", **fields})


def refused(make):
    with pytest.raises(IntegrityError), transaction.atomic():
        make()
