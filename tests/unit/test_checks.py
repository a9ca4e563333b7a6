import sys
import types
from importlib.machinery import ModuleSpec

import pytest
from celery import current_app
from django.core import checks
from django.test import override_settings

from rateguard.checks import refuse_at_start, refuse_shadowed_packages
from rateguard.engine.errors import ConfigurationError

FIT = {
    "RATEGUARD_ENV": "production",
    "DEBUG": False,
    "SECRET_KEY": "k" * 20 + "0123456789" * 4,
    "RATEGUARD": {"ENCRYPTION_KEYS": ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]},
    "DATABASES": {"default": {"ENGINE": "django.db.backends.postgresql"}},
}
UNFIT = [
    ("rateguard.E010", {"DEBUG": True}),
    ("rateguard.E011", {"SECRET_KEY": "django-insecure-rateguard-development-only"}),
    ("rateguard.E011", {"SECRET_KEY": "short"}),
    ("rateguard.E012", {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}, "RATEGUARD_HOSTS": 0}),
    ("rateguard.E012", {"DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}, "RATEGUARD_HOSTS": 2}),
    ("rateguard.E013", {"RATEGUARD": {}}),
]
# Nobody connects to these databases: the rule reads the setting alone.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")


def found(**kwargs):
    return {message.id for message in checks.run_checks(tags=["rateguard"], **kwargs)}


def test_fit_settings_start_in_production():
    with override_settings(**FIT):
        refuse_at_start()
        assert found(include_deployment_checks=True) == set()


@pytest.mark.parametrize(("rule", "change"), UNFIT)
def test_production_refuses_to_start_with_what_is_fit_for_development_alone(rule, change):
    with override_settings(**{**FIT, **change}), pytest.raises(ConfigurationError, match=rule):
        refuse_at_start()


@pytest.mark.parametrize(("rule", "change"), UNFIT)
def test_the_deployment_check_names_it_with_a_remedy(rule, change):
    with override_settings(**{**FIT, **change, "RATEGUARD_ENV": "development"}):
        messages = checks.run_checks(tags=["rateguard"], include_deployment_checks=True)
    assert [(message.id, bool(message.hint)) for message in messages] == [(rule, True)]


def test_one_machine_may_run_everything_on_sqlite():
    with override_settings(**{**FIT, "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3"}}, "RATEGUARD_HOSTS": 1}):
        refuse_at_start()


def test_a_wrong_setting_is_found_by_the_check():
    with override_settings(RATEGUARD={"WORKER_SLOTS": "many"}):
        assert found() == {"rateguard.E001"}


def test_broker_connections_that_mend_themselves_are_warned_of(monkeypatch):
    monkeypatch.setitem(current_app.conf.broker_transport_options, "retry_on_timeout", True)
    with override_settings(**FIT):
        assert found() == {"rateguard.W003"}


def test_a_foreign_package_with_one_of_our_names_is_named_with_a_remedy(monkeypatch, tmp_path):
    foreign = types.ModuleType("dashboard")
    foreign.__spec__ = ModuleSpec("dashboard", None, origin=str(tmp_path / "dashboard" / "__init__.py"))
    monkeypatch.setitem(sys.modules, "dashboard", foreign)

    with pytest.raises(ConfigurationError, match=f"`dashboard` is shadowed by another one in {tmp_path}.*Rename"):
        refuse_shadowed_packages()
    assert found() == {"rateguard.E002"}
