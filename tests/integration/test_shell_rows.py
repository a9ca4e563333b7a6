"""Tenants, keys, limits, budgets, accounts, deployments, models and prices from the shell alone."""

# ruff: noqa: F811 -- a fixture is imported by name and asked for by name

import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from tenants.keys import find_key
from tenants.models import ApiKey, AuditEntry, Budget, Deployment, Limit, ModelRoute, ProviderAccount, Tenant
from tests.tenancy import acme  # noqa: F401

pytestmark = pytest.mark.usefixtures("redis_url")


def told(*words):
    """What a command says."""
    out = io.StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().rstrip("\n")


def shown(*words):
    return json.loads(told(*words, "--json"))


def refused(*words):
    with pytest.raises(CommandError) as error:
        told(*words)
    return str(error.value)


def test_a_tenant_is_made_changed_and_deleted_and_the_audit_names_the_shell(db):
    made = shown("tenant", "create", "acme", "--weight", "3", "--time-zone", "Europe/Berlin")
    assert (made["object"], made["name"], made["weight"], made["max_waiting"]) == ("tenant", "acme", 3, None)
    assert told("tenant", "change", "acme", "--status", "paused") == "changed tenant acme"
    assert shown("tenant", "show", str(made["id"]))["status"] == "paused"
    assert [row["name"] for row in shown("tenant", "list")["data"]] == ["acme"]
    assert told("tenant", "delete", "acme") == "deleted tenant acme"
    assert not Tenant.objects.exists()
    assert {entry.by.split()[0] for entry in AuditEntry.objects.all()} == {"shell"}


def test_what_is_wrong_is_told_in_words_and_changes_nothing(acme):
    before = AuditEntry.objects.count()
    assert "there are: acme" in refused("tenant", "show", "nobody")
    assert refused("tenant", "change", "acme").startswith("say what to change: --name")
    assert refused("tenant", "create", "acme").startswith("there is one of this name already")
    assert refused("tenant", "create", "other", "--time-zone", "Mars/Base").startswith("time-zone: there is no time zone")
    assert "is no limit" in refused("limit", "set", "--tenant", "acme", "6x/min")
    assert refused("limit", "set", "600/min").startswith("say on what")
    assert refused("limit", "set", "600/min", "--team", "ml") == "say whose team it is: --tenant acme"
    assert refused("limit", "set", "600/min", "--tenant", "acme", "--account", "main").startswith("name one thing")
    assert "as `manage.py limit list` shows it" in refused("limit", "delete", "7")
    assert refused("apikey", "revoke", "nope").startswith("there is no key 'nope'")
    assert "holds no credentials" in refused(
        "account", "create", "x", "--provider", "openai", "--base-url", "https://a.example/v1", "--credentials-from", "NOT_SET_ANYWHERE"
    )
    assert "deployments" in refused("account", "delete", "main")
    assert AuditEntry.objects.count() == before


def test_a_database_that_cannot_be_used_is_told_in_words(monkeypatch):
    def gone(*_):
        raise OperationalError("no such table: x\nLINE 1")

    monkeypatch.setattr("rateguard.management.rows.named", gone)
    assert refused("tenant", "show", "acme") == "the database cannot be used: no such table: x; see `manage.py doctor`"


def test_a_secret_is_shown_once_and_rotates_with_an_overlap(acme):
    made = shown("apikey", "create", "ci", "--tenant", "acme", "--bind", "team=ml", "--highest-lane", "normal", "--expires-in", "90d")
    key = find_key(made["secret"])
    assert (key.pk, key.bound, made["highest_lane"]) == (made["id"], {"team": "ml"}, "normal")
    rotated = shown("apikey", "rotate", "ci", "--overlap", "1h")
    assert find_key(made["secret"]) == find_key(rotated["secret"]) == key
    assert rotated["old_secret_until"].endswith("Z")
    told("apikey", "revoke", rotated["prefix"])
    assert find_key(rotated["secret"]) is None
    listed = told("apikey", "list", "--tenant", "acme")
    assert made["secret"] not in listed
    assert rotated["secret"] not in listed
    assert made["prefix"] in listed or rotated["prefix"] in listed


def test_of_two_keys_of_a_name_the_one_in_force_is_meant(acme):
    first = shown("apikey", "create", "ci", "--tenant", "acme")
    shown("apikey", "revoke", "ci")
    second = shown("apikey", "create", "ci", "--tenant", "acme", "--operator")
    assert told("apikey", "change", "ci", "--is-operator", "no") == "changed key ci of acme"
    assert not ApiKey.objects.get(pk=second["id"]).is_operator
    third = shown("apikey", "create", "ci", "--tenant", "acme")
    assert f"{second['id']}, {third['id']}" in refused("apikey", "revoke", "ci")
    assert first["id"] not in (second["id"], third["id"])


@pytest.mark.parametrize(
    ("words", "on"),
    [
        (("--tenant", "acme"), "tenant acme"),
        (("--tenant", "acme", "--team", "ml"), "team ml of acme"),
        (("--tenant", "acme", "--user", "*"), "every user of acme"),
        (("--tenant", "*"), "every tenant"),
        (("--global",), "all tenants"),
        (("--account", "main"), "account main"),
        (("--deployment", "gpt-5-4-mini"), "deployment gpt-5-4-mini"),
    ],
)
def test_a_limit_is_set_on_what_is_named_and_set_again_is_the_same_row(acme, words, on):
    first = shown("limit", "set", *words, "600/min")
    again = shown("limit", "set", *words, "700/min burst 50%")
    other = shown("limit", "set", *words, "100 concurrent")
    assert (first["on"], first["limit"]) == (on, "600/min")
    assert (again["id"], again["limit"]) == (first["id"], "700/min burst 50%")
    assert [row["id"] for row in shown("limit", "list", *words)["data"]] == [first["id"], other["id"]]
    told("limit", "change", str(first["id"]), "800/min")
    assert told("limit", "delete", str(first["id"])) == f"deleted 800/min on {on}"
    assert Limit.objects.count() == 1


def test_a_budget_is_set_changed_and_deleted(acme):
    first = shown("budget", "set", "--tenant", "acme", "--team", "ml", "$5/day hold")
    assert shown("budget", "set", "--tenant", "acme", "--team", "ml", "$7/day")["id"] == first["id"]
    shown("budget", "set", "--tenant", "acme", "--team", "ml", "2M tokens/month")
    assert [row["budget"] for row in shown("budget", "list", "--tenant", "acme", "--team", "ml")["data"]] == [
        "$7.00/day",
        "2000000 tokens/month",
    ]
    told("budget", "delete", str(first["id"]))
    assert Budget.objects.count() == 1


def test_a_new_model_is_made_by_the_shell_alone(db, monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-one")
    where = ("--provider", "openai", "--base-url", "https://api.example.com/v1", "--credentials-from", "A_KEY")
    account = shown("account", "create", "main", *where)
    assert "sk-one" not in json.dumps(account)
    assert ProviderAccount.objects.get().credentials.reveal() == "sk-one"
    made = shown(
        *("deployment", "create", "mini", "--account", "main", "--upstream-model", "gpt-5.4-mini", "--model", "small"),
        *("--limit", "500/min", "--limit", "200k tokens/min", "--breaker-failures", "10"),
    )
    assert (made["models"], made["limits"], made["breaker_failures"]) == (["small"], ["500/min", "200000 tokens/min"], 10)
    told("deployment", "create", "mini-us", "--account", "main", "--upstream-model", "gpt-5.4-mini", "--model", "small")
    assert shown("model", "show", "small")["deployments"] == ["mini", "mini-us"]
    told("model", "change", "small", "--deployment", "mini-us")
    told("deployment", "change", "mini", "--is-enabled", "no")
    assert shown("model", "show", "small")["deployments"] == ["mini-us"]
    monkeypatch.setenv("A_KEY", "sk-two")
    told("account", "change", "main", "--credentials-from", "A_KEY")
    assert ProviderAccount.objects.get().credentials.reveal() == "sk-two"
    assert told("price", "set", "--provider", "openai", "--model", "mine", "--input", "0.15", "--output", "0.6").startswith(
        "openai/mine costs $0.15 and $0.6 per million tokens"
    )


def test_a_deployment_that_cannot_be_made_whole_is_not_made(acme):
    words = ("deployment", "create", "new", "--account", "main", "--upstream-model", "m")
    assert "is no limit" in refused(*words, "--limit", "many")
    assert not Deployment.objects.filter(name="new").exists()
    assert ModelRoute.objects.count() == 2
