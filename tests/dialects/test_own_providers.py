"""Providers of a project's own: a class by its path or a preset, checked at the start, then as good as those that come along."""

import pytest
from django.core.management import call_command

from rateguard import checks, providers
from rateguard.conf import conf, from_environment, parse
from rateguard.engine.errors import ConfigurationError, InvalidRequest
from rateguard.engine.providers.base import Target
from rateguard.engine.providers.compatible.presets import Preset
from rateguard.engine.providers.http import HttpClient
from rateguard.engine.providers.listing import NO_PROBE, look
from rateguard.engine.providers.registry import ProviderRegistry
from tenants.changes.accounts import create_account
from tenants.changes.actor import Actor
from tenants.models import ProviderAccount
from tests.acceptance.pages import PROJECT, blocks_of

HERE = "tests.dialects.own_provider."
OWN = {"ours": HERE + "Ours", "bare": HERE + "Bare", "theirs": {"base_url": "https://llm.example.com/v1", "max_tokens": "max_tokens"}}


@pytest.fixture
def own(settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "PROVIDERS": OWN}


def test_without_any_those_that_come_along_are_known():
    assert conf().providers is None
    assert {"openai", "azure", "groq"} <= set(providers.known())
    assert "ours" not in providers.names()


def test_a_class_and_a_preset_are_found_by_their_names(own):
    registry = ProviderRegistry(HttpClient(), providers.known())
    assert registry.get("ours").request_id({"x-ours-id": "1"}) == "1"
    assert registry.get("theirs").name == "theirs"
    assert registry.get("groq").name == "groq"
    assert ("ours", "ours") in providers.choices()
    assert checks.check_named_paths() == []


@pytest.mark.django_db
def test_an_account_may_name_them(own, monkeypatch):
    monkeypatch.setenv("THEIR_KEY", "x")
    fields = {"base_url": "https://llm.example.com/v1", "credentials": "key"}
    create_account(Actor("shell ada"), name="mine", provider="ours", **fields)
    call_command("account", "create", "yours", "--provider", "theirs", "--base-url", fields["base_url"], "--credentials-from", "THEIR_KEY")
    assert sorted(ProviderAccount.objects.values_list("provider", flat=True)) == ["ours", "theirs"]


@pytest.mark.django_db
def test_an_account_may_not_name_what_nobody_knows():
    with pytest.raises(InvalidRequest, match="write one of anthropic"):
        create_account(Actor("shell ada"), name="mine", provider="ours", base_url="https://x.example/v1", credentials="key")


def test_one_without_a_page_to_ask_says_so(own):
    listing = look("bare", Target("bare", "https://x", "key", ""), providers.known())
    assert (listing.was_asked, listing.reason) == (False, NO_PROBE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("ours", "write {"),
        ({"Our provider": HERE + "Ours"}, "small letters"),
        ({"openai": HERE + "Ours"}, "comes along: take another name"),
        ({"groq": {}}, "comes along"),
        ({"ours": "Ours"}, "dotted path of a class"),
        ({"ours": {"base_ur": "x"}}, 'the nearest is "base_url"'),
        ({"ours": 7}, "write a table"),
    ],
)
def test_a_setting_that_is_wrong_says_what_to_write(given, said):
    with pytest.raises(ConfigurationError, match="PROVIDERS") as raised:
        parse({"PROVIDERS": given})
    assert said in str(raised.value)


@pytest.mark.parametrize(("path", "said"), [("nowhere.at.All", "cannot be imported"), ("enum.Enum", "not a class of providers")])
def test_what_a_path_leads_to_is_checked_at_the_start(settings, path, said):
    settings.RATEGUARD = {**settings.RATEGUARD, "PROVIDERS": {"ours": path}}
    (finding,) = checks.check_named_paths()
    assert (finding.id, said in finding.msg) == ("rateguard.E003", True)
    assert "ours" in providers.names()


def test_while_the_settings_are_wrong_forms_know_those_that_come_along(settings):
    settings.RATEGUARD = {**settings.RATEGUARD, "PROVIDERS": 7}
    assert "openai" in providers.names()


def test_the_environment_says_them_as_json():
    given = from_environment({"RATEGUARD_PROVIDERS": '{"theirs": {"base_url": "https://x/v1"}}'})
    assert isinstance(parse(given).providers["theirs"], Preset)
    with pytest.raises(ConfigurationError, match="PROVIDERS"):
        parse(from_environment({"RATEGUARD_PROVIDERS": "ours=x"}))


def test_what_the_page_teaches_works():
    (preset, a_class) = [block.text for block in blocks_of(PROJECT / "docs/providers/adding.md") if block.language == "python"]
    space: dict[str, object] = {}
    exec(preset, space)
    assert "acme" in parse(space["RATEGUARD"]).providers
    exec(a_class, space)
    known = {"acme": HERE + "Ours"}
    assert ProviderRegistry(HttpClient(), known).get("acme").request_id({"x-ours-id": "1"}) == "1"
    assert space["Acme"](HttpClient()).request_id({"x-acme-id": "1"}) == "1"
