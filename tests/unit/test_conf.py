import re

import pytest
from django.test import override_settings

from rateguard.conf import Conf, conf, from_environment, parse
from rateguard.engine.errors import ConfigurationError

FERNET_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def test_without_any_setting_the_defaults_hold():
    assert parse({}) == Conf()


def test_a_setting_is_found_under_its_key_in_capitals():
    assert parse({"GATE_TIMEOUT_MS": 100}).gate_timeout_ms == 100


def test_an_unknown_key_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigurationError, match=r'"GATE_TIMEOUT".*"GATE_TIMEOUT_MS"'):
        parse({"GATE_TIMEOUT": 100})


@pytest.mark.parametrize("value", ["100", 1.5, True, None, 0, 10**9])
def test_a_wrong_number_is_refused_with_its_key_and_the_remedy(value):
    with pytest.raises(ConfigurationError, match=r'"SEND_BY_MS".*write a whole number of milliseconds from 1 to 3600000'):
        parse({"SEND_BY_MS": value})


@pytest.mark.parametrize(("key", "value"), [("PARTITION", "a b"), ("PARTITION", "{x}"), ("ON_REDIS_LOSS", "wait"), ("DEFAULT_TENANT", "")])
def test_a_wrong_word_is_refused_with_its_key(key, value):
    with pytest.raises(ConfigurationError, match=f'"{key}".*write'):
        parse({key: value})


def test_a_wrong_encryption_key_is_refused_and_never_repeated():
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEYS") as caught:
        parse({"ENCRYPTION_KEYS": ["hunter2-hunter2"]})
    assert "hunter2" not in str(caught.value)


def test_encryption_keys_are_in_no_repr():
    assert FERNET_KEY not in repr(parse({"ENCRYPTION_KEYS": [FERNET_KEY]}))


def test_one_late_heartbeat_is_no_death():
    with pytest.raises(ConfigurationError, match="DEAD_AFTER_MS"):
        parse({"HEARTBEAT_MS": 3_000, "DEAD_AFTER_MS": 5_000})


def test_the_environment_sets_every_type_of_key():
    found = from_environment(
        {
            "RATEGUARD_GUARD_MS": "0",
            "RATEGUARD_PARTITION": "blue",
            "RATEGUARD_ENCRYPTION_KEYS": f"{FERNET_KEY}, {FERNET_KEY}",
            "RATEGUARD_ENV": "production",
            "HOME": "/",
        }
    )
    assert found == {"GUARD_MS": 0, "PARTITION": "blue", "ENCRYPTION_KEYS": [FERNET_KEY, FERNET_KEY]}
    assert parse(found).encryption_keys == (FERNET_KEY, FERNET_KEY)


def test_a_number_that_is_none_in_the_environment_is_named():
    with pytest.raises(ConfigurationError, match=r'"GUARD_MS".*soon'):
        parse(from_environment({"RATEGUARD_GUARD_MS": "soon"}))


def test_settings_changed_by_a_test_are_seen_and_forgotten():
    before = conf().max_tries
    with override_settings(RATEGUARD={"MAX_TRIES": before + 1}):
        assert conf().max_tries == before + 1
    assert conf().max_tries == before


def test_a_development_key_is_derived_from_the_secret_key_and_only_in_development():
    with override_settings(RATEGUARD={}, RATEGUARD_ENV="development", SECRET_KEY="a"):
        first = conf().encryption_keys
    with override_settings(RATEGUARD={}, RATEGUARD_ENV="development", SECRET_KEY="b"):
        assert len(first) == 1
        assert conf().encryption_keys != first
    with override_settings(RATEGUARD={}, RATEGUARD_ENV="production"):
        assert conf().encryption_keys == ()


def test_a_breaker_keeps_the_parts_that_a_setting_does_not_name():
    found = parse({"BREAKER": {"failures": 10, "open_ms": 60_000}}).breaker
    assert (found.failures, found.open_ms, found.window_ms) == (10, 60_000, parse({}).breaker.window_ms)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (5, '"BREAKER"] is 5: write its parts'),
        ({"failure": 5}, '["failure"] is no part of a breaker; the nearest is "failures"'),
        ({"failures": 0}, '["failures"] is 0: write a whole number from 1 to'),
        ({"failures": True}, '["failures"] is True'),
        ({"open_ms": "soon"}, "[\"open_ms\"] is 'soon'"),
    ],
)
def test_a_breaker_that_means_nothing_is_refused_with_the_part(value, named):
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        parse({"BREAKER": value})


def test_the_environment_names_the_parts_of_a_breaker():
    assert parse(from_environment({"RATEGUARD_BREAKER": "failures=10, open_ms=60000"})).breaker.open_ms == 60_000
    with pytest.raises(ConfigurationError, match="open_ms"):
        parse(from_environment({"RATEGUARD_BREAKER": "open_ms=soon"}))
