"""What settings.py reads, set before Django is: servers and folders that belong to this test process alone.

pyproject.toml names this module as a plugin (`-p`), because pytest-django loads the settings before any conftest.py. Each xdist worker
is a process of its own, so each has its own Valkey and its own SQLite file; the PostgreSQL server is the first process's, for all.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from rateguard.embedded.postgres import start_postgres
from rateguard.embedded.valkey import start_valkey
from rateguard.secret_files import SECRETS

IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
WANTS_POSTGRES = "--postgres" in sys.argv and not IS_XDIST_WORKER  # the workers inherit DATABASE_URL


def _forget_the_shell() -> None:
    """No variable of the caller's shell may point a test at a real server or turn production on."""
    ours = ("RATEGUARD_", "DATABASE_P", "DATABASE_W", "SECURE_")
    single = {"BROKER_URL", "SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", *(f"{name}_FILE" for name in SECRETS)}
    for name in [name for name in os.environ if name.startswith(ours) or name in single]:
        del os.environ[name]


def _choose_database() -> None:
    if IS_XDIST_WORKER and os.environ["DATABASE_URL"].startswith("postgres"):
        return
    if not WANTS_POSTGRES:
        os.environ["DATABASE_URL"] = f"sqlite:///{STATE_DIR}/unused.sqlite3"
    elif not os.environ.get("DATABASE_URL", "").startswith("postgres"):
        server = start_postgres()
        atexit.register(server.stop)
        os.environ["DATABASE_URL"] = server.url


STATE_DIR = Path(tempfile.mkdtemp(prefix="rateguard-tests-"))
atexit.register(shutil.rmtree, STATE_DIR, ignore_errors=True)
VALKEY = start_valkey(STATE_DIR / "valkey")
atexit.register(VALKEY.stop)

_forget_the_shell()
_choose_database()
if not IS_XDIST_WORKER:
    os.environ["TESTS_ALONE_FOLDER"] = str(STATE_DIR)  # the workers inherit it
os.environ["REDIS_URL"] = VALKEY.url
os.environ["RATEGUARD_STATE_DIR"] = str(STATE_DIR)
os.environ["RATEGUARD_BOOTSTRAP"] = "0"  # a test's child processes run in this environment as it is
os.environ["DJANGO_SETTINGS_MODULE"] = "rateguard.settings"
