"""A gate that remembers what it was told: `from tests.watching import gate, commit, acme` gives a module the fixtures."""

import contextlib
import datetime as dt

import pytest
from django.db import transaction

from rateguard import wiring
from rateguard.engine.errors import GateUnavailable
from rateguard.engine.gate.contract import Configuration, Notice
from rateguard.engine.gate.memory import MemoryGate
from tenants.models import (
    Deployment,
    Limit,
    ModelRoute,
    ProviderAccount,
    RouteTarget,
    Tenant,
)

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Watched(MemoryGate):
    """The memory twin, which remembers what it was told and can be away."""

    def __init__(self):
        super().__init__()
        self.told: list[Configuration] = []
        self.is_away = False
        self.told_notices: dict[str, Notice] = {}
        self.before_writing = lambda: None

    def configure(self, configuration):
        if self.is_away:
            raise GateUnavailable("away")
        self.told.append(configuration)
        self.before_writing()
        super().configure(configuration)

    def notices(self, acknowledged, most):
        for notice in acknowledged:
            del self.told_notices[notice]
        return tuple(self.told_notices.values())[:most]


@pytest.fixture
def gate(monkeypatch):
    made = Watched()
    monkeypatch.setattr(wiring, "gate", lambda: made)
    monkeypatch.setattr(wiring, "_known_version", 0)
    wiring.forget_directory()
    made.open(1)
    yield made
    wiring.forget_directory()


@pytest.fixture
def commit(django_capture_on_commit_callbacks):
    """What is changed inside is committed at its end."""

    @contextlib.contextmanager
    def committing():
        with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
            yield

    return committing


@pytest.fixture
def acme(gate, commit):
    with commit():
        made = Tenant.objects.create(name="acme")
    gate.told.clear()
    return made


@pytest.fixture
def deployment(gate, commit):
    with commit():
        account = ProviderAccount.objects.create(name="main", provider="openai", base_url="https://api.example.com/v1")
        made = Deployment.objects.create(account=account, name="mini", upstream_model="gpt-5.4-mini")
        RouteTarget.objects.create(route=ModelRoute.objects.create(name="mini"), deployment=made)
    gate.told.clear()
    return made


def requests(scope, amount=5, **fields):
    return Limit.objects.create(scope=scope, metric="requests", amount=amount, window_ms=60_000, **fields)


def path(tenant, **nodes):
    return wiring.path_of(tenant.pk, **nodes)
