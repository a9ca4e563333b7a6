"""Errbacks of a canvas: those that take the failed task's id are sent as they are, as Celery does.

Those of the new style, (request, error, traceback), Celery calls in the worker that saw the failure. A job may be ended by any process, by
a web process too, whose business somebody's code is not: a task of ours carries them to a worker and calls them there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from typing import Any

from celery import Celery, group
from celery.app.task import Context
from celery.canvas import Signature
from django_celery_results.backends import DatabaseBackend

from rateguard.jobs.ends.canvas import signature_of, the_app

logger = logging.getLogger(__name__)

ERRBACK = "rateguard.errback"
"""The task that calls an errback of the new style."""
_TOLD = ("id", "task", "root_id", "parent_id", "group", "group_index")


@functools.cache
def know_all_tasks(app: Celery) -> None:
    """A web process may not have imported the tasks that a worker has; what an errback takes is seen from its function."""
    try:
        app.loader.import_default_modules()
    except Exception:
        logger.exception("not all modules of tasks can be imported here: their errbacks get the id alone")


def send_errback(backend: DatabaseBackend, errback: Signature[Any], request: Context, error: Exception) -> None:
    """Send one for the task of this request. Raises what publishing and submitting raise."""
    app: Celery = backend.app
    origin: dict[str, Any] = {"parent_id": request.id, "root_id": request.root_id or request.id}
    if not _takes_the_error(backend, errback):
        group([errback], app=app).apply_async((request.id,), **origin)
        return
    told = {name: getattr(request, name, None) for name in _TOLD}
    args = (dict(errback), told, backend.prepare_exception(error, serializer="json"))
    if app.conf.task_always_eager:
        call_errback(*args)
        return
    route: dict[str, Any] = {name: errback.options[name] for name in ("queue", "exchange", "routing_key") if errback.options.get(name)}
    app.send_task(ERRBACK, args, task_id=errback.options.get("task_id"), route_name=errback.task, **origin, **route)


def call_errback(errback: dict[str, Any], request: dict[str, Any], error: dict[str, Any]) -> None:
    """The body of the task ERRBACK."""
    app = the_app()
    returned = signature_of(errback, app)(Context(request), app.backend.exception_to_python(error), None)
    if inspect.iscoroutine(returned):
        asyncio.run(returned)


def _takes_the_error(backend: DatabaseBackend, errback: Signature[Any]) -> bool:
    """Whether it is of the new style. One that is not known here gets the id, as with Celery."""
    header = getattr(backend.app.tasks.get(errback.task), "__header__", None)
    if header is None or isinstance(header, functools.partial):
        return False
    return bool(backend._errback_arity_greater(errback, 1))  # noqa: SLF001 - how Celery itself tells them apart
