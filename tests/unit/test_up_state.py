"""What an `up` keeps between two starts, and what it makes of the environment's keys."""

import json
import os
import socket
import stat

import pytest

from rateguard.engine.providers.listing import Listing
from rateguard.up import options
from rateguard.up.accounts import models_of
from rateguard.up.catalogue import OPENAI, keys_in
from rateguard.up.place import make_place, write_files
from rateguard.up.state import CannotStart, State, is_free
from tenants.prices import rows_of_file

NOBODY = Listing(0, 0, reason="connection refused")


@pytest.fixture
def state(tmp_path):
    return State(tmp_path / "state")


@pytest.fixture
def shell(monkeypatch):
    """An environment in which nothing of ours is set."""
    for name in [name for name in os.environ if name.startswith("RATEGUARD_") or name in {"DATABASE_URL", "REDIS_URL"}]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_secrets_and_ports_are_made_once_and_nobody_else_reads_them(state):
    assert state.secrets() == State(state.folder).secrets()
    assert state.port("valkey") == State(state.folder).port("valkey")
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    for name in ("keys.json", "ports.json", ".gitignore"):
        assert stat.S_IMODE((state.folder / name).stat().st_mode) == 0o600


def test_secrets_that_cannot_be_read_are_not_made_anew(state):
    (state.folder / "keys.json").write_text("{")
    with pytest.raises(CannotStart, match="bring it back"):
        state.secrets()


def test_a_port_that_somebody_else_took_is_given_up(state, monkeypatch):
    monkeypatch.setattr("rateguard.up.state.PATIENCE_S", 0.0)
    kept = state.port("valkey")
    with socket.create_server(("127.0.0.1", kept)):
        assert not is_free("127.0.0.1", kept)
        assert state.port("valkey") != kept


def test_a_second_start_is_told_who_runs(state):
    who = f"process {os.getpid()}, at http://127.0.0.1:8000"
    with state.locked("http://127.0.0.1:8000"), pytest.raises(CannotStart, match=who), state.locked("x"):
        pass
    with state.locked("y"):
        pass


def test_the_processes_see_what_is_said_and_no_providers_key(state, shell):
    shell.setenv("OPENAI_API_KEY", "sk-secret")
    shell.setenv("RATEGUARD_WORKER_SLOTS", "7")
    shell.setenv("PYTHONSTARTUP", "x")
    place = make_place(state, options.parse(["--state", str(state.folder)]))
    write_files(place)
    assert place.environment["RATEGUARD_WORKER_SLOTS"] == "7"
    assert place.environment["RATEGUARD_ENV"] == "production"
    assert not {"OPENAI_API_KEY", "PYTHONSTARTUP"} & set(place.environment)
    assert "sk-secret" not in state.environment_file.read_text()
    assert stat.S_IMODE(state.environment_file.stat().st_mode) == 0o600


def test_a_server_of_the_environment_is_used_and_none_is_started(state, shell):
    shell.setenv("REDIS_URL", "redis://elsewhere:6379/1")
    shell.setenv("DATABASE_URL", "postgres://elsewhere/x")
    place = make_place(state, options.parse([]))
    assert place.valkey_port is None
    assert place.environment["REDIS_URL"] == "redis://elsewhere:6379/1"
    assert place.environment["DATABASE_URL"] == "postgres://elsewhere/x"


def test_every_model_that_becomes_a_deployment_has_a_price():
    known = {row["model"] for row in rows_of_file() if row["provider"] == OPENAI.name}
    assert set(OPENAI.models) <= known


def test_models_are_those_that_the_provider_lists_and_all_of_ours_where_it_is_silent():
    found = keys_in({"OPENAI_API_KEY": "sk-1"}).found[0]
    custom = keys_in({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}).found[0]
    assert models_of(found, NOBODY) == OPENAI.models
    assert models_of(found, Listing(200, 1, ("gpt-5.4-mini", "other"))) == ["gpt-5.4-mini"]
    assert models_of(custom, Listing(200, 1, ("llama", "qwen"))) == ("llama", "qwen")
    assert models_of(found, Listing(200, 1, ("llama",))) == OPENAI.models


def test_a_key_that_nothing_can_be_made_of_is_named():
    keys = keys_in({"ANTHROPIC_API_KEY": "sk-ant", "GROQ_API_KEY": " "})
    assert (keys.found, keys.unsupported) == ((), (("ANTHROPIC_API_KEY", "Anthropic"),))
    assert "sk-ant" not in json.dumps(keys.unsupported)
