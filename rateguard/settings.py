"""Django's settings of the project. What differs from place to place comes from the environment; the defaults suit a first run.

RATEGUARD_ENV=production turns on the refusals of `rateguard.checks`: the process does not start with DEBUG, a default secret,
no encryption key, or SQLite without the word that one machine runs everything.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path
from typing import Any

import environ  # type: ignore[import-untyped]

from rateguard import conf
from rateguard.embedding import APPS, ASYNCIO_POOL, ROOT
from rateguard.engine.errors import ConfigurationError
from rateguard.secret_files import with_secret_files

env = environ.Env()
env.ENVIRON = with_secret_files(os.environ)  # secrets by file stay out of the environment that children inherit

# The place -----------------------------------------------------------------------------------------------------------

RATEGUARD_ENV = env.str("RATEGUARD_ENV", default="development")
"""`development` or `production`."""
RATEGUARD_HOSTS = env.int("RATEGUARD_HOSTS", default=0)
"""How many machines run web or worker processes; 0: nobody said."""
IS_PRODUCTION = RATEGUARD_ENV == "production"
RATEGUARD_URL = env.str("RATEGUARD_URL", default="" if IS_PRODUCTION else "http://127.0.0.1:8000")
"""Where people reach the pages, without a path: links that sign somebody in begin with it."""
STATE_DIR = Path(env.str("RATEGUARD_STATE_DIR", default=".")).resolve()

SECRET_KEY = env.str("SECRET_KEY", default="django-insecure-rateguard-development-only")
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=[] if IS_PRODUCTION else ["localhost", "127.0.0.1", "[::1]", "testserver"])

RATEGUARD: dict[str, object] = conf.from_environment(env.ENVIRON)

# Apps ----------------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "rateguard.project.ProjectConfig",  # in place of the first of APPS: here our Celery app is the current one
    *APPS[1:],
    "unfold.apps.BasicAppConfig",  # before the admin, whose look it is; it leaves the site to us
    "rateguard.project.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "axes",
    "django_celery_results",
    "rest_framework",
]
MIDDLEWARE = [
    "rateguard.api.middleware.RequestIdMiddleware",  # first: whatever refuses a request, the answer bears its id
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "dashboard.admin_policy.AdminPolicy",
    "axes.middleware.AxesMiddleware",  # last: it answers for a sign-in that was locked
]
ROOT_URLCONF = "rateguard.project_urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
APPEND_SLASH = False

# Sign-in -------------------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "dashboard:signin"
LOGIN_REDIRECT_URL = "dashboard:now"
LOGOUT_REDIRECT_URL = "dashboard:signin"
SESSION_COOKIE_AGE = 12 * 3_600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("COOKIES_OVER_HTTPS_ALONE", default=IS_PRODUCTION)
SESSION_COOKIE_NAME = "rateguard_session"
CSRF_COOKIE_NAME = "rateguard_csrf"
CSRF_FAILURE_VIEW = "dashboard.views.errors.form_from_elsewhere"
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = dt.timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_CALLABLE = "dashboard.views.signin.locked"
AXES_CLIENT_IP_CALLABLE = "dashboard.addresses.of_client"
AXES_VERBOSE = False

# The admin -----------------------------------------------------------------------------------------------------------

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "rateguard",
    "SITE_HEADER": "rateguard",
    "SITE_SUBHEADER": "Settings",
    "SITE_SYMBOL": "speed",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "rateguard.admin.sidebar.mark"}],
    "SITE_URL": "/",
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_HISTORY": True,
    "BORDER_RADIUS": "8px",
    "COLORS": {"primary": "rateguard.admin.sidebar.blues"},
    "SIDEBAR": {"navigation": "rateguard.admin.sidebar.sidebar"},
    "ACCOUNT": {"navigation": "rateguard.admin.sidebar.account"},
}

# Files of the pages --------------------------------------------------------------------------------------------------

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # from where they are installed: there is no step that collects them
WHITENOISE_AUTOREFRESH = False

# HTTPS: on in production, each part off by its own variable where something in front does it ------------------------------

SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=IS_PRODUCTION)
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3_600 if IS_PRODUCTION else 0)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", default=False) else None
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # whether subdomains or browsers' lists may take part in HSTS is for the owner of the domain to say
    "security.W021",
]

# Databases -----------------------------------------------------------------------------------------------------------


def _sqlite_options() -> dict[str, Any]:
    """WAL, so that readers never wait; IMMEDIATE, so that a writer waits at BEGIN instead of failing half-way."""
    return {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;",
    }


def _postgres_options() -> dict[str, Any]:
    """A pool: under ASGI each synchronous request has its own thread and would open its own connection.

    Who waits for one longer than `timeout` is told 503: while the server is away nobody waits for it, and a caller may go elsewhere.
    The pool tries to connect at growing intervals, and begins anew after `reconnect_timeout`: so it is back soon after a long absence.
    """
    return {
        "pool": {
            "min_size": env.int("DATABASE_POOL_MIN", default=1),
            "max_size": env.int("DATABASE_POOL_MAX", default=20),
            "timeout": 1.5,
            "reconnect_timeout": 4,
        },
        "connect_timeout": 5,
    }


def _only_password(database: dict[str, Any], password: str) -> str:
    """The password beside DATABASE_URL. Raises ConfigurationError where that has one too, or leads to no server."""
    if not database.get("HOST"):
        raise ConfigurationError("DATABASE_PASSWORD is set, but DATABASE_URL names no server: set it, like postgres://user@host:5432/name")
    if database.get("PASSWORD"):
        raise ConfigurationError("DATABASE_PASSWORD is set and DATABASE_URL holds a password too: take it out of the URL")
    return password


def _database() -> dict[str, Any]:
    database: dict[str, Any] = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(STATE_DIR / "rateguard.sqlite3")}
    if env.str("DATABASE_URL", default=""):
        database = dict(env.db_url("DATABASE_URL"))
    if password := env.str("DATABASE_PASSWORD", default=""):
        database["PASSWORD"] = _only_password(database, password)
    is_sqlite = database["ENGINE"].endswith("sqlite3")
    options = _sqlite_options() if is_sqlite else _postgres_options()
    # The tests' database is a file too: one in memory locks whole tables between threads and cannot be shared with processes.
    test = {"NAME": str(Path(tempfile.gettempdir()) / f"rateguard-test-{os.getpid()}.sqlite3")} if is_sqlite else {}
    # A pooled connection belongs to the pool: Django must not keep it (CONN_MAX_AGE 0).
    return {**database, "OPTIONS": {**options, **database.get("OPTIONS", {})}, "CONN_MAX_AGE": 0, "TEST": test}


DATABASES = {"default": _database()}
DATABASE_ROLES = {"web": env.str("DATABASE_WEB_ROLE", default=""), "worker": env.str("DATABASE_WORKER_ROLE", default="")}
"""PostgreSQL's roles that web processes and workers sign in as, where `migrate` runs as another: see rateguard.database_roles."""

# Redis and Celery ----------------------------------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

BROKER_URL = env.str("BROKER_URL", default=REDIS_URL)
"""Celery's server, as a URL of the gate's kind."""

# What else Celery needs is in rateguard.celery.
CELERY_RESULT_EXTENDED = True
CELERY_TASK_IGNORE_RESULT = False
CELERY_TASK_SERIALIZER = CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
# With a pool set here Celery obeys `-P threads` and `-P solo` but not `-P prefork`: choose that by the variable.
CELERY_WORKER_POOL = env.str("RATEGUARD_WORKER_POOL", default=ASYNCIO_POOL)
CELERY_WORKER_ENABLE_REMOTE_CONTROL = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_TASK_SEND_SENT_EVENT = False

# Doors and logs ------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],  # each view names its own
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

LOGGING_CONFIG = "rateguard.telemetry.logs.configure_logging"
LOGGING = {"level": env.str("RATEGUARD_LOG_LEVEL", default="INFO")}
