"""Fixtures and options of the whole suite. The servers themselves are started in environment.py."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest
import redis

from rateguard.embedded.errors import ServerStartError
from rateguard.embedded.postgres import programs_folder
from tests import environment
from tests.alone import in_turn

PROJECT = Path(__file__).parent.parent


def _has_program(*names: str) -> bool:
    return any(shutil.which(name) for name in names)


def _has_postgres() -> bool:
    try:
        return bool(programs_folder())
    except ServerStartError:
        return os.environ.get("DATABASE_URL", "").startswith("postgres")


@functools.cache
def _has_compose() -> bool:
    """A client is enough: nothing is asked of a daemon."""
    if not _has_program("docker"):
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=30).returncode == 0


NEEDS: dict[str, Callable[[], bool]] = {
    "browser": lambda: _has_program("chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell"),
    "node": lambda: _has_program("node"),
    "faketime": lambda: _has_program("faketime"),
    "compose": _has_compose,
    "systemd": lambda: _has_program("systemd-analyze"),
    "postgres": _has_postgres,
}


def pytest_addoption(parser):
    options = parser.getgroup("rateguard")
    options.addoption("--long", action="store_true", help="also the tests marked `long`")
    options.addoption("--postgres", action="store_true", help="the whole suite on PostgreSQL: DATABASE_URL's server or an embedded one")
    options.addoption(
        "--require", default="", metavar="NAMES", help=f"fail where one of these is absent, instead of skipping: {','.join(NEEDS)}"
    )


def pytest_configure(config):
    required = [name for name in config.getoption("--require").split(",") if name]
    if unknown := sorted(set(required) - set(NEEDS)):
        raise pytest.UsageError(f"--require knows {', '.join(NEEDS)}; not {', '.join(unknown)}")
    if absent := [name for name in required if not NEEDS[name]()]:
        raise pytest.UsageError(f"required, but absent on this machine: {', '.join(absent)}")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="runs with --long"))
        if item.get_closest_marker("postgres") and not config.getoption("--postgres"):
            item.add_marker(pytest.mark.skip(reason="runs with --postgres"))
        absent = [name for marker in item.iter_markers("needs") for name in marker.args if not NEEDS[name]()]
        if absent:
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(absent)}, absent on this machine"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    """Outermost, so that the wait for one's turn counts against no timeout; a skipped test waits for nobody."""
    if item.get_closest_marker("skip"):
        return (yield)
    with in_turn(is_alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session")
def valkey():
    """This test process's own server (rateguard.embedded.valkey.ValkeyServer); a test that kills or freezes one starts its own."""
    return environment.VALKEY


@pytest.fixture
def redis_url(valkey):
    """The URL of an empty Valkey."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return valkey.url


@pytest.fixture(autouse=True)
def nothing_known_of_the_past():
    """What a process keeps of usage that is over is of another test's rows."""
    yield
    if "tenants.usage.past" in sys.modules:
        sys.modules["tenants.usage.past"].forget()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix):
    """On SQLite the test database is a file, as in a real run: a second thread or process sees the same rows under the same locks."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        database.setdefault("TEST", {})["NAME"] = str(environment.STATE_DIR / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """The test database, which PostgreSQL drops only once nobody is connected: of a process that was killed a session lives on a while."""
    yield
    with django_db_blocker.unblock():
        from django.db import connection

        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                others = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
                cursor.execute(f"select pg_terminate_backend(pid, 10000) from {others}")


@pytest.fixture(scope="session", autouse=True)
def no_permissions_after_each_test(django_db_modify_db_settings):
    """Django would make the rows of all permissions anew whenever a test emptied the tables: 25 ms each time, and nobody asks for them."""
    from django.contrib.auth.management import create_permissions
    from django.db.models.signals import post_migrate

    post_migrate.disconnect(create_permissions, dispatch_uid="django.contrib.auth.management.create_permissions")


@pytest.fixture
def child_env(transactional_db, redis_url):
    """The environment in which a process works on the test's own database and Valkey; run it with `cwd=PROJECT`."""
    return {**os.environ, "DATABASE_URL": _test_database_url(), "REDIS_URL": redis_url, "PYTHONPATH": str(PROJECT)}


def _test_database_url():
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{quote(name)}"))
