"""Celery's options of a call, as a job understands them: those with a meaning get it, the harmless pass, the rest is refused."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from celery import Celery
from celery.utils.time import maybe_make_aware
from django.utils import timezone

from rateguard.engine.errors import InvalidRequest

Value = TypeVar("Value")

CANVAS = frozenset({"link", "link_error", "chain", "chord", "group_id", "group_index", "root_id", "parent_id"})
"""What moves at the job's end: see `canvas`."""
ROUTES = frozenset({"queue", "routing_key", "exchange", "exchange_type", "priority", "router", "route_name"})
"""Where and in which order a message goes; a job has a lane."""
TIMES = frozenset({"countdown", "eta", "expires", "time_limit", "soft_time_limit"})
HARMLESS = frozenset(
    {
        "add_to_parent",
        "argsrepr",
        "chain_index",
        "compression",
        "connection",
        "delivery_mode",
        "headers",
        "ignore_result",
        "kwargsrepr",
        "logfile",
        "loglevel",
        "origin",
        "producer",
        "publisher",
        "replaced_task_nesting",
        "reply_to",
        "result_cls",
        "retries",
        "retry",
        "retry_policy",
        "serializer",
        "shadow",
        "stamped_headers",
        "stamps",
        "task_type",
        "throw",
        "time_zone",
    }
)
"""Of the way of a message, which a job has not: its row is written at once, lasts, and always keeps the answer."""


def keywords_of(options: Mapping[str, Any], app: Celery) -> dict[str, Any]:
    """The job's keywords that Celery's options say: run_at, deadline, timeout. Raises InvalidRequest: `invalid_field`."""
    given = {name: value for name, value in options.items() if value is not None}
    stamps = given.get("stamped_headers") or ()
    for name in given:
        _check(name, stamps)
    found: dict[str, Any] = {}
    if given.get("countdown"):
        found["run_at"] = timezone.now() + _seconds("countdown", given["countdown"])
    if "eta" in given:
        found["run_at"] = _time("eta", given["eta"], app)
    if "expires" in given:
        found["deadline"] = _moment(given["expires"], app)
    limits = [given[name] for name in ("time_limit", "soft_time_limit") if name in given]
    if limits:
        found["timeout"] = min(math.ceil(_seconds("time_limit", limit).total_seconds()) for limit in limits)
    return found


def as_job_id(task_id: object) -> uuid.UUID | None:
    """The id that a caller or a canvas gives. Raises InvalidRequest: `invalid_field`."""
    if task_id is None or isinstance(task_id, uuid.UUID):
        return task_id
    try:
        return uuid.UUID(str(task_id))
    except ValueError:
        raise InvalidRequest(f"task_id {task_id!r} is no UUID, which a job's id is", code="invalid_field") from None


def _check(name: str, stamps: Any) -> None:
    if name in ROUTES:
        raise InvalidRequest(
            f"{name}= does not concern a job: lane= says which work goes first, one of critical, high, normal, low, background",
            code="invalid_field",
            pointer="/job/lane",
        )
    if name not in CANVAS | TIMES | HARMLESS and name not in stamps:
        raise InvalidRequest(f"{name}= is no option of a call: what concerns the job goes among its keywords", code="invalid_field")


def _seconds(name: str, value: Any) -> dt.timedelta:
    return _read(name, value, lambda: dt.timedelta(seconds=float(value)), "a number of seconds")


def _time(name: str, value: Any, app: Celery) -> dt.datetime:
    """A time without a zone is UTC, as in Celery; a canvas that went through JSON holds a text."""

    def read() -> dt.datetime:
        found = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
        aware: dt.datetime = maybe_make_aware(found, app.timezone)
        return aware

    return _read(name, value, read, "a datetime")


def _moment(expires: Any, app: Celery) -> dt.datetime:
    if isinstance(expires, dt.datetime | str):
        return _time("expires", expires, app)
    return timezone.now() + _seconds("expires", expires)


def _read(name: str, value: object, read: Callable[[], Value], form: str) -> Value:
    try:
        return read()
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise InvalidRequest(f"{name} is {value!r}: write {form}", code="invalid_field") from None
