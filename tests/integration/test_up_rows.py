"""What `up` makes of a provider's key: an account with deployments once, later a new key alone; and the first tenant with its key."""

import dataclasses
import subprocess

import pytest

from rateguard.embedded import process
from rateguard.embedded.valkey import is_answering, valkey_argv
from rateguard.engine.providers.listing import Listing
from rateguard.up import accounts, options, overview
from rateguard.up.accounts import take_key, take_sim
from rateguard.up.catalogue import OPENAI, keys_in
from rateguard.up.door import open_door
from rateguard.up.place import make_place
from rateguard.up.state import State
from tenants.keys import find_key
from tenants.models import ApiKey, Deployment, Limit, ModelRoute, ProviderAccount, Tenant
from tests.simprovider import wait_for

SILENT = Listing(0, 0, reason="connection refused")
pytestmark = pytest.mark.usefixtures("db", "redis_url")


SMALL = dataclasses.replace(OPENAI, models=("gpt-5.5", "gpt-5.4-mini"))


def key(secret, **more):
    return dataclasses.replace(keys_in({"OPENAI_API_KEY": secret, **more}).found[0], provider=SMALL)


def test_a_key_becomes_an_account_with_models_under_the_assumed_limits_once(monkeypatch):
    assert take_key(key("sk-one"), SILENT)
    served = overview.accounts()[0].served
    assert [(one.limits, one.models) for one in served] == [(("500/min", "200000 tokens/min"), SMALL.models)]
    Limit.objects.filter(deployment__name="gpt-5-4-mini").delete()
    Deployment.objects.filter(name="gpt-5-5").delete()
    assert not take_key(key("sk-one"), SILENT)
    assert not Limit.objects.filter(deployment__name="gpt-5-4-mini").exists()  # what a person changed stays
    assert not Deployment.objects.filter(name="gpt-5-5").exists()


def test_a_changed_key_is_stored_and_an_unchanged_one_changes_nothing(monkeypatch):
    take_key(key("sk-one"), SILENT)
    take_key(key("sk-two", OPENAI_BASE_URL="https://proxy.example.com/v1"), SILENT)
    account = ProviderAccount.objects.get()
    assert (account.credentials.reveal(), account.base_url) == ("sk-two", "https://proxy.example.com/v1")
    monkeypatch.setattr(accounts, "change_account", lambda *_, **__: pytest.fail("nothing changed"))
    take_key(key("sk-two", OPENAI_BASE_URL="https://proxy.example.com/v1"), SILENT)


def test_a_start_that_is_cut_off_leaves_no_half_account(monkeypatch):
    def cut_off(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(accounts, "create_model", cut_off)
        with pytest.raises(KeyboardInterrupt):
            take_key(key("sk-one"), SILENT)
    assert not ProviderAccount.objects.exists()
    assert take_key(key("sk-one"), SILENT)


def test_models_of_a_person_are_left_alone():
    take_sim("http://127.0.0.1:1/v1", "sk-sim")
    mine = Deployment.objects.get(name="sim-chat")
    ModelRoute.objects.create(name="gpt-5.5").targets.create(deployment=mine)
    mine.name = "gpt-5-5"
    mine.save()
    take_key(key("sk-one"), SILENT)
    assert [target.deployment for target in ModelRoute.objects.get(name="gpt-5.5").targets.all()] == [mine]
    assert Deployment.objects.filter(name="openai-gpt-5-5").exists()


def test_the_first_key_is_told_once_and_kept_until_it_is_revoked(tmp_path):
    state = State(tmp_path / "state")
    first = open_door(state, "default")
    again = open_door(state, "default")
    assert (find_key(first.secret).tenant.name, again.secret) == ("default", "")
    assert first.key_file.read_text().strip() == first.secret
    Tenant.objects.update(status="paused")
    assert open_door(state, "default").secret == ""
    Tenant.objects.update(status="active")
    ApiKey.objects.all().delete()
    other = open_door(state, "default")
    assert other.secret not in ("", first.secret)
    assert open_door(state, "acme").key_file.name == "api-key.acme"


def test_a_valkey_of_ours_that_outlived_its_starter_is_ended_before_the_next(tmp_path, monkeypatch):
    monkeypatch.delenv("REDIS_URL")
    monkeypatch.setattr("rateguard.up.place.PATIENCE_S", 0.0)
    state = State(tmp_path / "state")
    port, password = state.port("valkey"), state.secrets()["valkey_password"]
    orphan = process.launch(valkey_argv(tmp_path, port, {"requirepass": password}), output=subprocess.DEVNULL)
    wait_for(lambda: is_answering(port, password=password))
    assert make_place(state, options.parse([])).valkey_port == port
    assert orphan.wait(5) == 0
    process.kill(orphan)
