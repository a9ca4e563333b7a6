"""Options of accounts and deployments come in by every door, are checked, and reach the provider; the machine's own credentials do not."""

import io

import pytest
from django.core.management import CommandError, call_command

from rateguard.engine.errors import InvalidRequest
from rateguard.management.credentials import credentials_of
from tenants.changes.accounts import change_account, create_account
from tenants.changes.actor import Actor
from tenants.changes.deployments import change_deployment, create_deployment
from tenants.directory import read_directory
from tenants.models import AuditEntry, Deployment, ModelRoute, ProviderAccount, RouteTarget, Tenant

SHELL = Actor("shell ada")
AZURE = {"provider": "azure", "base_url": "https://acme.openai.azure.com", "credentials": "key"}

pytestmark = pytest.mark.django_db


def test_a_deployments_options_stand_over_its_accounts():
    account = create_account(SHELL, name="eu", **AZURE, options={"api_version": "2024-10-21", "cloud": "public"})
    row = create_deployment(SHELL, account=account, name="mini", upstream_model="m", region="eu", options={"api_version": "v1"})
    RouteTarget.objects.create(route=ModelRoute.objects.create(name="mini"), deployment=row)
    change_deployment(SHELL, row, options={"api_version": "v1", "model": "gpt-4o"})

    (place,) = read_directory().places_for("mini", Tenant.objects.create(name="acme").pk)
    target = place.target

    assert dict(target.options) == {"api_version": "v1", "cloud": "public", "model": "gpt-4o"}
    assert target.region == "eu"


def test_a_change_of_options_keeps_the_credentials_and_stands_in_the_audit():
    account = create_account(SHELL, name="eu", **AZURE)
    change_account(SHELL, account, options={"api_version": "2024-10-21"})
    account.refresh_from_db()
    assert account.credentials.reveal() == "key"
    assert "2024-10-21" in str(AuditEntry.objects.latest("pk").changes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["x"], "JSON object"),
        ({"a b": 1}, "the name of an option"),
        ({"": 1}, "the name of an option"),
        ({"api_key": "sk-1"}, "secrets go into credentials"),
        ({"aws_session_token": "x"}, "secrets go into credentials"),
        ({"a": "x" * 5_000}, "at most 4,000 bytes"),
    ],
)
def test_options_that_are_none_say_what_to_write_and_nothing_is_written(options, said):
    there = ProviderAccount.objects.create(name="there", provider="azure", base_url="https://x", credentials="k")
    for make in (
        lambda: create_account(SHELL, name="eu", **AZURE, options=options),
        lambda: create_deployment(SHELL, account=there, name="d", upstream_model="m", options=options),
    ):
        with pytest.raises(InvalidRequest) as raised:
            make()
        assert said in str(raised.value)
        assert raised.value.pointer == "/options"
    assert (ProviderAccount.objects.filter(name="eu").count(), Deployment.objects.count()) == (0, 0)


def test_the_shell_takes_them_as_json(monkeypatch, capsys):
    monkeypatch.setenv("KEY", "key")
    place = ("--provider", "azure", "--base-url", AZURE["base_url"], "--credentials-from", "KEY")
    call_command("account", "create", "eu", *place, "--options", '{"api_version": "2024-10-21"}')
    call_command("deployment", "create", "mini", "--account", "eu", "--upstream-model", "m", "--options", '{"model": "gpt-4o"}')
    call_command("account", "change", "eu", "--options", "{}")
    assert ProviderAccount.objects.get().options == {}
    assert Deployment.objects.get().options == {"model": "gpt-4o"}
    with pytest.raises(CommandError, match="JSON object"):
        call_command("account", "change", "eu", "--options", "api_version=1")


@pytest.mark.parametrize("provider", ["bedrock", "vertex", "litellm"])
def test_a_tenants_account_never_pays_with_the_machines_own_credentials(provider):
    tenant = Tenant.objects.create(name="acme")
    fields = {"name": "theirs", "provider": provider, "base_url": "https://x.example", "tenant": tenant}
    create_account(SHELL, **fields | {"name": "ours", "tenant": None}, credentials="")
    with pytest.raises(InvalidRequest, match="machine's own"):
        create_account(SHELL, **fields, credentials="")
    if provider != "litellm":
        row = create_account(Actor("key rg_1", tenant), **fields, credentials="AKIA:secret")
        with pytest.raises(InvalidRequest, match="machine's own"):
            change_account(SHELL, row, credentials="")


SERVICE_ACCOUNT = '{\n  "type": "service_account",\n  "project_id": "p"\n}'


def test_credentials_may_be_a_file_of_several_lines(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(SERVICE_ACCOUNT + "\n"))
    credentials = credentials_of({"credentials_from": "-"})
    row = create_account(SHELL, name="g", provider="vertex", base_url="https://aiplatform.googleapis.com", credentials=credentials)
    assert row.credentials.reveal() == SERVICE_ACCOUNT
    for torn in ("sk-1\nsk-2", "{\n"):
        with pytest.raises(InvalidRequest, match="credentials"):
            create_account(SHELL, name="h", provider="vertex", base_url="https://x.example", credentials=torn)
