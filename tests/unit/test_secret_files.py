"""Secrets by file: the settings read them, and say what is wrong with one without repeating it."""

import os
import subprocess
import sys
from pathlib import Path

import environ
import pytest

from rateguard import settings
from rateguard.engine.errors import ConfigurationError
from rateguard.secret_files import SECRETS, with_secret_files

PROJECT = Path(__file__).parents[2]
CANARY = "sk-canary-5b1e"


@pytest.fixture
def file(tmp_path):
    def write(text, name="secret"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.mark.parametrize("name", SECRETS)
def test_a_file_holds_the_secret_and_the_newline_at_its_end_is_cut(name, file):
    for end in ("", "\n", "\r\n"):
        assert with_secret_files({f"{name}_FILE": file(f" {CANARY} {end}")})[name] == f" {CANARY} "
    assert with_secret_files({name: "", f"{name}_FILE": file(CANARY)})[name] == CANARY
    assert with_secret_files({name: CANARY, f"{name}_FILE": ""})[name] == CANARY


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "is empty"), (" \n", "is empty"), (f"{CANARY}\n{CANARY}\n", "more than one line"), (CANARY.encode() + b"\xff\xfe", "no text")],
)
def test_a_file_that_holds_no_secret_is_named_with_what_to_do(text, reason, file):
    with pytest.raises(ConfigurationError, match=reason) as raised:
        with_secret_files({"SECRET_KEY_FILE": file(text)})
    assert "SECRET_KEY_FILE" in str(raised.value)
    assert "write the secret" in str(raised.value)
    assert CANARY not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(ConfigurationError, match="Name a file that this process may read"):
            with_secret_files({"REDIS_URL_FILE": str(path)})


def test_a_secret_given_twice_is_refused(file):
    with pytest.raises(ConfigurationError, match="both set"):
        with_secret_files({"SECRET_KEY": "one", "SECRET_KEY_FILE": file("two")})


def settings_say(expression, **environment):
    """What a process with this environment finds in its settings, or its last line."""
    kept = {name: text for name, text in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    code = f"import os; from rateguard import settings; print({expression})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env={**kept, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


def test_the_settings_read_them_and_children_inherit_no_secret(file):
    environment = {
        "SECRET_KEY_FILE": file(CANARY, "key"),
        "RATEGUARD_ENCRYPTION_KEYS_FILE": file("one,two\n", "keys"),
        "DATABASE_URL": "postgres://web@db.example:5432/rateguard",
        "DATABASE_PASSWORD_FILE": file("p@ss/word", "password"),
        "REDIS_URL_FILE": file("redis://:pass@valkey:6379/0\n", "redis"),
    }
    said = "settings.SECRET_KEY, settings.RATEGUARD, [settings.DATABASES['default'][k] for k in ('USER', 'PASSWORD', 'HOST')]"
    found = settings_say(f"({said}, settings.REDIS_URL, settings.BROKER_URL, 'SECRET_KEY' in os.environ)", **environment)
    redis = "redis://:pass@valkey:6379/0"
    assert eval(found) == (CANARY, {"ENCRYPTION_KEYS": ["one", "two"]}, ["web", "p@ss/word", "db.example"], redis, redis, False)


@pytest.mark.parametrize(
    ("url", "reason"), [("postgres://web:other@db.example/rateguard", "take it out of the URL"), ("sqlite:///a", "names no server")]
)
def test_a_password_that_belongs_to_no_url_or_stands_in_it_is_refused(url, reason):
    with pytest.raises(ConfigurationError, match=reason) as raised:
        settings._only_password(environ.Env.db_url_config(url), CANARY)
    assert CANARY not in str(raised.value)
