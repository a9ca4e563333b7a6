"""What a project must have for rateguard's pages, where its urls include them.

| id | when | what |
|---|---|---|
| rateguard.W030 | with the pages | an app that they need is not installed |
| rateguard.W031 | with the pages | a middleware that they need is missing |
| rateguard.W032 | with the pages | no template engine finds their templates, or shows their messages |
| rateguard.W033 | with the pages | files of theirs have no address |

These load the project's urls, so they run where Django's own checks of urls do, and not before every command.
"""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.template import engines
from django.template.backends.django import DjangoTemplates
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from rateguard.checks import Rule

_APPS = ("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.messages", "django.contrib.staticfiles")
_SESSIONS = "django.contrib.sessions"
_IN_THE_DATABASE = {"django.contrib.sessions.backends.db", "django.contrib.sessions.backends.cached_db"}
_MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)
_PROCESSORS = ("django.template.context_processors.request", "django.contrib.messages.context_processors.messages")


def has_pages() -> bool:
    """Whether the project's urls lead to our pages."""
    if "rateguard_dashboard" not in apps.app_configs:
        return False
    try:
        reverse("dashboard:signin")
    except NoReverseMatch:
        return False
    return True


def _lacks_apps() -> bool:
    needed = (*_APPS, *((_SESSIONS,) if settings.SESSION_ENGINE in _IN_THE_DATABASE else ()))
    return not all(map(apps.is_installed, needed))


def _lacks_middleware() -> bool:
    there = [one for one in map(import_string, settings.MIDDLEWARE) if isinstance(one, type)]
    return not all(any(issubclass(one, import_string(needed)) for one in there) for needed in _MIDDLEWARE)


def _lacks_templates() -> bool:
    for engine in engines.all():
        if isinstance(engine, DjangoTemplates) and engine.engine.app_dirs:
            return not set(_PROCESSORS) <= set(engine.engine.context_processors)
    return True


RULES = (
    Rule(
        "rateguard.W030",
        _lacks_apps,
        "The pages need an app that is not installed.",
        f"Add to INSTALLED_APPS what is missing of {', '.join((*_APPS, _SESSIONS))}.",
    ),
    Rule(
        "rateguard.W031",
        _lacks_middleware,
        "The pages need a middleware that is missing: nobody could sign in.",
        f"Add to MIDDLEWARE, in this order, what is missing of {', '.join(_MIDDLEWARE)}.",
    ),
    Rule(
        "rateguard.W032",
        _lacks_templates,
        "No template engine finds the pages' templates and shows their messages.",
        f'Give one DjangoTemplates engine "APP_DIRS": True and the context processors {", ".join(_PROCESSORS)}.',
    ),
    Rule(
        "rateguard.W033",
        lambda: not settings.STATIC_URL,
        "The pages' styles and scripts have no address.",
        'Set STATIC_URL = "static/", and serve what `collectstatic` gathers.',
    ),
)
