import sys
import types
from importlib.machinery import ModuleSpec

import pytest
from celery import current_app
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.core import checks
from django.db.utils import ConnectionRouter
from django.test import override_settings

from rateguard.checks import refuse_at_start, refuse_shadowed_packages
from rateguard.embedding import installed_apps
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


@pytest.fixture
def foreign(monkeypatch, tmp_path):
    """`foreign(name)`: a package of that name which is not ours is what an import would find."""

    def make(name):
        place = tmp_path / name
        package = types.ModuleType(name)
        package.__spec__ = ModuleSpec(name, None, origin=str(place / "__init__.py"))
        monkeypatch.setitem(sys.modules, name, package)
        return place

    return make


def test_a_foreign_package_in_a_name_that_we_need_ends_the_start_with_a_remedy(foreign):
    place = foreign("tenants")

    with pytest.raises(ConfigurationError, match=f"`tenants` is shadowed by another one in {place}.*Rename"):
        refuse_shadowed_packages()
    assert found() == {"rateguard.E002"}


def test_a_host_that_has_a_dashboard_is_told_that_ours_is_left_out(foreign):
    place = foreign("dashboard")

    refuse_shadowed_packages()
    (told,) = checks.run_checks(tags=["rateguard"])
    assert (told.id, str(place) in told.msg, "SILENCED_SYSTEM_CHECKS" in told.hint) == ("rateguard.W004", True, True)
    assert not [app for app in installed_apps() if app.startswith("dashboard")]


class Elsewhere:
    def db_for_write(self, model, **hints):
        return "other" if model._meta.app_label == "rateguard_jobs" else None


class Sessions(SessionMiddleware):
    """A host's own."""


class Stranger:
    """A Celery app as a host may have made it."""

    def __init__(self, backend=None, **conf):
        self.main, self.fixups = "shop", ["celery.fixups.django:fixup"]
        self.backend = backend
        self.conf = types.SimpleNamespace(**{"task_create_missing_queues": True, "broker_transport_options": {}, **conf})
        self.amqp = types.SimpleNamespace(queues={"celery": None, "llm.normal": None})


def start_with(change):
    with override_settings(**change):
        refuse_at_start()


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("rateguard.E020", {"INSTALLED_APPS": [app for app in settings.INSTALLED_APPS if app != "django_celery_results"]}),
        ("rateguard.E021", {"USE_TZ": False}),
        ("rateguard.E022", {"REDIS_URL": ""}),
    ],
)
def test_a_host_that_lacks_what_every_start_needs_does_not_start(rule, change):
    with pytest.raises(ConfigurationError, match=f"{rule}: .* [AS][de][dt]"):
        start_with(change)


def test_a_router_that_sends_jobs_elsewhere_is_named(monkeypatch):
    monkeypatch.setattr("rateguard.hosting.router", ConnectionRouter([Elsewhere()]))
    assert found() == {"rateguard.E024"}


@pytest.mark.parametrize(
    ("rules", "app"),
    [
        ({"rateguard.E026"}, None),
        ({"rateguard.E026"}, types.SimpleNamespace(main="default", fixups=[])),
        ({"rateguard.W027"}, Stranger(backend="redis")),
        ({"rateguard.W027", "rateguard.E028"}, Stranger(task_create_missing_queues=False)),
        (set(), current_app._get_current_object()),
    ],
)
def test_a_host_whose_celery_does_not_do_is_told(rules, app, monkeypatch):
    monkeypatch.setattr("celery._state.default_app", app)
    assert found() == rules


def test_a_host_without_debug_and_without_keys_is_told_before_it_stores_a_secret(settings):
    del settings.RATEGUARD_ENV
    settings.DEBUG = False
    settings.RATEGUARD = {}
    refuse_at_start()
    assert found() == {"rateguard.E029"}


def test_sqlite_without_its_options_and_other_databases_are_told_of(monkeypatch):
    monkeypatch.setattr("rateguard.hosting.connection", types.SimpleNamespace(vendor="sqlite", settings_dict={"OPTIONS": {}}))
    assert found() == {"rateguard.W025"}
    monkeypatch.setattr("rateguard.hosting.connection", types.SimpleNamespace(vendor="mysql", settings_dict={}))
    assert found() == {"rateguard.E023"}


def found_of_pages():
    return {message.id for message in checks.run_checks(tags=["urls"]) if message.id.startswith("rateguard.")}


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("rateguard.W030", {"INSTALLED_APPS": [app for app in settings.INSTALLED_APPS if app != "django.contrib.sessions"]}),
        ("rateguard.W031", {"MIDDLEWARE": [one for one in settings.MIDDLEWARE if not one.endswith("MessageMiddleware")]}),
        ("rateguard.W032", {"TEMPLATES": [{**settings.TEMPLATES[0], "OPTIONS": {}}]}),
        ("rateguard.W032", {"TEMPLATES": []}),
        ("rateguard.W033", {"STATIC_URL": None}),
    ],
)
def test_a_host_that_includes_the_pages_is_told_what_they_lack(rule, change):
    with override_settings(**change):
        assert found_of_pages() == {rule}
        with override_settings(ROOT_URLCONF="rateguard.urls"):
            assert found_of_pages() == set()


def test_sessions_in_cookies_and_a_middleware_of_ones_own_do_for_the_pages():
    apps = [app for app in settings.INSTALLED_APPS if app != "django.contrib.sessions"]
    ours = ["tests.unit.test_checks.Sessions" if one.endswith("SessionMiddleware") else one for one in settings.MIDDLEWARE]
    with override_settings(INSTALLED_APPS=apps, MIDDLEWARE=ours, SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies"):
        assert found_of_pages() == set()
