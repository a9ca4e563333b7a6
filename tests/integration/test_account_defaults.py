"""A new account is where its provider's preset lies, and has the limits that the preset knows, unless somebody says otherwise."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import pytest
from django.core.management import call_command

from rateguard.engine.errors import InvalidRequest
from rateguard.engine.providers.compatible.presets import PRESETS
from tenants.changes.accounts import create_account
from tenants.changes.actor import Actor
from tenants.changes.limits import text_of
from tenants.models import AuditEntry, Limit, ProviderAccount
from tests.api import problem_of
from tests.managing import operator  # noqa: F401
from tests.tenancy import acme  # noqa: F401

pytestmark = pytest.mark.django_db

OPERATOR = Actor("shell ada")


def made(**fields):
    return create_account(OPERATOR, **{"name": "mine", "credentials": "key", **fields})


def limits_of(row):
    return [text_of(one) for one in row.limits.order_by("pk")]


def test_each_preset_gives_its_base_url_and_its_limits():
    for name, preset in PRESETS.items():
        if preset.base_url:
            row = made(name=name, provider=name)
            assert (row.base_url, len(limits_of(row))) == (preset.base_url, len(preset.default_limits)), name
    assert limits_of(ProviderAccount.objects.get(name="openrouter")) == ["learned 20/min"]
    assert limits_of(ProviderAccount.objects.get(name="deepseek")) == ["500 concurrent"]
    assert limits_of(ProviderAccount.objects.get(name="ollama")) == []
    assert AuditEntry.objects.filter(kind="limit", by="shell ada", action="created").exists()


def test_what_somebody_says_goes_before_the_preset():
    row = made(provider="deepseek", base_url="https://proxy.example/v1", limits=["5 concurrent", "learned 60/min"])
    assert (row.base_url, limits_of(row)) == ("https://proxy.example/v1", ["5 concurrent", "learned 60/min"])
    assert limits_of(made(name="none", provider="deepseek", limits=[])) == []


def test_a_preset_of_the_project_gives_its_own(settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "PROVIDERS": {"ours": {"base_url": "https://o.example/v1", "default_limits": ["9/min"]}}}
    row = made(provider="ours")
    assert (row.base_url, limits_of(row)) == ("https://o.example/v1", ["9/min"])


@pytest.mark.parametrize("provider", ["openai", "compatible"])
def test_without_a_preset_that_knows_where_it_is_a_base_url_has_to_be_said(provider):
    with pytest.raises(InvalidRequest) as refusal:
        made(provider=provider)
    assert refusal.value.pointer == "/base_url"
    assert not ProviderAccount.objects.exists()


def test_a_limit_that_cannot_be_read_makes_no_account():
    with pytest.raises(InvalidRequest) as refusal:
        made(provider="groq", limits=["9/min", "many"])
    assert refusal.value.pointer == "/limits/1"
    assert not ProviderAccount.objects.exists()


def test_a_tenants_own_account_is_not_at_this_machine(acme):
    with pytest.raises(InvalidRequest, match="https"):
        create_account(Actor("key a", acme.tenant), name="local", provider="ollama", credentials="k", tenant=acme.tenant)


@pytest.mark.long
def test_rest_and_shell_do_so_too(operator, monkeypatch):
    plain = {"provider": "deepseek", "credentials": "key"}
    assert operator.made("accounts", {"name": "a", **plain})["base_url"] == "https://api.deepseek.com"
    operator.made("accounts", {"name": "b", **plain, "limits": []})
    told = problem_of(operator.ask("post", "accounts", {"name": "c", **plain, "limits": ["x"]}), 400, "bad_limit")
    assert told["errors"][0]["pointer"] == "/limits/0"
    monkeypatch.setenv("KEY", "key")
    call_command("account", "create", "d", "--provider", "deepseek", "--credentials-from", "KEY")
    call_command("account", "create", "e", "--provider", "deepseek", "--credentials-from", "KEY", "--no-default-limits")
    assert list(Limit.objects.order_by("account__name").values_list("account__name", flat=True)) == ["a", "d"]
