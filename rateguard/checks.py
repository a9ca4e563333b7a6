"""What must be right before rateguard runs: one table of rules, used by `manage.py check` and, in production, at every start.

| id | when | what |
|---|---|---|
| rateguard.E001 | always | RATEGUARD has an unknown key, a wrong type or a value out of range |
| rateguard.E002 | always | a foreign package takes the name of one of ours |
| rateguard.W003 | always | Celery's broker options let the Redis client mend broken connections by itself |
| rateguard.E010 to E013 | `check --deploy`, and each start with RATEGUARD_ENV=production | settings that are fit for development alone |
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.core import checks

from rateguard.conf import conf, is_production
from rateguard.engine.errors import ConfigurationError

OUR_PACKAGES = ("tenants", "dashboard")
"""Top-level packages of ours with names that a host project may have taken."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule: broken where `is_broken()` is true. message: what is wrong; hint: what to do."""

    id: str
    is_broken: Callable[[], bool]
    message: str
    hint: str


def _has_default_secret() -> bool:
    return settings.SECRET_KEY.startswith("django-insecure-") or len(settings.SECRET_KEY) < 32


def _may_share_sqlite() -> bool:
    is_sqlite = any(database["ENGINE"].endswith("sqlite3") for database in settings.DATABASES.values())
    return is_sqlite and getattr(settings, "RATEGUARD_HOSTS", 0) != 1


PRODUCTION_RULES = (
    Rule(
        "rateguard.E010",
        lambda: bool(settings.DEBUG),
        "DEBUG is on: error pages would show settings and requests to anybody.",
        "Set DEBUG=0.",
    ),
    Rule(
        "rateguard.E011",
        _has_default_secret,
        "SECRET_KEY is the default of development or shorter than 32 characters.",
        "Set SECRET_KEY to a random text of at least 50 characters, the same on every machine.",
    ),
    Rule(
        "rateguard.E012",
        _may_share_sqlite,
        "The database is SQLite, which several machines cannot share.",
        "Set DATABASE_URL to a PostgreSQL server, or RATEGUARD_HOSTS=1 if one machine runs everything.",
    ),
    Rule(
        "rateguard.E013",
        lambda: not dict(getattr(settings, "RATEGUARD", {})).get("ENCRYPTION_KEYS"),
        'RATEGUARD["ENCRYPTION_KEYS"] is empty: providers\' credentials could not be stored safely.',
        "Set RATEGUARD_ENCRYPTION_KEYS to one or more Fernet keys, separated by commas; the first encrypts.",
    ),
)


def shadowed_packages(root: Path | None = None) -> dict[str, Path]:
    """Packages that import under one of our names but are not ours: name → where they lie. root: the folder that holds our packages."""
    root = root or Path(__file__).resolve().parent.parent
    found = {name: importlib.util.find_spec(name) for name in OUR_PACKAGES}
    places = {name: Path(spec.origin).resolve().parent for name, spec in found.items() if spec is not None and spec.origin}
    return {name: place for name, place in places.items() if place.parent != root}


def _shadow_message(name: str, place: Path) -> str:
    return f"rateguard's package `{name}` is shadowed by another one in {place}."


_SHADOW_HINT = "Rename that package, or put rateguard before it on sys.path and import the other under a longer name."


def refuse_shadowed_packages() -> None:
    """Raise ConfigurationError if a foreign package takes the name of one of ours."""
    messages = [f"{_shadow_message(name, place)} {_SHADOW_HINT}" for name, place in shadowed_packages().items()]
    if messages:
        raise ConfigurationError("\n".join(messages))


def refuse_at_start() -> None:
    """Raise ConfigurationError if RATEGUARD is wrong or, in production, a rule is broken. It lists all that is."""
    conf()
    if is_production() and hasattr(settings, "RATEGUARD_ENV"):
        broken = [f"{rule.id}: {rule.message} {rule.hint}" for rule in PRODUCTION_RULES if rule.is_broken()]
        if broken:
            raise ConfigurationError("these settings are not fit for production:\n" + "\n".join(broken))


def check_settings(**_: object) -> list[checks.CheckMessage]:
    """RATEGUARD parses."""
    try:
        conf()
    except ConfigurationError as error:
        return [checks.Error(str(error), id="rateguard.E001")]
    return []


def check_shadowed_packages(**_: object) -> list[checks.CheckMessage]:
    """No foreign package takes the name of one of ours."""
    return [
        checks.Error(_shadow_message(name, place), hint=_SHADOW_HINT, id="rateguard.E002") for name, place in shadowed_packages().items()
    ]


def check_broker(**_: object) -> list[checks.CheckMessage]:
    """Celery sees each loss of its broker. Looks at the Celery app that is the current one: a host project's, or ours."""
    from celery import current_app  # noqa: PLC0415 -- the app reads Django's settings, which load after this module may

    if not current_app.conf.broker_transport_options.get("retry_on_timeout"):
        return []
    message = "Celery's broker options have retry_on_timeout: after a failover of Redis a worker may hear no message more, without a word."
    return [checks.Warning(message, hint="Take retry_on_timeout out of CELERY_BROKER_TRANSPORT_OPTIONS.", id="rateguard.W003")]


def check_production(**_: object) -> list[checks.CheckMessage]:
    """The settings are fit for production."""
    return [checks.Error(rule.message, hint=rule.hint, id=rule.id) for rule in PRODUCTION_RULES if rule.is_broken()]


def register() -> None:
    """Give the checks to Django."""
    checks.register(check_settings, "rateguard")
    checks.register(check_shadowed_packages, "rateguard")
    checks.register(check_broker, "rateguard")
    checks.register(check_production, "rateguard", deploy=True)
