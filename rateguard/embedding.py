"""rateguard as a guest: what a host project's settings and its Celery app take from it.

    INSTALLED_APPS += ["django_celery_results", *rateguard.APPS]     # in the settings
    app.conf.update(rateguard.celery_settings())                     # where the Celery app is made

Our own project takes the same: settings.py and celery.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kombu import Queue

from rateguard.engine.errors import ConfigurationError
from rateguard.engine.gate.connection import broker_of
from rateguard.engine.lanes import Lane, queue_name

ROOT: Final = Path(__file__).resolve().parent.parent
"""The folder that holds our packages."""
NEEDED: Final = ("tenants",)
"""Top-level packages of ours, with names that a host project may have taken, without which nothing works."""
OPTIONAL: Final = ("dashboard",)
"""Those that nothing else imports: where a host project has one of the name, ours is left out."""

ASYNCIO_POOL: Final = "rateguard.worker.pool:AsyncioPool"
"""Celery's `worker_pool` for a worker that runs jobs."""
OWN_TASKS: Final = 64
"""A host's own tasks that such a worker runs at once; granted jobs are bounded by WORKER_SLOTS."""
RESULT_BACKEND: Final = "rateguard.jobs.ends.results:JobResultBackend"
"""Jobs from their rows, other tasks as in django-celery-results."""
LANE_QUEUES: Final = tuple(map(queue_name, Lane))

_EXTENDED_BACKENDS = {"", "django-db", RESULT_BACKEND, *(f"django_celery_results.backends{at}:DatabaseBackend" for at in ("", ".database"))}
"""Result backends that ours takes the place of: it does with other tasks what they do."""
_BROKER_OPTIONS: Final[Mapping[str, Any]] = {
    "visibility_timeout": 3_600,
    "socket_connect_timeout": 5,
    "socket_timeout": 10,
    "socket_keepalive": True,
    # With True the client mends a broken connection behind Celery's back: the worker then waits for ever where nobody will speak.
    "retry_on_timeout": False,
}


# ---- packages


def place_of(package: str) -> Path | None:
    """The folder or file that a top-level package would be imported from; None where there is none."""
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # a module that was put together by hand has no origin
        return None
    if spec is None or not spec.origin:
        return None
    origin = Path(spec.origin).resolve()
    return origin.parent if origin.name == "__init__.py" else origin


def is_shadowed(package: str, root: Path = ROOT) -> Path | None:
    """Where the foreign package lies that takes this name of ours; None where nothing does. root: the folder that holds ours."""
    place = place_of(package)
    return place if place is not None and place != root / package else None


def installed_apps(root: Path = ROOT) -> list[str]:
    """Our apps for INSTALLED_APPS; the first looks for foreign packages in our names before Django loads the others."""
    optional = [f"{name}.apps.{name.capitalize()}Config" for name in OPTIONAL if place_of(name) == root / name]
    return ["rateguard.apps.RateguardConfig", "tenants.apps.TenantsConfig", "rateguard.jobs.apps.JobsConfig", *optional]


APPS: Final = installed_apps()


# ---- Celery


def celery_settings(*, one_worker: bool = False, namespace: str = "CELERY", **given: Any) -> dict[str, Any]:
    """What jobs need of a Celery app, for `app.conf.update(…)`.

    What Django's settings say of Celery stands: routes and queues are added to theirs, and where they name a broker or another result
    backend, those stay. namespace: the prefix of those settings. given: the same in Celery's own words, for an app that is configured
    otherwise: `celery_settings(task_routes={…})`. What else is given comes back as it is.

    The host's workers stay as they are: they serve the host's queues, and jobs have a worker of their own (`manage.py llmworker`).
    one_worker: every worker of the app runs the jobs too, on the asyncio pool, unless -Q or -P says otherwise.
    Raises ConfigurationError where a broker is needed and REDIS_URL is missing or is a cluster.
    """
    host = _Host(namespace, given)
    made = {**given, **_broker(host), "task_routes": _routes(host)}
    if host.value("result_backend", "") in _EXTENDED_BACKENDS:
        made["result_backend"] = RESULT_BACKEND
    if one_worker:
        made["worker_pool"] = host.value("worker_pool", ASYNCIO_POOL)
        if made["worker_pool"] == ASYNCIO_POOL:
            made["worker_concurrency"] = host.value("worker_concurrency", OWN_TASKS)
    if one_worker or not host.value("task_create_missing_queues", default=True):
        made["task_queues"] = _queues(host)
    return made


class _Host:
    """What the host says of Celery: given in the call, else in Django's settings."""

    def __init__(self, namespace: str, given: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self._given = given

    def value(self, name: str, default: Any = None) -> Any:
        """The value of a setting by its name in Celery; the default where it is absent or None."""
        from django.conf import settings  # noqa: PLC0415 -- APPS is read while the settings are being made

        found = self._given.get(name)
        if found is None:
            found = getattr(settings, f"{self._namespace}_{name.upper()}", None)
        return default if found is None else found


def _broker(host: _Host) -> dict[str, Any]:
    """REDIS_URL's server, or BROKER_URL's, unless the host names a broker."""
    from django.conf import settings  # noqa: PLC0415 -- as above

    if host.value("broker_url"):
        return {}
    url = getattr(settings, "BROKER_URL", None) or getattr(settings, "REDIS_URL", None)
    if not url:
        raise ConfigurationError('REDIS_URL is missing: add REDIS_URL = "redis://127.0.0.1:6379/0" to the settings')
    broker_url, found = broker_of(url)
    options = {**_BROKER_OPTIONS, **host.value("broker_transport_options", {}), **found}
    # A broker that refuses (its disk is full, its replicas are gone) is as good as away: the worker outlives it and connects anew.
    outlasts = {name: host.value(name, default=True) for name in ("broker_connection_retry_on_startup", "broker_channel_error_retry")}
    return {"broker_url": broker_url, "broker_transport_options": options, **outlasts}


def _routes(host: _Host) -> list[Any]:
    """Ours around the host's: its patterns must not send a lane's message elsewhere; a bare `complete` goes where jobs are run."""
    theirs = host.value("task_routes", [])
    theirs = list(theirs) if isinstance(theirs, list | tuple) else [theirs]
    submitting = {"queue": queue_name(Lane.NORMAL)}
    return [{"rateguard.execute": {}}, *theirs, {"rateguard.complete": submitting, "rateguard.embed": submitting}]


def _queues(host: _Host) -> list[Queue]:
    """The host's queues, or its default one, and one a lane.

    Each of ours has its own routing key: without one Celery gives all the default key, and a message would reach every queue.
    """
    theirs = host.value("task_queues", [])
    if isinstance(theirs, Mapping):
        theirs = [one if isinstance(one, Queue) else Queue.from_dict(name, **one) for name, one in theirs.items()]
    default = host.value("task_default_queue", "celery")
    known = {queue.name for queue in theirs}
    return [*theirs, *(Queue(name, routing_key=name) for name in (*(() if theirs else (default,)), *LANE_QUEUES) if name not in known)]
