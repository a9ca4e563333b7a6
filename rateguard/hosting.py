"""What a project must have for rateguard to be its guest; our own project has it too.

| id | when | what |
|---|---|---|
| rateguard.E020 | always, and each start | an app of ours, or django_celery_results, is not installed |
| rateguard.E021 | always, and each start | USE_TZ is off |
| rateguard.E022 | always, and each start | there is no REDIS_URL |
| rateguard.E023 | always | the database is neither PostgreSQL nor SQLite |
| rateguard.E024 | always | a router sends our tables to another database than `default` |
| rateguard.W025 | always | SQLite without its options for several writers |
| rateguard.E026 | always | Celery's app is not the project's |
| rateguard.W027 | always | the Celery app has a result backend that does not know jobs |
| rateguard.E028 | always | a lane has no queue |
| rateguard.E029 | always | DEBUG is off and there is no key to store credentials with |
| rateguard.W030 to W033 | `check`, `migrate`, `runserver` | what the pages need: `rateguard.hosting_pages` |
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection, router

from rateguard.checks import Rule
from rateguard.conf import conf
from rateguard.embedding import LANE_QUEUES
from rateguard.engine.errors import ConfigurationError

_APPS = ("rateguard", "tenants", "rateguard.jobs", "django_celery_results")
_SQLITE_OPTIONS = '"OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}'


def _lacks_apps() -> bool:
    return not all(map(apps.is_installed, _APPS))


def _has_no_vendor() -> bool:
    return connection.vendor not in {"postgresql", "sqlite"}


def _is_sent_elsewhere() -> bool:
    models = [model for label in ("rateguard_tenants", "rateguard_jobs") for model in apps.get_app_config(label).get_models()]
    return any(find(model) != "default" for model in models for find in (router.db_for_read, router.db_for_write))


def _may_lock_itself_out() -> bool:
    options = connection.settings_dict.get("OPTIONS", {})
    return connection.vendor == "sqlite" and str(options.get("transaction_mode") or "").upper() != "IMMEDIATE"


def _celery() -> Any:
    """The app that every thread of this process sees; None where that is Celery's own stopgap."""
    from celery import _state  # noqa: PLC0415 -- Celery's app reads Django's settings

    app = getattr(_state, "default_app", None)
    return None if app is None or (app.main == "default" and not app.fixups) else app


def _knows_no_jobs() -> bool:
    from rateguard.jobs.ends.results import JobResultBackend  # noqa: PLC0415 -- models are ready only now

    app = _celery()
    return app is not None and not isinstance(app.backend, JobResultBackend)


def _has_lane_without_queue() -> bool:
    app = _celery()
    return app is not None and not app.conf.task_create_missing_queues and not set(LANE_QUEUES) <= set(app.amqp.queues)


def _cannot_store_secrets() -> bool:
    try:
        return not conf().encryption_keys
    except ConfigurationError:  # rateguard.E001 tells
        return False


RULES_AT_START = (
    Rule(
        "rateguard.E020",
        _lacks_apps,
        "An app of rateguard's, or django_celery_results, is not installed.",
        'Add them to the settings: INSTALLED_APPS += ["django_celery_results", *rateguard.APPS].',
    ),
    Rule(
        "rateguard.E021",
        lambda: not settings.USE_TZ,
        "USE_TZ is off: jobs' times could not be stored as moments.",
        "Set USE_TZ = True, Django's default.",
    ),
    Rule(
        "rateguard.E022",
        lambda: not getattr(settings, "REDIS_URL", ""),
        "There is no REDIS_URL: the gate has no server.",
        'Add it to the settings: REDIS_URL = "redis://127.0.0.1:6379/0".',
    ),
)
RULES = (
    *RULES_AT_START,
    Rule(
        "rateguard.E023",
        _has_no_vendor,
        "The default database is neither PostgreSQL nor SQLite.",
        "Set DATABASES['default'] to a PostgreSQL server.",
    ),
    Rule(
        "rateguard.E024",
        _is_sent_elsewhere,
        "A database router sends rateguard's tables to another database than `default`, whose transactions submit jobs.",
        "Let the router return None for the apps rateguard_tenants and rateguard_jobs.",
    ),
    Rule(
        "rateguard.W025",
        _may_lock_itself_out,
        'SQLite\'s transactions begin without the right to write: of two processes that then write, one fails with "database is locked".',
        f"Add to DATABASES['default']: {_SQLITE_OPTIONS}. Or use PostgreSQL.",
    ),
    Rule(
        "rateguard.E026",
        lambda: _celery() is None,
        "Celery's app is not yours: what is submitted would go to a broker that Celery assumes.",
        "Make your Celery app after DJANGO_SETTINGS_MODULE is set, and import it in the package of your settings, as Celery's pages say.",
    ),
    Rule(
        "rateguard.W027",
        _knows_no_jobs,
        "Your Celery app's result backend knows no jobs: AsyncResult(id) will not find them, and no chord can wait for one.",
        "Take CELERY_RESULT_BACKEND out of the settings and call app.conf.update(rateguard.celery_settings()).",
    ),
    Rule(
        "rateguard.E028",
        _has_lane_without_queue,
        "task_create_missing_queues is off and a lane has no queue in task_queues: its jobs could not be published.",
        "Call app.conf.update(rateguard.celery_settings()), which adds them.",
    ),
    Rule(
        "rateguard.E029",
        _cannot_store_secrets,
        'DEBUG is off and RATEGUARD["ENCRYPTION_KEYS"] is empty: no provider\'s credentials can be stored.',
        "Add a Fernet key to it, the same on every machine, from an environment variable.",
    ),
)
