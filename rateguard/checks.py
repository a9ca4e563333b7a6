"""What must be right before rateguard runs: one table of rules, used by `manage.py check` and, in production, at every start.

| id | when | what |
|---|---|---|
| rateguard.E001 | always | RATEGUARD has an unknown key, a wrong type or a value out of range |
| rateguard.E003 | always | what RATEGUARD names by its path cannot be imported, or is not what it should be |
| rateguard.E002 | always, and each start | a foreign package takes the name of one that we need |
| rateguard.W003 | always | Celery's broker options let the Redis client mend broken connections by itself |
| rateguard.W004 | always | a foreign package takes the name of one that we can do without: ours is left out |
| rateguard.E010 to E013 | `check --deploy`, and each start with RATEGUARD_ENV=production | settings that are fit for development alone |
| rateguard.W030 to W033 | `check` and the like | what a host project must have for the pages: `rateguard.hosting_pages` |
| rateguard.E020 to E029 | always; some at each start | what a host project must have: `rateguard.hosting` |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.utils.module_loading import import_string

from rateguard.conf import conf, is_production
from rateguard.embedding import NEEDED, OPTIONAL, ROOT, is_shadowed
from rateguard.engine.errors import ConfigurationError
from rateguard.screening.chain import is_middleware, made


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule: broken where `is_broken()` is true. message: what is wrong; hint: what to do."""

    id: str
    is_broken: Callable[[], bool]
    message: str
    hint: str

    def findings(self) -> list[checks.CheckMessage]:
        """What Django's check says of it: an error, or a warning where the id begins with W."""
        kind = checks.Warning if ".W" in self.id else checks.Error
        return [kind(self.message, hint=self.hint, id=self.id)] if self.is_broken() else []

    def __str__(self) -> str:
        return f"{self.id}: {self.message} {self.hint}"


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


def shadowed_packages(root: Path = ROOT) -> dict[str, Path]:
    """Packages that import under one of our names but are not ours: name → where they lie. root: the folder that holds our packages."""
    places = {name: is_shadowed(name, root) for name in (*NEEDED, *OPTIONAL)}
    return {name: place for name, place in places.items() if place is not None}


def _shadow_message(name: str, place: Path) -> str:
    if name in OPTIONAL:
        return f"The name `{name}` is taken by {place}: rateguard's own {name} is left out. Everything else works."
    return f"rateguard's package `{name}` is shadowed by another one in {place}."


_SHADOW_HINT = "Rename that package, or put rateguard before it on sys.path and import the other under a longer name."
_LEFT_OUT_HINT = "To have rateguard's as well, rename that package; else add rateguard.W004 to SILENCED_SYSTEM_CHECKS."


def refuse_shadowed_packages() -> None:
    """Raise ConfigurationError if a foreign package takes the name of one of ours that is needed."""
    messages = [f"{_shadow_message(name, place)} {_SHADOW_HINT}" for name, place in shadowed_packages().items() if name in NEEDED]
    if messages:
        raise ConfigurationError("\n".join(messages))


def refuse_at_start() -> None:
    """Raise ConfigurationError if RATEGUARD, a middleware or a rule of each start is broken, or in production one of production's."""
    from rateguard.hosting import RULES_AT_START  # noqa: PLC0415 -- it takes its rules from here

    conf()
    if broken := _misnamed_middleware():  # a process that cannot redact must not run
        raise ConfigurationError("\n".join(str(one.msg) for one in broken))
    _refuse("rateguard cannot run with these settings", RULES_AT_START)
    if is_production() and hasattr(settings, "RATEGUARD_ENV"):
        _refuse("these settings are not fit for production", PRODUCTION_RULES)


def _refuse(what: str, rules: Iterable[Rule]) -> None:
    """Raise ConfigurationError with all that are broken."""
    broken = [str(rule) for rule in rules if rule.is_broken()]
    if broken:
        raise ConfigurationError(f"{what}:\n" + "\n".join(broken))


def check_settings(**_: object) -> list[checks.CheckMessage]:
    """RATEGUARD parses."""
    try:
        conf()
    except ConfigurationError as error:
        return [checks.Error(str(error), id="rateguard.E001")]
    return []


def check_named_paths(**_: object) -> list[checks.CheckMessage]:
    """What settings name by its path is there, and of its kind."""
    try:
        settings_ = conf()
    except ConfigurationError:
        return []  # E001 says it
    named: list[tuple[str, str, Callable[[object], bool]]] = [
        ("RETRYABLE_ERRORS", path, _is_exception) for path in settings_.retryable_errors
    ]
    named += [("PROVIDERS", path, _is_provider) for path in (settings_.providers or {}).values() if isinstance(path, str)]
    if settings_.retry_policy:
        named.append(("RETRY_POLICY", settings_.retry_policy, callable))
    return [finding for key, path, fits in named if (finding := _unlike(key, path, fits)) is not None] + _misnamed_middleware()


def _misnamed_middleware() -> list[checks.CheckMessage]:
    return [finding for path in conf().middleware if (finding := _unlike("MIDDLEWARE", path, _is_middleware)) is not None]


def _unlike(key: str, path: str, fits: Callable[[object], bool]) -> checks.CheckMessage | None:
    try:
        is_fit = fits(import_string(path))
    except Exception as error:  # noqa: BLE001 - whatever a module of the project's raises
        return checks.Error(f'RATEGUARD["{key}"] names {path}, which cannot be imported: {error}', id="rateguard.E003")
    if is_fit:
        return None
    return checks.Error(f'RATEGUARD["{key}"] names {path}, which is not {_WANTED[fits]}', id="rateguard.E003")


def _is_provider(found: object) -> bool:
    from rateguard.engine.providers.provider import Provider  # noqa: PLC0415 - only who has providers of his own pays for it

    return isinstance(found, type) and issubclass(found, Provider)


def _is_exception(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Exception)


def _is_middleware(found: object) -> bool:
    """What is a class is made, as its process would."""
    return is_middleware(made(found))


_WANTED: dict[Callable[[object], bool], str] = {
    callable: "a function",
    _is_exception: "a class of exceptions",
    _is_provider: "a class of providers",
    _is_middleware: "a class or an object with `before` or `after`",
}


def check_shadowed_packages(**_: object) -> list[checks.CheckMessage]:
    """No foreign package takes the name of one of ours."""
    found: list[checks.CheckMessage] = []
    for name, place in shadowed_packages().items():
        if name in OPTIONAL:
            found.append(checks.Warning(_shadow_message(name, place), hint=_LEFT_OUT_HINT, id="rateguard.W004"))
        else:
            found.append(checks.Error(_shadow_message(name, place), hint=_SHADOW_HINT, id="rateguard.E002"))
    return found


def check_broker(**_: object) -> list[checks.CheckMessage]:
    """Celery sees each loss of its broker. Looks at the Celery app that is the current one: a host project's, or ours."""
    from celery import current_app  # noqa: PLC0415 -- the app reads Django's settings, which load after this module may

    if not current_app.conf.broker_transport_options.get("retry_on_timeout"):
        return []
    message = "Celery's broker options have retry_on_timeout: after a failover of Redis a worker may hear no message more, without a word."
    return [checks.Warning(message, hint="Take retry_on_timeout out of CELERY_BROKER_TRANSPORT_OPTIONS.", id="rateguard.W003")]


def check_production(**_: object) -> list[checks.CheckMessage]:
    """The settings are fit for production."""
    return [finding for rule in PRODUCTION_RULES for finding in rule.findings()]


def check_host(**_: object) -> list[checks.CheckMessage]:
    """The project has what its guest needs."""
    from rateguard.hosting import RULES  # noqa: PLC0415 -- as above

    return [finding for rule in RULES for finding in rule.findings()]


def check_pages(**_: object) -> list[checks.CheckMessage]:
    """The project has what the pages need, where it includes them."""
    from rateguard.hosting_pages import RULES, has_pages  # noqa: PLC0415 -- as above

    return [finding for rule in RULES for finding in rule.findings()] if has_pages() else []


def register() -> None:
    """Give the checks to Django."""
    checks.register(check_settings, "rateguard")
    checks.register(check_named_paths, "rateguard")
    checks.register(check_shadowed_packages, "rateguard")
    checks.register(check_broker, "rateguard")
    checks.register(check_host, "rateguard")
    checks.register(check_pages, checks.Tags.urls)
    checks.register(check_production, "rateguard", deploy=True)
