"""`/healthz`: this process is alive. `/readyz`: whether it can do its work, each dependency with its state and milliseconds.

Both take no key and tell no secret and no address; what went wrong stands in the log. In the web process they are raw ASGI, which answers
while every thread of Django is busy; under WSGI they are views. A dependency that hangs costs a second and one thread, however often
somebody asks.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from celery import current_app
from django.apps import apps
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from rateguard import wiring
from rateguard.api.layers.asgi import Receive, Scope, Send
from rateguard.api.problems import PROBLEM_TYPE, Problem

logger = logging.getLogger(__name__)

DEADLINE_S = 0.8
"""What has not answered by then does not answer."""
RENEW_S = 30.0
"""A check that hangs for so long is made anew beside it: the server may have come back at another address."""
MOST_HANGING = 3
ALIVE, READY = "/healthz", "/readyz"
_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
_SAFE = {"GET", "HEAD"}

_LEAVING = orjson.dumps({"status": "leaving", "checks": {}})
OK, FAILED, NO_ANSWER, BEHIND, EMPTY = "ok", "failed", "no_answer", "behind", "empty"


# ---- what is checked: each returns its state, or raises


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return OK


@functools.cache
def _migrated() -> bool:
    """Once the database is as this code needs it, it stays so."""
    executor = MigrationExecutor(connection)
    ours = {config.label for config in apps.get_app_configs() if config.name.split(".")[0] in {"rateguard", "tenants"}}
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in ours]
    if executor.migration_plan(targets):
        raise _NotYetError
    return True


class _NotYetError(Exception):
    """Migrations wait; not to be remembered."""


def _migrations() -> str:
    try:
        _migrated()
    except _NotYetError:
        return BEHIND
    return OK


def _redis() -> str:
    wiring.redis_client().ping()
    return OK


def _gate() -> str:
    return EMPTY if wiring.gate().epoch() is None else OK


def _broker() -> str:
    with current_app.connection_for_write() as broker:
        broker.connect()
    return OK


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and how long that took."""

    state: str
    ms: float


class Check:
    """A dependency and what to do when it is not ready. Runs in a thread of its own, one at a time."""

    def __init__(self, name: str, look: Callable[[], str], remedy: str) -> None:
        self.name = name
        self.remedy = remedy
        self._look = look
        self._lock = threading.Lock()
        self._running: list[tuple[float, concurrent.futures.Future[Finding]]] = []
        self._told = OK

    def ask(self) -> concurrent.futures.Future[Finding]:
        """What it finds: the check under way, or a new one."""
        now = time.monotonic()
        with self._lock:
            self._running = [one for one in self._running if not one[1].done()]
            if not self._running or (now - self._running[-1][0] > RENEW_S and len(self._running) < MOST_HANGING):
                self._running.append((now, concurrent.futures.Future()))
                threading.Thread(target=self._run, args=self._running[-1], name=f"rateguard-ready-{self.name}", daemon=True).start()
            return self._running[-1][1]

    def _run(self, began_at: float, found: concurrent.futures.Future[Finding]) -> None:
        state, error = FAILED, ""
        try:
            state = self._look()
        except Exception as raised:  # noqa: BLE001 - whatever it is, the dependency is not ready
            error = f"{type(raised).__name__}: {raised}"
        finally:
            connections.close_all()
            self._tell(state, error)
            found.set_result(Finding(state, (time.monotonic() - began_at) * 1000))

    def _tell(self, state: str, error: str) -> None:
        """One line when it changes."""
        if state != self._told:
            self._told = state
            logger.log(logging.INFO if state == OK else logging.WARNING, "%s: %s %s", self.name, state, error)

    def as_dict(self, found: concurrent.futures.Future[Finding]) -> dict[str, Any]:
        """Its part of the report."""
        finding = found.result() if found.done() else Finding(NO_ANSWER, DEADLINE_S * 1000)
        told = {"state": finding.state, "ms": round(finding.ms, 1)}
        return told if finding.state == OK else {**told, "do": self.remedy}


def _checks() -> tuple[Check, ...]:
    return (
        Check("database", _database, "see that the server of DATABASES runs and lets this process in"),
        Check("migrations", _migrations, "run manage.py migrate"),
        Check("redis", _redis, "see that the server of REDIS_URL runs and answers within GATE_TIMEOUT_MS; jobs are accepted and wait"),
        Check("gate", _gate, "a worker fills the gate from the rows within seconds of finding it empty: see that one runs"),
        Check("broker", _broker, "see that Celery's broker runs (BROKER_URL, or the Celery app's broker_url)"),
    )


CHECKS = _checks()


def _forget() -> None:
    """Threads stay with the parent."""
    global CHECKS  # noqa: PLW0603 - one a process
    CHECKS = _checks()


os.register_at_fork(after_in_child=_forget)


def _report(asked: Iterable[tuple[Check, concurrent.futures.Future[Finding]]]) -> tuple[int, bytes]:
    """200 and `ready`, or 503 and `not_ready`; and each dependency."""
    told = {check.name: check.as_dict(found) for check, found in asked}
    is_ready = all(one["state"] == OK for one in told.values())
    return (200 if is_ready else 503), orjson.dumps({"status": "ready" if is_ready else "not_ready", "checks": told})


_ALIVE = orjson.dumps({"status": "alive"})


class _Readiness:
    """Whether this process was asked to end, and when /readyz was asked last (time.monotonic())."""

    def __init__(self) -> None:
        self.is_leaving = False
        self.asked_at = float("-inf")
        self.heard = asyncio.Event()


_readiness = _Readiness()


def say_leaving() -> None:
    """From now on /readyz says that the process leaves: 503, at once."""
    _readiness.is_leaving = True


async def heard_leaving(within_s: float) -> None:
    """Until somebody heard from /readyz that the process leaves, at most so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_readiness.heard.wait(), within_s)


def has_been_asked_since(moment: float) -> bool:
    """Whether somebody asked /readyz after this moment (time.monotonic())."""
    return _readiness.asked_at > moment


# ---- under plain Django


@require_safe
def healthz(_: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse(_ALIVE, headers=_HEADERS)


@require_safe
def readyz(_: HttpRequest) -> HttpResponse:
    """Each dependency."""
    asked = [(check, check.ask()) for check in CHECKS]
    concurrent.futures.wait([found for _, found in asked], DEADLINE_S)
    status, body = _report(asked)
    return HttpResponse(body, status=status, headers=_HEADERS)


# ---- in raw ASGI


async def health(scope: Scope, _: Receive, send: Send) -> None:
    """The same for the dispatcher, without Django and its threads."""
    if scope["path"] not in {ALIVE, READY}:
        await _answer(scope, send, 404, orjson.dumps(Problem.of_status(404).as_dict("")), {"Content-Type": PROBLEM_TYPE})
    elif scope["method"] not in _SAFE:
        told = {"Content-Type": PROBLEM_TYPE, "Allow": ", ".join(sorted(_SAFE))}
        await _answer(scope, send, 405, orjson.dumps(Problem.of_status(405).as_dict("")), told)
    elif scope["path"] == ALIVE:
        await _answer(scope, send, 200, _ALIVE, _HEADERS)
    elif _readiness.is_leaving:
        await _answer(scope, send, 503, _LEAVING, _HEADERS)
        _readiness.heard.set()
    else:
        _readiness.asked_at = time.monotonic()
        asked = [(check, check.ask()) for check in CHECKS]
        await asyncio.wait([asyncio.wrap_future(found) for _, found in asked], timeout=DEADLINE_S)
        await _answer(scope, send, *_report(asked), _HEADERS)


async def _answer(scope: Scope, send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    named = [(name.encode(), value.encode()) for name, value in {**headers, "Content-Length": str(len(body))}.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
